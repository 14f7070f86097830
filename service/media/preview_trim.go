package media

import (
	"context"
	"time"
)

// trimEvery is how often it is looked whether there are too many previews.
const trimEvery = time.Minute

// trimPreviews removes previews whose time has come, and the oldest where there are too many.
func (s *Service) trimPreviews(ctx context.Context) error {
	if err := s.removePreviews(ctx, s.nowMS(), -1, -1); err != nil || s.pages == nil {
		return err
	}
	now, last := s.nowMS(), s.trimmedMS.Load()
	if now-last < trimEvery.Milliseconds() || !s.trimmedMS.CompareAndSwap(last, now) {
		return nil
	}
	var n, size int64
	err := inTime(ctx, func(ctx context.Context) (err error) {
		n, size, err = s.store.PreviewTotals(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return s.removePreviews(ctx, neverMS, n-s.cfg.URLPreviews.MaxPreviews, size-s.cfg.URLPreviews.MaxImagesBytes)
}

// neverMS is later than all times.
const neverMS = int64(1) << 62

// removePreviews removes previews that are to go before a time: all of them where overRows and overBytes are negative, else until
// they are not positive any more.
func (s *Service) removePreviews(ctx context.Context, beforeMS, overRows, overBytes int64) error {
	all := overRows < 0 && overBytes < 0 && beforeMS != neverMS
	for all || overRows > 0 || overBytes > 0 {
		most := int64(sweepMost)
		if !all && overBytes <= 0 {
			most = min(most, overRows)
		}
		var n, size int64
		err := inTime(ctx, func(ctx context.Context) (err error) {
			n, size, err = s.store.RemovePreviews(ctx, beforeMS, most, s.nowMS())
			return err
		})
		if err != nil || n == 0 || all && n < most {
			return err
		}
		overRows, overBytes = overRows-n, overBytes-size
	}
	return ctx.Err()
}
