package sync_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix/filter"
	"hongyan/service/sync"
)

func TestReceiptsAreGroupedByEventAndType(t *testing.T) {
	receipt := func(event, kind, user, thread string, ts int64) *roompb.Receipt {
		return &roompb.Receipt{EventId: event, ReceiptType: kind, UserId: user, ThreadId: thread, TsMs: ts}
	}
	got := sync.ReceiptContent("@me:hs", []*roompb.Receipt{
		receipt("$b", "m.read", "@x:hs", "", 4),
		receipt("$a", "m.read", "@y:hs", "$t", 2),
		receipt("$a", "m.read", "@x:hs", "main", 1),
		receipt("$a", "m.read", "@y:hs", "", 3),
	}, []*syncpb.ReadMark{{EventId: "$a", ReceiptType: "m.read.private", TsMs: 5}})
	require.JSONEq(t, `{
		"$a": {
			"m.read": {"@x:hs": {"ts": 1, "thread_id": "main"}, "@y:hs": {"ts": 3}},
			"m.read.private": {"@me:hs": {"ts": 5}}
		},
		"$b": {"m.read": {"@x:hs": {"ts": 4}}}
	}`, got, "an unthreaded receipt beats a threaded one for the same event")
}

func TestEmptySectionsVanish(t *testing.T) {
	require.Equal(t, `{}`, sync.Section("join"))
	require.Equal(t, `{"join":{"a":1,"b":2}}`, sync.Section("join", `"a":1`, `"b":2`))
}

func TestFiltersSurviveTheWayToTheRoomService(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"types":["m.room.*"],"not_types":[],"senders":["@a:hs"],"not_senders":["@b:hs"]}`, `{"types":[]}`,
		`{"rooms":["!a:hs"],"not_rooms":["!b:hs"],"contains_url":false}`,
		`{"rel_types":["m.thread"],"not_rel_types":["x"],"related_by_rel_types":["y"],"related_by_senders":["@a:hs"]}`,
	} {
		f, err := filter.ParseRoomEvents([]byte(text))
		require.NoError(t, err)
		encoded, err := sync.EncodeFilter(f)
		require.NoError(t, err)
		again, err := filter.ParseRoomEvents(encoded)
		require.NoError(t, err)
		require.Equal(t, f, again, text)
	}
}

func TestContiguousEnd(t *testing.T) {
	seqs := func(list ...int64) (events []*roompb.Event) {
		for _, seq := range list {
			events = append(events, &roompb.Event{Seq: seq})
		}
		return events
	}
	for _, tt := range []struct {
		have []int64
		end  int64
		want int
	}{{nil, 5, 0}, {[]int64{3, 4, 5}, 5, 3}, {[]int64{1, 2, 4, 5}, 5, 2}, {[]int64{3, 4}, 5, 0}} {
		require.Len(t, sync.Contiguous(seqs(tt.have...), tt.end), tt.want, fmt.Sprint(tt))
	}
}

func TestSharedReadingBeginsAfterEachCallerAsked(t *testing.T) {
	var value atomic.Int64
	entered, release := make(chan struct{}, 10), make(chan struct{})
	s := sync.NewShared(func(context.Context) (int, error) {
		v := int(value.Load())
		entered <- struct{}{}
		<-release
		return v, nil
	})
	results := make(chan int, 10)
	ask := func() {
		v, err := s.Get(t.Context())
		require.NoError(t, err)
		results <- v
	}
	go ask()
	<-entered // the first reading has begun with 0
	value.Store(1)
	for range 5 {
		go ask()
	}
	release <- struct{}{}
	require.Equal(t, 0, <-results)
	for got := 0; got < 5; {
		select {
		case release <- struct{}{}:
		case v := <-results:
			require.Equal(t, 1, v, "who asks after the change must see it")
			got++
		case <-entered:
		}
	}
}

func TestDrainSpreadsTheAnswers(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 100 {
		d := sync.DrainDelay(fmt.Sprintf("@user%d:hs", i), time.Minute)
		require.Less(t, d, time.Minute)
		seen[d/(6*time.Second)] = true
	}
	require.Len(t, seen, 10, "in every tenth of the time some are answered")
}

func TestConfigRefusesWhatCannotWork(t *testing.T) {
	require.NoError(t, sync.Default().Validate())
	cfg := sync.Default()
	cfg.MaxTimeout = 0
	require.ErrorContains(t, cfg.Validate(), "max_timeout")
	cfg = sync.Default()
	cfg.Live.RoomEvents = 0
	require.ErrorContains(t, cfg.Validate(), "room_events")
	_, err := sync.New(sync.Default(), sync.Deps{})
	require.Error(t, err)
}
