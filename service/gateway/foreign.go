package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/httpx"
	"hongyan/platform/registry"
)

const (
	// maxForeignRoutes bounds the routes of services that are not part of the program, maxForeignBody the bodies that one
	// of them may want, maxPollBody those of a long poll, which are kept while it waits, and maxComplaints how many refusals
	// are remembered so that each is logged once.
	maxForeignRoutes = 1000
	maxForeignBody   = 1 << 30
	maxPollBody      = 1 << 20
	maxComplaints    = 1000
)

// Foreign are the services that are not part of the program: written in another language, and found in the registry with
// the routes that they serve.
type Foreign interface {
	// Instances are those that take requests, in the order of registry.Compare, and a channel that is closed when that
	// may have changed.
	Instances() ([]registry.Instance, <-chan struct{})
	// Upstream reaches those instances of a service that serves names.
	Upstream(service string, serves func(registry.Instance) bool) (http.RoundTripper, error)
}

// foreignRoutes is what foreign services serve now.
type foreignRoutes struct {
	foreign Foreign
	own     []string // services whose routes are built in
	metrics *metrics
	current atomic.Pointer[httpx.Matcher[*endpoint]]
	told    map[string]bool // what was complained about; of run alone
}

// run keeps the table until ctx ends.
func (f *foreignRoutes) run(ctx context.Context) {
	var last []registry.Instance
	for {
		instances, changed := f.foreign.Instances()
		if !slices.EqualFunc(instances, last, sameRoutes) {
			f.current.Store(f.build(instances))
			last = instances
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func sameRoutes(a, b registry.Instance) bool {
	return a.Service == b.Service && slices.Equal(a.Routes, b.Routes)
}

// build makes the table. A route that cannot be served is left out: one service's mistake is not another's.
func (f *foreignRoutes) build(instances []registry.Instance) *httpx.Matcher[*endpoint] {
	table := &httpx.Matcher[*endpoint]{}
	type owned struct{ service, shape string }
	seen := map[owned]bool{}
	count := 0
	for _, i := range instances {
		if slices.Contains(f.own, i.Service) {
			continue
		}
		for _, r := range i.Routes {
			key := owned{i.Service, shape(r.Method, r.Path)}
			if seen[key] { // another instance serves it too
				continue
			}
			seen[key] = true
			err := errors.New("there are too many routes")
			if count < maxForeignRoutes {
				err = f.add(table, i.Service, r)
			}
			if err != nil {
				f.complain(i.Service, r, err)
				continue
			}
			count++
		}
	}
	return table
}

func (f *foreignRoutes) add(table *httpx.Matcher[*endpoint], service string, r registry.Route) error {
	route, err := foreignRoute(r)
	if err != nil {
		return err
	}
	same := func(other registry.Route) bool { return other.Method == r.Method && other.Path == r.Path }
	form := shape(r.Method, r.Path)
	alike := func(other registry.Route) bool { return shape(other.Method, other.Path) == form }
	transport, err := f.foreign.Upstream(service, func(i registry.Instance) bool {
		return slices.ContainsFunc(i.Routes, same) || slices.ContainsFunc(i.Routes, alike)
	})
	if err != nil {
		return err
	}
	e := &endpoint{
		route: route, transport: foreignTransport{transport}, remote: true, foreign: true, span: route.Method + " " + route.Path,
		// The path is not a label: services come and go with as many as they like.
		metrics: f.metrics.endpoint(service, httpx.Route{Method: route.Method, Path: "(foreign)", LongPoll: route.LongPoll}, true),
	}
	return table.Add(route.Method, route.Path, e)
}

// foreignTransport takes out of answers what the gateway itself says in all of them.
type foreignTransport struct{ next http.RoundTripper }

// RoundTrip sends the request.
func (t foreignTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	delete(res.Header, "X-Request-Id")
	for name := range res.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(res.Header, name)
		}
	}
	return res, nil
}

// foreignRoute checks a route of a record.
func foreignRoute(r registry.Route) (httpx.Route, error) {
	route := httpx.Route{
		Method: r.Method, Path: r.Path, Key: r.Key, LongPoll: r.LongPoll, MaxBody: r.MaxBody, Once: r.Once, Idempotent: r.Idempotent,
	}
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch:
	default:
		return route, fmt.Errorf("method %q: want GET, POST, PUT, DELETE or PATCH", r.Method)
	}
	switch r.Auth {
	case "", "required":
		route.Auth = httpx.AuthRequired
	case "optional":
		route.Auth = httpx.AuthOptional
	case "none":
		route.Auth = httpx.AuthNone
	default:
		return route, fmt.Errorf("auth %q: want required, optional or none", r.Auth)
	}
	if r.LongPoll && route.Auth != httpx.AuthRequired {
		return route, errors.New("a long poll needs auth required: how many wait is counted by account")
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
	switch {
	case first == "" || strings.HasPrefix(first, "{"):
		return route, errors.New("the path must begin with fixed text")
	case slices.ContainsFunc(strings.Split(rest, "/"), func(segment string) bool { return segment == "." || segment == ".." }):
		return route, errors.New("no request has a path with . or .. in it")
	case first == "_hongyan" || first == "_synapse":
		return route, fmt.Errorf("the paths under /%s are the program's own", first)
	case first == "_matrix" && strings.Contains(r.Path, "/admin/"):
		return route, errors.New("the paths for administrators are the program's own")
	case r.Key != "" && r.Key != httpx.KeyUser && !slices.Contains(strings.Split(rest, "/"), "{"+r.Key+"}"):
		return route, fmt.Errorf("key %q is no parameter of the path", r.Key)
	case r.MaxBody < 0 || r.MaxBody > maxForeignBody:
		return route, fmt.Errorf("max_body %d: want 0 to %d", r.MaxBody, maxForeignBody)
	case r.LongPoll && r.MaxBody > maxPollBody:
		return route, fmt.Errorf("max_body %d: want 0 to %d of a long poll, whose body is kept", r.MaxBody, maxPollBody)
	}
	return route, nil
}

// complain logs why a route is left out, once.
func (f *foreignRoutes) complain(service string, r registry.Route, err error) {
	text := fmt.Sprintf("route %q %q of service %s is left out: %v", r.Method, r.Path, service, err)
	if f.told == nil {
		f.told = map[string]bool{}
	}
	if f.told[text] || len(f.told) >= maxComplaints {
		return
	}
	f.told[text] = true
	logx.Error(text)
}

// find finds what serves a request: a built-in route, or, where the path has none, a foreign service's.
func (s *Service) find(method, path string) (httpx.Match[*endpoint], error) {
	match, err := s.routes.matcher.Match(method, path)
	if err == nil && match.Value.transport != nil || s.foreign == nil {
		return match, err
	}
	table := s.foreign.current.Load()
	if table == nil {
		return match, err
	}
	if other, failed := table.Match(method, path); (failed == nil || other.Allow != "") && !s.routes.serves(path) {
		return other, failed
	}
	return match, err
}
