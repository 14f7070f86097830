package httpx

import (
	"net/url"
	"slices"
	"strconv"

	"hongyan/matrix"
)

// A Query reads query parameters. The first error is kept for Err, so a handler reads all it needs and asks once.
// Of a parameter that is given twice the first counts; an empty one counts as missing, except for String.
type Query struct {
	values url.Values
	err    *matrix.Error
}

// ReadQuery parses the raw query of a URL.
func ReadQuery(u *url.URL) *Query {
	values, _ := url.ParseQuery(u.RawQuery) // what cannot be parsed is left out, as net/http does
	return &Query{values: values}
}

// Err returns the first M_INVALID_PARAM or M_MISSING_PARAM, or nil.
func (q *Query) Err() error {
	if q.err == nil {
		return nil
	}
	return q.err
}

func (q *Query) fail(code matrix.ErrCode, format string, args ...any) {
	if q.err == nil {
		q.err = matrix.Errorf(code, format, args...)
	}
}

// Has returns whether a parameter is given at all.
func (q *Query) Has(name string) bool { return q.values.Has(name) }

// String returns a parameter, or "". It must be valid UTF-8 without NUL.
func (q *Query) String(name string) string {
	v := q.values.Get(name)
	if !isText(v) {
		q.fail(matrix.CodeInvalidParam, "%s is not valid text.", name)
		return ""
	}
	return v
}

// Required returns a parameter that must be there and not empty.
func (q *Query) Required(name string) string {
	v := q.String(name)
	if v == "" {
		q.fail(matrix.CodeMissingParam, "%s is missing.", name)
	}
	return v
}

// Strings returns all values of a parameter.
func (q *Query) Strings(name string) []string {
	for _, v := range q.values[name] {
		if !isText(v) {
			q.fail(matrix.CodeInvalidParam, "%s is not valid text.", name)
			return nil
		}
	}
	return q.values[name]
}

// Int returns a parameter of at least low, or fallback where it is missing. More than high is high: a client that
// asks for too much gets what it may have. Anything else is M_INVALID_PARAM.
func (q *Query) Int(name string, fallback, low, high int64) int64 {
	text := q.values.Get(name)
	if text == "" {
		return fallback
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < low {
		q.fail(matrix.CodeInvalidParam, "%s must be a whole number of at least %d.", name, low)
		return fallback
	}
	return min(v, high)
}

// Bool returns a parameter that is true or false, or fallback where it is missing.
func (q *Query) Bool(name string, fallback bool) bool {
	switch q.values.Get(name) {
	case "":
		return fallback
	case "true":
		return true
	case "false":
		return false
	}
	q.fail(matrix.CodeInvalidParam, "%s must be true or false.", name)
	return fallback
}

// Enum returns a parameter that is one of the choices, or fallback where it is missing.
func (q *Query) Enum(name, fallback string, choices ...string) string {
	v := q.values.Get(name)
	if v == "" {
		return fallback
	}
	if !slices.Contains(choices, v) {
		q.fail(matrix.CodeInvalidParam, "%s must be one of %q.", name, choices)
		return fallback
	}
	return v
}
