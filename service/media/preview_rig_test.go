package media_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/media"
)

// site is another site: on all addresses of this machine, of which previews may ask one only.
type site struct {
	t    testing.TB
	port string

	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	asked []*http.Request
}

// siteHost is the address at which previews may ask a site.
const siteHost = "127.0.0.1"

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, pages: map[string]http.HandlerFunc{}}
	server := httptest.NewUnstartedServer(s)
	require.NoError(t, server.Listener.Close())
	var err error
	server.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0")
	require.NoError(t, err)
	server.Start()
	t.Cleanup(server.Close)
	_, s.port, err = net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	page := s.pages[r.URL.Path]
	s.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	page(w, r)
}

// has makes a page of the site.
func (s *site) has(path string, page http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = page
}

// says makes a page of the site that is this.
func (s *site) says(path, contentType string, body []byte) {
	s.has(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // a reader that has enough hangs up
	})
}

func (s *site) html(path, body string) { s.says(path, "text/html; charset=utf-8", []byte(body)) }

// hits counts how often a page was asked for.
func (s *site) hits(path string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.asked {
		if r.URL.Path == path {
			n++
		}
	}
	return n
}

// last is the last request for a page.
func (s *site) last(path string) (last *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.asked {
		if r.URL.Path == path {
			last = r
		}
	}
	require.NotNil(s.t, last, path)
	return last
}

func (s *site) at(host, path string) string { return "http://" + net.JoinHostPort(host, s.port) + path }

func (s *site) url(path string) string { return s.at(siteHost, path) }

// previews turns previews on.
func previews(change func(*media.PreviewsConfig)) func(*media.Config) {
	return func(c *media.Config) {
		c.URLPreviews.Enabled, c.URLPreviews.Allow, c.URLPreviews.Ports = true, []string{siteHost}, []string{"all"}
		c.URLPreviews.Timeout, c.URLPreviews.TotalTimeout = 20*time.Second, 25*time.Second
		if change != nil {
			change(&c.URLPreviews)
		}
	}
}

// onBothSites runs a test on both databases, with previews and another site.
func onBothSites(t *testing.T, change func(*media.PreviewsConfig), test func(t *testing.T, g *rig, s *site)) {
	onBothWith(t, previews(change), func(t *testing.T, g *rig) { test(t, g, newSite(t)) })
}

func previewOf(address string) string { return previewPath + "?url=" + url.QueryEscape(address) }

func (g *rig) preview(user, address string) answer {
	g.t.Helper()
	return g.get(user, previewOf(address))
}

// previewAt is the title of the preview of a time.
func (g *rig) titleAt(address string, at time.Time) string {
	g.t.Helper()
	return g.get("alice", fmt.Sprintf("%s&ts=%d", previewOf(address), at.UnixMilli())).is(200, "").get("og:title").Str
}

// image is the media id of a preview's picture.
func (a answer) image() string {
	a.t.Helper()
	id, ok := strings.CutPrefix(a.get("og:image").Str, "mxc://hs/")
	require.True(a.t, ok, a.body)
	return id
}

// props are what a preview says.
func (a answer) props() map[string]any {
	a.t.Helper()
	var all map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(a.is(200, "").body), &all))
	return all
}

// count counts rows.
func (g *rig) count(table string) (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(g.t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}
