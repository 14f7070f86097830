package app

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"hongyan/platform/obs"
)

// Setting is one value of the configuration. It has one name in three spellings: log.level in the file, --log-level
// on the command line, HONGYAN_LOG_LEVEL in the environment.
type Setting struct {
	// Key is the path in the file.
	Key string
	// Flag is without dashes in front.
	Flag string
	// Env is the environment variable.
	Env string
	// Usage says what it is for.
	Usage string
	// Secret says that the value is never shown.
	Secret bool

	value reflect.Value
}

// settings lists all values of a configuration, in the order of its fields. Set changes cfg.
func settings(cfg *Config) []Setting { return walk("", reflect.ValueOf(cfg).Elem(), nil) }

// hoisted are settings of services that are set at the top level, under their last name.
var hoisted = []string{"identity.registration", "identity.registration_shared_secret"}

func walk(prefix string, v reflect.Value, to []Setting) []Setting {
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		key, field := prefix+name, v.Field(i)
		if option == "inline" {
			to = walk(prefix, field, to)
			continue
		}
		if name == "" || name == "-" || slices.Contains(hoisted, key) {
			continue
		}
		if field.Kind() == reflect.Struct {
			to = walk(key+".", field, to)
			continue
		}
		spelled := strings.NewReplacer(".", "-", "_", "-").Replace(key)
		to = append(to, Setting{
			Key: key, Flag: spelled, Env: "HONGYAN_" + strings.ToUpper(strings.ReplaceAll(spelled, "-", "_")),
			Usage: usage[key], Secret: isSecret(field.Type()), value: field,
		})
	}
	return to
}

func isSecret(t reflect.Type) bool {
	secret := reflect.TypeFor[obs.Secret]()
	return t == secret || ((t.Kind() == reflect.Slice || t.Kind() == reflect.Map) && t.Elem() == secret)
}

// isTextList tells whether a value is a list that one writes with commas.
func (s Setting) isTextList() bool {
	return s.value.Kind() == reflect.Slice && s.value.Type().Elem().Kind() == reflect.String
}

// Set reads the value from text: a list of words is separated by commas, a map is name=value,name=value, anything
// else is as in the file.
func (s Setting) Set(text string) error {
	switch {
	case s.value.Kind() == reflect.String:
		s.value.SetString(text)
		return nil
	case s.isTextList():
		list := reflect.MakeSlice(s.value.Type(), 0, 0)
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = reflect.Append(list, reflect.ValueOf(item).Convert(s.value.Type().Elem()))
			}
		}
		s.value.Set(list)
		return nil
	case s.value.Kind() == reflect.Map:
		return s.setMap(text)
	}
	if text == "" && s.value.Kind() == reflect.Slice {
		s.value.SetZero()
		return nil
	}
	var doc yaml.Node
	err := yaml.Unmarshal([]byte(text), &doc)
	if err != nil || len(doc.Content) == 0 || decodeNode(doc.Content[0], s.value.Addr()) != nil {
		return fmt.Errorf("want %s, not %q", s.wanted(), text)
	}
	return nil
}

func (s Setting) setMap(text string) error {
	m := reflect.MakeMap(s.value.Type())
	for item := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		name, value, ok := strings.Cut(item, "=")
		if !ok {
			return fmt.Errorf("want name=value,name=value, not %q", name)
		}
		m.SetMapIndex(reflect.ValueOf(strings.TrimSpace(name)),
			reflect.ValueOf(strings.TrimSpace(value)).Convert(s.value.Type().Elem()))
	}
	s.value.Set(m)
	return nil
}

// String is the value as Set reads it; secrets are hidden.
func (s Setting) String() string {
	switch s.value.Kind() {
	case reflect.Slice:
		items := make([]string, s.value.Len())
		for i := range items {
			items[i] = fmt.Sprint(s.value.Index(i).Interface())
		}
		return strings.Join(items, ",")
	case reflect.Map:
		var items []string
		for _, key := range s.value.MapKeys() {
			items = append(items, fmt.Sprintf("%s=%v", key, s.value.MapIndex(key).Interface()))
		}
		slices.Sort(items)
		return strings.Join(items, ",")
	case reflect.Bool:
		if s.value.Bool() {
			return "on"
		}
		return "off"
	}
	return fmt.Sprint(s.value.Interface())
}

// Kind names what Set takes.
func (s Setting) Kind() string {
	switch s.value.Interface().(type) {
	case bool:
		return "on|off"
	case fmt.Stringer:
		if s.value.Kind() == reflect.Int64 {
			return "duration"
		}
	}
	switch s.value.Kind() {
	case reflect.String:
		return "text"
	case reflect.Slice:
		if s.isTextList() {
			return "list"
		}
		return "YAML list"
	case reflect.Map:
		return "name=value list"
	}
	return "number"
}

// Settings describes all settings with their defaults, for flags and documentation.
func Settings() []Setting {
	cfg := Default()
	return settings(&cfg)
}

// sections are the keys above settings: gateway, gateway.limits, …
func sections(all []Setting) []string {
	names := map[string]bool{}
	for _, s := range all {
		for key := s.Key; ; {
			i := strings.LastIndexByte(key, '.')
			if i < 0 {
				break
			}
			key = key[:i]
			names[key] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
