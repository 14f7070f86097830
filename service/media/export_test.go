package media

import (
	"context"
	"strings"
)

// Sweep removes what nobody needs now.
func Sweep(ctx context.Context, s *Service) error { return s.sweepOnce(ctx) }

// Disposition is disposition.
var Disposition = disposition

// IsID is isID.
var IsID = isID

// BeginBlob writes a blob as an upload does that crashes before it is finished.
func BeginBlob(ctx context.Context, s *Service, key string) error {
	due := s.deps.Clock().Add(s.cfg.UploadTimeout + looseSlack).UnixMilli()
	if err := s.store.Begin(ctx, key, due); err != nil {
		return err
	}
	_, err := s.deps.Blobs.Put(ctx, key, strings.NewReader(key))
	return err
}

// UploadsAtOnce counts uploads that are under way.
func UploadsAtOnce(s *Service) int {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	return s.uploads.all
}

// Waiting counts downloads that wait.
func Waiting(s *Service) int {
	s.waiters.mu.Lock()
	defer s.waiters.mu.Unlock()
	return s.waiters.n
}

// WaitingThumbnails counts requests of a user that wait for their turn.
func WaitingThumbnails(s *Service, userID string) int {
	s.decoding.mu.Lock()
	defer s.decoding.mu.Unlock()
	return len(s.decoding.waiting[userID])
}

// WaitingPreviews counts requests of a user that wait for their turn.
func WaitingPreviews(s *Service, userID string) int {
	s.previewing.mu.Lock()
	defer s.previewing.mu.Unlock()
	return len(s.previewing.waiting[userID])
}

// How often it is looked whether there are too many previews, and how long failures are remembered.
const (
	TrimEvery = trimEvery
	FailedFor = failedFor
)

// Making counts the sites of which previews are being made.
func Making(s *Service) int {
	s.previewing.mu.Lock()
	defer s.previewing.mu.Unlock()
	return len(s.previewing.from)
}
