//go:build linux

package cli_test

import (
	"bufio"
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLinesForMachines runs a server and reads its log: each line says which process wrote it, and that of a request which.
func TestLinesForMachines(t *testing.T) {
	cmd := program(t, "serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
		"--log-format", "json", "--log-level", "info", "--trace-endpoint", "127.0.0.1:9", "--trace-sample-ratio", "1")
	out, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	seen := 0
	for lines.Scan() {
		var line map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		require.Contains(t, line, "@timestamp")
		require.Contains(t, line, "level")
		require.Equal(t, "hongyan", line["service"])
		require.Len(t, line["boot_id"], 16)
		seen++
		if strings.Contains(line["content"].(string), "serves localhost") {
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		}
	}
	require.NoError(t, lines.Err())
	require.NotZero(t, seen)
	require.NoError(t, cmd.Wait())
}
