package cluster

import "strings"

// BusURL is the URL of a NATS server. It prints without the user, password or token in it.
type BusURL string

// String hides what stands before the host.
func (u BusURL) String() string {
	scheme, rest, ok := strings.Cut(string(u), "://")
	if ok {
		scheme += "://"
	} else {
		scheme, rest = "", string(u)
	}
	i := strings.LastIndexByte(rest, '@')
	if i < 0 {
		return string(u)
	}
	return scheme + "xxxxx" + rest[i:]
}

// GoString hides it from %#v.
func (u BusURL) GoString() string { return `"` + u.String() + `"` }

// MarshalYAML hides it.
func (u BusURL) MarshalYAML() (any, error) { return u.String(), nil }

// plain returns the URLs as they are.
func plain(urls []BusURL) []string {
	texts := make([]string, len(urls))
	for i, u := range urls {
		texts[i] = string(u)
	}
	return texts
}
