package gateway_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/gateway"
)

// deadlineConn reads a text and remembers how long reading may take.
type deadlineConn struct {
	net.Conn
	r    io.Reader
	left time.Duration
}

func (c *deadlineConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c *deadlineConn) SetReadDeadline(t time.Time) error {
	c.left = time.Until(t)
	return nil
}

// TestAReturnedConnectionMayIdle looks at deadlines only: a server that gets a connection back takes it for a new one,
// and asks for a header within 20 s.
func TestAReturnedConnectionMayIdle(t *testing.T) {
	const header = 20 * time.Second
	below := &deadlineConn{r: strings.NewReader("GET")}
	c := gateway.ReturnedConn(below, "")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(header)))
	require.Greater(t, below.left, 2*time.Minute, "nothing has come yet")
	require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
	require.Negative(t, below.left, "what ends reading is passed on")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(header)))

	_, err := io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
	require.LessOrEqual(t, below.left, header, "the header has begun")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(header)))
	require.LessOrEqual(t, below.left, header)

	c = gateway.ReturnedConn(below, "G")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(header)))
	require.LessOrEqual(t, below.left, header, "the header had begun before")
}
