package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identitypb "hongyan/api/identity"
	"hongyan/app"
)

func userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Administer accounts of the running server",
		Long:  "Administer accounts of the running server, over the socket in its data directory.",
		Args:  cobra.ArbitraryArgs,
		RunE:  runGroup,
	}
	cmd.AddCommand(userAddCommand(), userPasswdCommand(), userListCommand(), userDeactivateCommand())
	for _, change := range statusChanges {
		cmd.AddCommand(userStatusCommand(change))
	}
	return cmd
}

// adminRun runs with a connection to the administration of the server.
type adminRun func(ctx context.Context, cmd *cobra.Command, admin *app.Admin, args []string) error

// withAdmin makes a command one that speaks to the running server about accounts.
func withAdmin(cmd *cobra.Command, run adminRun) *cobra.Command {
	return withService(cmd, "identity, which has the accounts", run)
}

// withService makes a command one that speaks to the running server, which must run a service.
func withService(cmd *cobra.Command, service string, run adminRun) *cobra.Command {
	flags := addSettings(cmd, func(s app.Setting) bool { return s.Key == "data_dir" })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		admin, err := app.DialAdmin(cfg.DataDir)
		if err != nil {
			return err
		}
		defer func() { _ = admin.Close() }() // everything was answered
		err = run(cmd.Context(), cmd, admin, args)
		if status.Code(err) == codes.Unimplemented {
			return fmt.Errorf("the server on %s does not run %s: name the data directory of one that does with --data-dir",
				cfg.DataDir, service)
		}
		return err
	}
	return cmd
}

func userAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make an account; the password is asked for, or read from standard input",
		Args:  cobra.ExactArgs(1),
	}
	admin := cmd.Flags().Bool("admin", false, "make it an administrator")
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, args []string) error {
		password, err := readPassword(ctx, cmd)
		if err != nil {
			return err
		}
		made, err := server.AddUser(ctx, &identitypb.AddUserRequest{Name: args[0], Password: password, Admin: *admin})
		if err != nil {
			return err
		}
		return say(cmd, "made %s", made.GetUserId())
	})
}

func userPasswdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Set an account's password; it is asked for, or read from standard input",
		Args:  cobra.ExactArgs(1),
	}
	keep := cmd.Flags().Bool("keep-devices", false, "leave the account's devices signed in")
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, args []string) error {
		password, err := readPassword(ctx, cmd)
		if err != nil {
			return err
		}
		_, err = server.SetPassword(ctx, &identitypb.SetPasswordRequest{
			Name: args[0], Password: password, LogoutDevices: !*keep,
		})
		if err != nil {
			return err
		}
		return say(cmd, "set the password of %s", args[0])
	})
}

// pageSize is how many accounts are asked for at once.
const pageSize = 500

func userListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all accounts", Args: cobra.NoArgs}
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, _ []string) error {
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "USER\tCREATED\tDEVICES\tSTATUS")
		for after := ""; ; {
			page, err := server.ListUsers(ctx, &identitypb.ListUsersRequest{After: after, Limit: pageSize})
			if err != nil {
				return err
			}
			for _, u := range page.GetUsers() {
				created := time.UnixMilli(u.GetCreatedMs()).Format(time.DateOnly)
				_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", u.GetUserId(), created, u.GetDevices(), statusOf(u))
				after = u.GetUserId()
			}
			if len(page.GetUsers()) < pageSize {
				return table.Flush()
			}
		}
	})
}

func statusOf(u *identitypb.UserInfo) string {
	switch {
	case u.GetDeactivated():
		return "deactivated"
	case u.GetLocked():
		return "locked"
	case u.GetSuspended():
		return "suspended"
	case u.GetAdmin():
		return "admin"
	}
	return "active"
}

func userDeactivateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deactivate NAME",
		Short: "End an account for ever: it leaves its rooms, and its name is never given again",
		Args:  cobra.ExactArgs(1),
	}
	erase := cmd.Flags().Bool("erase", false, "also hide what the user said from those who have not seen it yet")
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, args []string) error {
		if !*yes {
			if err := confirm(ctx, cmd, fmt.Sprintf("Deactivate %s for ever?", args[0])); err != nil {
				return err
			}
		}
		if _, err := server.Deactivate(ctx, &identitypb.DeactivateRequest{Name: args[0], Erase: *erase}); err != nil {
			return err
		}
		return say(cmd, "deactivated %s", args[0])
	})
}

func say(cmd *cobra.Command, format string, args ...any) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}
