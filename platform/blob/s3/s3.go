package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"hongyan/platform/blob"
	"hongyan/platform/obs"
)

const (
	// wholeBytes is up to what size a blob is sent whole, by one request instead of three.
	wholeBytes = 1 << 20
	// partBytes are the parts in which others are sent, the least that object stores take. A part is in memory while it is sent, and
	// while it comes.
	partBytes = 5 << 20
)

// Config says where the bucket is. Without an Endpoint there is none.
type Config struct {
	// Endpoint is the URL of the object store, "https://s3.example.org".
	Endpoint string `yaml:"endpoint"`
	// Region is the bucket's, where the object store has regions.
	Region string `yaml:"region"`
	// Bucket must be there. Prefix is what the names of objects begin with.
	Bucket string `yaml:"bucket"`
	Prefix string `yaml:"prefix"`
	// AccessKey and SecretKey sign requests.
	AccessKey string     `yaml:"access_key"`
	SecretKey obs.Secret `yaml:"secret_key"`
	// PathStyle names the bucket in the path of URLs, not in their host.
	PathStyle bool `yaml:"path_style"`
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return errors.New("endpoint: want a URL such as https://s3.example.org") // without it: it may hold a password
	}
	if c.Bucket == "" {
		return errors.New("bucket: must not be empty")
	}
	return nil
}

// Store is a bucket of blobs.
type Store struct {
	client         *minio.Client
	bucket, prefix string
}

var _ blob.Store = (*Store)(nil)

// New returns a store. It asks nobody. Requests go over the transport, the usual one where nil.
func New(c Config, transport http.RoundTripper) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, errors.New("endpoint: not a URL")
	}
	lookup := minio.BucketLookupDNS
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKey, string(c.SecretKey), ""), Secure: u.Scheme == "https",
		Region: c.Region, BucketLookup: lookup, Transport: transport,
	})
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	return &Store{client: client, bucket: c.Bucket, prefix: c.Prefix}, nil
}

// Check asks whether the bucket is there.
func (s *Store) Check(ctx context.Context) error {
	there, err := s.client.BucketExists(ctx, s.bucket)
	if err != nil {
		return fmt.Errorf("ask the object store for the bucket %s: %w", s.bucket, err)
	}
	if !there {
		return fmt.Errorf("the object store has no bucket %s", s.bucket)
	}
	return nil
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (size int64, err error) {
	if err := blob.CheckKey(key); err != nil {
		return 0, err
	}
	counted := &counter{inner: r}
	var begin bytes.Buffer
	_, err = io.CopyN(&begin, counted, wholeBytes)
	switch {
	case errors.Is(err, io.EOF) && ctx.Err() == nil:
		err = s.put(ctx, key, bytes.NewReader(begin.Bytes()), int64(begin.Len()))
	case err == nil:
		err = s.put(ctx, key, io.MultiReader(&begin, counted), -1)
	}
	err = errors.Join(err, ctx.Err())
	// The client need not say what broke it off.
	if counted.err != nil && !errors.Is(err, counted.err) {
		err = errors.Join(counted.err, err)
	}
	if err != nil {
		return 0, fmt.Errorf("put blob: %w", err)
	}
	return counted.n, nil
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, size int64) error {
	_, err := s.client.PutObject(ctx, s.bucket, s.prefix+key, r, size, minio.PutObjectOptions{
		PartSize: partBytes, ContentType: "application/octet-stream",
		// Streamed signatures are not understood everywhere; the checksum says what a signature of the content would.
		DisableContentSha256: true, SendContentMd5: true,
	})
	return err
}

// counter counts what is read, and keeps why it ended.
type counter struct {
	inner io.Reader
	n     int64
	err   error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.inner.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, key string) (io.ReadSeekCloser, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	object, err := s.client.GetObject(ctx, s.bucket, s.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	// It has asked nobody yet. What it is told now it need not ask when it seeks.
	if _, err := object.Stat(); err != nil {
		return nil, errors.Join(fmt.Errorf("open blob: %w", missing(err)), object.Close())
	}
	return reader{object}, nil
}

// missing says of an error of the object store whether it is that there is no such blob.
func missing(err error) error {
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	}
	return err
}

// reader says what is not found any more.
type reader struct{ *minio.Object }

func (r reader) Read(p []byte) (int, error) {
	n, err := r.Object.Read(p)
	return n, missing(err)
}

// Seek moves on.
func (r reader) Seek(offset int64, whence int) (int64, error) {
	n, err := r.Object.Seek(offset, whence)
	return n, missing(err)
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	err := s.client.RemoveIncompleteUpload(ctx, s.bucket, s.prefix+key)
	if err == nil || isGone(err) {
		err = s.client.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{})
	}
	if err != nil && !isGone(err) {
		return fmt.Errorf("delete blob: %w", err)
	}
	return nil
}

// isGone tells whether there is nothing to delete.
func isGone(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == minio.NoSuchKey || code == minio.NoSuchUpload
}
