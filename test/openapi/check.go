package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"hongyan/service/gateway/spec"
)

// Checker compares answers with the specification. The zero value checks nothing.
type Checker struct {
	dir        string
	operations []spec.Operation

	mu        sync.Mutex
	compiler  *jsonschema.Compiler
	documents map[string]map[string]any
	answers   map[string]map[string]answer
}

// answer is what one status of an operation looks like.
type answer struct {
	// kinds are the media types that the file names; none: it says nothing of a body.
	kinds []string
	// schema is that of application/json, or nil.
	schema *jsonschema.Schema
}

// shared is the test binary's Checker: schemas are compiled once. There is nothing to inject it into, since tests share
// nothing but their binary.
var shared = sync.OnceValues(open)

// Open returns a Checker of the specification that is at hand, or one that checks nothing.
func Open(t testing.TB) *Checker {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatalf("read the specification: %v", err)
	}
	return c
}

func open() (*Checker, error) {
	dir, err := folder()
	if err != nil || dir == "" {
		return &Checker{}, err
	}
	c := &Checker{
		dir: dir, compiler: jsonschema.NewCompiler(), documents: map[string]map[string]any{}, answers: map[string]map[string]answer{},
	}
	c.compiler.UseLoader(loader{})
	for _, op := range spec.Operations() {
		if op.API == "client-server" {
			c.operations = append(c.operations, op)
		}
	}
	return c, nil
}

// Present tells whether the specification is at hand.
func (c *Checker) Present() bool { return c.dir != "" }

// Check returns what is wrong with an answer. path is that of the request, escaped, without a query. Answers on other paths than
// the specification's are right, and so are those that anything before the server may give (502, 503, 504), as long as they
// are Matrix errors or no JSON.
func (c *Checker) Check(method, path string, status int, header http.Header, body []byte) error {
	if !c.Present() || method == http.MethodOptions || method == http.MethodHead {
		return nil
	}
	ops := c.match(method, path)
	if len(ops) == 0 {
		return nil
	}
	var wrong []error
	for _, op := range ops { // two operations may share a path: the answer is one of them
		err := c.check(op, status, header, body)
		if err == nil {
			return nil
		}
		wrong = append(wrong, fmt.Errorf("%s %s, %d: %w", method, path, status, err))
	}
	return errors.Join(wrong...)
}

func (c *Checker) check(op spec.Operation, status int, header http.Header, body []byte) error {
	answers, err := c.of(op)
	if err != nil {
		return err
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil && len(body) > 0 {
		return fmt.Errorf("Content-Type %q: %w", header.Get("Content-Type"), err)
	}
	a, ok := answers[strconv.Itoa(status)]
	switch {
	case !ok && status < http.StatusBadRequest:
		return fmt.Errorf("operation %s has no such status", op.ID)
	case !ok: // what any operation may be answered: no token, too many requests, too large, not found …
		return matrixError(body)
	case len(a.kinds) == 0:
		return nil
	case kind != "application/json":
		if slices.Contains(a.kinds, kind) || slices.ContainsFunc(a.kinds, func(k string) bool { return k != "application/json" }) {
			return nil
		}
		return fmt.Errorf("Content-Type %q, not one of %v", kind, a.kinds)
	case a.schema == nil:
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	err = a.schema.Validate(value)
	switch {
	case err == nil, status == http.StatusUnauthorized && matrixError(body) == nil: // also where only a list of flows is written down
		return nil
	case slices.ContainsFunc(beyond, func(b exception) bool { return b.operation == op.ID && strings.Contains(err.Error(), b.says) }):
		return nil
	}
	return err
}

// exception is an answer that is right although the OpenAPI file says otherwise.
type exception struct{ operation, says, why string }

var beyond = []exception{
	{"getRoomKeysVersionCurrent", "at '/algorithm'", "a backup's algorithm is chosen by its client; the file lists what the specification names"},
	{"getRoomKeysVersion", "at '/algorithm'", "as above"},
	{"getRoomStateWithKey", "at '': 'oneOf' failed, subschemas 0, 1 matched", "its oneOf is of any object, and of an event, which is one"},
	{"getTurnServer", "missing properties 'username', 'password', 'uris', 'ttl'", "clients that probe for TURN servers take {} for none"},
}

// matrixError wants the standard error response: an object with a code.
func matrixError(body []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	object, _ := value.(map[string]any)
	if code, _ := object["errcode"].(string); code == "" && object["flows"] == nil {
		return errors.New("an error without errcode")
	}
	return nil
}

// of returns the answers of an operation, compiled once.
func (c *Checker) of(op spec.Operation) (map[string]answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := op.Method + op.Path + op.File
	if a, ok := c.answers[key]; ok {
		return a, nil
	}
	a, err := c.load(op)
	if err == nil {
		c.answers[key] = a
	}
	return a, err
}

// match returns the operations that a path belongs to, those with the fewest parameters.
func (c *Checker) match(method, path string) []spec.Operation {
	best, found := 0, []spec.Operation(nil)
	have := strings.Split(path, "/")
	for _, op := range c.operations {
		literal, ok := fits(strings.Split(op.Path, "/"), have)
		if !ok || op.Method != method || literal < best {
			continue
		}
		if literal > best {
			best, found = literal, nil
		}
		found = append(found, op)
	}
	return found
}

// fits tells whether a path fits a pattern, and how many segments are the same.
func fits(pattern, path []string) (literal int, ok bool) {
	if len(pattern) != len(path) {
		return 0, false
	}
	for i := range pattern {
		switch {
		case pattern[i] == path[i]:
			literal++
		case !strings.HasPrefix(pattern[i], "{"):
			return 0, false
		}
	}
	return literal, true
}
