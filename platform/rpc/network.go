package rpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Dial returns a connection to one server of the trusted network at a fixed target ("127.0.0.1:9000"). It connects
// when it is first used. gRPC pings no more often than every 10 s, so a hung server is noticed by calls' deadlines
// first.
func Dial(target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	opts = append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: time.Second}),
	}, opts...)
	cc, err := grpc.NewClient(target, opts...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	return cc, nil
}

// NewFixed returns connections to services at fixed places, one instance or more each.
func NewFixed(places map[string][]grpc.ClientConnInterface, opts Options) *Conns {
	return &Conns{where: fixedPlaces(places), opts: opts, metrics: newMetrics(opts.Registerer, "client")}
}

type fixedPlaces map[string][]grpc.ClientConnInterface

func (p fixedPlaces) pick(_ context.Context, service string) (grpc.ClientConnInterface, error) {
	if conns := p[service]; len(conns) > 0 {
		return conns[0], nil
	}
	return nil, errNoInstance(service)
}

func (p fixedPlaces) all(service string) []grpc.ClientConnInterface { return p[service] }
