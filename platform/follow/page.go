package follow

import (
	"context"
	"errors"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Page is what a shard has after one position through another.
type Page struct {
	Epoch          uint64
	Shard          int
	After, Through int64
	Records        []eventlog.Record

	of       *run
	advanced bool
}

// Advance moves the shard's cursor over the page within a transaction of Apply's, which must end in success or be Apply's error.
// What the transaction does besides is then done exactly once: it fails where the cursor is no longer where it was left.
// Without it the cursor is moved when Apply has returned, or later (Config.Gather).
func (p *Page) Advance(ctx context.Context, tx sqldb.Tx) error {
	p.advanced = true
	err := p.of.Cursors.AdvanceFrom(ctx, tx, p.of.Follower, p.Epoch, p.Shard, p.of.gathered.at(p.Shard), p.Through)
	if errors.Is(err, eventlog.ErrConflict) {
		return errOvertaken
	}
	return err
}
