package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	identitypb "hongyan/api/identity"
	"hongyan/app"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Args: cobra.ArbitraryArgs, RunE: runGroup,
		Short: "Administer registration tokens of the running server",
		Long:  "Administer registration tokens: who has one may register while registration is by token.",
	}
	cmd.AddCommand(tokenAddCommand(), tokenListCommand(), tokenRemoveCommand())
	return cmd
}

func tokenAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add [TOKEN]",
		Short: "Make a registration token and print it",
		Args:  cobra.MaximumNArgs(1),
	}
	uses := cmd.Flags().Int64("uses", 0, "how often it may be used; 0 for any number of times")
	lifetime := cmd.Flags().Duration("lifetime", 0, "how long it may be used; 0 for ever")
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, args []string) error {
		req := &identitypb.AddRegistrationTokenRequest{}
		if len(args) > 0 {
			req.Token = args[0]
		}
		if *uses > 0 {
			req.UsesAllowed = uses
		}
		if *lifetime > 0 {
			req.ExpiresMs = time.Now().Add(*lifetime).UnixMilli()
		}
		made, err := server.AddRegistrationToken(ctx, req)
		if err != nil {
			return err
		}
		return say(cmd, "%s", made.GetToken())
	})
}

func tokenListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List all registration tokens", Args: cobra.NoArgs}
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, _ []string) error {
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "TOKEN\tUSED\tALLOWED\tEXPIRES")
		for after := ""; ; {
			page, err := server.ListRegistrationTokens(ctx,
				&identitypb.ListRegistrationTokensRequest{After: after, Limit: pageSize})
			if err != nil {
				return err
			}
			for _, t := range page.GetTokens() {
				allowed, expires := "any", "never"
				if t.UsesAllowed != nil {
					allowed = fmt.Sprint(t.GetUsesAllowed())
				}
				if ms := t.GetExpiresMs(); ms > 0 {
					expires = time.UnixMilli(ms).Format(time.DateTime)
				}
				_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", t.GetToken(), t.GetUses(), allowed, expires)
				after = t.GetToken()
			}
			if len(page.GetTokens()) < pageSize {
				return table.Flush()
			}
		}
	})
}

func tokenRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "remove TOKEN", Short: "Remove a registration token", Args: cobra.ExactArgs(1)}
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, args []string) error {
		_, err := server.RemoveRegistrationToken(ctx, &identitypb.RemoveRegistrationTokenRequest{Token: args[0]})
		if err != nil {
			return err
		}
		return say(cmd, "removed %s", args[0])
	})
}
