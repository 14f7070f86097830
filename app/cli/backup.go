package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hongyan/app"
)

// whereSettings are the settings that say where a deployment's data are, and whose.
func whereSettings(s app.Setting) bool {
	return slices.Contains([]string{"server_name", "data_dir", "database", "databases"}, s.Key)
}

func backupCommand(version string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy everything into one file, while the server runs or while it does not",
		Long: `Copy everything into one file: accounts, rooms, messages, what clients have stored, and the server's signing key.

Give the settings that the server has (--config, or --data-dir and --database). The server may run meanwhile and notices
nothing; what was acknowledged before the backup begins is in it. The file appears when it was written, read again and
found right, and takes the place of an older one of the same name. "-" writes to standard output, which is not read again.

Who has the file has everything: it holds hashes of passwords and of access tokens, and the key that signs events. Only its owner may read it.
"hongyan restore" reads it, on SQLite and on PostgreSQL alike, also in later versions.`,
		Example: `  hongyan backup /var/backups/hongyan.tar.zst
  hongyan backup --config /etc/hongyan/hongyan.yaml /var/backups/hongyan-$(date +%F).tar.zst
  hongyan backup --data-dir /var/lib/hongyan - | age -r age1… > hongyan.tar.zst.age`,
		Args: cobra.ExactArgs(1),
	}
	flags := addSettings(cmd, whereSettings)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		p := newProgress(cmd)
		opts := app.CopyOptions{Version: version, Progress: p.step}
		if args[0] != "-" {
			done, err := app.BackupFile(cmd.Context(), cfg, opts, args[0])
			if err != nil {
				return err
			}
			info, err := os.Stat(args[0])
			if err != nil {
				return fmt.Errorf("look at the backup: %w", err)
			}
			return say(cmd, "backed up %s into %s: %s, %s, read again and found right",
				done.ServerName, args[0], p.summary(done), size(info.Size()))
		}
		if out, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(out.Fd())) {
			return errors.New("a backup is nothing for a terminal: name a file, or send standard output somewhere")
		}
		out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<20)
		done, err := app.Backup(cmd.Context(), cfg, opts, out)
		if err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("write backup: %w", err)
		}
		_, err = fmt.Fprintf(cmd.ErrOrStderr(), "backed up %s: %s\n", done.ServerName, p.summary(done))
		return err
	}
	return cmd
}

func restoreCommand(version string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Fill an empty deployment with a backup",
		Long: `Fill an empty deployment with a backup.

Give the settings that the server will have. It must not run, and there must be nothing yet where its data go: a restore
overwrites nothing. To go back to a backup, move the old data directory away, or use another PostgreSQL database. The backup may
come from SQLite and go to PostgreSQL, and the other way round; server_name must be that of the backup.

The file is read to its end and checked before anything is written; "-" reads standard input, which is kept in a temporary
file (TMPDIR) meanwhile. After an interruption, run the same again: until it is done, no server starts on the half of it.

Afterwards clients sign in with their passwords and tokens of the time of the backup; each gets all of its rooms anew with its
next sync.`,
		Example: `  hongyan restore --data-dir /var/lib/hongyan --server-name chat.example.org hongyan.tar.zst
  hongyan restore --config /etc/hongyan/hongyan.yaml hongyan.tar.zst
  age -d hongyan.tar.zst.age | hongyan restore --config /etc/hongyan/hongyan.yaml -`,
		Args: cobra.ExactArgs(1),
	}
	flags := addSettings(cmd, whereSettings)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		syscall.Umask(0o077) // databases and keys are nobody else's
		p := newProgress(cmd)
		opts := app.CopyOptions{Version: version, Progress: p.step}
		var done *app.Copied
		if args[0] == "-" {
			done, err = app.RestoreStream(cmd.Context(), cfg, opts, cmd.InOrStdin())
		} else {
			done, err = restoreFile(cmd, cfg, opts, args[0])
		}
		if err != nil {
			return err
		}
		return say(cmd, "restored %s as it was on %s: %s", done.ServerName, done.Created.Format(time.DateTime), p.summary(done))
	}
	return cmd
}

func restoreFile(cmd *cobra.Command, cfg app.Config, opts app.CopyOptions, name string) (done *app.Copied, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return app.Restore(cmd.Context(), cfg, opts, file)
}
