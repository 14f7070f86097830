package room

import (
	"context"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	syncpb "hongyan/api/sync"
	"hongyan/matrix"
)

const (
	// ignoredPatience is how long a page of history waits to be told whom its reader ignores.
	ignoredPatience = time.Second
	// ignoredCacheBytes is the memory for what was told before: 8 MiB are some 60,000 readers who ignore one user each.
	ignoredCacheBytes = 8 << 20
)

// ignoredBy asks sync whom a reader ignores, each time: who was ignored a moment ago is not shown again. While sync cannot be asked,
// history goes on with what it told this instance last, or with everybody: a list that clients know and go by themselves is no
// reason to show nobody anything (ADR 0021).
func (r *reads) ignoredBy(ctx context.Context, userID string) (map[string]struct{}, error) {
	if r.data == nil {
		return nil, nil
	}
	asked, cancel := context.WithTimeout(ctx, ignoredPatience)
	defer cancel()
	resp, err := r.data.AccountData(asked, &syncpb.AccountDataRequest{UserId: userID, Types: []string{"m.ignored_user_list"}})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		logx.WithContext(ctx).Infof("ask whom %s ignores, going by what is known: %v", userID, err)
		known, _ := r.ignored.Get(userID)
		return known, nil
	}
	var ignored map[string]struct{}
	for _, d := range resp.GetData() {
		ignored = matrix.ParseIgnored(d.GetContent(), matrix.UserID(userID))
	}
	r.ignored.Put(userID, ignored)
	return ignored, nil
}

func ignoredBytes(userID string, ignored map[string]struct{}) int64 {
	n := int64(len(userID)) + 96
	for u := range ignored {
		n += int64(len(u)) + 32
	}
	return n
}

// hides tells whether a reader does not want to see an event. State is seen whoever set it.
func hides(ignored map[string]struct{}, s shown) bool {
	_, ok := ignored[string(s.event.Sender())]
	return ok && !s.event.IsState()
}

// setOf makes the set of users of a list.
func setOf(users []string) map[string]struct{} {
	set := make(map[string]struct{}, len(users))
	for _, u := range users {
		set[u] = struct{}{}
	}
	return set
}
