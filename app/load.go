package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source is where a configuration is loaded from. What comes later in this list wins: the defaults, the file, the
// environment, the flags.
type Source struct {
	// File is a YAML file; empty for none.
	File string
	// Environ is the environment as os.Environ gives it.
	Environ []string
	// Flags are the command line's values by flag name.
	Flags map[string]string
	// Warn gets what is odd and no error.
	Warn func(string)
}

// Load reads the configuration and validates it. An unknown key is an error that names the nearest known one.
func Load(src Source) (Config, error) {
	cfg := Default()
	if src.File != "" {
		raw, err := os.ReadFile(src.File)
		if err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
		if err := decode(raw, &cfg); err != nil {
			return Config{}, fmt.Errorf("configuration %s: %w", src.File, err)
		}
	}
	all := settings(&cfg)
	if err := fromEnviron(all, src); err != nil {
		return Config{}, err
	}
	for _, s := range all {
		if text, ok := src.Flags[s.Flag]; ok {
			if err := s.Set(text); err != nil {
				return Config{}, fmt.Errorf("--%s: %w", s.Flag, err)
			}
		}
	}
	cfg.complete()
	if err := cfg.Validate(); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return cfg, nil
}

// fromEnviron reads HONGYAN_… variables. An unknown one is only warned of: orchestrators set variables of their own
// making for a service that is called hongyan.
func fromEnviron(all []Setting, src Source) error {
	for _, pair := range src.Environ {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "HONGYAN_") || name == "HONGYAN_CONFIG" {
			continue
		}
		i := slices.IndexFunc(all, func(s Setting) bool { return s.Env == name })
		if i < 0 {
			if src.Warn != nil {
				src.Warn("unknown environment variable " + name + didYouMean(name, envNames(all)))
			}
			continue
		}
		if err := all[i].Set(text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func envNames(all []Setting) []string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Env
	}
	return names
}

// decode reads YAML into cfg, which holds the defaults.
func decode(raw []byte, cfg *Config) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return err
	}
	if len(doc.Content) == 0 {
		return nil // empty
	}
	if err := checkKeys(doc.Content[0], "", keysOf(cfg)); err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true) // for what lies within lists
	if err := dec.Decode(cfg); err != nil {
		return readable(err)
	}
	if err := dec.Decode(&doc); !errors.Is(err, io.EOF) {
		return errors.New("want one YAML document")
	}
	return nil
}

// fileKeys are what a file may say.
type fileKeys struct {
	leaves, sections []string
	// settings are those of the leaves, in the same order.
	settings []Setting
}

func keysOf(cfg *Config) fileKeys {
	var k fileKeys
	all := settings(cfg)
	for _, s := range all {
		k.leaves = append(k.leaves, s.Key)
	}
	k.sections, k.settings = sections(all), all
	return k
}

// didYouMean suggests a key: one that was only put into the wrong section, else the most similar one.
func (k fileKeys) didYouMean(key, name string) string {
	if slices.Contains(k.leaves, name) {
		key = name
	}
	return didYouMean(key, append(slices.Clone(k.leaves), k.sections...))
}

func checkKeys(node *yaml.Node, prefix string, known fileKeys) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode && prefix == "" {
		return fmt.Errorf("line %d: want key: value lines, such as listen: localhost:8008, not %s", node.Line, kindName(node))
	}
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: want key: value lines below %q", node.Line, strings.TrimSuffix(prefix, "."))
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		key := prefix + name.Value
		switch {
		case slices.Contains(known.sections, key):
			if value.Tag == "!!null" {
				continue
			}
			if err := checkKeys(value, key+".", known); err != nil {
				return err
			}
		default:
			leaf := slices.Index(known.leaves, key)
			if leaf < 0 {
				return fmt.Errorf("line %d: unknown key %q%s", name.Line, key, known.didYouMean(key, name.Value))
			}
			if err := known.settings[leaf].checkValue(value); err != nil {
				return err
			}
		}
	}
	return nil
}
