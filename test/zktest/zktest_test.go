package zktest_test

import (
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"hongyan/test/zktest"
)

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func client(t *testing.T, s *zktest.Server) *zk.Conn {
	t.Helper()
	conn, _, err := zk.Connect([]string{s.Addr()}, zktest.MinSession, zk.WithLogger(quiet{}))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func TestServerKeepsAndLosesData(t *testing.T) {
	s := zktest.New(t)
	_, err := client(t, s).Create("/a", []byte("1"), 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	there := func() bool {
		there, _, err := client(t, s).Exists("/a")
		require.NoError(t, err)
		return there
	}
	s.Stop(t)
	s.Stop(t)
	s.Start(t)
	require.True(t, there())
	s.Wipe(t)
	require.False(t, there())
}

func TestServerFreezes(t *testing.T) {
	s := zktest.New(t)
	conn := client(t, s)
	_, _, err := conn.Exists("/a")
	require.NoError(t, err)
	s.Freeze(t)
	done := make(chan error, 1)
	go func() {
		_, _, err := conn.Exists("/a")
		done <- err
	}()
	select {
	case err := <-done:
		require.FailNow(t, "a frozen server answered", "%v", err)
	case <-time.After(200 * time.Millisecond):
	}
	s.Thaw(t)
	require.NoError(t, <-done)
}
