// Package httpx is the HTTP edge of every service: go-zero's rest engine as a library, with a router that is right
// for Matrix's escaped paths, and with how the gateway reaches a service.
//
// A service declares [Binding]s and [NewServer] makes them an http.Handler. The gateway knows the same routes
// without handlers ([Routes]), finds them with a [Matcher], says who calls with [SetCaller], and passes the request
// on with [Forward] to an http.RoundTripper: one that goes over the network, or [Local], which calls the handler in
// process. httpx/upstreamtest holds both kinds to the same behaviour.
//
// Nothing here cuts a long poll: no write timeout, breaker, load shedder or cap on connections lies in the chain. A
// route's own deadline reaches its handler as the context's.
package httpx
