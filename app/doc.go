// Package app is the composition root: the only importer of services. It reads the configuration, builds the services
// of the chosen targets around one registry, bus and set of connections, starts them in the order in which they need
// each other, and stops them in the reverse order after a drain.
//
// No service learns here whether its neighbour is in the same process: it gets clients of rpc.Conns, and the gateway
// gets http.RoundTrippers with the routes of each service as values.
//
// # Life
//
// New takes the data directory and builds everything; nothing runs. Run prepares the databases, starts the services,
// opens the listener, registers the instance and is ready, in this order. A gateway registers as starting, and answers, until
// it has found each service that it forwards to once. When its context ends, load balancers are told first and the registration
// goes, then parked polls are answered and requests finished within the drain's time, then the services stop, last the
// databases close.
package app
