package userlog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
	"hongyan/service/sync/internal/live"
	"hongyan/service/sync/internal/userlog"
	"hongyan/test/pgtest"
)

const alice = "@alice:hs"

var limits = userlog.Limits{Entries: 10, Global: 4, Bytes: 100_000}

// onBoth runs a test with stores on each kind of database: on PostgreSQL two instances, on SQLite two stores.
func onBoth(t *testing.T, test func(t *testing.T, first, second *userlog.Store)) {
	t.Run("sqlite", func(t *testing.T) {
		log := openLog(t, "sqlite:"+filepath.Join(t.TempDir(), "sync.db"))
		test(t, userlog.New(log, limits), userlog.New(log, limits))
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Start(t)
		test(t, userlog.New(openLog(t, url), limits), userlog.New(openLog(t, url), limits))
	})
}

func openLog(t *testing.T, url string) *eventlog.Log {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url})
	require.NoError(t, err)
	log, err := eventlog.Open(ctx, db, userlog.Schema(), eventlog.Config{})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- log.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, db.Close())
	})
	return log
}

func TestDataOfRoomsAndTypesIsKeptApart(t *testing.T) {
	onBoth(t, func(t *testing.T, s, _ *userlog.Store) {
		ctx := t.Context()
		put := func(room, eventType, content string) {
			require.NoError(t, s.PutData(ctx, alice, &syncpb.AccountData{RoomId: room, Type: eventType, Content: []byte(content)}, eventlog.Txn{}))
		}
		// Keys that would meet if room and type were only joined.
		cases := []struct{ room, eventType string }{{"", "a"}, {"", "ab"}, {"!r", "a"}, {"!ra", ""}, {"!r", "aa"}, {"!ra", "a"}, {"", "!ra"}}
		for i, c := range cases {
			put(c.room, c.eventType, fmt.Sprintf(`{"i":%d}`, i))
		}
		for i, c := range cases {
			content, err := s.Data(ctx, alice, c.room, c.eventType)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf(`{"i":%d}`, i), string(content), "%q", c)
		}
		missing, err := s.Data(ctx, alice, "!none", "a")
		require.NoError(t, err)
		require.Nil(t, missing)
		missing, err = s.Data(ctx, "@bob:hs", "", "a")
		require.NoError(t, err)
		require.Nil(t, missing)
		records, err := s.Entries(ctx, alice)
		require.NoError(t, err)
		require.Len(t, records, len(cases))
	})
}

func TestChangesOfSeveralInstancesAreNotLost(t *testing.T) {
	onBoth(t, func(t *testing.T, first, second *userlog.Store) {
		const writers, each = 4, 10
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				store := []*userlog.Store{first, second}[w%2]
				for i := range each {
					err := store.ChangeData(context.Background(), alice, "!r", "m.tag", eventlog.Txn{}, func(content []byte) ([]byte, error) {
						tags := map[string]bool{}
						if content != nil {
							if err := json.Unmarshal(content, &tags); err != nil {
								return nil, err
							}
						}
						tags[fmt.Sprint(w, "-", i)] = true
						return json.Marshal(tags)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		content, err := first.Data(t.Context(), alice, "!r", "m.tag")
		require.NoError(t, err)
		tags := map[string]bool{}
		require.NoError(t, json.Unmarshal(content, &tags))
		require.Len(t, tags, writers*each)
	})
}

func TestChangeMayRefuseOrChangeNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s, _ *userlog.Store) {
		refusal := matrix.NewError(matrix.CodeNotFound, "no")
		err := s.ChangeData(t.Context(), alice, "", "x", eventlog.Txn{}, func([]byte) ([]byte, error) { return nil, refusal })
		require.ErrorIs(t, err, refusal)
		require.NoError(t, s.ChangeData(t.Context(), alice, "", "x", eventlog.Txn{}, func([]byte) ([]byte, error) { return nil, nil }))
		content, err := s.Data(t.Context(), alice, "", "x")
		require.NoError(t, err)
		require.Nil(t, content)
	})
}

func TestMarksOnlyMoveForward(t *testing.T) {
	onBoth(t, func(t *testing.T, s, _ *userlog.Store) {
		for _, seq := range []int64{5, 3, 9, 9} {
			require.NoError(t, s.AdvanceMark(t.Context(), alice, &syncpb.ReadMark{
				RoomId: "!r", ReceiptType: "m.read", EventId: fmt.Sprint("$", seq), EventSeq: seq,
			}))
		}
		records, err := s.EntriesAfter(t.Context(), alice, 0)
		require.NoError(t, err)
		require.Len(t, records, 1)
		e, err := live.DecodeEntry(&records[0])
		require.NoError(t, err)
		require.Equal(t, "$9", e.Mark.EventId)
		require.Equal(t, "!r", e.RoomID())
	})
}

// A client can say of every event that it is a thread, and has been read.
func TestMarksInThreadsAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, s, _ *userlog.Store) {
		put := func(thread string, seq int64) {
			require.NoError(t, s.AdvanceMark(t.Context(), alice, &syncpb.ReadMark{RoomId: "!r", ReceiptType: "m.read", ThreadId: thread, EventSeq: seq}))
		}
		put("", 1)
		put("main", 2)
		const threads = userlog.MaxThreads * 5 / 4
		for seq := range int64(threads) {
			put(fmt.Sprint("$", seq), 3+seq)
		}
		records, err := s.EntriesAfter(t.Context(), alice, 0)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(records), 2+userlog.MaxThreads)
		require.LessOrEqual(t, len(records), 2+userlog.MaxThreads*9/8)
		for thread, kept := range map[string]bool{"": true, "main": true, "$0": false, fmt.Sprint("$", threads-1): true, fmt.Sprint("$", threads-userlog.MaxThreads): true} {
			m, err := s.Mark(t.Context(), alice, "!r", "m.read", thread)
			require.NoError(t, err)
			require.Equal(t, kept, m != nil, thread)
		}
	})
}

// TestMarksOfTwoInstancesOnlyMoveForward sets an earlier and a later mark at the same moment.
func TestMarksOfTwoInstancesOnlyMoveForward(t *testing.T) {
	onBoth(t, func(t *testing.T, first, second *userlog.Store) {
		const rooms = 60
		var wg sync.WaitGroup
		for r := range rooms {
			for i, s := range []*userlog.Store{first, second} {
				wg.Go(func() {
					err := s.AdvanceMark(context.Background(), alice, &syncpb.ReadMark{
						RoomId: fmt.Sprint("!", r), ReceiptType: "m.read.private", EventSeq: int64(5 + 4*((i+r)%2)),
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		for r := range rooms {
			m, err := first.Mark(t.Context(), alice, fmt.Sprint("!", r), "m.read.private", "")
			require.NoError(t, err)
			require.EqualValues(t, 9, m.EventSeq, "room %d", r)
		}
	})
}

func TestFiltersAreNamedByTheirContent(t *testing.T) {
	onBoth(t, func(t *testing.T, s, _ *userlog.Store) {
		ctx := t.Context()
		id, err := s.PutFilter(ctx, alice, []byte(`{"a":1}`), 2)
		require.NoError(t, err)
		again, err := s.PutFilter(ctx, alice, []byte(`{"a":1}`), 2)
		require.NoError(t, err)
		require.Equal(t, id, again)
		other, err := s.PutFilter(ctx, alice, []byte(`{"a":2}`), 2)
		require.NoError(t, err)
		require.NotEqual(t, id, other)
		_, err = s.PutFilter(ctx, alice, []byte(`{"a":3}`), 2)
		require.Equal(t, matrix.CodeResourceLimitExceeded, matrix.AsError(err).Code)
		filter, err := s.Filter(ctx, alice, other)
		require.NoError(t, err)
		require.Equal(t, `{"a":2}`, string(filter))
		for _, missing := range []string{"", id[:len(id)-1], id + "x"} {
			filter, err := s.Filter(ctx, alice, missing)
			require.NoError(t, err)
			require.Nil(t, filter, missing)
		}
		entries, err := s.Entries(ctx, alice)
		require.NoError(t, err)
		require.Empty(t, entries, "filters are not shown to clients")
	})
}

func TestDataIsBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, s, _ *userlog.Store) {
		put := func(room, eventType string, size int) error {
			content := `{"x":"` + strings.Repeat("x", size) + `"}`
			return s.PutData(t.Context(), alice, &syncpb.AccountData{RoomId: room, Type: eventType, Content: []byte(content)}, eventlog.Txn{})
		}
		tag := func(room string) error {
			return s.ChangeData(t.Context(), alice, room, "m.tag", eventlog.Txn{}, func([]byte) ([]byte, error) { return []byte(`{}`), nil })
		}
		refused := func(code matrix.ErrCode, status int, err error) {
			t.Helper()
			require.Equal(t, code, matrix.AsError(err).Code)
			require.Equal(t, status, matrix.AsError(err).Status)
		}
		// Eight at once, of which as many as may be are there in the end.
		var wg sync.WaitGroup
		var won atomic.Int64
		for i := range 8 {
			wg.Go(func() {
				if put("", fmt.Sprint("global", i), 0) == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, limits.Global, won.Load())
		refused(matrix.CodeResourceLimitExceeded, http.StatusBadRequest, put("", "another", 0))
		for i := range limits.Entries - limits.Global - 1 {
			require.NoError(t, put(fmt.Sprint("!r", i), "a", 0))
		}
		require.NoError(t, tag("!r0"))
		refused(matrix.CodeResourceLimitExceeded, http.StatusBadRequest, tag("!r1"))
		refused(matrix.CodeResourceLimitExceeded, http.StatusBadRequest, put("!r0", "b", 0))
		require.NoError(t, put("!r0", "a", 1000), "what is there may change")
		refused(matrix.CodeTooLarge, http.StatusRequestEntityTooLarge, put("!r0", "a", int(limits.Bytes)))
		require.NoError(t, put("!r0", "a", int(limits.Bytes)-2000))
		refused(matrix.CodeTooLarge, http.StatusRequestEntityTooLarge, put("!r1", "a", 2000))
		require.NoError(t, put("!r0", "a", 10), "smaller always fits")
		require.NoError(t, put("!r1", "a", 2000))
	})
}

func TestWhoWaitsForAChangeMayGo(t *testing.T) {
	log := openLog(t, "sqlite:"+filepath.Join(t.TempDir(), "sync.db"))
	s := userlog.New(log, limits)
	changing, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- s.ChangeData(context.Background(), alice, "", "x", eventlog.Txn{}, func([]byte) ([]byte, error) {
			close(changing)
			<-release
			return []byte(`{}`), nil
		})
	}()
	<-changing
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.ChangeData(ctx, alice, "", "x", eventlog.Txn{}, func([]byte) ([]byte, error) { return nil, nil })
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "wait for another change")
	close(release)
	require.NoError(t, <-done)
}

func TestTransactionsHappenOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, first, second *userlog.Store) {
		ctx := t.Context()
		txn := func(id string) eventlog.Txn { return eventlog.Txn{Scope: "alice", ID: id} }
		data := func(room, content string) *syncpb.AccountData {
			return &syncpb.AccountData{RoomId: room, Type: "x", Content: []byte(content)}
		}
		has := func(want string) {
			t.Helper()
			content, err := first.Data(ctx, alice, "", "x")
			require.NoError(t, err)
			require.Equal(t, want, string(content))
		}
		require.NoError(t, second.PutData(ctx, alice, data("", `{"n":1}`), txn("one")))
		require.NoError(t, second.PutData(ctx, alice, data("", `{"n":2}`), txn("two")))
		require.NoError(t, first.PutData(ctx, alice, data("", `{"n":1}`), txn("one")), "an attempt that was held up")
		has(`{"n":2}`)

		put := func(s *userlog.Store, id, content string) {
			t.Helper()
			require.NoError(t, s.ChangeData(ctx, alice, "", "x", txn(id), func([]byte) ([]byte, error) {
				if content == "" {
					return nil, nil
				}
				return []byte(content), nil
			}))
		}
		put(second, "three", `{"n":3}`)
		put(second, "four", `{"n":4}`)
		put(first, "three", `{"n":3}`)
		has(`{"n":4}`)
		put(second, "five", "")
		put(first, "five", `{"n":5}`)
		has(`{"n":4}`)

		// What was done is not refused afterwards, though there is no space for it by now.
		for i := range limits.Entries - 1 {
			require.NoError(t, second.PutData(ctx, alice, data(fmt.Sprint("!", i), `{}`), txn(fmt.Sprint(i))))
		}
		require.Error(t, first.PutData(ctx, alice, data("!more", `{}`), txn("six")))
		require.NoError(t, first.PutData(ctx, alice, data("!more", `{}`), txn("0")))
	})
}
