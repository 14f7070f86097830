package harness

// Topology says which processes there are and what they share.
type Topology struct {
	// Name is what it is called in tables.
	Name string
	// Groups are the kinds of processes.
	Groups []Group
	// Registry is memory, etcd (from `hongyan registry`) or zookeeper (Debian's).
	Registry string
	// Postgres keeps data in PostgreSQL, as processes that are not alone must; otherwise in SQLite files.
	Postgres bool
	// Balanced puts HAProxy before the gateways.
	Balanced bool
	// Hosts runs the processes of groups that say so on another host.
	Hosts bool
	// Secret secures what goes between services; needed where Hosts is set.
	Secret string
}

// Group is a number of processes that run the same services.
type Group struct {
	// Targets are the services.
	Targets []string
	// Count is how many processes.
	Count int
	// Remote is how many of them run on the other host.
	Remote int
}

// Kinds of registries.
const (
	RegistryMemory    = "memory"
	RegistryEtcd      = "etcd"
	RegistryZooKeeper = "zookeeper"
)

// Services are what a cluster runs, in the order in which they are restarted.
func Services() []string {
	return []string{"identity", "room", "keys", "sync", "media", "social", "gateway"}
}

// One has everything in one process.
func One(postgres bool) Topology {
	name := "one-sqlite"
	if postgres {
		name = "one-postgres"
	}
	return Topology{
		Name: name, Groups: []Group{{Targets: []string{"all"}, Count: 1}}, Registry: RegistryMemory, Postgres: postgres,
	}
}

// Each has a process for each service.
func Each(registry string) Topology {
	return Topology{Name: "each-" + registry, Groups: groups(1, 1, 0), Registry: registry, Postgres: true}
}

// Three has three processes for each service, and two gateways behind HAProxy.
func Three(registry string) Topology {
	return Topology{
		Name: "three-" + registry, Groups: groups(3, 2, 0), Registry: registry, Postgres: true, Balanced: true,
	}
}

// TwoHosts has two processes for each service on two hosts, and HAProxy, PostgreSQL, registry and bus on the first.
func TwoHosts(registry string) Topology {
	return Topology{
		Name: "hosts-" + registry, Groups: groups(2, 2, 1), Registry: registry, Postgres: true, Balanced: true,
		Hosts: true, Secret: "a secret of the tests, long enough",
	}
}

func groups(services, gateways, remote int) []Group {
	var all []Group
	for _, s := range Services() {
		g := Group{Targets: []string{s}, Count: services, Remote: remote}
		if s == "gateway" {
			g.Count = gateways
		}
		all = append(all, g)
	}
	return all
}
