package media_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"hongyan/platform/blob"
	"hongyan/platform/blob/disk"
	"hongyan/platform/bus"
	"hongyan/platform/bus/memory"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
	"hongyan/service/media"
	"hongyan/test/pgtest"
)

const patience = 30 * time.Second

// databases are the URLs of fresh databases, one of each kind.
var databases = map[string]func(testing.TB) string{
	"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "media.db") },
	"postgres": pgtest.Start,
}

// place is what the instances of a deployment share.
type place struct {
	database, folder string
	blobs            blob.Store
	bus              bus.Bus
	clock            *clock
}

// clock is a time that a test moves.
type clock struct {
	mu   sync.Mutex
	late time.Duration
	// asked, where set, is called when somebody asks what time it is, once unless it sets itself again.
	asked func()
}

func (c *clock) whenAsked(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = do
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	do := c.asked
	c.asked = nil
	c.mu.Unlock()
	if do != nil {
		do()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.late)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late += d
}

func newPlace(t testing.TB, database string) *place {
	wakes := memory.New(64)
	t.Cleanup(func() { require.NoError(t, wakes.Close()) })
	folder := filepath.Join(t.TempDir(), "blobs")
	blobs, err := disk.Open(folder)
	require.NoError(t, err)
	return &place{database: database, folder: folder, blobs: blobs, bus: wakes, clock: &clock{}}
}

// rig is a running instance of the service.
type rig struct {
	t       testing.TB
	place   *place
	service *media.Service
	db      *sqldb.DB
	url     string
	stop    func()
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, g *rig)) { onBothWith(t, nil, test) }

func onBothWith(t *testing.T, change func(*media.Config), test func(t *testing.T, g *rig)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, newRig(t, newPlace(t, open(t)), change)) })
	}
}

// newRig starts an instance.
func newRig(t testing.TB, p *place, change func(*media.Config)) *rig {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: p.database})
	require.NoError(t, err)
	cfg := media.Default()
	if change != nil {
		change(&cfg)
	}
	s, err := media.New(cfg, media.Deps{DB: db, Blobs: p.blobs, Bus: p.bus, Server: "hs", Clock: p.clock.now})
	require.NoError(t, err)
	require.NoError(t, s.Prepare(ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	web := httptest.NewServer(s.Handler())
	g := &rig{t: t, place: p, service: s, db: db, url: web.URL}
	g.stop = sync.OnceFunc(func() {
		web.Close()
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, db.Close())
	})
	t.Cleanup(g.stop)
	return g
}

// answer is what a request was answered.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

func (a answer) get(path string) gjson.Result { return gjson.Get(a.body, gjson.Escape(path)) }

// is requires a status, and of what fails its code.
func (a answer) is(status int, code string) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, a.body)
	if code != "" {
		require.True(a.t, json.Valid([]byte(a.body)), a.body)
		require.Equal(a.t, code, a.get("errcode").Str, a.body)
		require.NotEmpty(a.t, a.get("error").Str)
	}
	return a
}

// request is one that a test makes; caller is its user's localpart, "" for nobody.
type request struct {
	method, path string
	caller       httpx.Caller
	header       map[string]string
	body         io.Reader
	length       int64
}

func as(user string) httpx.Caller {
	if user == "" {
		return httpx.Caller{}
	}
	return httpx.Caller{UserID: "@" + user + ":hs", DeviceID: "D"}
}

func (g *rig) do(q request) answer {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, q.method, g.url+q.path, q.body)
	require.NoError(g.t, err)
	if q.length != 0 {
		r.ContentLength = q.length
	}
	httpx.SetCaller(r.Header, q.caller)
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(g.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(g.t, err)
	return answer{g.t, res.StatusCode, res.Header, string(text)}
}

func (g *rig) get(user, path string) answer {
	g.t.Helper()
	return g.do(request{method: http.MethodGet, path: path, caller: as(user)})
}

// upload uploads content and returns the id.
func (g *rig) upload(user, contentType, name string, content []byte) string {
	g.t.Helper()
	a := g.tryUpload(user, contentType, name, content).is(200, "")
	return strings.TrimPrefix(a.get("content_uri").Str, "mxc://hs/")
}

func (g *rig) tryUpload(user, contentType, name string, content []byte) answer {
	g.t.Helper()
	path := "/_matrix/media/v3/upload"
	if name != "" {
		path += "?filename=" + url.QueryEscape(name)
	}
	return g.do(request{
		method: http.MethodPost, path: path, caller: as(user), header: map[string]string{"Content-Type": contentType},
		body: bytes.NewReader(content),
	})
}

// create makes an id without content.
func (g *rig) create(user string) string {
	g.t.Helper()
	a := g.do(request{method: http.MethodPost, path: "/_matrix/media/v1/create", caller: as(user)}).is(200, "")
	return strings.TrimPrefix(a.get("content_uri").Str, "mxc://hs/")
}

// put uploads content to an id.
func (g *rig) put(user, id string, content []byte) answer {
	g.t.Helper()
	return g.do(request{
		method: http.MethodPut, path: "/_matrix/media/v3/upload/hs/" + id, caller: as(user),
		header: map[string]string{"Content-Type": "text/plain"}, body: bytes.NewReader(content),
	})
}

func download(id string) string { return "/_matrix/client/v1/media/download/hs/" + id }

func thumbnail(id string, width, height int, more string) string {
	return fmt.Sprintf("/_matrix/client/v1/media/thumbnail/hs/%s?width=%d&height=%d%s", id, width, height, more)
}

// blobs counts the files in the blob store.
func (g *rig) blobs() (n int) {
	g.t.Helper()
	require.NoError(g.t, filepath.WalkDir(g.place.folder, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}))
	return n
}

// sweep removes what nobody needs.
func (g *rig) sweep() {
	g.t.Helper()
	require.NoError(g.t, media.Sweep(context.Background(), g.service))
}

// at is the rig for a test within the one that made it.
func (g *rig) at(t testing.TB) *rig {
	within := *g
	within.t = t
	return &within
}
