package cli

import (
	"context"
	"crypto/rand"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/app"
	"hongyan/platform/obs"
)

func serveCommand(version string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server.

Each setting is a key of the file that --config names, a flag, and an environment variable: log.level is
--log-level and HONGYAN_LOG_LEVEL. A flag beats the environment, which beats the file.`,
		Example: `  hongyan serve
  hongyan serve --server-name chat.example.org --listen :8448 --gateway-tls-cert cert.pem --gateway-tls-key key.pem
  hongyan serve --config /etc/hongyan/hongyan.yaml
  hongyan serve --target room,keys,sync,media,social --media-path data/media --data-dir data/one --cluster-registry etcd --cluster-endpoints localhost:2379 \
    --cluster-bus nats://localhost:4222 --database postgres://hongyan@localhost/hongyan`,
		Args: cobra.NoArgs,
	}
	flags := addSettings(cmd, everySetting)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		if err := obs.Setup(cfg.Log, cmd.ErrOrStderr()); err != nil {
			return err
		}
		syscall.Umask(0o077) // databases and keys are nobody else's
		return serve(cmd.Context(), cfg, version)
	}
	return cmd
}

// lastSpans is how long the collector may take to get what is left at the end.
const lastSpans = 3 * time.Second

// serve runs a server, with its traces, until ctx ends: the first signal stops it with a drain, the second at once.
func serve(ctx context.Context, cfg app.Config, version string) (err error) {
	boot, err := app.NewBootID(rand.Reader)
	if err != nil {
		return err
	}
	who := obs.Identity{Service: cfg.ProcessName(), BootID: boot, Version: version}
	obs.Identify(who)
	tracing, err := obs.StartTracing(ctx, cfg.Trace, who)
	if err != nil {
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
		defer cancel()
		if err := tracing.Stop(last); err != nil {
			logx.Error(err) // what was served was served
		}
	}()
	server, err := app.New(ctx, cfg, app.Options{Version: version, BootID: boot})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
