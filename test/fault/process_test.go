package fault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hongyan/test/harness"
)

// each returns a strike for every node, or in a short run for one of each service, of these services where any are named.
func (s *scene) each(do func(t *testing.T, n *harness.Node) (effect, error), whenShort ...string) []strike {
	var all []strike
	done := map[string]bool{}
	for _, n := range s.Nodes {
		kind := strings.Join(n.Targets, "+")
		if s.short && (done[kind] || len(whenShort) > 0 && !slices.ContainsFunc(whenShort, n.Runs)) {
			continue
		}
		done[kind] = true
		all = append(all, strike{
			target: n.Name, edge: n.Runs("gateway"),
			do: func(t *testing.T) (effect, error) { return do(t, n) },
		})
	}
	return all
}

// absence is how long a node that ended is away.
func (s *scene) absence() time.Duration {
	if s.short {
		return time.Second
	}
	return 3 * time.Second
}

// calm makes no fault: what the machine itself does to the figures.
func calm(*scene) []strike {
	return []strike{{target: "nobody", do: func(t *testing.T) (effect, error) {
		return effect{}, wait(t.Context(), 5*time.Second)
	}}}
}

// kill ends each process at once, and starts it again after a while.
func kill(s *scene) []strike {
	return s.each(func(t *testing.T, n *harness.Node) (effect, error) {
		return s.leave(t.Context(), n, syscall.SIGKILL, -1)
	})
}

// terminate ends each process with a drain, and starts it again after a while.
func terminate(s *scene) []strike {
	return s.each(func(t *testing.T, n *harness.Node) (effect, error) {
		return s.leave(t.Context(), n, syscall.SIGTERM, 0)
	})
}

// leave ends a node and starts it again.
func (s *scene) leave(ctx context.Context, n *harness.Node, sig syscall.Signal, status int) (effect, error) {
	var e effect
	alone, began := s.Alone(n), time.Now()
	if got := n.Stop(sig); got != status {
		return e, fmt.Errorf("%s ended with status %d, want %d", n.Name, got, status)
	}
	e.note = "left in " + show(time.Since(began))
	if err := wait(ctx, s.absence()); err != nil {
		return e, err
	}
	again := time.Now()
	err := n.Up(ctx)
	e.note += ", ready in " + show(time.Since(again))
	if alone {
		e.outage = time.Since(began)
	}
	return e, err
}

// hang stops each process for a while without ending it.
func hang(s *scene) []strike {
	return s.each(func(t *testing.T, n *harness.Node) (effect, error) {
		ctx := t.Context()
		const hung, after = 8 * time.Second, 2 * time.Second
		began := time.Now()
		n.Signal(syscall.SIGSTOP)
		err := wait(ctx, hung)
		n.Signal(syscall.SIGCONT)
		var e effect
		if s.Alone(n) {
			e.outage = time.Since(began)
		}
		return e, errors.Join(err, wait(ctx, after)) // what it had in its hands must do no harm now
	}, "room", "sync")
}

// roll restarts everything, one process after the other.
func roll(s *scene) []strike {
	return []strike{{target: "everything", do: func(t *testing.T) (effect, error) {
		var e effect
		ctx, began := t.Context(), time.Now()
		for _, n := range s.Nodes {
			if s.Alone(n) {
				e.outage = time.Hour // each in turn is away: what must hold is that nothing is lost
			}
			if status := n.Stop(syscall.SIGTERM); status != 0 {
				return e, fmt.Errorf("%s ended with status %d", n.Name, status)
			}
			if err := n.Up(ctx); err != nil {
				return e, err
			}
		}
		e.note = fmt.Sprintf("%d processes in %s", len(s.Nodes), show(time.Since(began)))
		return e, nil
	}}}
}
