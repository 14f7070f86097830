package bus_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/platform/bus"
	"hongyan/platform/bus/bustest"
	"hongyan/platform/bus/memory"
)

func TestAMeasuredBusConforms(t *testing.T) {
	bustest.Run(t, func(*testing.T) bustest.Harness {
		return bustest.Harness{Alone: true, Open: func(_ *testing.T, queue int) bus.Bus {
			return bus.Measure(memory.New(queue), prometheus.NewRegistry())
		}}
	})
}

func TestMeasure(t *testing.T) {
	reg := prometheus.NewRegistry()
	b := bus.Measure(memory.New(1), reg)
	value := func(name string) (v float64) {
		families, err := reg.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "hongyan_bus_"+name {
				v = f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return v
	}
	got, goOn := make(chan bus.Message), make(chan struct{})
	sub, err := b.Subscribe("a.*", func(m bus.Message) {
		got <- m
		<-goOn
	})
	require.NoError(t, err)
	require.NoError(t, b.Publish(t.Context(), "a.b", []byte("1")))
	<-got
	// One waits in the queue, its predecessor is dropped.
	require.NoError(t, b.Publish(t.Context(), "a.b", []byte("2")))
	require.NoError(t, b.Publish(t.Context(), "a.b", []byte("3")))
	require.Error(t, b.Publish(t.Context(), "a b", nil))
	require.Error(t, b.Publish(t.Context(), "a.b", []byte(strings.Repeat("x", bus.MaxMessage+1))))
	require.InDelta(t, 3, value("published_total"), 0)
	require.InDelta(t, 2, value("publish_errors_total"), 0)
	require.InDelta(t, 1, value("dropped_total"), 0)
	require.InDelta(t, 1, value("connected"), 0)
	goOn <- struct{}{}
	require.Equal(t, "3", string((<-got).Data))
	close(goOn)
	sub.Unsubscribe()
	sub.Unsubscribe()
	require.InDelta(t, 2, value("delivered_total"), 0)
	require.InDelta(t, 1, value("dropped_total"), 0, "what ended subscriptions dropped stays counted")
	require.NoError(t, b.Close())
	require.InDelta(t, 0, value("connected"), 0)
}
