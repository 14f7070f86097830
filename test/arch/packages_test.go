package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is the module's path.
const module = "hongyan"

// source is a Go file.
type source struct {
	// path is relative to the module's root, pkg its folder; both with slashes.
	path, pkg string
	test      bool
	generated bool
	file      *ast.File
	imports   []string
}

// sources parses all Go files of the module.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if base == "node_modules" || base == "testdata" || (strings.HasPrefix(base, ".") && name != root && base != "..") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(set, name, raw, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		s := source{
			path: relative, pkg: path.Dir(relative), file: file,
			test: strings.HasSuffix(base, "_test.go"), generated: ast.IsGenerated(file),
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(all), 50, "the module was not found")
	return all
}

func TestEachPackageSaysWhatItIsFor(t *testing.T) {
	comments := map[string]int{}
	for _, s := range sources(t) {
		if s.test || s.generated {
			continue
		}
		comments[s.pkg] += 0
		if s.file.Doc != nil {
			comments[s.pkg]++
			name := s.file.Name.Name
			want := "Package " + name + " "
			if name == "main" {
				want = "Command "
			}
			require.Truef(t, strings.HasPrefix(s.file.Doc.Text(), want), "%s: the package comment begins with %q", s.path, want)
		}
	}
	for pkg, n := range comments {
		require.Equalf(t, 1, n, "package %s: want one package comment", pkg)
	}
}

func TestNothingHappensOnImport(t *testing.T) {
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			require.Falsef(t, ok && f.Recv == nil && f.Name.Name == "init",
				"%s: no init functions: what a program does begins in main", s.path)
		}
	}
}

// longFiles are the hand-written files over 500 lines, each with its reason.
var longFiles = map[string]string{}

func TestFilesHaveOneSubject(t *testing.T) {
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("..", "..", s.path))
		require.NoError(t, err)
		lines := strings.Count(string(raw), "\n")
		if _, known := longFiles[s.path]; !known {
			require.LessOrEqualf(t, lines, 500, "%s: split it by subject, or give a reason in longFiles", s.path)
		}
	}
}
