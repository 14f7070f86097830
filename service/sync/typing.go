package sync

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/sync/internal/live"
)

// typingSubject is where instances tell each other who types; the shard of the room follows.
const typingSubject = "typing"

// typingNews is that somebody types, until a time, or not any more.
type typingNews struct {
	Room string `json:"room"`
	User string `json:"user"`
	// Until is in milliseconds since 1970; one that is past ends it.
	Until int64 `json:"until"`
}

// defaultTyping is for clients that do not say how long.
const defaultTyping = 30 * time.Second

// putTyping answers PUT /rooms/{roomId}/typing/{userId}.
func (s *Service) putTyping(w http.ResponseWriter, r *http.Request) error {
	user, err := self(r)
	if err != nil {
		return err
	}
	room, err := s.joinedRoom(r)
	if err != nil {
		return err
	}
	var body struct {
		Typing  *bool  `json:"typing"`
		Timeout *int64 `json:"timeout"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	if body.Typing == nil {
		return matrix.NewError(matrix.CodeMissingParam, "typing is missing.")
	}
	news := typingNews{Room: room, User: user}
	if *body.Typing {
		lasts := defaultTyping
		if body.Timeout != nil {
			lasts = time.Duration(min(max(*body.Timeout, 0), s.cfg.MaxTyping.Milliseconds())) * time.Millisecond
		}
		news.Until = s.deps.Clock().Add(min(lasts, s.cfg.MaxTyping)).UnixMilli()
	}
	if err := s.tellTyping(r.Context(), news); err != nil {
		return err
	}
	return done(w)
}

// tellTyping tells this instance at once and the others over the bus: who misses it sees nobody type, no more.
func (s *Service) tellTyping(ctx context.Context, news typingNews) error {
	node := s.node()
	select {
	case <-node.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	s.applyTyping(node, news)
	data, err := json.Marshal(news)
	if err != nil {
		return err
	}
	shard := eventlog.ShardOf(news.Room, node.Shards())
	if err := s.deps.Bus.Publish(ctx, typingSubject+"."+strconv.Itoa(shard), data); err != nil {
		logx.WithContext(ctx).Infof("tell other instances who types: %v", err)
	}
	return nil
}

func (s *Service) typingMessage(m bus.Message) {
	var news typingNews
	if err := json.Unmarshal(m.Data, &news); err != nil {
		return
	}
	node := s.node()
	select {
	case <-node.Ready():
		s.applyTyping(node, news)
	default: // it knows no rooms yet
	}
}

func (s *Service) applyTyping(node *live.Node, news typingNews) {
	until := min(news.Until, s.deps.Clock().Add(s.cfg.MaxTyping).UnixMilli())
	node.SetTyping(news.Room, eventlog.ShardOf(news.Room, node.Shards()), news.User, time.UnixMilli(until))
}

// runTyping ends the typing of those whose time has passed, until the context ends.
func (s *Service) runTyping(ctx context.Context, node *live.Node) error {
	tick := time.NewTicker(typingTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			node.ExpireTyping()
		}
	}
}

// typingTick is how exactly typing ends.
const typingTick = 250 * time.Millisecond
