package app

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML is the configuration as a file that Load reads again, with what each setting is for, and without secrets.
func (c Config) YAML() ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range settings(&c) {
		value := &yaml.Node{}
		if err := value.Encode(s.value.Interface()); err != nil {
			return nil, fmt.Errorf("print %s: %w", s.Key, err)
		}
		path := strings.Split(s.Key, ".")
		at := root
		for _, section := range path[:len(path)-1] {
			at = below(at, section)
		}
		name := &yaml.Node{Kind: yaml.ScalarNode, Value: path[len(path)-1], HeadComment: "# " + s.Usage}
		at.Content = append(at.Content, name, value)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("print the configuration: %w", err)
	}
	return out.Bytes(), enc.Close()
}

// below returns the mapping under a name, making it where it is missing.
func below(node *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	child := &yaml.Node{Kind: yaml.MappingNode}
	node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, child)
	return child
}
