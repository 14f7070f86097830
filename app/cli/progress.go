package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"hongyan/app"
	"hongyan/app/transfer"
)

// progressEvery is how often a person is told that something is done.
const progressEvery = 2 * time.Second

// progress tells a person on standard error how far copying has come.
type progress struct {
	to          io.Writer
	begun, told time.Time
	// doing and rows are what is done at present, since when.
	doing string
	since time.Time
	rows  int64
}

func newProgress(cmd *cobra.Command) *progress {
	now := time.Now()
	return &progress{to: cmd.ErrOrStderr(), begun: now, told: now, since: now}
}

// step is a transfer.Progress.
func (p *progress) step(s transfer.Step) {
	now := time.Now()
	if doing := s.Doing + " " + s.Service; doing != p.doing {
		p.doing, p.since, p.rows = doing, now, 0
	}
	p.rows += int64(s.Rows)
	if now.Sub(p.told) < progressEvery {
		return
	}
	p.told = now
	_, _ = fmt.Fprintf(p.to, "%s: %d rows, %s a second, now table %s\n", p.doing, p.rows, rate(p.rows, now.Sub(p.since)), s.Table)
}

// summary says what was copied in what time.
func (p *progress) summary(done *app.Copied) string {
	took := time.Since(p.begun)
	key := ""
	if done.Key {
		key = " and the file signing.key"
	}
	return fmt.Sprintf("%d rows of %d tables%s in %s (%s rows a second)",
		done.Rows, done.Tables, key, took.Round(10*time.Millisecond), rate(done.Rows, took))
}

func rate(rows int64, in time.Duration) string {
	return fmt.Sprintf("%.0f", float64(rows)/max(in.Seconds(), 1e-3))
}

// size is a number of bytes for people.
func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}
