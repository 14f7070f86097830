package httpx

import (
	"math"
	"net/http"
	"time"
)

// Auth says who may call a route. The gateway enforces it before the request reaches the service.
type Auth int

const (
	// AuthRequired wants a valid access token.
	AuthRequired Auth = iota
	// AuthNone ignores access tokens.
	AuthNone
	// AuthOptional passes on who calls if there is a token; a bad token is refused.
	AuthOptional
	// AuthLocked is AuthRequired and open to locked accounts too (logout).
	AuthLocked
)

// Limit names the rate limit that a route counts towards.
type Limit string

// Rate limits. Each is counted per account, and per address where nobody is authenticated.
const (
	LimitDefault  Limit = ""         // reads and ordinary writes
	LimitMessage  Limit = "message"  // events sent into rooms
	LimitRoom     Limit = "room"     // rooms created, joins, invites
	LimitLogin    Limit = "login"    // log-ins, password checks
	LimitRegister Limit = "register" // accounts made
	LimitUpload   Limit = "upload"   // uploads, and ids for them
	LimitNone     Limit = "none"     // long polls and what costs nothing
)

// Route is what the gateway and monitoring know of a route: no code.
type Route struct {
	// Method is the HTTP method.
	Method string
	// Path is the pattern, one {name} a segment: "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}".
	// A route under /_matrix/client/v3/ is served under /_matrix/client/r0/ too. A last segment may be
	// {name} with an empty value only if Path is also declared ending in "/".
	Path string
	// Key is the path parameter that chooses the instance ("roomId"), KeyUser for the caller, or empty.
	Key  string
	Auth Auth
	// Limit is the rate limit it counts towards.
	Limit Limit
	// LongPoll exempts the route from every timeout but its own and from connection caps.
	LongPoll bool
	// Timeout is how long it may take; 0 is the default (30 s).
	Timeout time.Duration
	// MaxBody is the largest body in bytes; 0 is the default (256 KiB).
	MaxBody int64
	// Stream says that bodies are long and are not kept on their way: the request's may take as long as it comes on, which
	// Timeout bounds in pauses and MinStreamRate as a whole, and the answer as long as it is read. The handler bounds its own
	// work and, where MaxBody is 0, the size.
	Stream bool
	// Once says that the request must never be sent twice (login, register, uploads).
	Once bool
	// Idempotent says that a request that may have been served may be sent again, by another instance too, although its
	// method does not say so: the service knows a repetition by its idempotency key, or does no harm by it. GET, HEAD and
	// PUT need no saying. Once is stronger.
	Idempotent bool
}

// BodyLimit is the largest body in bytes.
func (r Route) BodyLimit() int64 {
	switch {
	case r.MaxBody > 0:
		return r.MaxBody
	case r.Stream:
		return math.MaxInt64
	}
	return DefaultMaxBody
}

// BodyTime is how a body has to come.
func (r Route) BodyTime() BodyTime {
	t := BodyTime{Timeout: r.Timeout, Stream: r.Stream}
	if t.Timeout == 0 {
		t.Timeout = DefaultTimeout
	}
	return t
}

// KeyUser as a Route's Key chooses the instance by the calling user.
const KeyUser = "@user"

// HandlerFunc answers a request. An error it returns is answered as matrix.AsError says, unless the
// response has begun.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// Binding is a route with its handler, as a service has it.
type Binding struct {
	Route
	Handler HandlerFunc
}

// Routes strips the handlers off: what a service exports for the gateway.
func Routes(bindings []Binding) []Route {
	routes := make([]Route, len(bindings))
	for i, b := range bindings {
		routes[i] = b.Route
	}
	return routes
}
