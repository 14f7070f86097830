// Package probe finds out which instances hang. A hung process keeps its connections and its place in the registry, and
// calls to it would only end with their deadlines. So a [Prober] asks each instance that has said nothing for a
// second, and tells the directory when there is no answer within another: calls pass it over until it answers again. What
// waits for one that is silent is given up; one that refuses connections may drain, or its connections have failed already.
// One that has left the directory is asked on while calls wait for it: the registry may forget a hung one before it is
// found out.
//
// It knows no transport: what a ping is, is given. It asks at gRPC ports; those who send requests over HTTP ask for themselves.
package probe
