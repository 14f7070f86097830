package spec_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"hongyan/service/gateway/spec"
)

var update = flag.Bool("update", false, "write operations.txt anew")

func TestOperationsAreWellFormed(t *testing.T) {
	counts := map[string]int{}
	for _, op := range spec.Operations() {
		counts[op.API]++
		require.Truef(t, strings.HasPrefix(op.Path, "/"), "%+v", op)
		require.Contains(t, []string{"GET", "PUT", "POST", "DELETE"}, op.Method)
	}
	require.Equal(t, map[string]int{"client-server": 166, "server-server": 36}, counts)
}

// TestOperationsAreTheSpecifications compares the checked-in list with the specification, where that is at hand.
func TestOperationsAreTheSpecifications(t *testing.T) {
	root := cmp.Or(os.Getenv("HONGYAN_SPEC"), filepath.Join("..", "..", "..", "..", "shared", "spec"))
	if _, err := os.Stat(filepath.Join(root, "data", "api")); err != nil {
		t.Skipf("the specification is not at %s: the list is not compared", root)
	}
	var want []spec.Operation
	for _, api := range []string{"client-server", "server-server"} {
		files, err := filepath.Glob(filepath.Join(root, "data", "api", api, "*.yaml"))
		require.NoError(t, err)
		for _, file := range files {
			want = append(want, read(t, api, file)...)
		}
	}
	if *update {
		write(t, want)
		return
	}
	require.Empty(t, diff(want, spec.Operations()), "run: go test ./service/gateway/spec -update")
}

func read(t *testing.T, api, file string) []spec.Operation {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	var doc struct {
		Servers []struct {
			Variables struct {
				BasePath struct {
					Default string `yaml:"default"`
				} `yaml:"basePath"`
			} `yaml:"variables"`
		} `yaml:"servers"`
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &doc), file)
	require.NotEmpty(t, doc.Servers, file)
	base := strings.TrimSuffix(doc.Servers[0].Variables.BasePath.Default, "/")
	var ops []spec.Operation
	for path, methods := range doc.Paths {
		for method, node := range methods {
			if !slices.Contains([]string{"get", "put", "post", "delete", "patch"}, method) {
				continue
			}
			var op struct {
				ID string `yaml:"operationId"`
			}
			require.NoError(t, node.Decode(&op), file)
			ops = append(ops, spec.Operation{
				API: api, File: strings.TrimSuffix(filepath.Base(file), ".yaml"), ID: cmp.Or(strings.TrimSpace(op.ID), "-"),
				Method: strings.ToUpper(method), Path: base + strings.TrimSpace(path),
			})
		}
	}
	slices.SortFunc(ops, func(a, b spec.Operation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.ID, b.ID))
	})
	return ops
}

func write(t *testing.T, ops []spec.Operation) {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "# Operations of the Matrix specification %s: api, file, operation, method, path. Made by go test -update.\n", spec.Version)
	for _, op := range ops {
		fmt.Fprintf(&out, "%s %s %s %s %s\n", op.API, op.File, op.ID, op.Method, op.Path)
	}
	require.NoError(t, os.WriteFile("operations.txt", []byte(out.String()), 0o644))
}

// diff lists what stands in one list only.
func diff(want, have []spec.Operation) []string {
	var lines []string
	for _, op := range want {
		if !slices.Contains(have, op) {
			lines = append(lines, fmt.Sprintf("missing: %+v", op))
		}
	}
	for _, op := range have {
		if !slices.Contains(want, op) {
			lines = append(lines, fmt.Sprintf("not in the specification: %+v", op))
		}
	}
	return lines
}
