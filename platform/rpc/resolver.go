package rpc

import (
	"time"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
)

// scheme is that of targets: hongyan:///room is the service room as the directory lists it.
const scheme = "hongyan"

// resolvers makes the resolver of one callee. It is given to that callee's connection alone, not registered.
type resolvers struct{ callee *callee }

// Scheme is the targets' scheme.
func (resolvers) Scheme() string { return scheme }

// Build starts a resolver; gRPC closes it.
func (b resolvers) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	r := &follower{callee: b.callee, cc: cc, stop: make(chan struct{}), done: make(chan struct{})}
	go r.follow()
	return r, nil
}

// follower tells gRPC each change of the directory.
type follower struct {
	callee     *callee
	cc         resolver.ClientConn
	stop, done chan struct{}
}

// lingering is how often it is seen whether the calls of instances that have left have ended.
const lingering = time.Second

type calleeKey struct{}

// follow also passes on changes that leave the addresses as they are (an instance is down): the balancer tries calls that
// wait again.
func (r *follower) follow() {
	defer close(r.done)
	for {
		changed := r.callee.cluster.dir.Changed()
		addresses, leaving := r.callee.list()
		var again <-chan time.Time
		if leaving {
			again = time.After(lingering)
		}
		// An error only says that the balancer wants to be asked again later, and it is.
		_ = r.cc.UpdateState(resolver.State{
			Addresses: addresses, Attributes: attributes.New(calleeKey{}, r.callee),
		})
		select {
		case <-changed:
		case <-again:
		case <-r.stop:
			return
		}
	}
}

// ResolveNow does nothing: all changes are passed on already.
func (r *follower) ResolveNow(resolver.ResolveNowOptions) {}

// Close ends the resolver.
func (r *follower) Close() {
	close(r.stop)
	<-r.done
}
