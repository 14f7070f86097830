package keys

import (
	"context"
	"sync"

	"hongyan/platform/eventlog"
)

// maxStreams bounds the streams that are remembered of each log: some 15 MB.
const maxStreams = 100_000

// streams remembers the streams of users in a log: they never change, but for a sequence that nobody here looks at.
type streams struct {
	log *eventlog.Log

	mu     sync.RWMutex
	byUser map[string]eventlog.Stream
}

func newStreams(log *eventlog.Log) *streams {
	return &streams{log: log, byUser: map[string]eventlog.Stream{}}
}

// of returns the stream of a user and makes it if it is missing.
func (s *streams) of(ctx context.Context, userID string) (eventlog.Stream, error) {
	s.mu.RLock()
	known, ok := s.byUser[userID]
	s.mu.RUnlock()
	if ok {
		return known, nil
	}
	stream, err := s.log.Stream(ctx, userID)
	if err != nil {
		return eventlog.Stream{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byUser) >= maxStreams {
		for some := range s.byUser {
			delete(s.byUser, some)
			break
		}
	}
	s.byUser[userID] = stream
	return stream, nil
}
