package transfer

import (
	"context"
	"errors"
	"io"
)

// Restore fills the databases of an empty deployment with an archive that Verify has read, and gives the logs new epochs, so
// that what clients and followers know of the time after the backup is not taken for what comes now. done runs when
// everything is there, before servers may use it; it may run again.
func Restore(
	ctx context.Context, from io.Reader, info *Info, targets []Target, progress Progress, done func(context.Context) error,
) error {
	r, err := openArchive(from)
	if err != nil {
		return err
	}
	defer r.close()
	d := &destination{src: r, targets: targets, progress: progress, renew: true, done: done, what: info.String()}
	return d.run(ctx)
}

// Moving is what Move is to do.
type Moving struct {
	// Databases are in the order of their snapshots. Nobody writes to them.
	Databases []Database
	Targets   []Target
	// What says in the targets' marks where the rows come from.
	What string
	// Moved says that the databases were moved before: an earlier run may be finished, and nothing else.
	Moved    bool
	Progress Progress
	// Done keeps servers from the databases for good. It runs when everything is there, before servers may use the targets,
	// and may run again.
	Done func(context.Context) error
}

// Move copies databases into those of an empty deployment, epochs and all, so that clients notice nothing. ErrMoved says
// that this was done before.
func Move(ctx context.Context, m Moving) error {
	if len(m.Databases) == 0 {
		return errors.New("there is nothing to move")
	}
	return withSnapshots(ctx, m.Databases, func(ctx context.Context, s *snapshots) error {
		d := &destination{src: s, targets: m.Targets, progress: m.Progress, what: m.What, done: m.Done, finish: m.Moved, anew: !m.Moved}
		return d.run(ctx)
	})
}
