package httpx

import (
	"net/http"
	"net/netip"
	"strings"
)

// Caller is who sent a request, as the gateway found out. Services trust it: it travels in headers that the
// gateway strips from what comes in.
type Caller struct {
	// UserID and DeviceID are empty where nobody is authenticated.
	UserID   string
	DeviceID string
	// Admin, Guest, Locked and Suspended are the account's.
	Admin, Guest, Locked, Suspended bool
	// TokenID identifies the access token without being usable as one.
	TokenID string
	// RequestID goes into logs and traces.
	RequestID string
	// IdempotencyKey is the same for every repetition of one client request that has no transaction id.
	IdempotencyKey string
	// RemoteAddr is the client's address.
	RemoteAddr netip.Addr
}

// Internal headers of the trusted hop that other packages set or read.
const (
	// HeaderKey is the key that chooses the instance: a room id or a user id, percent-encoded.
	HeaderKey = "X-Hongyan-Key"
	// HeaderOnce marks a request that must never be sent twice, HeaderIdempotent one that may be although its method does
	// not say so, and HeaderPoll one that waits for news. They tell the gateway's transport, and do not leave it.
	HeaderOnce       = "X-Hongyan-Once"
	HeaderIdempotent = "X-Hongyan-Idempotent"
	HeaderPoll       = "X-Hongyan-Poll"
	// HeaderIdempotency is the same for every repetition of one client request that has no transaction id.
	HeaderIdempotency = "X-Hongyan-Idempotency-Key"
	// HeaderRefused marks the answer of an instance that takes no requests and has not looked at this one.
	HeaderRefused = "X-Hongyan-Refused"
	// HeaderInstance says in the answer of HealthPath which instance answers (registry.Instance.Key): a port may be another's
	// by now.
	HeaderInstance = "X-Hongyan-Instance"
)

// Internal headers that say who calls.
const (
	headerUser      = "X-Hongyan-User"
	headerDevice    = "X-Hongyan-Device"
	headerFlags     = "X-Hongyan-Flags"
	headerToken     = "X-Hongyan-Token"
	headerRequestID = "X-Hongyan-Request-Id"
	headerRemote    = "X-Hongyan-Remote"
	headerPrefix    = "X-Hongyan-"
)

// CallerOf reads the caller from a request that came over the trusted hop.
func CallerOf(r *http.Request) Caller {
	h := r.Header
	c := Caller{
		UserID: h.Get(headerUser), DeviceID: h.Get(headerDevice), TokenID: h.Get(headerToken),
		RequestID: h.Get(headerRequestID), IdempotencyKey: h.Get(HeaderIdempotency),
	}
	for _, f := range h.Get(headerFlags) {
		switch f {
		case 'a':
			c.Admin = true
		case 'g':
			c.Guest = true
		case 'l':
			c.Locked = true
		case 's':
			c.Suspended = true
		}
	}
	c.RemoteAddr, _ = netip.ParseAddr(h.Get(headerRemote))
	return c
}

// StripInternal removes all internal headers of a request or an answer.
func StripInternal(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, headerPrefix) {
			delete(h, name)
		}
	}
}

// SetCaller replaces all internal headers of a request by those that say c.
func SetCaller(h http.Header, c Caller) {
	StripInternal(h)
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	set(headerUser, c.UserID)
	set(headerDevice, c.DeviceID)
	set(headerToken, c.TokenID)
	set(headerRequestID, c.RequestID)
	set(HeaderIdempotency, c.IdempotencyKey)
	if c.RemoteAddr.IsValid() {
		set(headerRemote, c.RemoteAddr.String())
	}
	flags := make([]byte, 0, 4)
	for _, f := range []struct {
		on   bool
		flag byte
	}{{c.Admin, 'a'}, {c.Guest, 'g'}, {c.Locked, 'l'}, {c.Suspended, 's'}} {
		if f.on {
			flags = append(flags, f.flag)
		}
	}
	set(headerFlags, string(flags))
}
