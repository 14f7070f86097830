package cli

import (
	"errors"
	"syscall"

	"github.com/spf13/cobra"

	"hongyan/app"
)

func migrateCommand(version string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Move everything from SQLite to PostgreSQL, or from one database to another",
		Long: `Move everything from SQLite to PostgreSQL, or from one database to another.

Where the data are now say the settings of the server (--config) or --from-data-dir and --from-database; where they shall be,
--to-database, or --to-data-dir for SQLite. Stop the server first; the target must be empty.

Clients notice nothing: passwords, access tokens, sync tokens and transaction ids stay what they are. All rows are
read again in the target and compared. After that the old place is marked as moved, so that no server starts on it by
accident; nothing of it is removed. After an interruption, run the same again.

The new settings of the server are the old ones with "database" set to what --to-database was.`,
		Example: `  hongyan migrate --from-data-dir /var/lib/hongyan --to-database postgres://hongyan:PASSWORD@localhost/hongyan
  hongyan migrate --config /etc/hongyan/hongyan.yaml --to-database postgres://hongyan:PASSWORD@localhost/hongyan
  hongyan migrate --from-database postgres://hongyan:PASSWORD@localhost/hongyan --to-data-dir /var/lib/hongyan`,
		Args: cobra.NoArgs,
	}
	flags := addSettings(cmd, func(s app.Setting) bool { return s.Key == "server_name" })
	var place places
	cmd.Flags().StringVar(&place.fromDir, "from-data-dir", "", "data directory of the old place; by default that of the settings")
	cmd.Flags().StringVar(&place.fromDatabase, "from-database", "", "PostgreSQL URL of the old place; by default the settings' database")
	cmd.Flags().StringVar(&place.toDatabase, "to-database", "", "PostgreSQL URL of the new place, as the setting database has it")
	cmd.Flags().StringVar(&place.toDir, "to-data-dir", "", "data directory of the new place; by default the old one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		from, to, err := place.configs(cfg)
		if err != nil {
			return err
		}
		syscall.Umask(0o077) // databases and keys are nobody else's
		p := newProgress(cmd)
		done, err := app.Migrate(cmd.Context(), from, to, app.CopyOptions{Version: version, Progress: p.step})
		if err != nil {
			return err
		}
		if done.Tables == 0 {
			return say(cmd, "moved %s: an earlier run had copied everything, and is finished now", done.ServerName)
		}
		return say(cmd, "moved %s: %s", done.ServerName, p.summary(done))
	}
	return cmd
}

// places are where data are and where they shall be.
type places struct{ fromDir, fromDatabase, toDir, toDatabase string }

// configs returns the configurations of both places.
func (p places) configs(cfg app.Config) (from, to app.Config, err error) {
	from, to = cfg, cfg
	if p.fromDir != "" {
		// Whoever names a directory means the files in it, whatever the settings say by now.
		from.DataDir, from.Database, from.Databases = p.fromDir, "", nil
	}
	if p.fromDatabase != "" {
		from.Database, from.Databases = app.DatabaseURL(p.fromDatabase), nil
	}
	if p.toDatabase == "" && p.toDir == "" {
		return from, to, errors.New("where to? give --to-database, or --to-data-dir for SQLite")
	}
	to.DataDir, to.Database, to.Databases = from.DataDir, app.DatabaseURL(p.toDatabase), nil
	if p.toDir != "" {
		to.DataDir = p.toDir
	}
	return from, to, errors.Join(from.Validate(), to.Validate())
}
