package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Network is this machine and another host on one switch: a network namespace, a cable (veth) and a bridge.
type Network struct {
	// Here is this machine's address on it, There the other host's.
	Here, There string

	name string
}

// NewNetwork makes one, and skips the test where that is not allowed. The test's end removes it.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	id := rand.IntN(1 << 14)
	subnet := fmt.Sprintf("10.213.%d.", id%256)
	n := &Network{Here: subnet + "1", There: subnet + "2", name: fmt.Sprintf("hyt%d", id)}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces cannot be made: the test does not run as root")
	}
	t.Cleanup(n.remove)
	for _, step := range []string{
		"link add NAMEb type bridge",
		"addr add HERE/24 dev NAMEb",
		"link set NAMEb up",
		"netns add NAME",
		"link add NAMEv type veth peer name eth0 netns NAME",
		"link set NAMEv master NAMEb up",
		"-n NAME addr add THERE/24 dev eth0",
		"-n NAME link set eth0 up",
		"-n NAME link set lo up",
	} {
		if err := n.ip(step); err != nil {
			t.Skipf("network namespaces cannot be made here: %v", err)
		}
	}
	require.NoError(t, n.ip("netns exec NAME true"))
	return n
}

// Cut pulls the other host's cable out of the switch: nothing arrives any more, and nobody is told.
func (n *Network) Cut() error { return n.ip("link set NAMEv nomaster") }

// Heal puts it back.
func (n *Network) Heal() error { return n.ip("link set NAMEv master NAMEb") }

// on returns what runs a program on the other host.
func (n *Network) on() []string { return []string{"ip", "netns", "exec", n.name} }

func (n *Network) ip(args string) error {
	args = strings.NewReplacer("NAME", n.name, "HERE", n.Here, "THERE", n.There).Replace(args)
	out, err := exec.CommandContext(context.Background(), "ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}

func (n *Network) remove() {
	_ = n.ip("link del NAMEv")
	_ = n.ip("netns del NAME")
	_ = n.ip("link del NAMEb")
}
