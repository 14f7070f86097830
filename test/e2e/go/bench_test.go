package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/bench"
	"hongyan/test/harness"
)

// The load generator's idle users wait without an error, and it finds the server's process by its port.
func TestBenchOfIdleUsers(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	cfg := bench.DefaultConfig()
	cfg.URL, cfg.Mode, cfg.Users, cfg.Duration = server.URL, bench.ModeIdle, 4, 200*time.Millisecond
	report, err := bench.Run(t.Context(), cfg, func(s string) { t.Log(s) })
	require.NoError(t, err)
	require.Equal(t, 4, report.Users)
	require.Equal(t, 2, report.Rooms)
	require.Empty(t, report.Errors)
	require.NotNil(t, report.Server)
	require.Equal(t, server.PID(), report.Server.PID)
	require.Positive(t, report.Server.RSSMiB)
}
