package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
	"hongyan/service/room/internal/store"
	"hongyan/test/pgtest"
)

// TestReadsUseIndexes asks both databases how they carry out every statement of the Reader: none may go through a table,
// or through a whole index.
func TestReadsUseIndexes(t *testing.T) {
	for name, url := range map[string]string{
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "room.db"),
		"postgres": pgtest.Start(t),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			db, err := sqldb.Open(ctx, sqldb.Config{URL: url, MaxConns: 4})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			require.NoError(t, store.Migrate(ctx, db))
			_, err = eventlog.Open(ctx, db, store.Schema(4), eventlog.Config{})
			require.NoError(t, err)
			watcher := &planner{DB: db, t: t, seen: map[string]bool{}}
			callAll(t, store.NewReader(watcher))
			require.Greater(t, len(watcher.seen), 20, "statements were looked at")
		})
	}
}

// TestRetentionUsesIndexes asks both databases how they look for rooms of which something is to be removed or told: that costs what there
// is to do, whatever the number of rooms, and sorts nothing.
func TestRetentionUsesIndexes(t *testing.T) {
	for name, url := range map[string]string{
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "room.db"),
		"postgres": pgtest.Start(t),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			db, err := sqldb.Open(ctx, sqldb.Config{URL: url, MaxConns: 4})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			require.NoError(t, store.Migrate(ctx, db))
			_, err = eventlog.Open(ctx, db, store.Schema(4), eventlog.Config{})
			require.NoError(t, err)
			p := &planner{DB: db, t: t, seen: map[string]bool{}}
			for index, q := range map[string]struct {
				sql  string
				args []any
			}{
				"room_check":        {store.DueSQL, []any{int64(5), int64(1), int64(2), 3}},
				"room_untold":       {store.UntoldSQL, []any{int64(1), 3}},
				"room_kept":         {`SELECT room FROM room WHERE kept > 0 AND room > $1 ORDER BY room LIMIT $2`, []any{int64(1), 3}},
				"room_left_removed": {`SELECT user_id, room FROM room_left WHERE removed_ms < $1 ORDER BY removed_ms LIMIT $2`, []any{int64(1), 3}},
				"":                  {store.UnlimitedSQL, []any{int64(5), `[[1,2]]`}},
			} {
				plan := strings.Join(p.explain(ctx, q.sql, q.args), "\n")
				require.Contains(t, plan, index, q.sql)
				require.NotContains(t, plan, "Sort", q.sql)
				require.NotContains(t, plan, "TEMP B-TREE", q.sql)
				require.NotContains(t, plan, "Seq Scan", q.sql)
				require.NotContains(t, plan, "SCAN room\n", q.sql)
			}
		})
	}
}

// callAll calls every method of the Reader; that there are no rows does not change how they are looked for.
func callAll(t *testing.T, r *store.Reader) {
	ctx := t.Context()
	none := func(err error) { require.NoError(t, err) }
	rooms := []string{"!a:hs", "!b:hs"}
	_, _, err := r.View(ctx, "!a:hs", "@u:hs")
	none(err)
	_, err = r.Membership(ctx, "!a:hs", "@u:hs")
	none(err)
	_, err = r.Changes(ctx, 1, "m.room.member", "@u:hs", 0, 9)
	none(err)
	_, err = r.Backward(ctx, 1, 0, 9, 5)
	none(err)
	_, err = r.Forward(ctx, 1, 0, 9, 5)
	none(err)
	_, _, err = r.Event(ctx, 1, "$e")
	none(err)
	_, err = r.EventsUpTo(ctx, 1, 2, []int64{3, 9})
	none(err)
	_, err = r.Events(ctx, 1, []string{"$e", "$f"})
	none(err)
	for _, sel := range []store.Selection{
		{}, {Lazy: true}, {Keys: []store.Key{{Type: "t", Any: true}}}, {Keys: []store.Key{{Type: "t", StateKey: "k"}}},
	} {
		_, err = r.State(ctx, 1, 9, sel)
		none(err)
	}
	_, err = r.StateChanges(ctx, 1, 0, 9, store.Selection{})
	none(err)
	_, err = r.StrippedState(ctx, rooms, "@u:hs")
	none(err)
	_, err = r.Members(ctx, rooms)
	none(err)
	_, err = r.JoinedMembers(ctx, 1)
	none(err)
	_, err = r.Summary(ctx, 1, 9, "@u:hs")
	none(err)
	for _, some := range [][]string{nil, rooms} {
		_, err = r.UserRooms(ctx, "@u:hs", false, some)
		none(err)
	}
	_, err = r.RemovedRooms(ctx, "@u:hs")
	none(err)
	_, err = r.JoinedRooms(ctx, "@u:hs")
	none(err)
	_, err = r.MembersAt(ctx, "@u:hs", []store.RoomPosition{{Room: 1, Position: 2}})
	none(err)
	_, err = r.Latest(ctx, []store.LatestKey{{Stream: 1, Key: "k"}})
	none(err)
	_, err = r.Related(ctx, 1, 9, []string{"$e"}, []string{"m.thread"}, nil)
	none(err)
	for _, to := range []store.RelatedTo{
		{Targets: []string{"$e"}}, {Targets: []string{"$e"}, RelType: "m.thread"}, {Targets: []string{"$e", "$f"}},
		{Targets: []string{"$e", "$f"}, RelType: "m.thread", EventType: "m.room.message"},
	} {
		_, err = r.RelatingBackward(ctx, 1, to, 0, 9, 5)
		none(err)
		_, err = r.RelatingForward(ctx, 1, to, 0, 9, 5)
		none(err)
		_, err = r.RelatingIDs(ctx, 1, to, 9, 5)
		none(err)
	}
	_, err = r.Children(ctx, 1, 9, "@u:hs", []store.Parent{{ID: "$e", Sender: "@u:hs", Type: "m.room.message"}})
	none(err)
	_, err = r.Edits(ctx, 1, 9, store.Parent{ID: "$e", Sender: "@u:hs", Type: "m.room.message"}, 5)
	none(err)
	_, err = r.References(ctx, 1, 9, "$e", 5)
	none(err)
	_, err = r.Threads(ctx, 1, 9, 5)
	none(err)
	_, err = r.ThreadWithin(ctx, 1, "$e", []store.Span{{First: 1, Last: 2}}, nil)
	none(err)
	_, err = r.EncryptedRooms(ctx, "@u:hs")
	none(err)
	_, err = r.EncryptedRoomsOf(ctx, []string{"@u:hs", "@v:hs"})
	none(err)
	_, err = r.SeqsAt(ctx, []store.RoomPosition{{Room: 1, Position: 2}})
	none(err)
	_, err = r.MemberEventsAt(ctx, []store.MemberAtSeq{{Room: 1, UserID: "@u:hs", Seq: 2}})
	none(err)
	_, err = r.ChangedMembers(ctx, []store.RoomSeq{{Room: 1, Seq: 2}})
	none(err)
	_, err = r.MembersSince(ctx, []store.RoomSeq{{Room: 1, Seq: 2}})
	none(err)
	_, err = r.MembershipsOf(ctx, []int64{1, 2}, []string{"@u:hs"})
	none(err)
	_, err = r.Streams(ctx, rooms)
	none(err)
	for _, backward := range []bool{false, true} {
		_, err = r.SearchDirectory(ctx, store.Search{Backward: backward, Text: "t", Types: []string{""}, Limit: 5})
		none(err)
	}
	_, err = r.Profiles(ctx, rooms, "@u:hs")
	none(err)
	_, err = r.StateOfType(ctx, 1, "m.space.child", 5, 5)
	none(err)
	_, _, err = r.MutualRooms(ctx, "@u:hs", "@v:hs", "!a:hs", 5)
	none(err)
}

// planner looks at the plan of each statement before it passes it on.
type planner struct {
	*sqldb.DB
	t    *testing.T
	seen map[string]bool
}

func (p *planner) Query(ctx context.Context, sql string, args ...any) (sqldb.Rows, error) {
	p.check(ctx, sql, args)
	return p.DB.Query(ctx, sql, args...)
}

func (p *planner) QueryRow(ctx context.Context, sql string, args ...any) sqldb.Row {
	p.check(ctx, sql, args)
	return p.DB.QueryRow(ctx, sql, args...)
}

func (p *planner) View(ctx context.Context, f func(context.Context, sqldb.Querier) error) error {
	return f(ctx, p)
}

func (p *planner) check(ctx context.Context, sql string, args []any) {
	if p.seen[sql] {
		return
	}
	p.seen[sql] = true
	plan := p.explain(ctx, sql, args)
	for i, line := range plan {
		if p.Dialect() == sqldb.SQLite {
			// Arguments and what was selected already may be gone through, tables may not.
			scan, isScan := strings.CutPrefix(line, "SCAN ")
			given := strings.Contains(scan, "VIRTUAL TABLE") || scan == "w" || scan == "b"
			require.False(p.t, isScan && !given, "%s\n%s", sql, strings.Join(plan, "\n"))
			continue
		}
		require.NotContains(p.t, line, "Seq Scan", "%s\n%s", sql, strings.Join(plan, "\n"))
		if strings.Contains(line, "Index Scan") || strings.Contains(line, "Index Only Scan") {
			require.Less(p.t, i+1, len(plan))
			require.Contains(p.t, plan[i+1], "Index Cond", "%s\n%s", sql, strings.Join(plan, "\n"))
		}
	}
}

func (p *planner) explain(ctx context.Context, sql string, args []any) (plan []string) {
	if p.Dialect() == sqldb.SQLite {
		rows, err := p.DB.Query(ctx, "EXPLAIN QUERY PLAN "+sql, args...)
		require.NoError(p.t, err)
		for rows.Next() {
			var id, parent, unused int64
			var detail string
			require.NoError(p.t, rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		require.NoError(p.t, rows.Err())
		return plan
	}
	conn, err := p.Pool().Acquire(ctx)
	require.NoError(p.t, err)
	defer conn.Release()
	// Tables are empty here: without this everything would be read through, and rightly.
	_, err = conn.Exec(ctx, "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
	require.NoError(p.t, err)
	var lines []string
	for _, line := range strings.Split(sql, "\n") {
		code, mark, marked := strings.Cut(line, "--")
		if marked && strings.TrimSpace(mark) == "sqlite" {
			continue
		}
		lines = append(lines, code)
	}
	rows, err := conn.Query(ctx, fmt.Sprintf("EXPLAIN %s", strings.Join(lines, "\n")), args...)
	require.NoError(p.t, err)
	for rows.Next() {
		var line string
		require.NoError(p.t, rows.Scan(&line))
		plan = append(plan, line)
	}
	require.NoError(p.t, rows.Err())
	_, err = conn.Exec(ctx, "RESET ALL")
	require.NoError(p.t, err)
	return plan
}
