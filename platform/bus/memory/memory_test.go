package memory_test

import (
	"testing"

	"hongyan/platform/bus"
	"hongyan/platform/bus/bustest"
	"hongyan/platform/bus/memory"
	"hongyan/platform/obs/obstest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

func TestConforms(t *testing.T) {
	bustest.Run(t, func(*testing.T) bustest.Harness {
		return bustest.Harness{Alone: true, Open: func(_ *testing.T, queue int) bus.Bus { return memory.New(queue) }}
	})
}

func BenchmarkPublish(b *testing.B) {
	m := memory.New(0)
	defer func() { _ = m.Close() }()
	for range 10 {
		if _, err := m.Subscribe("log.room.*", func(bus.Message) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Publish(b.Context(), "log.room.7", []byte("12345678")); err != nil {
			b.Fatal(err)
		}
	}
}
