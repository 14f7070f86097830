package sync

import (
	"context"
	"net/http"
	"time"

	"hongyan/matrix"
	"hongyan/matrix/filter"
	"hongyan/matrix/synctoken"
	"hongyan/platform/httpx"
	"hongyan/service/sync/internal/live"
)

// request is one GET /sync.
type request struct {
	user, device string
	// sinceText is the token as it came, "" for an initial sync.
	sinceText string
	since     synctoken.Token
	timeout   time.Duration
	fullState bool
	filter    *filter.Filter
	// stateAfter asks for the state at the end of the timeline, under each of the names that were asked for.
	stateAfter, stateAfterUnstable bool

	// from is since as positions; zero in an initial sync.
	from live.Cut
	// anew tells that the token means nothing here: all rooms come as if for the first time, as limited.
	anew bool
}

// initial tells whether all rooms come as if for the first time.
func (r *request) initial() bool { return r.sinceText == "" || r.anew }

// wantsStateAfter tells whether state_after replaces state.
func (r *request) wantsStateAfter() bool { return r.stateAfter || r.stateAfterUnstable }

// newEvents is how many events of a room that the client knows may come.
func (s *Service) newEvents(r *request) int {
	return r.filter.Room.Timeline.LimitOr(s.cfg.NewEvents, s.cfg.MaxEvents)
}

// firstEvents is how many events of a room that comes as if for the first time may come.
func (s *Service) firstEvents(r *request) int {
	return r.filter.Room.Timeline.LimitOr(s.cfg.InitialEvents, s.cfg.MaxEvents)
}

// parse reads a request.
func (s *Service) parse(hr *http.Request) (*request, error) {
	caller := httpx.CallerOf(hr)
	q := httpx.ReadQuery(hr.URL)
	r := &request{
		user: caller.UserID, device: caller.DeviceID,
		sinceText:          q.String("since"),
		timeout:            time.Duration(q.Int("timeout", 0, 0, s.cfg.MaxTimeout.Milliseconds())) * time.Millisecond,
		fullState:          q.Bool("full_state", false),
		stateAfter:         q.Bool("use_state_after", false),
		stateAfterUnstable: q.Bool("org.matrix.msc4222.use_state_after", false),
	}
	q.Enum("set_presence", "online", "online", "offline", "unavailable")
	filterText := q.String("filter")
	if err := q.Err(); err != nil {
		return nil, err
	}
	if r.sinceText != "" {
		var err error
		if r.since, err = synctoken.Parse(r.sinceText); err != nil {
			return nil, err
		}
	}
	if r.fullState {
		r.timeout = 0
	}
	var err error
	r.filter, err = s.filter(hr.Context(), r.user, filterText)
	return r, err
}

// filter returns the filter that a request names: none, one in place, or a stored one.
func (s *Service) filter(ctx context.Context, userID, text string) (*filter.Filter, error) {
	switch {
	case text == "":
		return s.filters.standard, nil
	case text[0] == '{':
		return s.inlineFilter(text)
	}
	f, err := s.storedFilter(ctx, userID, text)
	if err == nil && f == nil {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "There is no filter %q.", text)
	}
	return f, err
}

// resolve turns the token into positions. Positions that this instance has not applied yet are waited for; one beyond
// the head of its log means nothing, like another epoch.
func (s *Service) resolve(ctx context.Context, p *waiting) error {
	r, u, node := p.r, p.user, p.node
	roomEpoch, userEpoch := node.Epochs()
	r.from = live.Cut{Rooms: make([]int64, node.Shards())}
	if r.sinceText == "" {
		return nil
	}
	r.anew = r.since.RoomEpoch != roomEpoch
	for _, p := range r.since.Rooms {
		if r.anew = r.anew || p.Shard >= len(r.from.Rooms); r.anew {
			break
		}
		r.from.Rooms[p.Shard] = p.Position
	}
	if r.since.SyncEpoch == userEpoch {
		r.from.User = r.since.Sync
	}
	r.from.Clock, r.from.Typing = r.since.Millis, r.since.Typing
	if !r.anew && !node.Covers(u, &r.from) {
		if err := s.catchUp(ctx, p); err != nil {
			return err
		}
		r.beyondHead(node, u)
	}
	if r.anew {
		clear(r.from.Rooms)
		r.from.User, r.from.Clock, r.from.Typing = 0, 0, 0
	}
	return nil
}

// beyondHead forgets positions that the logs have not reached.
func (r *request) beyondHead(node *live.Node, u *live.User) {
	var now live.Cut
	node.Cut(u, &now)
	for i, p := range r.from.Rooms {
		r.anew = r.anew || p > now.Rooms[i]
	}
	if r.from.User > now.User {
		r.from.User = 0
	}
}

// catchUp waits until everything has been applied that was in the logs when it was called.
func (s *Service) catchUp(ctx context.Context, p *waiting) error {
	rooms, err := s.roomHeads.get(ctx)
	if err != nil {
		return err
	}
	users, err := s.userHeads.get(ctx)
	if err != nil {
		return unavailable(err)
	}
	s.wakeFollowers(rooms, users)
	return p.node.AwaitApplied(ctx, rooms.Shard, p.user.Shard, users.Shard[p.user.Shard])
}
