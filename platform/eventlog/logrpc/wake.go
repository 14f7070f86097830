package logrpc

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/bus"
)

// Publisher is the half of a bus.Bus that wakes others.
type Publisher interface {
	Publish(ctx context.Context, subject string, data []byte) error
}

// Subscriber is the half of a bus.Bus that is woken.
type Subscriber interface {
	Subscribe(pattern string, handler bus.Handler) (bus.Subscription, error)
}

// Waker returns a function for eventlog.Config's OnCommit: it tells the followers of the log of this name that a
// shard has grown. A lost wake-up costs them latency, never data.
func Waker(to Publisher, name string) func(shard int, head int64) {
	return func(shard int, head int64) {
		err := to.Publish(context.Background(), subject(name, strconv.Itoa(shard)), strconv.AppendInt(nil, head, 10))
		if err != nil {
			logx.Debugf("wake followers of log %s, shard %d: %v", name, shard, err)
		}
	}
}

// Subscribe calls wake, which is eventlog.Follower's, when a shard of the log of this name has grown.
func Subscribe(to Subscriber, name string, wake func(shard int, head int64)) (bus.Subscription, error) {
	sub, err := to.Subscribe(subject(name, "*"), func(m bus.Message) {
		if shard, head, ok := parse(m); ok {
			wake(shard, head)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to log %s: %w", name, err)
	}
	return sub, nil
}

// subject is what wake-ups of a shard are published under.
func subject(name, shard string) string { return "log." + name + "." + shard }

// parse reads a wake-up. One that nobody here has sent is ignored.
func parse(m bus.Message) (shard int, head int64, ok bool) {
	shard, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if err != nil {
		return 0, 0, false
	}
	head, err = strconv.ParseInt(string(m.Data), 10, 64)
	return shard, head, err == nil
}
