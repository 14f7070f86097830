package app_test

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/app"
)

// A service that fails while the server is ready ends the server, which says which and why.
func TestServerEndsWithAService(t *testing.T) {
	cfg, err := app.Load(app.Source{Flags: map[string]string{"data-dir": t.TempDir(), "listen": "127.0.0.1:0"}})
	require.NoError(t, err)
	metrics := prometheus.NewRegistry()
	a, err := app.New(t.Context(), cfg, app.Options{Version: "test", Metrics: metrics, Gatherer: metrics})
	require.NoError(t, err)
	a.Replace("room", func(context.Context) error {
		<-a.Ready()
		return errors.New("the log cannot be written")
	})
	require.ErrorContains(t, a.Run(t.Context()), "room: the log cannot be written")
}
