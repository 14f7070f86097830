// Package balance is what a caller knows of the instances that it calls, and what it makes of it: which of two is the
// better one ([P2C] over the peak-sensitive moving average of each [Peer]'s latency), which is passed over for a while
// because its calls fail (a breaker in each [Peer]), and how many calls may be repeated ([Budget]). It knows neither
// transports nor services.
package balance
