// Package gateway is the edge of the server: the one address that clients know.
//
// It owns nothing durable. For each request it sets the CORS headers, finds the route, authenticates the access
// token once, counts the request towards its rate limit, replaces whatever internal headers came in by those that
// say who calls, and forwards the request to the service that owns the route. It answers by itself only what
// belongs to no service: versions, capabilities, well-known documents and the landing page.
//
// # Whom it calls
//
// identity (Authenticate), over RPC. All other services only by forwarding, as http.RoundTrippers that it was given
// together with their routes; it knows no address and no service's code.
//
// # Invariants
//
//   - Nothing is authenticated before its route is known: an unknown path is 404 M_UNRECOGNIZED for everybody, a
//     wrong method on a path that the specification names 405, built or not.
//   - What identity said of a token is used for at most two seconds from the start of the look-up. Once
//     ForgetTokens has answered, no later request is let through on anything that was looked up before, and the
//     long polls of the devices have been told to end.
//   - A service sees internal headers from the gateway only, and never sees an access token.
//   - Memory that clients can grow (known tokens, buckets, parked polls of an account) is bounded.
package gateway
