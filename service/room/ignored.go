package room

import (
	"context"

	syncpb "hongyan/api/sync"
	"hongyan/matrix"
)

// ignoring says whom a reader does not want to hear from, when that matters.
type ignoring func(context.Context) (map[string]struct{}, error)

// ignoring asks sync. Nothing is kept: who was ignored a moment ago is not shown again.
func (r *reads) ignoring(userID string) ignoring {
	return func(ctx context.Context) (map[string]struct{}, error) {
		if r.data == nil {
			return nil, nil
		}
		resp, err := r.data.AccountData(ctx, &syncpb.AccountDataRequest{UserId: userID, Types: []string{"m.ignored_user_list"}})
		if err != nil {
			return nil, matrix.Unavailable(err)
		}
		for _, d := range resp.GetData() {
			return matrix.ParseIgnored(d.GetContent()), nil
		}
		return nil, nil
	}
}

// listed is ignoring for who was told.
func listed(users []string) ignoring {
	set := make(map[string]struct{}, len(users))
	for _, u := range users {
		set[u] = struct{}{}
	}
	return known(set)
}

// known is ignoring for who asked before.
func known(ignored map[string]struct{}) ignoring {
	return func(context.Context) (map[string]struct{}, error) { return ignored, nil }
}
