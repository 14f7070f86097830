package gateway_test

import (
	"bytes"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/obs"
	"hongyan/platform/obs/obstest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// logs is what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// captureLogs collects what the process logs until the test ends.
func captureLogs(t *testing.T, level string) *logs {
	t.Helper()
	l := &logs{}
	require.NoError(t, obs.Setup(obs.LogConfig{Level: level, Format: "plain"}, l))
	t.Cleanup(func() { require.NoError(t, obs.Setup(obs.DefaultLogConfig(), io.Discard)) })
	return l
}
