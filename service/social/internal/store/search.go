package store

import (
	"context"
	"fmt"
	"slices"

	"hongyan/platform/sqldb"
)

// Search is what is searched for, and by whom.
type Search struct {
	// UserID is who searches. They see whoever shares a room with them or is in a public room; with Everybody, all.
	UserID    string
	Everybody bool
	// Hidden are users whom they do not want to see.
	Hidden []string
	// ExactID is the id that the term may be, IDPrefix what ids may begin with; empty for none. Folded is the term as names are
	// compared, Words its words as tokens begin with them, at least one.
	ExactID, IDPrefix, Folded string
	Words                     []string
	// Limit is how many users are wanted.
	Limit int
}

// Found is a user who was found.
type Found struct {
	UserID       string
	Name, Avatar *string
}

// Bounds of what a search looks at.
const (
	// maxCandidates is how many of those who could be found each step looks at, for whether the searcher may see them. Only
	// very short words have more.
	maxCandidates = 20_000
	// maxCircle is up to how many members the rooms of a searcher are small: then those are looked at, rather than all who could be
	// found.
	maxCircle = 2_000
	// enough is how many are counted to find out which word has fewest.
	enough = 1_000
)

// Find returns whom a search finds: first who has the id or the name that is searched for, then whose id begins with it, then
// who has all words. Of each of these first who shares a room with the searcher; then in the order of what was found. more says
// that there are more than the limit, or than could be looked at.
//
// Each of these steps reads an index in its order, from where what is searched for begins, looks at each user for whether the
// searcher may see them, and ends when it has enough.
func (s *Store) Find(ctx context.Context, q Search) (found []Found, more bool, err error) {
	err = s.db.View(ctx, func(ctx context.Context, db sqldb.Querier) error {
		f := finder{Search: q, db: db, seen: map[string]bool{}}
		err := f.run(ctx)
		found, more = f.found, f.more
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("find users: %w", err)
	}
	if len(found) > q.Limit {
		return found[:q.Limit], true, nil
	}
	return found, more, nil
}

// finder is one search under way.
type finder struct {
	Search
	db    sqldb.Querier
	found []Found
	seen  map[string]bool
	more  bool
	// circle are the members of the searcher's rooms, where they are few, some of them repeatedly. Where they are not, large is set.
	circle []string
	large  bool
}

func (f *finder) run(ctx context.Context) error {
	if err := f.readCircle(ctx); err != nil {
		return err
	}
	words, err := f.rarestFirst(ctx)
	if err != nil {
		return err
	}
	for _, who := range []func(*statement){
		func(st *statement) { st.exactly(`user_id`, f.ExactID) },
		func(st *statement) { st.exactly(`folded`, f.Folded) },
		func(st *statement) { st.idsFrom(f.IDPrefix) },
		func(st *statement) { st.words(words) },
	} {
		for _, visible := range []func(*statement){f.sharing, f.others} {
			if err := f.step(ctx, who, visible); err != nil {
				return err
			}
			if len(f.found) > f.Limit {
				return nil
			}
		}
	}
	return f.lookForMore(ctx, words[0])
}

// readCircle finds out whether the searcher's rooms are small.
func (f *finder) readCircle(ctx context.Context) (err error) {
	f.circle, err = collect(ctx, f.db, func(rows sqldb.Rows) (id string, err error) { return id, rows.Scan(&id) },
		`SELECT b.user_id FROM member a JOIN member b ON b.room_id = a.room_id WHERE a.user_id = $1 LIMIT $2`, f.UserID, maxCircle+1)
	if f.large = len(f.circle) > maxCircle; f.large {
		f.circle = nil
	}
	slices.Sort(f.circle)
	f.circle = slices.Compact(f.circle)
	return err
}

// end is what is greater than all texts that begin with a prefix.
func end(prefix string) string { return prefix + "\U0010ffff" }

// count counts those whom a word finds, up to a number.
func (f *finder) count(ctx context.Context, word string, upTo int) (n int, err error) {
	err = f.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM token WHERE token >= $1 AND token < $2 LIMIT $3) AS t`,
		word, end(word), upTo).Scan(&n)
	return n, err
}

// rarestFirst orders the words so that the first is one that few are found by.
func (f *finder) rarestFirst(ctx context.Context) ([]string, error) {
	if len(f.Words) == 1 {
		return f.Words, nil
	}
	best, fewest := 0, enough+1
	for i, w := range f.Words {
		n, err := f.count(ctx, w, enough)
		if err != nil {
			return nil, err
		}
		if n < fewest {
			best, fewest = i, n
		}
	}
	words := append([]string{f.Words[best]}, f.Words[:best]...)
	return append(words, f.Words[best+1:]...), nil
}

// lookForMore finds out whether there were more than could be looked at. Ids that begin with the only word are among the tokens.
func (f *finder) lookForMore(ctx context.Context, word string) error {
	n, err := f.count(ctx, word, maxCandidates+1)
	f.more = n > maxCandidates
	return err
}

// step adds who is found in one way and visible in one way.
func (f *finder) step(ctx context.Context, who, visible func(*statement)) error {
	st := &statement{}
	visible(st)
	who(st)
	if st.empty {
		return nil
	}
	if len(f.Hidden) > 0 {
		st.none(f.Hidden)
	}
	// As many as there may be: those who were found before come again.
	st.add(` ORDER BY `+st.order+` LIMIT `, f.Limit+1)
	list, err := collect(ctx, f.db, func(rows sqldb.Rows) (u Found, err error) {
		return u, rows.Scan(&u.UserID, &u.Name, &u.Avatar)
	}, st.sql.String(), st.args...)
	if err != nil {
		return err
	}
	for _, u := range list {
		if !f.seen[u.UserID] && len(f.found) <= f.Limit {
			f.seen[u.UserID] = true
			f.found = append(f.found, u)
		}
	}
	return nil
}

// sharing has those found who share a room with the searcher.
func (f *finder) sharing(st *statement) {
	switch {
	case f.large:
		// The limits keep PostgreSQL from reading all members instead of those rooms that are asked about.
		st.visible = ` AND (SELECT 1 FROM member a WHERE a.user_id = c.user_id AND (SELECT 1 FROM member b WHERE b.user_id = ` +
			st.arg(f.UserID) + ` AND b.room_id = a.room_id LIMIT 1) IS NOT NULL LIMIT 1) IS NOT NULL`
	case len(f.circle) == 0:
		st.empty = true
	default:
		st.among = f.circle
	}
}

// others has the others found whom the searcher may see, and those who share a room again: they were all found before.
func (f *finder) others(st *statement) {
	if !f.Everybody {
		st.visible = ` AND (SELECT 1 FROM member a WHERE a.user_id = c.user_id AND a.public LIMIT 1) IS NOT NULL`
	}
}
