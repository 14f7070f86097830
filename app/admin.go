package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	identitypb "hongyan/api/identity"
	mediapb "hongyan/api/media"
	nodepb "hongyan/api/node"
	roompb "hongyan/api/room"
	"hongyan/platform/rpc"
)

// adminSocket is the local socket over which a running server is administered. Who may open it says the file system:
// the user that runs the server, and nobody else.
type adminSocket struct {
	listener net.Listener
	server   *grpc.Server
}

// listenAdmin opens the socket in the data directory.
func listenAdmin(ctx context.Context, b *builder) (*adminSocket, error) {
	path := b.dir.file(AdminSocket)
	// One that is there was left by a server that was killed: the data directory is locked.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	// The directory is the user's alone, so nobody else gets in before the mode is set.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin socket: %w", err), listener.Close())
	}
	// No metrics: what people do by hand is not counted among the calls of services.
	server := rpc.NewServer("admin", rpc.Options{})
	b.cluster.RegisterTopology(server)
	for _, u := range b.units {
		if u.admin != nil {
			u.admin(server)
		}
	}
	return &adminSocket{listener: listener, server: server.NewGRPC()}, nil
}

// run serves until ctx ends, and then until running calls are answered.
func (s *adminSocket) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.server.GracefulStop)
	defer stop()
	if err := s.server.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve the admin socket: %w", err)
	}
	return nil
}

// Admin is a connection to the administration of a running server.
type Admin struct {
	identitypb.AdminClient
	nodepb.TopologyClient
	roompb.ModerationClient
	mediapb.RemovalClient
	conn *grpc.ClientConn
}

// Close ends the connection.
func (a *Admin) Close() error { return a.conn.Close() }

// DialAdmin connects to the server that runs on a data directory.
func DialAdmin(dataDir string) (*Admin, error) {
	path := filepath.Join(dataDir, AdminSocket)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("no server runs on the data directory %s (%s is missing): start it with \"hongyan serve\", "+
			"or name its directory with --data-dir", dataDir, path)
	}
	conn, err := rpc.Dial("unix:" + path)
	if err != nil {
		return nil, fmt.Errorf("connect to the server on %s: %w", path, err)
	}
	// Conns makes errors what they were on the server's side.
	conns := rpc.NewFixed(map[string][]grpc.ClientConnInterface{"admin": {conn}}, rpc.Options{})
	return &Admin{
		AdminClient: identitypb.NewAdminClient(conns.Conn("admin")), TopologyClient: nodepb.NewTopologyClient(conns.Conn("admin")),
		ModerationClient: roompb.NewModerationClient(conns.Conn("admin")), RemovalClient: mediapb.NewRemovalClient(conns.Conn("admin")),
		conn: conn,
	}, nil
}
