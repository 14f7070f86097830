package fault_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"hongyan/test/harness"
)

// join adds an instance of each service, which must take its share soon, and takes it away again. The load asks nothing of media
// and, once a second, little of social, so that there is no share of them to take.
func join(s *scene) []strike {
	if s.Registry == nil {
		return nil
	}
	var all []strike
	for _, service := range harness.Services() {
		if service == "media" || service == "social" || service == "gateway" && !s.Balanced {
			continue
		}
		all = append(all, strike{target: service, do: func(t *testing.T) (effect, error) { return s.joins(t.Context(), service) }})
	}
	return all
}

func (s *scene) joins(ctx context.Context, service string) (effect, error) {
	n := s.Extra("", service)
	began := time.Now()
	if err := n.Up(ctx); err != nil {
		return effect{}, err
	}
	ready := time.Now()
	first, err := s.firstRequest(ctx, n, service)
	e := effect{note: fmt.Sprintf("ready after %s, first request after %s", show(ready.Sub(began)), show(first.Sub(began)))}
	if late := first.Sub(ready); err == nil && late > time.Duration(float64(2*time.Second)*slack()) {
		err = fmt.Errorf("it took %s from ready to the first request", show(late))
	}
	share, shareErr := s.share(ctx, n, service)
	e.note += fmt.Sprintf(", then %.0f %% of the requests to %s", share*100, service)
	if status := s.Remove(n, syscall.SIGTERM); status != 0 {
		err = errors.Join(err, fmt.Errorf("it left with status %d", status))
	}
	return e, errors.Join(err, shareErr)
}

// served counts what was sent to an instance of a service since it started, and to all of them.
func (s *scene) served(ctx context.Context, n *harness.Node, service string) (its, all int64, err error) {
	if service == "gateway" {
		for _, g := range s.Running(service) {
			count, err := g.Requests(ctx)
			if err != nil {
				return 0, 0, err
			}
			all += count
			if g == n {
				its = count
			}
		}
		return its, all, nil
	}
	status, err := n.Status(ctx)
	for key, calls := range status.Calls {
		if key[0] == service {
			all += calls
		}
	}
	return status.Calls[[2]string{service, status.BootID}], all, err
}

// firstRequest waits until an instance has got one.
func (s *scene) firstRequest(ctx context.Context, n *harness.Node, service string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := until(ctx, "it got a request", func() bool {
		its, _, err := s.served(ctx, n, service)
		return err == nil && its > 0
	})
	return time.Now(), err
}

// share measures for two seconds how much of what is sent to a service goes to one instance.
func (s *scene) share(ctx context.Context, n *harness.Node, service string) (float64, error) {
	itsBefore, allBefore, err := s.served(ctx, n, service)
	if err != nil {
		return 0, err
	}
	if err := wait(ctx, 2*time.Second); err != nil {
		return 0, err
	}
	its, all, err := s.served(ctx, n, service)
	if err != nil {
		return 0, err
	}
	if its == itsBefore {
		return 0, fmt.Errorf("of %d requests to %s it got none", all-allBefore, service)
	}
	return float64(its-itsBefore) / float64(all-allBefore), nil
}
