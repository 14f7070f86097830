package rpc

import (
	"context"
	"sync"

	"google.golang.org/grpc"
)

// gate counts calls and refuses them once it is shut. The zero value is open.
type gate struct {
	mu    sync.Mutex
	calls int
	idle  chan struct{} // closed when no call runs after it was shut; nil while it is open
}

// enter lets a call in, whose leave must follow, or refuses it.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle != nil {
		return false
	}
	g.calls++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
	if g.calls == 0 && g.idle != nil {
		close(g.idle)
	}
}

// shut refuses further calls and returns what is closed when the last has ended.
func (g *gate) shut() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle == nil {
		g.idle = make(chan struct{})
		if g.calls == 0 {
			close(g.idle)
		}
	}
	return g.idle
}

func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.idle == nil
}

// arrives lets calls from other processes in, while there is no Leave. What asks about the server itself is always answered.
func (s *Server) arrives(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if isHealth(info.FullMethod) {
		return handler(ctx, req)
	}
	if !s.network.enter() {
		return nil, refusal()
	}
	defer s.network.leave()
	return handler(ctx, req)
}

func (s *Server) arrivesStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if isHealth(info.FullMethod) {
		return handler(srv, stream)
	}
	if !s.network.enter() {
		return refusal()
	}
	defer s.network.leave()
	return handler(srv, stream)
}
