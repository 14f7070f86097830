package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"hongyan/platform/obs"
)

// Process runs the program as this process, with its arguments, its standard streams and its signals, and returns its
// exit status.
func Process(version string) int {
	obs.Quiet()
	ctx, restore := withSignals(context.Background())
	defer restore()
	return Main(ctx, version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// interruption is the cause of a context that ended because of a signal.
type interruption struct{ signal syscall.Signal }

func (i interruption) Error() string { return i.signal.String() }

// status is what a shell expects of a program that a signal ended.
func (i interruption) status() int { return 128 + int(i.signal) }

// interrupted returns the signal that ended ctx, and whether one did.
func interrupted(ctx context.Context) (i interruption, ok bool) {
	ok = errors.As(context.Cause(ctx), &i)
	return i, ok
}

// withSignals returns a context that ends with the first SIGINT or SIGTERM; the second one ends the process at once.
// restore gives the signals back.
func withSignals(parent context.Context) (ctx context.Context, restore func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			number, _ := s.(syscall.Signal)
			cancel(interruption{number})
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		waiting.Wait()
	}
}
