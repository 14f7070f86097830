package transfer

import (
	"context"
	"io"

	"hongyan/platform/sqldb"
)

// Backup writes an archive of databases. They are given in the order in which their snapshots are to be taken: followers
// before what they follow. header is what is known without looking into them; key may be nil.
func Backup(ctx context.Context, to io.Writer, databases []Database, header Header, key []byte, progress Progress) (*Manifest, error) {
	var manifest *Manifest
	err := withSnapshots(ctx, databases, func(ctx context.Context, s *snapshots) error {
		header.Format, header.Services = format, s.services()
		w, err := newArchiveWriter(to, header)
		if err != nil {
			return err
		}
		if manifest, err = writeAll(ctx, w, s, key, progress); err != nil {
			w.abandon()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return manifest, nil
}

func writeAll(ctx context.Context, w *archiveWriter, s source, key []byte, progress Progress) (*Manifest, error) {
	for _, service := range s.services() {
		err := s.read(ctx, service, func(t sqldb.Table, rows [][]any) error {
			progress.step("copy", service.Name, t.Name, len(rows))
			return w.rows(service.Name, t, rows)
		})
		if err != nil {
			return nil, err
		}
	}
	return w.finish(key)
}
