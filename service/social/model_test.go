package social_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	identitypb "hongyan/api/identity"
	"hongyan/platform/sqldb"
)

// model says what must be in the database when the logs are taken in: lines of text, sorted.
func (w *world) model() (people, members []string) {
	w.people.accounts.Lock()
	defer w.people.accounts.Unlock()
	for id, u := range w.people.users {
		if !u.GetDeactivated() && !u.GetLocked() && !u.GetGuest() {
			people = append(people, id+" "+w.people.profiles[id].GetDisplayName())
		}
	}
	w.rooms.mu.Lock()
	defer w.rooms.mu.Unlock()
	joinPublic, readable, joined := map[string]bool{}, map[string]bool{}, map[[2]string]bool{}
	for _, shard := range w.rooms.shards {
		for _, r := range shard {
			doc := gjson.ParseBytes(r.GetDoc())
			room := r.GetStream()
			switch doc.Get("type").Str {
			case "m.room.member":
				joined[[2]string{doc.Get("state_key").Str, room}] = doc.Get("content.membership").Str == "join"
			case "m.room.join_rules":
				joinPublic[room] = doc.Get("content.join_rule").Str == "public"
			case "m.room.history_visibility":
				readable[room] = doc.Get("content.history_visibility").Str == "world_readable"
			}
		}
	}
	maps.DeleteFunc(joined, func(_ [2]string, is bool) bool { return !is })
	for m := range joined {
		members = append(members, fmt.Sprint(m[0], " ", m[1], " ", joinPublic[m[1]] || readable[m[1]]))
	}
	slices.Sort(people)
	slices.Sort(members)
	return people, members
}

// requireModel requires that the database holds what the logs say.
func (w *world) requireModel(t testing.TB, db *sqldb.DB) {
	t.Helper()
	people, members := w.model()
	lines := func(sql string, line func(sqldb.Rows) (string, error)) []string {
		rows, err := db.Query(context.Background(), sql)
		require.NoError(t, err)
		defer rows.Close()
		var all []string
		for rows.Next() {
			l, err := line(rows)
			require.NoError(t, err)
			all = append(all, l)
		}
		require.NoError(t, rows.Err())
		slices.Sort(all)
		return all
	}
	require.Equal(t, people, lines(`SELECT user_id, coalesce(name, '') FROM person`, func(rows sqldb.Rows) (string, error) {
		var id, name string
		err := rows.Scan(&id, &name)
		return id + " " + name, err
	}))
	require.Equal(t, members, lines(`SELECT user_id, room_id, public FROM member`, func(rows sqldb.Rows) (string, error) {
		var user, room string
		var public bool
		err := rows.Scan(&user, &room, &public)
		return fmt.Sprint(user, " ", room, " ", public), err
	}))
	loose := lines(`SELECT user_id FROM token WHERE user_id NOT IN (SELECT user_id FROM person)`, func(rows sqldb.Rows) (id string, err error) {
		return id, rows.Scan(&id)
	})
	require.Empty(t, loose, "words of nobody")
}

// awaitModel waits until the logs are taken in, and requires that the database holds what they say.
func (g *rig) awaitModel() {
	g.t.Helper()
	for _, log := range []*memoryLog{g.people.memoryLog, g.rooms.memoryLog} {
		heads, err := log.Heads(context.Background(), nil)
		require.NoError(g.t, err)
		for shard, head := range heads.GetShard() {
			if head == 0 {
				continue
			}
			require.Eventually(g.t, func() bool {
				var position, epoch int64
				err := g.db.QueryRow(context.Background(), `SELECT position, epoch FROM social_cursor WHERE follower = $1 AND shard = $2`,
					log.name, shard).Scan(&position, &epoch)
				return err == nil && position == head && uint64(epoch) == heads.GetEpoch()
			}, patience, tick)
		}
	}
	g.requireModel(g.t, g.db)
}

// happen makes so many things happen, which a seed determines.
func (w *world) happen(seed uint64, n int) {
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for range n {
		user, room := fmt.Sprintf("user%d", random.IntN(150)), fmt.Sprintf("room%d", random.IntN(20))
		switch random.IntN(10) {
		case 0:
			w.people.register(user, fmt.Sprintf("Name %d", random.IntN(50)))
		case 1:
			w.people.register(user, "")
			w.people.become(user, identitypb.UserEventKind_USER_EVENT_KIND_STATUS_CHANGED, func(u *identitypb.User) {
				u.Locked = random.IntN(2) == 0
			})
		case 2:
			w.rooms.joinRule(room, pick("public", "invite", "knock"))
		case 3:
			w.rooms.history(room, pick("world_readable", "shared", "joined"))
		default:
			w.rooms.member(room, user, pick("join", "join", "leave", "ban", "invite"))
		}
	}
}
