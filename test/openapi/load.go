package openapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"hongyan/service/gateway/spec"
)

// folder is where the files lie, or "".
func folder() (string, error) {
	root := os.Getenv("HONGYAN_SPEC")
	if root == "" {
		top, err := module()
		if err != nil {
			return "", err
		}
		root = filepath.Join(top, "..", "shared", "spec")
	}
	dir, err := filepath.Abs(filepath.Join(root, "data", "api", "client-server"))
	if err != nil {
		return "", err
	}
	_, err = os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return dir, err
}

// module is the folder of go.mod: tests run somewhere below it.
func module() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory")
		}
	}
}

// loader reads YAML files as JSON documents; jsonschema follows the references between them.
type loader struct{}

// Load implements jsonschema.URLLoader.
func (loader) Load(address string) (any, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(u.Path)
	if err != nil {
		return nil, err
	}
	var doc any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", u.Path, err)
	}
	j, err := json.Marshal(named(doc))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.Path, err)
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(j))
}

// named makes keys that are no strings (a status) strings, as JSON has them.
func named(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(k)] = named(e)
		}
		return m
	case map[string]any:
		for k, e := range v {
			v[k] = named(e)
		}
	case []any:
		for i, e := range v {
			v[i] = named(e)
		}
	}
	return v
}

// load compiles the schemas of all answers of an operation.
func (c *Checker) load(op spec.Operation) (map[string]answer, error) {
	base := "file://" + filepath.Join(c.dir, op.File+".yaml")
	responses, at, err := c.responses(base, op.Path, strings.ToLower(op.Method))
	if err != nil {
		return nil, fmt.Errorf("operation %s: %w", op.ID, err)
	}
	answers := map[string]answer{}
	for status := range responses {
		response, where, err := c.resolve(base, responses[status], at+"/"+escape(status))
		if err != nil {
			return nil, err
		}
		content, _ := response["content"].(map[string]any)
		a := answer{}
		for kind := range content {
			a.kinds = append(a.kinds, kind)
			if kind != "application/json" {
				continue
			}
			if a.schema, err = c.compiler.Compile(where + "/content/" + escape(kind) + "/schema"); err != nil {
				return nil, fmt.Errorf("operation %s, answer %s: %w", op.ID, status, err)
			}
		}
		answers[status] = a
	}
	return answers, nil
}

// responses finds those of an operation: a file's paths begin where its server's base path ends.
func (c *Checker) responses(base, path, method string) (map[string]any, string, error) {
	doc, err := c.document(base)
	if err != nil {
		return nil, "", err
	}
	paths, _ := doc["paths"].(map[string]any)
	for _, p := range longestFirst(paths) {
		if !strings.HasSuffix(path, strings.TrimSpace(p)) { // two operations of one path: one has a space behind it
			continue
		}
		item, _ := paths[p].(map[string]any)
		operation, _ := item[method].(map[string]any)
		if responses, ok := operation["responses"].(map[string]any); ok {
			return responses, base + "#/paths/" + escape(p) + "/" + method + "/responses", nil
		}
	}
	return nil, "", fmt.Errorf("%s has no %s %s", base, method, path)
}

func longestFirst(paths map[string]any) []string {
	return slices.SortedFunc(maps.Keys(paths), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
}

// resolve follows the references of an answer, and tells where it lies in the end.
func (c *Checker) resolve(base string, response any, at string) (map[string]any, string, error) {
	for range 4 {
		r, _ := response.(map[string]any)
		ref, ok := r["$ref"].(string)
		if !ok {
			return r, at, nil
		}
		from, err := url.Parse(base)
		if err != nil {
			return nil, "", err
		}
		to, err := from.Parse(ref)
		if err != nil {
			return nil, "", err
		}
		pointer := to.Fragment
		to.Fragment = ""
		base = to.String()
		doc, err := c.document(base)
		if err != nil {
			return nil, "", err
		}
		response, at = doc, base+"#"+pointer
		for _, key := range strings.Split(pointer, "/")[min(1, len(pointer)):] {
			m, _ := response.(map[string]any)
			if key != "" {
				response = m[unescape(key)]
			}
		}
	}
	return nil, "", fmt.Errorf("%s: references without end", at)
}

func (c *Checker) document(address string) (map[string]any, error) {
	if doc, ok := c.documents[address]; ok {
		return doc, nil
	}
	loaded, err := loader{}.Load(address)
	if err != nil {
		return nil, err
	}
	doc, _ := loaded.(map[string]any)
	c.documents[address] = doc
	return doc, nil
}

var pointers = strings.NewReplacer("~", "~0", "/", "~1")

// escape writes a key as a part of a JSON pointer in a URL.
func escape(key string) string { return url.PathEscape(pointers.Replace(key)) }

func unescape(key string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(key) }
