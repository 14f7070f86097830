package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// parts are the running parts of a process, in the order of their start.
type parts struct {
	running []part
	// failed gets the error of a part that ended before it was told to.
	failed chan error
}

type part struct {
	name string
	end  context.CancelFunc
	done chan error
}

func newParts() *parts { return &parts{failed: make(chan error, 1)} }

// start runs a part on a goroutine of its own, which stop waits for.
func (p *parts) start(name string, run func(context.Context) error) {
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	p.running = append(p.running, part{name: name, end: end, done: done})
	go func() {
		err := run(ctx)
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		if ctx.Err() == nil {
			select {
			case p.failed <- errors.Join(err, fmt.Errorf("%s ended", name)):
				err = nil // it is told there
			default:
			}
		}
		done <- err
	}()
}

// end tells some parts to end and does not wait for them: stop does.
func (p *parts) end(names ...string) {
	for _, part := range p.running {
		if slices.Contains(names, part.name) {
			part.end()
		}
	}
}

// stop ends the parts in the reverse order of their start, each when the one before has ended.
func (p *parts) stop() error { return p.stopAfter(0) }

// stopAfter is stop for all but the first n parts.
func (p *parts) stopAfter(n int) error {
	if len(p.running) <= n {
		return nil
	}
	ending := p.running[n:]
	p.running = p.running[:n]
	var errs []error
	for _, part := range slices.Backward(ending) {
		part.end()
		if err := <-part.done; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
