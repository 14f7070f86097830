package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"hongyan/platform/registry"
)

// checkEvery is how often what is known is compared with what is there, beside the watch.
const checkEvery = time.Second

// errReload says that everything must be read again, and that nothing is wrong with etcd now.
var errReload = errors.New("what is known is not what is there")

// follower follows the records of all processes.
//
// etcd's watch alone does not do: one that was resumed at an etcd that was wiped, or restored from a backup, waits for a
// revision that will not come for long, and says nothing.
type follower struct {
	client  *clientv3.Client
	config  Config
	mine    *records
	watches *registry.Watches
	// forgotten is told when etcd does not know our lease any more.
	forgotten chan struct{}

	copied *replica
}

func newFollower(client *clientv3.Client, config Config, mine *records, watches *registry.Watches) *follower {
	return &follower{
		client: client, config: config, mine: mine, watches: watches, forgotten: make(chan struct{}, 1),
		copied: newReplica(config.root(), config.TTL),
	}
}

// run works until ctx ends.
func (f *follower) run(ctx context.Context) {
	trouble := trouble{what: "follow the records"}
	for failures := 0; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := f.follow(ctx, func() { trouble.note(ctx, nil) })
		if errors.Is(err, errReload) {
			continue
		}
		trouble.note(ctx, err)
		if time.Since(began) > 10*time.Second {
			failures = 0
		}
		pause(ctx, failures)
	}
}

// follow reads everything and then follows changes until that fails or ctx ends.
func (f *follower) follow(ctx context.Context, works func()) error {
	if err := f.load(ctx); err != nil {
		return err
	}
	works()
	// A member that the others have left must not go on in silence.
	watching, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := f.client.Watch(watching, f.config.root(), clientv3.WithPrefix(), clientv3.WithRev(f.copied.revision+1))
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.forgotten:
			return errReload
		case some, ok := <-events:
			if !ok {
				return errors.New("the watch ended")
			}
			if err := some.Err(); err != nil {
				return fmt.Errorf("watch: %w", err)
			}
			f.copied.apply(some)
			f.tell()
		case <-check.C:
			if err := f.check(ctx); err != nil {
				return err
			}
		}
	}
}

// load reads everything.
func (f *follower) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	all, err := f.client.Get(ctx, f.config.root(), clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("read all records: %w", err)
	}
	if f.copied.isOlder(all.Header) {
		f.mine.lost()
	}
	f.copied.replace(all)
	f.tell()
	return nil
}

// check compares what is known with what is there, by reading what is newer and counting the rest: where that differs
// something was removed that the watch is about to tell, or etcd has lost it. That etcd does not answer is no error of the
// watch: it goes on by itself.
func (f *follower) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkEvery) // not longer: the watch is not read meanwhile
	defer cancel()
	newer, err := f.client.Get(ctx, f.config.root(), clientv3.WithPrefix(), clientv3.WithMinModRev(f.copied.revision+1))
	if err != nil {
		f.copied.extend()
		return nil
	}
	if f.copied.isOlder(newer.Header) {
		return errReload
	}
	if !f.copied.merge(newer) {
		return errReload
	}
	f.copied.expire()
	f.tell()
	return nil
}

// tell passes on what has changed.
func (f *follower) tell() {
	f.mine.compare(f.copied.revision, f.copied.entries)
	if list, changed := f.copied.list(); changed {
		f.watches.Publish(list)
	}
}
