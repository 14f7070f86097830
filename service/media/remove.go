package media

import (
	"context"
	"errors"

	"hongyan/service/media/internal/store"
)

// Remove removes a media. Its content goes with the last media that has it.
func (s *Service) Remove(ctx context.Context, id string) error {
	err := inTime(ctx, func(ctx context.Context) error { return s.store.Remove(ctx, id, s.nowMS()) })
	if errors.Is(err, store.ErrNotFound) {
		return errNotFound()
	}
	return err
}
