package gateway

import (
	"fmt"
	"net/http"
	"strings"

	"hongyan/platform/httpx"
	"hongyan/service/gateway/spec"
)

// endpoint is a route with what serves it.
type endpoint struct {
	route httpx.Route
	// transport is nil for a path that the specification names and nobody serves yet.
	transport http.RoundTripper
	metrics   *endpointMetrics
	// remote says that it is reached over the network, foreign that it is another service's than this server's.
	remote, foreign bool
	// guests says that guests may call it.
	guests bool
	// span is the name of its requests in traces.
	span string
}

// table finds the endpoint of a request.
type table struct {
	matcher httpx.Matcher[*endpoint]
	built   map[string]bool // by method and path without the parameters' names
}

// add adds the routes of a service.
func (t *table) add(up Upstream, m *metrics) error {
	if up.Transport == nil {
		return fmt.Errorf("upstream %s has no transport", up.Service)
	}
	_, direct := up.Transport.(http.Handler)
	for _, route := range up.Routes {
		e := &endpoint{
			route: route, transport: up.Transport, metrics: m.endpoint(up.Service, route, !direct), span: route.Method + " " + route.Path,
			remote: !direct, guests: openToGuests(route.Method, route.Path),
		}
		if err := t.matcher.Add(route.Method, route.Path, e); err != nil {
			return fmt.Errorf("routes of %s: %w", up.Service, err)
		}
		if t.built == nil {
			t.built = map[string]bool{}
		}
		t.built[shape(route.Method, route.Path)] = true
	}
	return nil
}

// addUnbuilt adds what the specification names and nobody serves: a right method is 404 there, a wrong one 405.
func (t *table) addUnbuilt() error {
	for _, op := range spec.Operations() {
		key := shape(op.Method, op.Path)
		if _, known := t.built[key]; known { // two operations may share method and path
			continue
		}
		t.built[key] = false
		e := &endpoint{route: httpx.Route{Method: op.Method, Path: op.Path}}
		if err := t.matcher.Add(op.Method, op.Path, e); err != nil {
			return fmt.Errorf("operations of the specification: %w", err)
		}
	}
	return nil
}

// has tells whether some service serves a route.
func (t *table) has(method, path string) bool { return t.built[shape(method, path)] }

// serves tells whether a path is served, with whatever method.
func (t *table) serves(path string) bool {
	for _, method := range [...]string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch} {
		if match, err := t.matcher.Match(method, path); err == nil && match.Value.transport != nil {
			return true
		}
	}
	return false
}

// shape is what tells two routes apart: the names of parameters do not.
func shape(method, path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if strings.HasPrefix(segment, "{") {
			segments[i] = "{}"
		}
	}
	return method + " " + strings.Join(segments, "/")
}
