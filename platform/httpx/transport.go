package httpx

import (
	"net"
	"net/http"
	"net/url"
	"time"
)

// NewTransport returns a transport for the trusted hop: HTTP/2 without TLS, many requests a connection, and pings that
// notice a hung instance after 2 s (1 s of silence and 1 s without an answer). Its idle connections are closed with
// CloseIdleConnections.
func NewTransport() *http.Transport {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Protocols:          &protocols,
		DialContext:        (&net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}).DialContext,
		HTTP2:              &http.HTTP2Config{SendPingTimeout: time.Second, PingTimeout: time.Second},
		DisableCompression: true,
		IdleConnTimeout:    90 * time.Second,
	}
}

// ServerProtocols is what a listener of the trusted hop speaks: HTTP/1.1 and HTTP/2 without TLS.
func ServerProtocols() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return &p
}

// Fixed returns the upstream at one address (scheme and host of base), reached over rt.
func Fixed(base *url.URL, rt http.RoundTripper) http.RoundTripper {
	return &fixed{scheme: base.Scheme, host: base.Host, next: rt}
}

type fixed struct {
	scheme, host string
	next         http.RoundTripper
}

func (f *fixed) RoundTrip(r *http.Request) (*http.Response, error) {
	out := *r
	url := *r.URL
	url.Scheme, url.Host = f.scheme, f.host
	out.URL = &url
	return f.next.RoundTrip(&out)
}
