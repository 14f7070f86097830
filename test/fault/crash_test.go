package fault_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/bench"
	"hongyan/test/harness"
)

const kills = 10

// The process is killed ten times under load, at random moments. Whatever was acknowledged must be there once, in one
// order for everybody, and every transaction id must answer the event that it made.
func TestKilledUnderLoad(t *testing.T) {
	harness.OnEachDatabase(t, func(t *testing.T, options harness.Options) {
		for _, mode := range []bench.Mode{bench.ModePairs, bench.ModeGroup} {
			t.Run(string(mode), func(t *testing.T) { killedUnderLoad(t, options, mode) })
		}
	})
}

func killedUnderLoad(t *testing.T, options harness.Options, mode bench.Mode) {
	server := harness.Start(t, options)
	cfg := bench.DefaultConfig()
	cfg.URL, cfg.Mode, cfg.Users, cfg.Senders = server.URL, mode, 20, 10
	// One process serves the run and the killer decides when it ends.
	cfg.Warmup, cfg.Duration, cfg.Drain = 0, kills*3*time.Second, time.Minute
	var mu sync.Mutex
	var sent []bench.Message
	begun := make(chan struct{})
	cfg.Accepted = func(m bench.Message) {
		mu.Lock()
		defer mu.Unlock()
		if sent = append(sent, m); len(sent) == 1 {
			close(begun)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	killed := make(chan error, 1)
	go func() { killed <- killRepeatedly(ctx, server, begun) }()
	report, err := bench.Run(ctx, cfg, func(s string) { t.Log(s) })
	require.NoError(t, err)
	require.NoError(t, <-killed)
	t.Logf("%d messages, errors seen by the clients: %v", report.Verdict.Accepted, report.Errors)
	require.Greater(t, report.Verdict.Accepted, kills*20, "there was load")
	require.True(t, report.Verdict.OK(), "%+v", report.Verdict)
	require.NoError(t, checkIdempotent(t.Context(), sent))
	require.NoError(t, checkHistory(t.Context(), sent))
}

func killRepeatedly(ctx context.Context, server *harness.Server, begun <-chan struct{}) error {
	select {
	case <-begun:
	case <-ctx.Done():
		return errors.New("no message was accepted")
	}
	for range kills {
		timer := time.NewTimer(200*time.Millisecond + time.Duration(rand.IntN(1200))*time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.New("the load ended before the process was killed often enough")
		}
		server.Stop(syscall.SIGKILL)
		if err := server.Up(ctx); err != nil {
			return err
		}
	}
	return nil
}
