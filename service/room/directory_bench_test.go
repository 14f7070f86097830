package room_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// list puts rooms that are nothing but listed into the directory: most have one member, as in life.
func (g *rig) list(rooms int) {
	g.t.Helper()
	ctx := g.t.Context()
	numbers := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) `
	_, err := g.db.Exec(ctx, `INSERT INTO room_listing (room, room_id, rank, published, room_type) `+numbers+`
		SELECT 1000000 + i, '!listed' || i || ':hs', -1 - CASE WHEN i % 4 = 0 THEN i % 1000 ELSE 0 END, 1, CASE WHEN i % 50 = 0 THEN 'm.space' ELSE '' END FROM n`, rooms)
	require.NoError(g.t, err)
	_, err = g.db.Exec(ctx, `INSERT INTO room_profile (room, search, profile) `+numbers+`
		SELECT 1000000 + i, 'ROOM ' || i || '
#ALIAS' || i || ':HS
A TOPIC OF SOME LENGTH, AS ROOMS HAVE, THAT TELLS WHAT IS TALKED ABOUT HERE AND WHAT IS NOT',
		CAST('{"name":"room ' || i || '","topic":"a topic of some length, as rooms have, that tells what is talked about here","join_rule":"public"}' AS TEXT)::bytea FROM n -- postgres
		CAST('{"name":"room ' || i || '","topic":"a topic of some length, as rooms have, that tells what is talked about here","join_rule":"public"}' AS BLOB) FROM n -- sqlite
		`, rooms)
	require.NoError(g.t, err)
	_, err = g.db.Exec(ctx, `ANALYZE`)
	require.NoError(g.t, err)
}

// BenchmarkDirectory measures the directory: its pages must cost the same however many rooms there are.
func BenchmarkDirectory(b *testing.B) {
	for name, open := range databases {
		for _, rooms := range []int{20_000, 100_000} {
			b.Run(fmt.Sprintf("%s/rooms=%d", name, rooms), func(b *testing.B) {
				g := newRig(b, open(b))
				g.list(rooms)
				for _, q := range []struct {
					name string
					body map[string]any
					want int
				}{
					{"page", map[string]any{"limit": 20}, 20},
					{"common", map[string]any{"limit": 20, "filter": map[string]any{"generic_search_term": "talked"}}, 20},
					{"rare", map[string]any{"limit": 20, "filter": map[string]any{"generic_search_term": "#alias12345:hs"}}, 1},
					{"nothing", map[string]any{"limit": 20, "filter": map[string]any{"generic_search_term": "wild goose"}}, 0},
					{"spaces", map[string]any{"limit": 20, "filter": map[string]any{"room_types": []string{"m.space"}}}, 20},
				} {
					b.Run(q.name, func(b *testing.B) {
						for b.Loop() {
							require.Len(b, g.found("bob", q.body).list("chunk"), q.want)
						}
					})
				}
				b.Run("deep page", func(b *testing.B) {
					since := url.QueryEscape(opaquePlace(1, "!listed5:hs"))
					for b.Loop() {
						a := g.ask(http.MethodGet, "bob", "v3/publicRooms?limit=20&since="+since, nil)
						require.Len(b, a.list("chunk"), 20, string(a.body))
					}
				})
			})
		}
	}
}

// BenchmarkHierarchy measures a space with 200 children.
func BenchmarkHierarchy(b *testing.B) {
	for name, open := range databases {
		b.Run(name, func(b *testing.B) {
			g := newRig(b, open(b))
			root := g.space(g.halls(200)...)
			for _, limit := range []int{50, 200} {
				b.Run(fmt.Sprint("limit=", limit), func(b *testing.B) {
					for b.Loop() {
						require.Len(b, g.hierarchy("bob", root, fmt.Sprint("limit=", limit)).list("rooms"), limit)
					}
				})
			}
		})
	}
}
