package media

import (
	"context"
	"time"

	"hongyan/service/media/internal/store"
)

// trimEvery is how often it is looked whether there are too many previews.
const trimEvery = time.Minute

// trimMost is how many previews are removed at a time where they are too large together: soon they are not.
const trimMost = 10

// trimPreviews removes previews whose time has come, and the oldest where there are too many.
func (s *Service) trimPreviews(ctx context.Context) error {
	now := s.nowMS()
	for more := true; more && ctx.Err() == nil; {
		removed, err := s.removePreviews(ctx, now, sweepMost)
		if err != nil {
			return err
		}
		more = removed.Previews == sweepMost
	}
	last := s.trimmedMS.Load()
	if s.pages == nil || now-last < trimEvery.Milliseconds() || !s.trimmedMS.CompareAndSwap(last, now) {
		return ctx.Err()
	}
	var newest int64
	err := inTime(ctx, func(ctx context.Context) (err error) {
		newest, err = s.store.LastPreview(ctx)
		return err
	})
	if err != nil || newest == s.trimmedTo.Load() { // none was made since there were not too many
		return err
	}
	if err := s.trimToBounds(ctx); err != nil {
		return err
	}
	s.trimmedTo.Store(newest)
	return nil
}

// neverMS is later than all times.
const neverMS = int64(1) << 62

// trimToBounds removes the oldest previews until there are not too many, and they are not too large.
func (s *Service) trimToBounds(ctx context.Context) error {
	var over store.Totals
	err := inTime(ctx, func(ctx context.Context) (err error) {
		over, err = s.store.PreviewTotals(ctx)
		return err
	})
	if err != nil {
		return err
	}
	over.Previews -= s.cfg.URLPreviews.MaxPreviews
	over.AnswerBytes -= s.cfg.URLPreviews.MaxTextBytes
	over.ImageBytes -= s.cfg.URLPreviews.MaxImagesBytes
	for over.Previews > 0 || over.AnswerBytes > 0 || over.ImageBytes > 0 {
		most := min(int64(sweepMost), over.Previews)
		if over.AnswerBytes > 0 || over.ImageBytes > 0 {
			most = max(most, trimMost)
		}
		removed, err := s.removePreviews(ctx, neverMS, most)
		if err != nil || removed.Previews == 0 {
			return err
		}
		over.Previews -= removed.Previews
		over.AnswerBytes -= removed.AnswerBytes
		over.ImageBytes -= removed.ImageBytes
	}
	return ctx.Err()
}

// removePreviews removes some of the previews that are to go before a time, and tells what they were.
func (s *Service) removePreviews(ctx context.Context, beforeMS, most int64) (removed store.Totals, err error) {
	err = inTime(ctx, func(ctx context.Context) (err error) {
		removed, err = s.store.RemovePreviews(ctx, beforeMS, most, s.nowMS())
		return err
	})
	return removed, err
}
