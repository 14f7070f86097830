package cli

import (
	"context"

	"github.com/spf13/cobra"

	identitypb "hongyan/api/identity"
	"hongyan/app"
)

// statusChange is a command that changes what an account may do.
type statusChange struct {
	verb, done, short string
	set               func(req *identitypb.SetStatusRequest)
}

func on(b bool) *bool { return &b }

var statusChanges = []statusChange{
	{"lock", "locked", "Keep an account from doing anything but logging out",
		func(r *identitypb.SetStatusRequest) { r.Locked = on(true) }},
	{"unlock", "unlocked", "Take back lock",
		func(r *identitypb.SetStatusRequest) { r.Locked = on(false) }},
	{"suspend", "suspended", "Let an account read but not take part",
		func(r *identitypb.SetStatusRequest) { r.Suspended = on(true) }},
	{"unsuspend", "unsuspended", "Take back suspend",
		func(r *identitypb.SetStatusRequest) { r.Suspended = on(false) }},
}

func userStatusCommand(change statusChange) *cobra.Command {
	cmd := &cobra.Command{Use: change.verb + " NAME", Short: change.short, Args: cobra.ExactArgs(1)}
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, args []string) error {
		req := &identitypb.SetStatusRequest{Name: args[0]}
		change.set(req)
		if _, err := server.SetStatus(ctx, req); err != nil {
			return err
		}
		return say(cmd, "%s %s", change.done, args[0])
	})
}
