package logrpc

import (
	"context"
	"strconv"
	"sync"

	"hongyan/platform/eventlog"
	"hongyan/platform/rpc"
)

// shardKeys are keys that belong to a log's shards, one each, so that a shard is read from the instance that owns it: most of its
// newest entries were written there and are in memory. Any other would answer the same.
type shardKeys struct {
	mu   sync.Mutex
	keys []string
}

// fit makes the keys for so many shards.
func (k *shardKeys) fit(shards int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) == shards {
		return
	}
	k.keys = make([]string, shards)
	for n, found := 0, 0; found < shards; n++ {
		key := strconv.Itoa(n)
		if shard := eventlog.ShardOf(key, shards); k.keys[shard] == "" {
			k.keys[shard] = key
			found++
		}
	}
}

// with adds a shard's key to a context, if it is known.
func (k *shardKeys) with(ctx context.Context, shard int) context.Context {
	k.mu.Lock()
	defer k.mu.Unlock()
	if shard < 0 || shard >= len(k.keys) {
		return ctx
	}
	return rpc.WithKey(ctx, k.keys[shard])
}
