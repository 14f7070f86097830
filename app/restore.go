package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"hongyan/app/transfer"
)

// Restore fills the empty deployment of cfg with an archive, after it was read to its end and found right. No server may
// run on it.
func Restore(ctx context.Context, cfg Config, opts CopyOptions, archive io.ReadSeeker) (done *Copied, err error) {
	info, err := transfer.Verify(ctx, bufio.NewReaderSize(archive, 1<<20), opts.Progress)
	if err != nil {
		return nil, err
	}
	if name := info.Header.ServerName; name != cfg.ServerName {
		return nil, fmt.Errorf("the archive is of the server %q and would be restored as %q, whose users would be others: "+
			"set server_name (--server-name %s)", name, cfg.ServerName, name)
	}
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the archive again: %w", err)
	}
	dir, err := takeDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	defer dir.close()
	for _, service := range copyOrder() {
		if err := cfg.refuseMoved(service, dir); err != nil {
			return nil, err
		}
	}
	if err := dir.refuseKey(info.Key); err != nil {
		return nil, err
	}
	err = transfer.Restore(ctx, bufio.NewReaderSize(archive, 1<<20), info, cfg.copyTargets(dir), opts.Progress,
		func(context.Context) error { return dir.putKey(info.Key) })
	if err != nil {
		return nil, err
	}
	return copied(info.Header.ServerName, time.UnixMilli(info.Header.CreatedMS), &info.Manifest, info.Key), nil
}

// RestoreStream is Restore from what can be read only once: it is kept in a temporary file meanwhile.
func RestoreStream(ctx context.Context, cfg Config, opts CopyOptions, archive io.Reader) (done *Copied, err error) {
	file, err := os.CreateTemp("", "hongyan-restore-*")
	if err != nil {
		return nil, fmt.Errorf("keep the archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if _, err := io.Copy(file, archive); err != nil {
		return nil, fmt.Errorf("keep the archive: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("keep the archive: %w", err)
	}
	return Restore(ctx, cfg, opts, file)
}
