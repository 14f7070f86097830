package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Errors of a Client. Others say that the request was made and came to nothing.
var (
	// ErrRefused says that what was asked for may not be reached.
	ErrRefused = errors.New("may not be reached")
	// ErrTooLarge says that a body is larger than it may be.
	ErrTooLarge = errors.New("the answer is too large")
	// ErrRedirects says that there were too many redirects.
	ErrRedirects = errors.New("too many redirects")
)

// handshake is how long making a connection may take in each of its two parts.
const handshake = 5 * time.Second

// Client makes requests. It keeps no connections and has no goroutines of its own.
type Client struct {
	cfg    Config
	deny   []Pattern
	places *places
	http   *http.Client
}

// New checks the configuration and returns a client of it.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("outbound: %w", err)
	}
	cfg = cfg.complete()
	c := &Client{cfg: cfg, places: newPlaces(cfg.AtOnce, cfg.HostAtOnce)}
	for _, text := range cfg.Deny {
		p, err := ParsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("outbound: %w", err)
		}
		c.deny = append(c.deny, p)
	}
	dialer := &net.Dialer{Timeout: handshake, Control: c.control, Resolver: cfg.Resolver}
	c.http = &http.Client{
		Timeout: cfg.Timeout, CheckRedirect: c.redirect,
		Transport: &guard{client: c, next: &http.Transport{
			Proxy:       nil, // not even the environment's
			DialContext: dialer.DialContext,
			// Bodies are decompressed within bounds: see body.go.
			DisableCompression: true, DisableKeepAlives: true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
			TLSHandshakeTimeout:    handshake,
			MaxResponseHeaderBytes: cfg.MaxHeaderBytes,
		}},
	}
	return c, nil
}

// HTTP is the client for requests that Open and Get do not make. Whoever uses it bounds what they read, with Bounded.
func (c *Client) HTTP() *http.Client { return c.http }

// redirect lets http.Client follow a redirect. Where it leads is judged like every request.
func (c *Client) redirect(r *http.Request, before []*http.Request) error {
	if len(before) > c.cfg.MaxRedirects {
		return ErrRedirects
	}
	r.Header.Del("Referer") // it is nobody's business
	return nil
}

// guard judges each request, redirects too, and bounds how many there are at once.
type guard struct {
	client *Client
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.client.Check(r.URL); err != nil {
		return nil, err
	}
	host, err := placeOf(r.URL)
	if err != nil {
		return nil, err
	}
	release, err := g.client.places.take(r.Context(), host)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.RawQuery = encodeQuery(r.URL.RawQuery)
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", g.client.cfg.UserAgent)
	}
	res, err := g.next.RoundTrip(r)
	if err != nil {
		release()
		return nil, err
	}
	res.Body = &releasing{ReadCloser: res.Body, release: release}
	return res, nil
}

// Open gets a URL. The body of what it returns gives up to maxBytes, decompressed, and then ErrTooLarge; its reader closes it.
// The status may be any.
func (c *Client) Open(ctx context.Context, address string, header http.Header, maxBytes int64) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no URL", ErrRefused)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Accept-Encoding", "gzip")
	res, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	if err := Bounded(res, maxBytes); err != nil {
		_ = res.Body.Close() // the other error says it
		return nil, err
	}
	return res, nil
}
