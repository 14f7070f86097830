package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keeper keeps the lease alive and writes the records that etcd lacks.
type keeper struct {
	client    *clientv3.Client
	config    Config
	mine      *records
	forgotten chan<- struct{} // told when etcd does not know the lease any more

	lease clientv3.LeaseID // 0: none
	// beats are the answers to heartbeats, which the client sends three times in a lease; nil while it sends none.
	beats <-chan *clientv3.LeaseKeepAliveResponse
}

// run works until ctx ends. The lease is left as it is.
func (k *keeper) run(ctx context.Context) {
	trouble := trouble{what: "keep the lease"}
	for failures := 0; ctx.Err() == nil; {
		err := k.step(ctx)
		trouble.note(ctx, err)
		if err != nil {
			pause(ctx, failures)
			failures++
			continue
		}
		failures = 0
		select {
		case <-ctx.Done():
		case <-k.mine.due:
		case _, ok := <-k.beats:
			if !ok {
				k.beats = nil
			}
		}
	}
}

// step does what is to be done now.
func (k *keeper) step(ctx context.Context) error {
	if err := k.live(ctx); err != nil {
		return err
	}
	for _, c := range k.mine.changes() {
		if err := k.write(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// live sees to it that there is a lease with heartbeats.
func (k *keeper) live(ctx context.Context) error {
	if k.beats != nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// The client stops when no answer came for as long as a lease, but etcd may have lengthened it: it does when it starts.
	if k.lease != clientv3.NoLease {
		if _, err := k.client.KeepAliveOnce(limited, k.lease); err != nil && !k.isGone(err) {
			return fmt.Errorf("send a heartbeat: %w", err)
		}
	}
	if k.lease == clientv3.NoLease {
		lease, err := k.client.Grant(limited, int64(k.config.TTL/time.Second))
		if err != nil {
			return fmt.Errorf("get a lease: %w", err)
		}
		k.lease = lease.ID
	}
	beats, err := k.client.KeepAlive(ctx, k.lease)
	if err != nil {
		return fmt.Errorf("send heartbeats: %w", err)
	}
	k.beats = beats
	return nil
}

// write puts or deletes a record.
func (k *keeper) write(ctx context.Context, c change) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if c.value == nil {
		deleted, err := k.client.Delete(ctx, k.config.root()+c.key)
		if err != nil {
			return fmt.Errorf("delete %s: %w", c.key, err)
		}
		k.mine.written(c, deleted.Header.Revision, k.lease)
		return nil
	}
	put, err := k.client.Put(ctx, k.config.root()+c.key, string(c.value), clientv3.WithLease(k.lease))
	if err != nil {
		k.isGone(err)
		return fmt.Errorf("write %s: %w", c.key, err)
	}
	k.mine.written(c, put.Header.Revision, k.lease)
	return nil
}

// isGone tells whether an error says that the lease is gone. All records went with it.
func (k *keeper) isGone(err error) bool {
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return false
	}
	k.lease, k.beats = clientv3.NoLease, nil
	k.mine.lost()
	select {
	case k.forgotten <- struct{}{}:
	default:
	}
	return true
}

// leave ends the lease.
func (k *keeper) leave(ctx context.Context) error {
	if k.lease == clientv3.NoLease {
		return nil
	}
	if _, err := k.client.Revoke(ctx, k.lease); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("etcd: end the lease: %w", err)
	}
	return nil
}
