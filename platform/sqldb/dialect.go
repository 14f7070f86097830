package sqldb

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// maxRewritten bounds the cache of rewritten statements. Statements are constants of the program; if
// something builds them from data, they are rewritten each time instead of filling the memory.
const maxRewritten = 4096

// rewriter turns statements as they are written into statements of one dialect, once each.
type rewriter struct {
	dialect Dialect
	size    atomic.Int64
	cache   sync.Map // string → string
}

func (r *rewriter) rewrite(sql string) string {
	if v, ok := r.cache.Load(sql); ok {
		return v.(string)
	}
	out := selectLines(sql, r.dialect)
	if r.dialect == SQLite {
		out = placeholders(out)
	}
	if r.size.Load() < maxRewritten {
		if _, loaded := r.cache.LoadOrStore(sql, out); !loaded {
			r.size.Add(1)
		}
	}
	return out
}

// selectLines leaves out the lines marked as the other dialect's, and the marks of this one.
func selectLines(sql string, d Dialect) string {
	if !strings.Contains(sql, "-- "+SQLite.String()) && !strings.Contains(sql, "-- "+Postgres.String()) {
		return sql
	}
	lines := strings.Split(sql, "\n")
	kept := lines[:0]
	for _, line := range lines {
		code, mark, marked := cutMark(line)
		if marked && mark != d.String() {
			continue
		}
		kept = append(kept, code)
	}
	return strings.Join(kept, "\n")
}

// cutMark splits a line into its SQL and its mark, if it ends in one.
func cutMark(line string) (code, mark string, marked bool) {
	i := strings.LastIndex(line, "--")
	if i < 0 {
		return line, "", false
	}
	mark = strings.TrimSpace(line[i+2:])
	if mark != SQLite.String() && mark != Postgres.String() {
		return line, "", false
	}
	return strings.TrimRight(line[:i], " \t"), mark, true
}

// placeholders turns $1 into SQLite's ?1. When the numbers stand once each and in order it writes bare question
// marks, which spare the driver a search by name for every argument. Quoted strings are left alone.
func placeholders(sql string) string {
	numbers := scanPlaceholders(sql, nil)
	inOrder := true
	for i, n := range numbers {
		inOrder = inOrder && n == i+1
	}
	var out strings.Builder
	scanPlaceholders(sql, func(text string, n int) {
		out.WriteString(text)
		if n > 0 {
			out.WriteByte('?')
			if !inOrder {
				out.WriteString(strconv.Itoa(n))
			}
		}
	})
	return out.String()
}

// scanPlaceholders returns the numbers of the placeholders in order, and calls emit, if any, with each
// stretch of text and the number that follows it, which is 0 at the end.
func scanPlaceholders(sql string, emit func(text string, n int)) []int {
	var numbers []int
	start, quote := 0, byte(0)
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '$':
			end := i + 1
			for end < len(sql) && sql[end] >= '0' && sql[end] <= '9' {
				end++
			}
			n, err := strconv.Atoi(sql[i+1 : end])
			if err != nil || n == 0 {
				continue
			}
			numbers = append(numbers, n)
			if emit != nil {
				emit(sql[start:i], n)
			}
			start = end
			i = end - 1
		}
	}
	if emit != nil {
		emit(sql[start:], 0)
	}
	return numbers
}

// typeNames are the column types as migrations write them, which PostgreSQL takes as they are.
var typeNames = regexp.MustCompile(`\b(BYTEA|BIGINT|BOOLEAN)\b`)

// translateSchema turns a migration into the dialect: marked lines, and for SQLite the types.
func translateSchema(sql string, d Dialect) string {
	sql = selectLines(sql, d)
	if d == Postgres {
		return sql
	}
	sql = strings.ReplaceAll(sql, ` COLLATE "C"`, "")
	return typeNames.ReplaceAllStringFunc(sql, func(name string) string {
		if name == "BYTEA" {
			return "BLOB"
		}
		return "INTEGER"
	})
}
