package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	nodepb "hongyan/api/node"
)

// What somebody wrote into the registry cannot steer the terminal that shows it.
func TestTopologyShowsPlainText(t *testing.T) {
	var out strings.Builder
	told := &nodepb.TopologyResponse{Instances: []*nodepb.Instance{{
		Service: "echo", BootId: "x", State: "ready", Zone: "\x1b[31mred\u202e", Http: strings.Repeat("a", 1000), HeartbeatAgeMs: -1,
	}}}
	require.NoError(t, printTopology(&out, told, told, time.Now()))
	require.NotContains(t, out.String(), "\x1b")
	require.NotContains(t, out.String(), "\u202e")
	require.NotContains(t, out.String(), strings.Repeat("a", 100))
	require.Contains(t, out.String(), "never")
	require.NotContains(t, out.String(), "h47m", "a record without a start has no age")
}
