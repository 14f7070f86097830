package haproxytest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/test/haproxytest"
	"hongyan/test/harness"
)

// The configurations that people copy say what the tested one does.
func TestCopiesAreAlike(t *testing.T) {
	tested := directives(haproxytest.Config{DNS: "127.0.0.1:53", Name: "name"}.Text("127.0.0.1:0", "socket"))
	require.Contains(t, tested, "backend: http-check disable-on-404")
	for _, name := range []string{"docs/discovery.md", "deploy/haproxy/haproxy.cfg", "deploy/compose/haproxy.cfg"} {
		text, err := os.ReadFile(filepath.Join(harness.Root(), name))
		require.NoError(t, err)
		copied := directives(string(text))
		for _, d := range tested {
			switch {
			case name == "deploy/compose/haproxy.cfg" && strings.HasSuffix(d, "accepted_payload_size 4096"): // Docker's name server
			case strings.HasSuffix(d, "timeout http-keep-alive 10m"): // tests leave connections idle
			default:
				require.Contains(t, copied, d, name)
			}
		}
	}
}

// directives are the lines of the sections that matter, without comments and what names addresses.
func directives(text string) (list []string) {
	section := ""
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case !strings.HasPrefix(line, " "):
			section = words[0]
		case section != "defaults" && section != "resolvers" && section != "backend":
		case words[0] == "nameserver" || words[0] == "server-template":
		default:
			list = append(list, section+": "+strings.Join(words, " "))
		}
	}
	return list
}
