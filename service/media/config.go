package media

import (
	"errors"
	"fmt"
	"time"

	"hongyan/platform/blob/s3"
	"hongyan/service/media/internal/picture"
)

// Config is what an administrator may change of the service.
type Config struct {
	// Path is the folder for content; empty for "media" in the data directory. S3 is where content is instead.
	Path string    `yaml:"path"`
	S3   s3.Config `yaml:"s3"`
	// MaxUploadBytes is how large an upload may be.
	MaxUploadBytes int64 `yaml:"max_upload_bytes"`
	// UploadTimeout is how long an upload may take, however steadily it comes.
	UploadTimeout time.Duration `yaml:"upload_timeout"`
	// Uploads is how many uploads one instance takes at once, UserUploads how many of one user.
	Uploads     int `yaml:"uploads"`
	UserUploads int `yaml:"user_uploads"`
	// UserBytes is how much content a user may have, UserDayBytes how much a user may upload on one day (UTC); 0 is no limit.
	UserBytes    int64 `yaml:"user_bytes"`
	UserDayBytes int64 `yaml:"user_day_bytes"`
	// UnusedExpiresAfter is when an id expires to which nothing is uploaded; 0 is never. MaxUnused is how many a user may have.
	UnusedExpiresAfter time.Duration `yaml:"unused_expires_after"`
	MaxUnused          int           `yaml:"max_unused"`
	// Retention is after what time media go that nobody fetches; 0 is never.
	Retention time.Duration `yaml:"retention"`
	// MaxWait is how long a download may wait for content that is not uploaded yet, Waiting how many may at once.
	MaxWait time.Duration `yaml:"max_wait"`
	Waiting int           `yaml:"waiting"`
	// LegacyDownloads answers downloads without an access token under /_matrix/media/v3.
	LegacyDownloads bool             `yaml:"legacy_downloads"`
	Thumbnails      ThumbnailsConfig `yaml:"thumbnails"`
	URLPreviews     PreviewsConfig   `yaml:"url_previews"`
}

// ThumbnailsConfig is how thumbnails are made.
type ThumbnailsConfig struct {
	// Sizes are all that are made: "WIDTHxHEIGHT METHOD", where the method is scale or crop.
	Sizes []string `yaml:"sizes"`
	// MaxPixels is of how many pixels a picture may be.
	MaxPixels int64 `yaml:"max_pixels"`
	// AtOnce is how many pictures are decoded at once, MemoryBytes how much memory they may take together.
	AtOnce      int   `yaml:"at_once"`
	MemoryBytes int64 `yaml:"memory_bytes"`
	// UserWaiting is how many requests of one user may wait for their turn; only one of a user's pictures is decoded at a time.
	UserWaiting int `yaml:"user_waiting"`
	// Timeout is how long making one may take, with waiting for its turn.
	Timeout time.Duration `yaml:"timeout"`
}

// Default is right for most deployments.
func Default() Config {
	return Config{
		MaxUploadBytes: 50 << 20, UploadTimeout: 3 * time.Hour, Uploads: 64, UserUploads: 16,
		UnusedExpiresAfter: 24 * time.Hour, MaxUnused: 100, MaxWait: 20 * time.Second, Waiting: 1000,
		Thumbnails: ThumbnailsConfig{
			// What the specification recommends, and two for the screens of today.
			Sizes: []string{
				"32x32 crop", "96x96 crop", "256x256 crop", "320x240 scale", "640x480 scale", "800x600 scale", "1600x1200 scale",
			},
			// The memory is enough for 48 megapixels of a camera's JPEG, and for 24 of most others.
			MaxPixels: 64 << 20, AtOnce: 2, MemoryBytes: 320 << 20, UserWaiting: 32, Timeout: 20 * time.Second,
		},
		URLPreviews: defaultPreviews(),
	}
}

// maxSizes bounds how many thumbnails of a picture there are.
const maxSizes = 32

// Validate refuses what cannot work.
func (c Config) Validate() error {
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"max_upload_bytes", c.MaxUploadBytes}, {"upload_timeout", int64(c.UploadTimeout)},
		{"uploads", int64(c.Uploads)}, {"user_uploads", int64(c.UserUploads)}, {"max_unused", int64(c.MaxUnused)},
		{"max_wait", int64(c.MaxWait)}, {"waiting", int64(c.Waiting)},
		{"thumbnails.max_pixels", c.Thumbnails.MaxPixels}, {"thumbnails.at_once", int64(c.Thumbnails.AtOnce)},
		{"thumbnails.memory_bytes", c.Thumbnails.MemoryBytes}, {"thumbnails.timeout", int64(c.Thumbnails.Timeout)},
		{"thumbnails.user_waiting", int64(c.Thumbnails.UserWaiting)},
	} {
		if v.value < 1 {
			return fmt.Errorf("media: %s must be positive", v.name)
		}
	}
	if c.UserBytes < 0 || c.UserDayBytes < 0 || c.UnusedExpiresAfter < 0 {
		return errors.New("media: user_bytes, user_day_bytes and unused_expires_after must not be negative")
	}
	if c.Retention != 0 && c.Retention < 2*touchEvery {
		return fmt.Errorf("media: retention: want at least %s, or 0 for ever", 2*touchEvery)
	}
	if err := c.S3.Validate(); err != nil {
		return fmt.Errorf("media: s3: %w", err)
	}
	if c.S3.Endpoint != "" && c.Path != "" {
		return errors.New("media: want path or s3, not both")
	}
	if err := c.URLPreviews.Validate(); err != nil {
		return fmt.Errorf("media: url_previews: %w", err)
	}
	_, err := c.Thumbnails.sizes()
	return err
}

// sizes are the sizes that are made.
func (c ThumbnailsConfig) sizes() ([]picture.Size, error) {
	if len(c.Sizes) == 0 || len(c.Sizes) > maxSizes {
		return nil, fmt.Errorf("media: thumbnails.sizes: want 1 to %d", maxSizes)
	}
	all := make([]picture.Size, 0, len(c.Sizes))
	for _, text := range c.Sizes {
		size, err := picture.ParseSize(text)
		if err != nil {
			return nil, fmt.Errorf("media: thumbnails.sizes: %w", err)
		}
		all = append(all, size)
	}
	return all, nil
}
