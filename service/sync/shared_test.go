package sync_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/sync"
)

func TestAReadingThatHangsFails(t *testing.T) {
	s := sync.NewShared(func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	s.SetTimeout(time.Millisecond)
	_, err := s.Get(context.Background()) // whose caller would wait for ever
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestWhoWaitsForAReadingMayGo(t *testing.T) {
	entered, release := make(chan struct{}, 10), make(chan struct{})
	s := sync.NewShared(func(context.Context) (int, error) {
		entered <- struct{}{}
		<-release
		return 1, nil
	})
	results := make(chan error, 3)
	ask := func(ctx context.Context) {
		_, err := s.Get(ctx)
		results <- err
	}
	go ask(context.Background())
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	go ask(ctx)                  // leads the next reading, or
	go ask(context.Background()) // waits for it
	cancel()
	require.ErrorIs(t, <-results, context.Canceled, "it does not wait for the reading before")
	release <- struct{}{}
	require.NoError(t, <-results)
	release <- struct{}{}
	require.NoError(t, <-results, "who waited with it is not let down")
}
