package cli

import (
	"cmp"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"hongyan/app"
	"hongyan/platform/obs"
)

func registryCommand(version string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Run a registry and a bus for servers in several processes",
		Long: `Run a registry (etcd) and a bus (NATS) for servers in several processes.

Servers find it by --cluster-registry etcd --cluster-endpoints HOST:2379 --cluster-bus nats://HOST:4222. Give it and all
servers the same secret (HONGYAN_CLUSTER_SECRET) as soon as they run on several machines. They go on working while it is
away; three nodes are not away when one machine is.`,
		Example: `  hongyan registry
  hongyan registry --listen 10.0.0.1:2379 --bus-listen 10.0.0.1:4222 \
    --name a --cluster a=10.0.0.1:2380,b=10.0.0.2:2380,c=10.0.0.3:2380`,
		Args: cobra.NoArgs,
	}
	cfg, log := app.DefaultRegistryServerConfig(), obs.DefaultLogConfig()
	cfg.Version = version
	var token, secret, adminToken string
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "directory of the registry's data")
	flags.StringVar(&cfg.Listen, "listen", cfg.Listen, "address of the registry: an IP address or localhost, and a port")
	flags.StringVar(&cfg.BusListen, "bus-listen", cfg.BusListen, "address of the bus; empty for none")
	flags.StringVar(&token, "bus-token", "", "token that the bus wants to hear (HONGYAN_CLUSTER_BUS_TOKEN)")
	flags.StringVar(&secret, "secret", "", "the cluster's secret, from which mutual TLS is made (HONGYAN_CLUSTER_SECRET)")
	flags.StringVar(&cfg.TLSCA, "tls-ca", "", "file with the authority's certificate, instead of --secret")
	flags.StringVar(&cfg.TLSCert, "tls-cert", "", "file with this node's certificate, for servers and clients")
	flags.StringVar(&cfg.TLSKey, "tls-key", "", "file with its key")
	flags.BoolVar(&cfg.Insecure, "insecure", false, "listen to other machines without a secret: the network is trusted")
	flags.StringVar(&cfg.Name, "name", cfg.Name, "this node's name in --cluster")
	flags.StringToStringVar(&cfg.Cluster, "cluster", nil, "all nodes of the registry, NAME=HOST:PORT each, where they talk to each other")
	flags.StringVar(&cfg.PeerListen, "peer-listen", "", "address for the other nodes (default the one in --cluster)")
	flags.BoolVar(&cfg.Join, "join", false, "this node was added to a cluster that runs (etcdctl member add)")
	flags.StringVar(&cfg.BusRouteListen, "bus-route-listen", "", "address for the other nodes' buses (default port 6222)")
	flags.StringSliceVar(&cfg.BusRoutes, "bus-routes", nil, "addresses of the nodes' buses (default port 6222 of the hosts in --cluster)")
	flags.StringVar(&cfg.AdminListen, "admin-listen", cfg.AdminListen,
		"address for /healthz, /readyz, /metrics and profiles; auto is localhost:9007, or a free port where that is taken; empty for none")
	flags.StringVar(&adminToken, "admin-token", "", "secret that readers of --admin-listen must show (HONGYAN_ADMIN_TOKEN)")
	flags.BoolVar(&cfg.AdminOpen, "admin-open", false, "let everybody read --admin-listen who reaches it from another machine")
	flags.StringVar(&log.Level, "log-level", log.Level, "debug, info, error or off")
	flags.StringVar(&log.Format, "log-format", log.Format, "plain or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := obs.Setup(log, cmd.ErrOrStderr()); err != nil {
			return err
		}
		cfg.BusToken = obs.Secret(cmp.Or(token, os.Getenv("HONGYAN_CLUSTER_BUS_TOKEN")))
		cfg.AdminToken = obs.Secret(cmp.Or(adminToken, os.Getenv("HONGYAN_ADMIN_TOKEN")))
		cfg.Secret = obs.Secret(cmp.Or(secret, os.Getenv("HONGYAN_CLUSTER_SECRET")))
		return runRegistry(cmd, cfg)
	}
	return cmd
}

func runRegistry(cmd *cobra.Command, cfg app.RegistryServerConfig) error {
	syscall.Umask(0o077) // data and keys are nobody else's
	ctx := cmd.Context()
	if len(cfg.Cluster) > 0 {
		if err := say(cmd, "waiting for most of the %d nodes", len(cfg.Cluster)); err != nil {
			return err
		}
	}
	server, err := app.StartRegistryServer(ctx, cfg)
	if err != nil {
		return err
	}
	defer server.Close()
	var bus string
	if url := server.BusURL(); url != "" {
		bus = ", bus " + strings.TrimSuffix(url, "/")
	}
	if err := say(cmd, "registry %s%s", server.Endpoint(), bus); err != nil {
		return err
	}
	if admin := server.AdminAddr(); admin != nil {
		if err := say(cmd, "metrics and health at http://%s/", admin); err != nil {
			return err
		}
	}
	return server.Wait(ctx)
}
