package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/sqldb"
	"hongyan/service/room/internal/store"
	"hongyan/test/pgtest"
)

// TestRelationsOfOldRowsAreFilledIn goes back to before relations had columns of their own, and on again.
func TestRelationsOfOldRowsAreFilledIn(t *testing.T) {
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
			goBack(ctx, t, db)
			type old struct{ id, target, relType, json string }
			for i, e := range []old{
				{"$root", "", "", `{"type":"m.room.message","origin_server_ts":1,"content":{}}`},
				{"$edit", "$root", "m.replace", `{"type":"m.room.message","origin_server_ts":2,"content":{"m.new_content":{}}}`},
				{"$bad", "$root", "m.replace", `{"type":"m.room.message","origin_server_ts":3,"content":{"m.new_content":1}}`},
				{"$secret", "$root", "m.replace", `{"type":"m.room.encrypted","origin_server_ts":4,"content":{}}`},
				{"$state", "$root", "m.replace", `{"type":"m.x","state_key":"","origin_server_ts":5,"content":{"m.new_content":{}}}`},
				{"$react", "$root", "m.annotation", `{"type":"m.reaction","origin_server_ts":6,"content":{"m.relates_to":{"key":"ä👍"}}}`},
				{"$long", "$root", "m.annotation", `{"type":"m.reaction","origin_server_ts":7,"content":{"m.relates_to":{"key":"` + strings.Repeat("ä", 128) + `"}}}`},
				{"$nul", "$root", "m.replace", `{"type":"m.nul","origin_server_ts":8,"content":{"body":"a\u0000b","m.new_content":{}}}`},
				{"$one", "$root", "m.thread", `{"type":"m.t","origin_server_ts":9,"content":{}}`},
				{"$two", "$root", "m.thread", `{"type":"m.t","origin_server_ts":10,"content":{}}`},
				{"$lost", "$nowhere", "m.thread", `{"type":"m.t","origin_server_ts":11,"content":{}}`},
			} {
				_, err := db.Exec(ctx, `INSERT INTO event (event_id, json, depth, room, seq) VALUES ($1, $2, 1, 7, $3)`, e.id, []byte(e.json), i)
				require.NoError(t, err)
				if e.target != "" {
					_, err = db.Exec(ctx, `INSERT INTO event_relation (room, target, seq, rel_type, sender) VALUES (7, $1, $2, $3, '@u:hs')`, e.target, i, e.relType)
					require.NoError(t, err)
				}
			}
			require.NoError(t, store.Migrate(ctx, db))
			nul := "m.nul 8 new"
			if db.Dialect() == sqldb.Postgres {
				nul = " 0 "
			}
			require.Equal(t, []string{
				"m.room.message 2 new", "m.room.message 3 ", "m.room.encrypted 4 new", "m.x 5 ", "m.reaction 6 ä👍", "m.reaction 7 ", nul,
				"m.t 9 ", "m.t 10 ", "m.t 11 ",
			}, lines(ctx, t, db, `SELECT event_type, ts, detail FROM event_relation ORDER BY seq`))
			require.Equal(t, []string{"$root 2 9"}, lines(ctx, t, db, `SELECT root, replies, CAST(latest AS TEXT) FROM thread`))
		})
	}
}

// goBack undoes the migration of relations and reports, and those after it.
func goBack(ctx context.Context, t *testing.T, db *sqldb.DB) {
	t.Helper()
	for _, sql := range []string{
		`DROP TABLE guest_check`, `DROP TABLE room_listing`, `DROP TABLE room_profile`, `DROP TABLE report`, `DROP TABLE thread`, `DROP INDEX event_relation_sender`, `DROP INDEX event_relation_type`,
		`ALTER TABLE event_relation DROP COLUMN detail`, `ALTER TABLE event_relation DROP COLUMN ts`,
		`ALTER TABLE event_relation DROP COLUMN event_type`, `DELETE FROM room_service_migration WHERE version_id >= 4`,
		`DROP TABLE room_left`, `DROP TABLE room_removal`, `DROP TABLE retention`, `DROP INDEX room_untold`, `DROP INDEX room_kept`, `DROP INDEX room_check`,
		`ALTER TABLE room DROP COLUMN told`, `ALTER TABLE room DROP COLUMN purges`, `ALTER TABLE room DROP COLUMN purged_ms`, `ALTER TABLE room DROP COLUMN purged`, `ALTER TABLE room DROP COLUMN kept`,
		`ALTER TABLE room DROP COLUMN cleared`, `ALTER TABLE room DROP COLUMN check_ms`,
	} {
		_, err := db.Exec(ctx, sql)
		require.NoError(t, err, sql)
	}
}

func lines(ctx context.Context, t *testing.T, db *sqldb.DB, sql string) (list []string) {
	t.Helper()
	rows, err := db.Query(ctx, sql)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var a, c string
		var b int64
		require.NoError(t, rows.Scan(&a, &b, &c))
		list = append(list, fmt.Sprintf("%s %d %s", a, b, c))
	}
	require.NoError(t, rows.Err())
	return list
}
