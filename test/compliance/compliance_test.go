package compliance_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/app"
	"hongyan/service/gateway/spec"
)

var update = flag.Bool("update", false, "write the operations of docs/compliance.md anew, keeping the tests that are named")

const (
	notYet   = "not yet"
	built    = "built"
	partly   = "partly"
	byClient = "clients only" // nothing of it is a server's to do
)

var root = filepath.Join("..", "..")

// operation is a row of the operations table.
type operation struct {
	spec.Operation
	// service is who serves it, or notYet.
	service string
	// tests are test files.
	tests string
}

// module is a row of the modules table.
type module struct {
	file, state, apis, tests string
}

// page is docs/compliance.md.
type page struct {
	head, middle, tail string
	operations         []operation
	modules            []module
}

const (
	beginOperations = "<!-- operations -->\n"
	beginModules    = "<!-- modules -->\n"
	end             = "<!-- end -->\n"
)

func pageName() string { return filepath.Join(root, "docs", "compliance.md") }

func read(t *testing.T) page {
	t.Helper()
	raw, err := os.ReadFile(pageName())
	require.NoError(t, err)
	var p page
	var rows string
	cut := func(from, mark string) (string, string) {
		before, after, ok := strings.Cut(from, mark)
		require.Truef(t, ok, "%s lacks %q", pageName(), mark)
		return before, after
	}
	rest := string(raw)
	p.head, rest = cut(rest, beginOperations)
	rows, rest = cut(rest, end)
	for _, c := range cells(rows) {
		require.Len(t, c, 4, c)
		method, path, _ := strings.Cut(c[1], " ")
		p.operations = append(p.operations, operation{
			Operation: spec.Operation{ID: c[0], Method: method, Path: path}, service: c[2], tests: c[3],
		})
	}
	p.middle, rest = cut(rest, beginModules)
	rows, p.tail = cut(rest, end)
	for _, c := range cells(rows) {
		require.Len(t, c, 4, c)
		p.modules = append(p.modules, module{file: c[0], state: c[1], apis: c[2], tests: c[3]})
	}
	return p
}

// cells splits the rows of a table, without its head.
func cells(table string) [][]string {
	var rows [][]string
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || len(rows) == 0 && strings.Contains(line, "---") {
			continue
		}
		var row []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			row = append(row, strings.Trim(strings.TrimSpace(cell), "`"))
		}
		rows = append(rows, row)
	}
	return rows[min(2, len(rows)):]
}

// served says which service serves an operation, by method and path without the names of parameters.
func served() map[string]string {
	param := regexp.MustCompile(`\{[^}]*\}`)
	by := map[string]string{}
	for service, routes := range app.Routes() {
		for _, r := range routes {
			by[r.Method+" "+param.ReplaceAllString(r.Path, "{}")] = service
		}
	}
	of := map[string]string{}
	for _, op := range clientOperations() {
		of[op.Method+" "+op.Path] = cmp.Or(by[op.Method+" "+param.ReplaceAllString(op.Path, "{}")], notYet)
	}
	return of
}

func clientOperations() []spec.Operation {
	return slices.DeleteFunc(spec.Operations(), func(op spec.Operation) bool { return op.API != "client-server" })
}

// sharing are operations that share method and path with another one, and are not served themselves.
var sharing = map[string]string{
	"getEvents": "GET /events is peekEvents; that of all rooms is deprecated since r0, and /sync has it",
}

func (op operation) key() string { return op.Method + " " + op.Path }

func TestThePageHasEveryOperation(t *testing.T) {
	p, of := read(t), served()
	var want []operation
	for _, op := range clientOperations() {
		row := operation{Operation: spec.Operation{ID: op.ID, Method: op.Method, Path: op.Path}, service: of[op.Method+" "+op.Path]}
		if _, shares := sharing[op.ID]; shares {
			row.service = notYet
		}
		want = append(want, row)
	}
	require.Len(t, want, 166, "operations of version 1.19")
	if *update {
		write(t, p, want)
		return
	}
	var have []operation
	for _, op := range p.operations {
		op.tests = ""
		have = append(have, op)
	}
	require.Equal(t, want, have, "go test ./test/compliance -update writes it anew")
}

// write keeps the named tests of operations.
func write(t *testing.T, p page, operations []operation) {
	t.Helper()
	tests := map[string]string{}
	for _, op := range p.operations {
		tests[op.ID+" "+op.key()] = op.tests
	}
	var out strings.Builder
	out.WriteString(p.head + beginOperations + "| operation | method and path | served by | tested by |\n| --- | --- | --- | --- |\n")
	for _, op := range operations {
		named := tests[op.ID+" "+op.key()]
		if op.service == notYet {
			named = ""
		}
		fmt.Fprintf(&out, "| %s | `%s` | %s | %s |\n", op.ID, op.key(), op.service, quote(named))
	}
	out.WriteString(end + p.middle + beginModules + "| module | state | APIs | tested by |\n| --- | --- | --- | --- |\n")
	for _, m := range p.modules {
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", m.file, m.state, m.apis, quote(m.tests))
	}
	out.WriteString(end + p.tail)
	text := strings.ReplaceAll(out.String(), "|  ", "| ") // empty cells
	require.NoError(t, os.WriteFile(pageName(), []byte(text), 0o644))
}

func quote(tests string) string {
	if tests == "" {
		return ""
	}
	return "`" + tests + "`"
}

// TestWhatIsBuiltIsTested looks at the files that the page names: each must be there, hold tests, and name the thing.
func TestWhatIsBuiltIsTested(t *testing.T) {
	p := read(t)
	for _, op := range p.operations {
		if op.service == notYet {
			require.Emptyf(t, op.tests, "%s is not built", op.ID)
			continue
		}
		require.NotEmptyf(t, op.tests, "%s %s: say what tests it", op.ID, op.key())
		mentions(t, op.ID, op.tests, lastFixed(op.Path))
	}
	for _, m := range p.modules {
		if m.state == notYet || m.state == byClient {
			require.Emptyf(t, m.tests, "%s is not built", m.file)
			continue
		}
		require.NotEmptyf(t, m.tests, "module %s: say what tests it", m.file)
		mentions(t, m.file, m.tests, "")
	}
}

// lastFixed is the last segment of a path that is no parameter.
func lastFixed(path string) string {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	for _, segment := range slices.Backward(segments) {
		if !strings.HasPrefix(segment, "{") {
			return segment
		}
	}
	return path
}

// mentions checks that the files hold tests, and that one of them holds the text.
func mentions(t *testing.T, what, files, text string) {
	t.Helper()
	found := text == ""
	for name := range strings.SplitSeq(files, ", ") {
		raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(strings.Trim(name, "`"))))
		require.NoError(t, err, what)
		require.Regexpf(t, `(?m)^func Test|^test\(|^func Fuzz`, string(raw), "%s: %s holds no test", what, name)
		found = found || strings.Contains(string(raw), text)
	}
	require.Truef(t, found, "%s: none of %s mentions %q", what, files, text)
}

// TestModules compares the states of the modules with the operations of their APIs.
func TestModules(t *testing.T) {
	p, of := read(t), served()
	require.Len(t, p.modules, 44, "modules of version 1.19")
	byFile := map[string][]spec.Operation{}
	for _, op := range clientOperations() {
		byFile[op.File] = append(byFile[op.File], op)
	}
	for _, m := range p.modules {
		var have, lack int
		for file := range strings.FieldsSeq(m.apis) {
			require.NotEmptyf(t, byFile[file], "module %s: no API %q", m.file, file)
			for _, op := range byFile[file] {
				if of[op.Method+" "+op.Path] == notYet || sharing[op.ID] != "" {
					lack++
				} else {
					have++
				}
			}
		}
		switch m.state {
		case built:
			require.Zerof(t, lack, "module %s is not built: %d operations are missing", m.file, lack)
		case partly:
		case notYet, byClient:
			require.Zerof(t, have, "module %s is at least partly built", m.file)
		default:
			require.Failf(t, "unknown state", "module %s: %q", m.file, m.state)
		}
	}
}

// TestModulesAreTheSpecifications compares the page's modules with the specification, where that is at hand.
func TestModulesAreTheSpecifications(t *testing.T) {
	specification := cmp.Or(os.Getenv("HONGYAN_SPEC"), filepath.Join(root, "..", "shared", "spec"))
	files, err := filepath.Glob(filepath.Join(specification, "content", "client-server-api", "modules", "*.md"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skipf("the specification is not at %s: the modules are not compared", specification)
	}
	api := regexp.MustCompile(`http-api spec="client-server" api="([^"]+)"`)
	want, have := map[string]string{}, map[string]string{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		if name == "index" {
			continue
		}
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		var apis []string
		for _, match := range api.FindAllStringSubmatch(string(raw), -1) {
			apis = append(apis, match[1])
		}
		want[name] = strings.Join(apis, " ")
	}
	for _, m := range read(t).modules {
		have[m.file] = m.apis
	}
	require.Equal(t, want, have)
	require.Len(t, slices.Collect(maps.Keys(want)), 44)
}
