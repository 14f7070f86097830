package httpx

import (
	"net/http"
	"net/netip"
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

// Internal headers of the trusted hop.
const (
	headerUser        = "X-Hongyan-User"
	headerDevice      = "X-Hongyan-Device"
	headerFlags       = "X-Hongyan-Flags"
	headerToken       = "X-Hongyan-Token"
	headerRequestID   = "X-Hongyan-Request-Id"
	headerIdempotency = "X-Hongyan-Idempotency-Key"
	headerRemote      = "X-Hongyan-Remote"
	headerPrefix      = "X-Hongyan-"
)

// CallerOf reads the caller from a request that came over the trusted hop.
func CallerOf(r *http.Request) Caller {
	h := r.Header
	c := Caller{
		UserID: h.Get(headerUser), DeviceID: h.Get(headerDevice), TokenID: h.Get(headerToken),
		RequestID: h.Get(headerRequestID), IdempotencyKey: h.Get(headerIdempotency),
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

// SetCaller replaces all internal headers of a request by those that say c.
func SetCaller(h http.Header, c Caller) {
	for name := range h {
		if len(name) >= len(headerPrefix) && name[:len(headerPrefix)] == headerPrefix {
			delete(h, name)
		}
	}
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	set(headerUser, c.UserID)
	set(headerDevice, c.DeviceID)
	set(headerToken, c.TokenID)
	set(headerRequestID, c.RequestID)
	set(headerIdempotency, c.IdempotencyKey)
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
