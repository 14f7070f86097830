package cli

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	roompb "hongyan/api/room"
	"hongyan/app"
)

func reportsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reports", Args: cobra.NoArgs,
		Short: "List what users have reported to the running server",
		Long:  "List what users have reported, the newest first: rooms, events with their senders, and users.",
	}
	limit := cmd.Flags().Int("limit", 100, "how many to list; 0 for all")
	return withService(cmd, "room, which has the reports", func(ctx context.Context, cmd *cobra.Command, server *app.Admin, _ []string) error {
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "TIME\tBY\tROOM\tEVENT\tUSER\tREASON")
		for before, listed := int64(0), 0; ; {
			size := pageSize
			if *limit > 0 {
				size = min(size, *limit-listed)
			}
			page, err := server.ListReports(ctx, &roompb.ListReportsRequest{Before: before, Limit: int32(size)})
			if err != nil {
				return err
			}
			for _, r := range page.GetReports() {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", time.UnixMilli(r.GetReceivedMs()).Format(time.DateTime),
					r.GetReporter(), orDash(r.GetRoomId()), orDash(r.GetEventId()), orDash(r.GetUserId()), reasonOf(r))
				before, listed = r.GetId(), listed+1
			}
			if len(page.GetReports()) < size || listed == *limit {
				return table.Flush()
			}
		}
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// reasonOf shows a stranger's text on one line and without what a terminal would obey, and whether what was reported is there still.
func reasonOf(r *roompb.Report) string {
	reason := strconv.QuoteToGraphic(r.GetReason())
	if r.GetGone() {
		reason += "  (gone)"
	}
	return reason
}
