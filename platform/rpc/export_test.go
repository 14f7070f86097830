package rpc

import (
	"context"

	"google.golang.org/grpc"
)

// Drain takes a network server of NewGRPC out of use, as Leave, and refuses calls within this process too. An error says
// that calls were cut off.
func (s *Server) Drain(ctx context.Context, g *grpc.Server) error {
	s.all.shut()
	if err := s.Leave(ctx, g); err != nil {
		return err
	}
	return s.Close(ctx) // those in process
}
