package store

import (
	"strconv"
	"strings"
)

// statement is a query for users that is put together with its arguments: of those who could be found, c, it has those who are
// visible and fulfil the rest, as persons, p. Being visible is cheaper to look at than the rest where few are.
type statement struct {
	sql   strings.Builder
	args  []any
	order string
	// among, where not empty, are all who are visible; else visible is a condition on c.
	among   []string
	visible string
	// empty says that it finds nobody.
	empty bool
}

// add adds text, and an argument behind it.
func (st *statement) add(text string, arg any) { st.sql.WriteString(text + st.arg(arg)) }

// arg adds an argument and returns what stands for it.
func (st *statement) arg(arg any) string {
	st.args = append(st.args, arg)
	return "$" + strconv.Itoa(len(st.args))
}

// from begins with those of a table who fulfil a condition, in an order, as many as may be looked at: some columns of them.
func (st *statement) from(columns, table, condition, order string) {
	st.sql.WriteString(`SELECT p.user_id, p.name, p.avatar FROM (SELECT ` + columns + ` FROM ` + table + ` WHERE ` + condition)
	if len(st.among) > 0 {
		n := st.arg(st.among)
		st.sql.WriteString("\n AND user_id = ANY(" + n + ") -- postgres" +
			"\n AND user_id IN (SELECT value FROM json_each(" + n + ")) -- sqlite\n")
	}
	st.add(` ORDER BY `+order+` LIMIT `, maxCandidates)
	st.sql.WriteString(`) AS c JOIN person p ON p.user_id = c.user_id WHERE true` + st.visible)
}

// none leaves users out.
func (st *statement) none(users []string) {
	n := st.arg(users)
	st.sql.WriteString("\n AND c.user_id <> ALL(" + n + ") -- postgres" +
		"\n AND c.user_id NOT IN (SELECT value FROM json_each(" + n + ")) -- sqlite\n")
}

// exactly has those found who have a value in a column, which is not empty.
func (st *statement) exactly(column, value string) {
	if value == "" {
		st.empty = true
		return
	}
	st.order = `c.user_id`
	st.from(`user_id`, `person`, column+` <> '' AND `+column+` = `+st.arg(value), `user_id`)
}

// idsFrom has those found whose ids begin with a prefix, which is not empty.
func (st *statement) idsFrom(prefix string) {
	if prefix == "" {
		st.empty = true
		return
	}
	st.order = `c.user_id`
	st.from(`user_id`, `person`, `user_id >= `+st.arg(prefix)+` AND user_id < `+st.arg(end(prefix)), `user_id`)
}

// words has those found who have all words. The first one leads; of the tokens of a user that begin with it, the first counts.
func (st *statement) words(words []string) {
	st.order = `c.token, c.user_id`
	first := st.arg(words[0])
	st.from(`token, user_id`, `token`, `token >= `+first+` AND token < `+st.arg(end(words[0])), `token, user_id`)
	st.sql.WriteString(` AND (SELECT 1 FROM token o WHERE o.user_id = c.user_id AND o.token < c.token AND o.token >= ` + first +
		` LIMIT 1) IS NULL`)
	for _, w := range words[1:] {
		st.add(` AND (SELECT 1 FROM token o WHERE o.user_id = c.user_id AND o.token >= `, w)
		st.add(` AND o.token < `, end(w))
		st.sql.WriteString(` LIMIT 1) IS NOT NULL`)
	}
}
