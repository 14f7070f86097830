package fault_test

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// failures says which failed requests a fault may cost.
type failures int

const (
	// none may fail.
	none failures = iota
	// unrepeatable ones may: log-ins, and through a gateway that died POSTs, which nobody outside may repeat.
	unrepeatable
	// refused ones may, with a 503 in Matrix's form.
	refused
	// anyhow is for what a hung process or network had in its hands.
	anyhow
)

// bound is what must hold.
type bound struct {
	// stall is the longest time from a message's sending to its arrival; 0 for as long as it takes.
	stall    time.Duration
	failures failures
}

// row is a fault that was made, with what it did.
type row struct {
	fault, target string
	bound         bound
	// outage is how long nobody was there to do the work, since the topology has one of a kind: it is added to
	// the bound of the stall, and requests may fail.
	outage time.Duration
	figures
	note string
	// wrong is what did not hold.
	wrong []string
}

// slack is what the bounds on time are multiplied with, for machines that do other things meanwhile (FAULT_SLACK).
func slack() float64 {
	if f, err := strconv.ParseFloat(os.Getenv("FAULT_SLACK"), 64); err == nil && f >= 1 {
		return f
	}
	return 1
}

// clientPause is the longest that a client of the load waits before it repeats what failed.
const clientPause = 2 * time.Second

// judge adds what does not hold.
func (r *row) judge() {
	if r.bound.stall > 0 {
		limit := time.Duration(float64(r.bound.stall)*slack()) + r.outage
		if r.outage > 0 {
			limit += clientPause
		}
		if r.stall > limit {
			r.add("a message took %s, want less than %s", show(r.stall), show(limit))
		}
	}
	switch {
	case r.outage > 0 && r.bound.failures != refused: // nobody else was there
	case r.bound.failures == none && r.failed > 0:
		r.add("requests failed: %s", r.failures())
	case r.bound.failures == unrepeatable && r.repeatable > 0:
		r.add("requests failed that could have been repeated: %s", r.failures())
	case r.bound.failures == refused && r.unclear > 0:
		r.add("requests failed otherwise than with a clear 503: %s", r.failures())
	}
}

func (r *row) add(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func show(d time.Duration) string { return d.Round(time.Millisecond).String() }

// verdict is one word, and what was wrong.
func (r *row) verdict() string {
	if len(r.wrong) == 0 {
		return "holds"
	}
	return "FAILS: " + strings.Join(r.wrong, "; ")
}

// limit shows the bound.
func (r *row) limit() string {
	if r.bound.stall == 0 {
		return "-"
	}
	if r.outage > 0 {
		return show(r.bound.stall) + " + " + show(r.outage+clientPause)
	}
	return show(r.bound.stall)
}

// table is what was measured on a topology.
type table struct {
	topology string
	rows     []*row
}

// print writes it for people.
func (t *table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(tw, strings.Join(cells, "\t")) } // Flush tells of errors
	_, _ = fmt.Fprintf(tw, "\n%s (bounds on time × %g)\n", t.topology, slack())
	line("fault", "target", "requests", "failed", "repeatable", "stall", "bound", "slowest send", "longest gap", "verdict", "")
	for _, r := range t.rows {
		line(r.fault, r.target, strconv.Itoa(r.requests), strconv.Itoa(r.failed), strconv.Itoa(r.repeatable),
			show(r.stall), r.limit(), show(r.answer), show(r.gap), r.verdict(), r.note)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}
