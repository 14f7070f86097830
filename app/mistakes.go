package app

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkValue says what is wanted where a value of the file is of another kind.
func (s Setting) checkValue(node *yaml.Node) error {
	err := decodeNode(node, reflect.New(s.value.Type()))
	if err == nil {
		return nil
	}
	switch {
	case node.Kind == yaml.ScalarNode:
		return fmt.Errorf("line %d: %s: want %s, not %q", node.Line, s.Key, s.wanted(), node.Value)
	case node.Kind == yaml.SequenceNode && s.value.Kind() != reflect.Slice:
		return fmt.Errorf("line %d: %s: want %s, not a list", node.Line, s.Key, s.wanted())
	case node.Kind == yaml.MappingNode && s.value.Kind() != reflect.Map:
		return fmt.Errorf("line %d: %s: want %s, not key: value lines", node.Line, s.Key, s.wanted())
	}
	return fmt.Errorf("%s: %w", s.Key, readable(err)) // something within the list or the map
}

// decodeNode decodes into what to points at. A fraction is no whole number: the decoder would cut it off.
func decodeNode(node *yaml.Node, to reflect.Value) error {
	if (to.Elem().CanInt() || to.Elem().CanUint()) && node.ShortTag() == "!!float" {
		return errors.New("a fraction")
	}
	return node.Decode(to.Interface())
}

// wanted says in words what a value looks like.
func (s Setting) wanted() string {
	switch s.Kind() {
	case "on|off":
		return "on or off"
	case "duration":
		return "a duration such as 5s or 2m"
	case "list":
		return "a list such as [a, b]"
	case "YAML list":
		return "a list"
	case "name=value list":
		return "name: value lines"
	case "number":
		if s.value.CanFloat() {
			return "a number"
		}
		return "a whole number"
	}
	return s.Kind()
}

// readable takes the names of Go types out of the YAML decoder's complaints about fields.
func readable(err error) error {
	var mistakes *yaml.TypeError
	if !errors.As(err, &mistakes) {
		return err
	}
	lines := make([]string, len(mistakes.Errors))
	for i, text := range mistakes.Errors {
		text, _, _ = strings.Cut(text, " in type ")
		text, _, _ = strings.Cut(text, " into ")
		lines[i] = strings.NewReplacer("cannot unmarshal !!seq", "a list is not wanted here",
			"cannot unmarshal !!map", "key: value lines are not wanted here", "cannot unmarshal !!", "not wanted here: ").Replace(text)
	}
	return errors.New(strings.Join(lines, "; "))
}

// kindName names what a node of the file is.
func kindName(node *yaml.Node) string {
	switch node.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return fmt.Sprintf("%q", node.Value)
	}
	return "an alias"
}
