package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	roompb "hongyan/api/room"
	"hongyan/app"
	"hongyan/matrix"
)

func purgeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "purge ROOM (--before TIME | --keep DURATION | --all [--force])",
		Short: "Remove a room's old messages, or a room that nobody is in any more",
		Long: "Remove the messages of a room, given by its id, that are older than a time; state events and the room's newest event stay. " +
			"With --all the room itself is removed, with all that is in it.\n\n" +
			"It may be broken off at any moment and be given again. What was removed does not come back.",
		Args: cobra.ExactArgs(1),
	}
	req := &roompb.PurgeRequest{}
	before := cmd.Flags().String("before", "", `remove what is older than this: "2026-01-31", or with a time as in "2026-01-31T12:00:00+01:00"`)
	keep := cmd.Flags().String("keep", "", `remove what is older than this: "720h", or "30d"`)
	cmd.Flags().BoolVar(&req.All, "all", false, "remove the whole room; refused while anybody is in it, is invited or knocks")
	cmd.Flags().BoolVar(&req.Force, "force", false, "with --all: make those leave first who are in the room, are invited or knock")
	cmd.MarkFlagsOneRequired("before", "keep", "all")
	cmd.MarkFlagsMutuallyExclusive("before", "keep", "all")
	return withService(cmd, "room, which has the rooms", func(ctx context.Context, cmd *cobra.Command, server *app.Admin, args []string) error {
		req.RoomId = args[0]
		if _, err := matrix.ParseRoomID(req.RoomId); err != nil {
			return fmt.Errorf("%q is no room id; that of an alias is shown by clients among the room's settings", req.RoomId)
		}
		if !req.All {
			cut, err := cutOff(time.Now(), *before, *keep)
			if err != nil {
				return err
			}
			req.BeforeMs = cut.UnixMilli()
		}
		total, err := purgeAll(ctx, server, req)
		if total.Left > 0 {
			err = errors.Join(say(cmd, "made %d users leave", total.Left), err)
		}
		switch {
		case err != nil && total.Events > 0:
			return errors.Join(say(cmd, "removed %d events, %s, before that", total.Events, inBytes(total.Bytes)), err)
		case err != nil:
			return err
		case req.All:
			return say(cmd, "removed the room with %d events, %s", total.Events, inBytes(total.Bytes))
		}
		return say(cmd, "removed %d events, %s", total.Events, inBytes(total.Bytes))
	})
}

// purgeAll asks until nothing is left to remove, and sums up.
func purgeAll(ctx context.Context, server *app.Admin, req *roompb.PurgeRequest) (*roompb.PurgeResponse, error) {
	total := &roompb.PurgeResponse{}
	for asked := 0; ; asked++ {
		resp, err := purgeSome(ctx, server, req)
		var e *matrix.Error
		if errors.As(err, &e) && e.Code == matrix.CodeNotFound && asked > 0 && req.GetAll() {
			return total, nil // another instance has removed the rest
		}
		if err != nil {
			return total, err
		}
		total.Events, total.Bytes, total.Left = total.Events+resp.GetEvents(), total.Bytes+resp.GetBytes(), total.Left+resp.GetLeft()
		if !resp.GetMore() {
			return total, nil
		}
	}
}

// purgeTimeout bounds one call, which ends by itself after a second unless the database is slow.
const purgeTimeout = time.Minute

func purgeSome(ctx context.Context, server *app.Admin, req *roompb.PurgeRequest) (*roompb.PurgeResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	return server.Purge(ctx, req)
}

// cutOff is the time before which messages go, of the one way to say it that is not empty.
func cutOff(now time.Time, before, keep string) (time.Time, error) {
	if keep != "" {
		var days int
		var unit string
		if n, _ := fmt.Sscanf(keep, "%d%s", &days, &unit); n == 2 && unit == "d" && days > 0 && days < 36_500 {
			return now.AddDate(0, 0, -days), nil
		}
		d, err := time.ParseDuration(keep)
		if err != nil || d <= 0 {
			return time.Time{}, fmt.Errorf(`--keep %q is no duration: want "720h" or "30d"`, keep)
		}
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, before, time.Local); err == nil {
			if t.After(now) {
				return time.Time{}, fmt.Errorf("--before %s is yet to come", before)
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(`--before %q is no time: want "2026-01-31" or "2026-01-31T12:00:00+01:00"`, before)
}

func inBytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// compactTimeout bounds the rewriting of a database.
const compactTimeout = 6 * time.Hour

func compactCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "compact", Args: cobra.NoArgs,
		Short: "Give the disk back what the rooms' SQLite database no longer needs",
		Long: "Write the rooms' SQLite database anew, without the space of what was removed. A database that was made before there was " +
			"retention gives space back by itself from then on; others do so anyhow. Nobody can send meanwhile, and as much space as the " +
			"database takes is needed once more. With PostgreSQL there is nothing to do: it uses the space again.",
	}
	return withService(cmd, "room, which has the rooms", func(ctx context.Context, cmd *cobra.Command, server *app.Admin, _ []string) error {
		ctx, cancel := context.WithTimeout(ctx, compactTimeout)
		defer cancel()
		resp, err := server.Compact(ctx, &roompb.CompactRequest{})
		if err != nil {
			return err
		}
		if resp.GetBefore() == 0 {
			return say(cmd, "the rooms are in PostgreSQL, which uses the space again by itself")
		}
		return say(cmd, "the database had %s and has %s", inBytes(resp.GetBefore()), inBytes(resp.GetAfter()))
	})
}
