package harness_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/test/harness"
)

// echo answers each line with itself, and counts them.
func echo(t *testing.T) (addr string, heard chan string) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	heard = make(chan string, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for s := bufio.NewScanner(conn); s.Scan(); {
					heard <- s.Text()
					_, _ = io.WriteString(conn, s.Text()+"\n")
				}
			}()
		}
	}()
	return l.Addr().String(), heard
}

// say sends a line and returns the answer.
func say(conn net.Conn, line string, patience time.Duration) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return answer, err
}

func TestLink(t *testing.T) {
	const patience, moment = 10 * time.Second, 100 * time.Millisecond
	server, heard := echo(t)
	link := harness.NewLink(t, "127.0.0.1", server)
	dial := func() net.Conn {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", link.Addr())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		answer, err := say(conn, "hello", patience)
		require.NoError(t, err)
		require.Equal(t, "hello\n", answer)
		require.Equal(t, "hello", <-heard)
		return conn
	}

	conn := dial()
	require.Equal(t, 1, link.Cut())
	_, err := say(conn, "cut", patience)
	require.Error(t, err)

	conn = dial()
	link.CutAnswers()
	_, err = say(conn, "done, but who knows", patience)
	require.Error(t, err)
	require.Equal(t, "done, but who knows", <-heard)

	conn = dial()
	link.Unplug()
	_, err = say(conn, "swallowed", moment)
	require.True(t, errors.Is(err, os.ErrDeadlineExceeded), "nobody is told: %v", err)
	late, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", link.Addr())
	require.NoError(t, err)
	defer func() { _ = late.Close() }()
	_, err = say(late, "swallowed too", moment)
	require.True(t, errors.Is(err, os.ErrDeadlineExceeded), "nobody is told: %v", err)
	require.Empty(t, heard)
	link.Plug()
	_, err = say(conn, "again", patience)
	require.Error(t, err, "what was swallowed cannot come back")
	dial()

	link.Refuse()
	conn, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", link.Addr())
	if err == nil {
		_, err = say(conn, "anybody there", patience)
		_ = conn.Close()
	}
	require.Error(t, err)
	link.Plug()
	dial()
}
