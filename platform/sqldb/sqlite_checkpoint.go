package sqldb

import (
	"context"
	"time"
)

const (
	// checkpointAfter is how many pages of the log are copied back into the file at once: 16 MiB. Many commits change
	// the same pages, which are copied once.
	checkpointAfter = 4096
	// finishBelow is how many pages may be left for the writer to copy itself.
	finishBelow = 512
	// restartAfter is the length of the log, in pages, from which the writer begins it anew: 32 MiB.
	restartAfter = 8192
	// checkpointBackstop is the length from which SQLite's own checkpoints help, should all this not keep up: 256 MiB.
	checkpointBackstop = 65536
	// checkpointPause lets commits come together between two looks at the log.
	checkpointPause = 50 * time.Millisecond
)

// liteCheckpointer copies the write-ahead log back into the database while the writer goes on. SQLite by itself does it
// in the commit that fills the log, and all others wait.
//
// The log can be begun anew only when all of it was copied, which does not happen while somebody writes. So when little is
// left, the writer copies that little between two transactions.
type liteCheckpointer struct {
	conn   *liteConn
	writer *liteWriter
	// stopping is closed by stop; stopped when the goroutine has ended.
	stopping, stopped chan struct{}
}

func startLiteCheckpointer(conn *liteConn, writer *liteWriter) *liteCheckpointer {
	c := &liteCheckpointer{conn: conn, writer: writer, stopping: make(chan struct{}), stopped: make(chan struct{})}
	go c.run()
	return c
}

func (c *liteCheckpointer) stop() error {
	close(c.stopping)
	<-c.stopped
	return c.conn.close()
}

func (c *liteCheckpointer) run() {
	defer close(c.stopped)
	ticker := time.NewTicker(checkpointPause)
	defer ticker.Stop()
	for {
		select {
		case <-c.stopping:
			return
		case <-c.writer.committed:
		}
		// An error is not lost: the commits, which see the same disk, fail too.
		_ = c.copyBack()
		select {
		case <-c.stopping:
			return
		case <-ticker.C:
		}
	}
}

// copyBack copies pages when there are enough of them.
func (c *liteCheckpointer) copyBack() error {
	length, copied, err := checkpoint(c.conn, "NOOP")
	if err != nil || length-copied < checkpointAfter {
		return err
	}
	for length-copied >= finishBelow {
		before := copied
		if _, copied, err = checkpoint(c.conn, "PASSIVE"); err != nil {
			return err
		}
		if copied <= before {
			return nil // a reader needs the old pages
		}
		// What was committed meanwhile.
		if length, copied, err = checkpoint(c.conn, "NOOP"); err != nil {
			return err
		}
	}
	if length < restartAfter {
		return nil
	}
	return c.writer.between(func(conn *liteConn) error {
		_, _, err := checkpoint(conn, "PASSIVE")
		return err
	})
}

// checkpoint returns the pages of the log and how many of them are copied.
func checkpoint(conn *liteConn, mode string) (length, copied int, err error) {
	var busy int
	err = liteTx{conn}.QueryRow(context.Background(), "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &length, &copied)
	return length, copied, err
}
