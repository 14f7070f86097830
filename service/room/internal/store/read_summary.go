package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"hongyan/platform/sqldb"
)

// maxHeroes is how many members stand for a room without a name.
const maxHeroes = 5

// Summary counts a room's members and names some of them.
type Summary struct {
	Joined, Invited int64
	// Heroes are joined and invited users in the order of their member events, or, where there are none, those who
	// left or are banned; at most five.
	Heroes []string
}

// standing is what a user is in a room, and where their member event stands.
type standing struct {
	userID, membership string
	seq                int64
}

// shift is what members did after a sequence number: what they are now, and what they were then.
type shift struct {
	now  map[string]standing
	then []standing
}

// Summary reads the summary of a room as of a sequence number, without forUser among the heroes. It starts from what is
// the case now and undoes what members did since.
func (r *Reader) Summary(ctx context.Context, room, at int64, forUser string) (Summary, error) {
	var s Summary
	err := r.db.View(ctx, func(ctx context.Context, q sqldb.Querier) error {
		since, err := membersSince(ctx, q, room, at)
		if err != nil {
			return err
		}
		if s.Joined, s.Invited, err = countMembers(ctx, q, room, since); err != nil {
			return err
		}
		s.Heroes, err = heroes(ctx, q, room, forUser, since, "join", "invite")
		if err == nil && len(s.Heroes) == 0 {
			s.Heroes, err = heroes(ctx, q, room, forUser, since, "leave", "ban")
		}
		return err
	})
	if err != nil {
		return Summary{}, fmt.Errorf("summary of room %d: %w", room, err)
	}
	return s, nil
}

func membersSince(ctx context.Context, q sqldb.Querier, room, at int64) (shift, error) {
	rows, err := q.Query(ctx, `
SELECT user_id, membership, seq FROM membership
WHERE room = $1 AND user_id IN (
    SELECT state_key FROM state_delta WHERE room = $1 AND seq > $2 AND type = 'm.room.member')`, room, at)
	list, err := collect(rows, err, "read changed members", scanStanding)
	if err != nil || len(list) == 0 {
		return shift{}, err
	}
	since := shift{now: make(map[string]standing, len(list))}
	pairs := make([][2]string, 0, len(list))
	for _, m := range list {
		since.now[m.userID] = m
		pairs = append(pairs, [2]string{memberType, m.userID})
	}
	arg, err := jsonText(pairs)
	if err != nil {
		return shift{}, err
	}
	rows, err = q.Query(ctx, statePairsSQL, room, at, arg)
	events, err := collect(rows, err, "read earlier members", scanEvent)
	for _, e := range events {
		fields := gjson.GetManyBytes(e.PDU, "state_key", "content.membership")
		since.then = append(since.then, standing{fields[0].String(), fields[1].String(), e.Seq})
	}
	return since, err
}

func scanStanding(rows sqldb.Rows, m *standing) error {
	return rows.Scan(&m.userID, &m.membership, &m.seq)
}

func countMembers(ctx context.Context, q sqldb.Querier, room int64, since shift) (joined, invited int64, err error) {
	counts := map[string]int64{}
	rows, err := q.Query(ctx, `
SELECT membership, count(*) FROM membership
WHERE room = $1 AND membership IN ('join', 'invite') GROUP BY membership`, room)
	_, err = collect(rows, err, "count members", func(rows sqldb.Rows, m *standing) error {
		if err := rows.Scan(&m.membership, &m.seq); err != nil {
			return err
		}
		counts[m.membership] = m.seq
		return nil
	})
	for _, m := range since.now {
		counts[m.membership]--
	}
	for _, m := range since.then {
		counts[m.membership]++
	}
	return counts["join"], counts["invite"], err
}

func heroes(ctx context.Context, q sqldb.Querier, room int64, forUser string, since shift, memberships ...string) ([]string, error) {
	var found []standing
	// The user themselves and everybody who changed may have to be left out.
	enough := maxHeroes + 1 + len(since.now)
	for _, membership := range memberships {
		rows, err := q.Query(ctx, `
SELECT user_id, membership, seq FROM membership
WHERE room = $1 AND membership = $2 ORDER BY seq, user_id LIMIT $3`, room, membership, enough)
		list, err := collect(rows, err, "read first members", scanStanding)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	found = slices.DeleteFunc(found, func(m standing) bool {
		_, changed := since.now[m.userID]
		return changed
	})
	for _, m := range since.then {
		if slices.Contains(memberships, m.membership) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b standing) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.userID, b.userID))
	})
	users := make([]string, 0, maxHeroes)
	for _, m := range found {
		if m.userID != forUser && len(users) < maxHeroes {
			users = append(users, m.userID)
		}
	}
	return users, nil
}
