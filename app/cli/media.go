package cli

import (
	"context"

	"github.com/spf13/cobra"

	mediapb "hongyan/api/media"
	"hongyan/app"
)

func mediaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "media",
		Short: "Administer media of the running server",
		Long:  "Administer what users have uploaded to the running server, over the socket in its data directory.",
		Args:  cobra.ArbitraryArgs,
		RunE:  runGroup,
	}
	cmd.AddCommand(mediaRemoveCommand())
	return cmd
}

func mediaRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove URI",
		Short: "Remove a media (mxc://…) for ever, with its thumbnails",
		Long: "Remove a media for ever, with its thumbnails: it is answered 404 from now on, and no longer counts for its user.\n" +
			"Content is kept once, however often it is uploaded: it stays while there are other media with it. --copies removes them too.",
		Args: cobra.ExactArgs(1),
	}
	copies := cmd.Flags().Bool("copies", false, "remove all media with the same content, whoever uploaded them")
	return withService(cmd, "media, which has what users upload", func(ctx context.Context, cmd *cobra.Command, server *app.Admin, args []string) error {
		done, err := server.RemoveMedia(ctx, &mediapb.RemoveMediaRequest{Uri: args[0], Copies: *copies})
		if err != nil {
			return err
		}
		for _, m := range done.GetRemoved() {
			if err := say(cmd, "removed %s of %s, %d bytes", m.GetUri(), orDash(m.GetUserId()), m.GetBytes()); err != nil {
				return err
			}
		}
		switch n := done.GetCopies(); {
		case n > 0:
			return say(cmd, "the content stays: %d other media have the same (--copies removes them too)", n)
		case done.GetLater():
			return say(cmd, "where content is kept it could not be removed now; that is tried again")
		}
		return nil
	})
}
