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
	"github.com/tidwall/gjson"

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
	requireIdempotent(t, sent)
	requireHistory(t, sent)
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

// requireIdempotent sends a sample of the messages again.
func requireIdempotent(t *testing.T, sent []bench.Message) {
	const sample = 300
	for _, i := range rand.Perm(len(sent))[:min(sample, len(sent))] {
		m := sent[i]
		again, err := m.Sender.Send(t.Context(), m.RoomID, m.TxnID, m.Content)
		require.NoError(t, err)
		require.Equal(t, m.EventID, again, "transaction %s of %s", m.TxnID, m.Sender.UserID)
	}
}

// requireHistory pages through every room from its beginning: each message stands there exactly once.
func requireHistory(t *testing.T, sent []bench.Message) {
	rooms := map[string]*bench.Client{}
	want := map[string]int{}
	for _, m := range sent {
		rooms[m.RoomID] = m.Sender
		want[m.EventID]++
	}
	for id, n := range want {
		require.Equal(t, 1, n, "%s answered to two different transaction ids", id)
	}
	got := map[string]int{}
	texts := map[string]int{}
	for roomID, reader := range rooms {
		from := ""
		for range 1000 {
			var end string
			err := reader.Messages(t.Context(), roomID, from, "f", 500, func(body []byte) error {
				answer := gjson.ParseBytes(body)
				end = answer.Get("end").String()
				for _, e := range answer.Get("chunk").Array() {
					if e.Get("type").String() == "m.room.message" {
						got[e.Get("event_id").String()]++
						texts[roomID+e.Get("content.body").String()]++
					}
				}
				return nil
			})
			require.NoError(t, err)
			if end == "" {
				break
			}
			from = end
		}
	}
	for id := range want {
		require.Equal(t, 1, got[id], "how often %s stands in the history", id)
	}
	for text, n := range texts {
		require.Equal(t, 1, n, "how often %q was written", text)
	}
}
