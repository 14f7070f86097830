package app

import (
	"context"
	"time"

	"hongyan/platform/blob"
	"hongyan/platform/blob/disk"
	"hongyan/platform/blob/s3"
)

// blobFolder is where, in a data directory, content of media is unless the configuration names another place.
const blobFolder = "media"

// bucketTimeout is how long it may take to find the bucket.
const bucketTimeout = 15 * time.Second

// openBlobs opens where content of media is.
func (b *builder) openBlobs(ctx context.Context) (blob.Store, error) {
	cfg := b.cfg.Media
	if cfg.S3.Endpoint == "" {
		path := cfg.Path
		if path == "" {
			path = b.dir.file(blobFolder)
		}
		return disk.Open(path)
	}
	store, err := s3.New(cfg.S3, nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	return store, store.Check(ctx)
}
