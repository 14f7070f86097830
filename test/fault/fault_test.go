package fault_test

import (
	"os"
	"testing"
	"time"

	"hongyan/test/harness"
)

// faults are the rows of the table, with what must hold.
func faults() []fault {
	return []fault{
		{"none", bound{time.Second, none}, calm},
		{"SIGKILL", bound{time.Second, unrepeatable}, kill},
		{"SIGSTOP 8 s", bound{4 * time.Second, anyhow}, hang},
		{"SIGTERM", bound{4 * time.Second, none}, terminate},
		{"rolling restart", bound{4 * time.Second, none}, roll},
		{"new instance", bound{4 * time.Second, none}, join},
		{"registry down", bound{time.Second, none}, registryDown},
		{"registry wiped", bound{time.Second, none}, registryWiped},
		{"registry partitioned", bound{time.Second, none}, partition},
		{"NATS down", bound{time.Second, none}, busDown},
		{"PostgreSQL restarted", bound{5 * time.Second, refused}, databaseRestarted},
		{"cut in a commit", bound{4 * time.Second, refused}, commitCut},
		{"two owners", bound{0, refused}, rival},
		{"network cut", bound{4 * time.Second, anyhow}, networkCut},
		{"long polls moved", bound{0, anyhow}, crowdMoves}, // the polls have a bound of their own
	}
}

// Every fault is made on every topology, under a constant load of unique messages and live syncs. FAULT=short is what `make
// test` runs, FAULT=long everything; without it nothing runs, since it takes minutes.
func TestFaults(t *testing.T) {
	mode := os.Getenv("FAULT")
	switch mode {
	case "short":
		t.Run("one-sqlite", func(t *testing.T) { play(t, harness.One(false), true, faults()[:2]) })
		t.Run("three-etcd", func(t *testing.T) { play(t, harness.Three(harness.RegistryEtcd), true, faults()) })
	case "long":
		for _, topology := range []harness.Topology{
			harness.One(false), harness.One(true), harness.Each(harness.RegistryEtcd), harness.Three(harness.RegistryEtcd),
			harness.Three(harness.RegistryZooKeeper), harness.TwoHosts(harness.RegistryEtcd),
		} {
			t.Run(topology.Name, func(t *testing.T) { play(t, topology, false, faults()) })
		}
	case "":
		t.Skip(`"make fault" runs the fault tests (FAULT=short or FAULT=long)`)
	default:
		t.Fatalf("FAULT=%s: want short or long", mode)
	}
}
