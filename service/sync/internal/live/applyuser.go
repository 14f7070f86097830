package live

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/eventlog"
)

// ApplyUsers applies records of one shard of the user log, all up to and including through. Calls for one shard come one
// after the other and in order.
func (n *Node) ApplyUsers(_ context.Context, shardIndex int, records []eventlog.Record, through int64) error {
	s := &n.userShards[shardIndex]
	s.mu.Lock()
	defer s.mu.Unlock()
	var woken []*User
	for i := range records {
		r := &records[i]
		u := n.user(r.Name)
		if u == nil {
			continue
		}
		e, err := DecodeEntry(r)
		if err != nil {
			n.deps.Log.Errorw("skip entry of the user log", logx.Field("user", r.Name), logx.Field("error", err.Error()))
			continue
		}
		if e == nil {
			continue
		}
		u.mu.Lock()
		u.data.put(e)
		u.data.remember(e, n.cfg.UserEntries)
		u.mu.Unlock()
		woken = append(woken, u)
	}
	s.applied.Store(through)
	for _, u := range woken {
		u.mu.Lock()
		u.wake()
		u.mu.Unlock()
	}
	n.announce()
	return nil
}
