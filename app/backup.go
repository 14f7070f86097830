package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"hongyan/app/transfer"
)

// CopyOptions are what copying is told besides the configuration.
type CopyOptions struct {
	// Version is the program's.
	Version string
	// Clock is time.Now where nil.
	Clock func() time.Time
	// Progress is told what is done; it may be nil.
	Progress transfer.Progress
}

// Copied is what was copied.
type Copied struct {
	ServerName string
	// Created is when the archive was made.
	Created time.Time
	Tables  int
	Rows    int64
	// Key says that there was a file with a signing key beside the databases, as earlier versions have it.
	Key bool
}

func copied(serverName string, created time.Time, m *transfer.Manifest, key []byte) *Copied {
	return &Copied{ServerName: serverName, Created: created, Tables: len(m.Tables), Rows: m.Rows(), Key: key != nil}
}

// Backup writes an archive of the databases of cfg and of a signing key that an earlier version left in its data directory. A server may run on
// them meanwhile.
func Backup(ctx context.Context, cfg Config, opts CopyOptions, to io.Writer) (done *Copied, err error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	dir := &dataDir{path: cfg.DataDir} // without its lock, which the server has
	databases, err := cfg.openSources(ctx, dir)
	defer func() { err = errors.Join(err, closeAll(databases)) }()
	if err != nil {
		return nil, err
	}
	if err := cfg.refuseUnused(ctx, databases, dir); err != nil {
		return nil, err
	}
	name, err := cfg.serverOf(ctx, databases)
	if err != nil {
		return nil, err
	}
	key, err := dir.rawSigningKey()
	if err != nil {
		return nil, err
	}
	header := transfer.Header{Program: opts.Version, ServerName: name, CreatedMS: opts.Clock().UnixMilli()}
	manifest, err := transfer.Backup(ctx, to, databases, header, key, opts.Progress)
	if err != nil {
		return nil, err
	}
	return copied(name, time.UnixMilli(header.CreatedMS), manifest, key), nil
}

// BackupFile is Backup into a file, which appears, or takes the place of an older one, when it was read again and
// found right. Only this user may read it.
func BackupFile(ctx context.Context, cfg Config, opts CopyOptions, name string) (done *Copied, err error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.partial")
	if err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if done, err = writeBackup(ctx, cfg, opts, file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	return done, syncDir(filepath.Dir(name))
}

// writeBackup writes a file and reads it again.
func writeBackup(ctx context.Context, cfg Config, opts CopyOptions, file *os.File) (*Copied, error) {
	buffered := bufio.NewWriterSize(file, 1<<20)
	done, err := Backup(ctx, cfg, opts, buffered)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(buffered.Flush(), file.Sync()); err != nil {
		return nil, fmt.Errorf("write backup: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	if _, err := transfer.Verify(ctx, bufio.NewReaderSize(file, 1<<20), opts.Progress); err != nil {
		return nil, fmt.Errorf("read the backup that was just written: %w", err)
	}
	return done, nil
}
