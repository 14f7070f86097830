package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"hongyan/platform/blob"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	// copyBytes is how much of a blob is in memory while it is written.
	copyBytes = 64 << 10
)

// Store is a folder of blobs.
type Store struct{ root string }

var _ blob.Store = (*Store)(nil)

// Open makes the folder where it is missing.
func Open(root string) (*Store, error) {
	s := &Store{root: root}
	if err := os.MkdirAll(filepath.Join(root, "tmp"), dirMode); err != nil {
		return nil, fmt.Errorf("folder of blobs: %w", err)
	}
	return s, nil
}

func (s *Store) temp(key string) string { return filepath.Join(s.root, "tmp", key) }

func (s *Store) folder(key string) string { return filepath.Join(s.root, key[:2], key[2:4]) }

func (s *Store) file(key string) string { return filepath.Join(s.folder(key), key) }

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (size int64, err error) {
	if err := blob.CheckKey(key); err != nil {
		return 0, err
	}
	if size, err = s.write(ctx, key, r); err != nil {
		return 0, fmt.Errorf("put blob: %w", err)
	}
	if err := s.appear(key); err != nil {
		return 0, fmt.Errorf("put blob: %w", err)
	}
	return size, nil
}

// write writes the temporary file, durably.
func (s *Store) write(ctx context.Context, key string, r io.Reader) (size int64, err error) {
	f, err := os.OpenFile(s.temp(key), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return 0, err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	// The file without its ReadFrom, which would bring a buffer of its own.
	size, err = io.CopyBuffer(struct{ io.Writer }{f}, &reader{ctx: ctx, inner: r}, *buf)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(f.Name()))
	}
	return size, nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, copyBytes); return &b }}

// reader ends with its context.
type reader struct {
	ctx   context.Context //nolint:containedctx // it lives as long as Put
	inner io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.inner.Read(p)
}

// appear gives the temporary file its name, durably.
func (s *Store) appear(key string) error {
	above, folder := filepath.Join(s.root, key[:2]), s.folder(key)
	for _, dir := range []string{above, folder} {
		err := os.Mkdir(dir, dirMode)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Also where it was there: who made it may not have come as far.
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	if err := os.Rename(s.temp(key), s.file(key)); err != nil {
		return err
	}
	return syncDir(folder)
}

// Open implements blob.Store.
func (s *Store) Open(_ context.Context, key string) (io.ReadSeekCloser, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	f, err := os.Open(s.file(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s: %w", key, blob.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	return f, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(_ context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	for _, name := range []string{s.temp(key), s.file(key)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete blob: %w", err)
		}
	}
	return nil
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
