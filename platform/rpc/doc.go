// Package rpc is how services call each other: generated gRPC clients over a channel in process, or over the network,
// with the same deadlines, request ids, metrics and errors on both.
//
// A [Server] collects what one service registers. [Conns] gives callers a connection a service, before or after that
// service exists; a call to a service that is not there fails with 503 and may be tried again. Errors are
// *matrix.Error on both sides: status, code, message and fields cross, the cause never does.
package rpc
