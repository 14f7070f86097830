package cli

import (
	"syscall"

	"github.com/spf13/cobra"

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
  hongyan serve --config /etc/hongyan/hongyan.yaml`,
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
		server, err := app.New(cmd.Context(), cfg, app.Options{Version: version})
		if err != nil {
			return err
		}
		return server.Run(cmd.Context()) // the first signal stops it with a drain, the second at once
	}
	return cmd
}
