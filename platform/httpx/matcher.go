package httpx

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"hongyan/matrix"
)

// maxParams bounds the parameters of one pattern.
const maxParams = 8

// clientV3 is the prefix whose routes are served under /_matrix/client/r0/ too.
const clientV3 = "/_matrix/client/v3/"

// A Matcher finds what was added for a method and an escaped path. The path is split at its slashes first and each
// segment is percent-decoded once after that, so "%2F" is a slash within a segment. Nothing is cleaned and nothing is
// redirected: "." and ".." are ordinary segments, "//" holds an empty one. A parameter takes any segment but an
// empty one; fixed segments beat parameters. Paths under /_matrix/client/r0/ mean the same under v3.
//
// The zero value is empty and ready. Adding and matching must not overlap.
type Matcher[T any] struct {
	root node[T]
}

// Params are the decoded parameters of a matched path. They hold no reference to the request.
type Params struct {
	names  []string
	values [maxParams]string
}

// Get returns a parameter by its name, or "".
func (p *Params) Get(name string) string {
	if i := slices.Index(p.names, name); i >= 0 {
		return p.values[i]
	}
	return ""
}

// Len is the number of parameters.
func (p *Params) Len() int { return len(p.names) }

// At returns the name and value of the i-th parameter, in the order of the path.
func (p *Params) At(i int) (name, value string) { return p.names[i], p.values[i] }

// A Match is what a Matcher found.
type Match[T any] struct {
	// Value is what was added.
	Value T
	// Params are the path's parameters.
	Params Params
	// Allow names the methods of a known path that was asked with another one, as the Allow header wants it.
	Allow string
}

type node[T any] struct {
	static map[string]*node[T]
	param  *node[T]
	leaves []leaf[T]
}

type leaf[T any] struct {
	method string
	path   string
	names  []string
	value  T
}

// Add binds a method and a pattern to a value. One segment of a pattern is either fixed text or one {name}. It fails
// when the pattern is malformed or bound already.
func (m *Matcher[T]) Add(method, path string, value T) error {
	segments, names, err := parsePattern(path)
	if err != nil {
		return fmt.Errorf("add route %s %s: %w", method, path, err)
	}
	at := &m.root
	for _, segment := range segments {
		at = at.child(segment)
	}
	for _, old := range at.leaves {
		if old.method == method {
			return fmt.Errorf("add route %s %s: %s is the same", method, path, old.path)
		}
	}
	at.leaves = append(at.leaves, leaf[T]{method: method, path: path, names: names, value: value})
	if strings.HasPrefix(path, clientV3) {
		client := m.root.static["_matrix"].static["client"]
		client.static["r0"] = client.static["v3"]
	}
	return nil
}

// child returns the node below n for a segment of a pattern ("{" for a parameter), making it where it is missing.
func (n *node[T]) child(segment string) *node[T] {
	if segment == "{" {
		if n.param == nil {
			n.param = &node[T]{}
		}
		return n.param
	}
	if n.static == nil {
		n.static = map[string]*node[T]{}
	}
	next := n.static[segment]
	if next == nil {
		next = &node[T]{}
		n.static[segment] = next
	}
	return next
}

// parsePattern returns the segments of a pattern, with "{" for each parameter, and the parameters' names.
func parsePattern(path string) (segments, names []string, err error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, nil, fmt.Errorf("a path begins with a slash")
	}
	for segment := range strings.SplitSeq(rest, "/") {
		name, isParam := strings.CutPrefix(segment, "{")
		if !isParam {
			if strings.ContainsAny(segment, "{}%") {
				return nil, nil, fmt.Errorf("segment %q: want plain text or {name}", segment)
			}
			segments = append(segments, segment)
			continue
		}
		name, ok = strings.CutSuffix(name, "}")
		if !ok || name == "" || strings.ContainsAny(name, "{}") || slices.Contains(names, name) {
			return nil, nil, fmt.Errorf("segment %q: want one {name}, each name once", segment)
		}
		segments, names = append(segments, "{"), append(names, name)
	}
	if len(names) > maxParams {
		return nil, nil, fmt.Errorf("more than %d parameters", maxParams)
	}
	return segments, names, nil
}

// search is the state of one Match.
type search[T any] struct {
	method string
	values [maxParams]string
	// known is the first node that a path led to but that lacks the method; others are rare and come behind it.
	known []*node[T]
	bad   bool
}

// Match finds what was added for the method and the path (url.URL.EscapedPath). HEAD falls back to GET. The error is
// a *matrix.Error: 404 M_UNRECOGNIZED for an unknown path, 405 M_UNRECOGNIZED for another method of a known one (then
// Allow is set), 400 M_INVALID_PARAM for a parameter that is not valid text.
func (m *Matcher[T]) Match(method, escapedPath string) (Match[T], error) {
	s := search[T]{method: method}
	rest, ok := strings.CutPrefix(escapedPath, "/")
	if !ok {
		return Match[T]{}, unrecognized(http.StatusNotFound)
	}
	found := s.walk(&m.root, rest, 0)
	switch {
	case found != nil && s.bad:
		return Match[T]{}, matrix.NewError(matrix.CodeInvalidParam, "The path holds bytes that are not text.")
	case found != nil:
		return Match[T]{Value: found.value, Params: Params{names: found.names, values: s.values}}, nil
	case s.known != nil:
		return Match[T]{Allow: allow(s.known)}, unrecognized(http.StatusMethodNotAllowed)
	}
	return Match[T]{}, unrecognized(http.StatusNotFound)
}

// walk matches the rest of the path below n, of which depth parameters are already taken.
func (s *search[T]) walk(n *node[T], rest string, depth int) *leaf[T] {
	segment, rest, more := strings.Cut(rest, "/")
	text := segment
	if strings.IndexByte(segment, '%') >= 0 {
		var err error
		if text, err = url.PathUnescape(segment); err != nil {
			return nil
		}
	}
	if next := n.static[text]; next != nil {
		if found := s.step(next, rest, more, depth); found != nil {
			return found
		}
	}
	if n.param == nil || text == "" {
		return nil
	}
	s.values[depth] = text
	found := s.step(n.param, rest, more, depth+1)
	if found != nil && !isText(text) {
		s.bad = true
	}
	return found
}

// step goes on below next, or ends there.
func (s *search[T]) step(next *node[T], rest string, more bool, depth int) *leaf[T] {
	if more {
		return s.walk(next, rest, depth)
	}
	if len(next.leaves) == 0 {
		return nil
	}
	if found := next.leaf(s.method); found != nil {
		return found
	}
	s.known = append(s.known, next)
	return nil
}

func (n *node[T]) leaf(method string) *leaf[T] {
	var get *leaf[T]
	for i := range n.leaves {
		switch n.leaves[i].method {
		case method:
			return &n.leaves[i]
		case http.MethodGet:
			get = &n.leaves[i]
		}
	}
	if method == http.MethodHead {
		return get
	}
	return nil
}

// isText returns whether s can be stored and answered as text: valid UTF-8 without NUL.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

func allow[T any](nodes []*node[T]) string {
	var methods []string
	for _, n := range nodes {
		for i := range n.leaves {
			methods = append(methods, n.leaves[i].method)
			if n.leaves[i].method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
		}
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

func unrecognized(status int) *matrix.Error {
	message := "Unrecognized request: no such path."
	if status == http.StatusMethodNotAllowed {
		message = "Unrecognized request: this path has no such method."
	}
	return matrix.NewError(matrix.CodeUnrecognized, message).WithStatus(status)
}
