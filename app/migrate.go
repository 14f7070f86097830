package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"hongyan/app/transfer"
)

// Migrate copies everything from the deployment of one configuration to the empty one of another, and marks the
// old one as moved, so that no server starts on it by accident. No server may run on either: a server that is started
// meanwhile is refused, and one that was there all the same makes the run fail. Access tokens, sync tokens
// and transaction ids stay what they are. An interrupted run is repeated as it was.
func Migrate(ctx context.Context, from, to Config, opts CopyOptions) (done *Copied, err error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	m := &migration{from: from, to: to, opts: opts}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.giveUp(ctx))
		}
		err = errors.Join(err, m.close())
	}()
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	if err := m.guard(ctx); err != nil {
		return nil, err
	}
	sum := map[string]bool{}
	done = &Copied{Created: opts.Clock(), Key: m.key != nil}
	if done.ServerName, err = from.serverOf(ctx, m.databases); err != nil {
		return nil, err
	}
	err = transfer.Move(ctx, transfer.Moving{
		Databases: m.databases, Targets: to.copyTargets(m.toDir), What: "the databases of " + m.source(), Moved: m.moved,
		Progress: func(s transfer.Step) {
			if s.Doing == "fill" {
				sum[s.Service+"/"+s.Table] = true
				done.Rows += int64(s.Rows)
			}
			if opts.Progress != nil {
				opts.Progress(s)
			}
		},
		Done: m.finish,
	})
	if errors.Is(err, transfer.ErrMoved) {
		return nil, fmt.Errorf("%s: %w; there is nothing to finish in %s", m.source(), err, m.destination())
	}
	done.Tables = len(sum)
	return done, err
}

// migration is a run of Migrate, with what it holds.
type migration struct {
	from, to       Config
	opts           CopyOptions
	fromDir, toDir *dataDir
	locked         []*dataDir
	databases      []transfer.Database
	key            []byte
	// moved says that an earlier run came as far as to mark the source as moved. guarded and finishing say that this one
	// has begun to mark it as moving, and as moved.
	moved, guarded, finishing bool
}

func (m *migration) close() error {
	err := closeAll(m.databases)
	for _, dir := range m.locked {
		dir.close()
	}
	return err
}

// prepare locks both sides, opens the source and looks whether they are what they should be.
func (m *migration) prepare(ctx context.Context) (err error) {
	if err := m.lock(); err != nil {
		return err
	}
	if err := m.refuseSamePlace(); err != nil {
		return err
	}
	if m.key, err = m.fromDir.rawSigningKey(); err != nil {
		return err
	}
	if err := m.toDir.refuseKey(m.key); err != nil {
		return err
	}
	if m.databases, err = m.from.openSources(ctx, m.fromDir); err != nil {
		return err
	}
	if err := m.refuseConnected(ctx); err != nil {
		return err
	}
	for _, d := range m.databases {
		moved, err := transfer.IsMoved(ctx, d.DB)
		if err != nil {
			return err
		}
		m.moved = m.moved || moved || m.from.refuseMoved(d.Service, m.fromDir) != nil
	}
	return nil
}

// lock takes the data directories. That of the source must be there where it holds databases.
func (m *migration) lock() error {
	needed := false
	for _, service := range copyOrder() {
		needed = needed || m.from.inDataDir(service)
	}
	_, err := os.Stat(m.from.DataDir)
	if err != nil && (needed || !errors.Is(err, fs.ErrNotExist)) {
		return fmt.Errorf("data directory of the source: %w", err)
	}
	m.fromDir = &dataDir{path: m.from.DataDir}
	if err == nil {
		if m.fromDir, err = takeDataDir(m.from.DataDir); err != nil {
			return err
		}
		m.locked = append(m.locked, m.fromDir)
	}
	if same, err := samePath(m.from.DataDir, m.to.DataDir); err != nil || same {
		m.toDir = m.fromDir
		return err
	}
	if m.toDir, err = takeDataDir(m.to.DataDir); err != nil {
		return err
	}
	m.locked = append(m.locked, m.toDir)
	return nil
}

func samePath(a, b string) (bool, error) {
	absA, err := filepath.Abs(a)
	if err != nil {
		return false, fmt.Errorf("data directory: %w", err)
	}
	absB, err := filepath.Abs(b)
	if err != nil {
		return false, fmt.Errorf("data directory: %w", err)
	}
	return absA == absB, nil
}

func (m *migration) refuseSamePlace() error {
	for _, service := range copyOrder() {
		from, _, err := m.from.database(service, m.fromDir)
		if err != nil {
			return err
		}
		to, _, err := m.to.database(service, m.toDir)
		if err != nil {
			return err
		}
		if from == to {
			return fmt.Errorf("the data of %s would be moved to where it is, %s: name another place with --to-database or --to-data-dir",
				service, DatabaseURL(to))
		}
	}
	return nil
}

func describePlace(c Config, dir *dataDir) string {
	if c.Database != "" {
		return c.Database.String()
	}
	path, err := filepath.Abs(dir.path)
	if err != nil {
		path = dir.path
	}
	return "data directory " + path
}

func (m *migration) source() string      { return describePlace(m.from, m.fromDir) }
func (m *migration) destination() string { return describePlace(m.to, m.toDir) }
