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

// span is a short run's length of a fault, or the whole one.
func (s *scene) span(short, long time.Duration) time.Duration {
	if s.short {
		return short
	}
	return long
}

// strikesAt is one strike where the topology has what it strikes.
func strikesAt(there bool, target string, do func(t *testing.T) (effect, error)) []strike {
	if !there {
		return nil
	}
	return []strike{{target: target, do: do}}
}

// registryDown takes the registry away for a while.
func registryDown(s *scene) []strike {
	return strikesAt(s.Registry != nil, "registry", func(t *testing.T) (effect, error) {
		s.Registry.Stop(t)
		err := wait(t.Context(), s.span(10*time.Second, time.Minute))
		s.Registry.Start(t)
		e, back := s.registered(t.Context())
		return e, errors.Join(err, back)
	})
}

// registryWiped restarts the registry without its data.
func registryWiped(s *scene) []strike {
	return strikesAt(s.Registry != nil, "registry", func(t *testing.T) (effect, error) {
		s.Registry.Wipe(t)
		e, err := s.registered(t.Context())
		return e, errors.Join(err, wait(t.Context(), s.span(2*time.Second, 10*time.Second)))
	})
}

// registered waits until somebody who knows of nobody finds everybody in the registry, and says how long that took. Where there
// is a balancer that is one more gateway that it knows, which must get nothing before it knows whom to send it to.
func (s *scene) registered(ctx context.Context) (effect, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	want := map[string]int{}
	for _, service := range harness.Services() {
		want[service] = len(s.Running(service))
	}
	n := s.Extra("", "gateway")
	defer s.Remove(n, syscall.SIGTERM)
	if err := n.Start(); err != nil {
		return effect{}, err
	}
	want["gateway"]++
	var status harness.Status
	err := until(ctx, fmt.Sprintf("a new gateway finds %v", want), func() bool {
		var err error
		status, err = n.Status(ctx)
		for service, count := range want {
			if err != nil || status.Ready(service) < count {
				return false
			}
		}
		return true
	})
	if err != nil {
		err = fmt.Errorf("%w, but not more than %+v", err, status.Instances)
	}
	return effect{note: "all registered again after " + show(time.Since(began))}, err
}

// partition takes the registry away from one process, for longer than its lease.
func partition(s *scene) []strike {
	if s.Registry == nil {
		return nil
	}
	return s.each(func(t *testing.T, n *harness.Node) (effect, error) {
		status, err := n.Status(t.Context())
		if err != nil {
			return effect{}, err
		}
		n.Registry.Unplug()
		err = wait(t.Context(), s.span(8*time.Second, 20*time.Second))
		n.Registry.Plug()
		began := time.Now()
		err = errors.Join(err, s.known(t.Context(), n, status.BootID))
		return effect{note: "registered again after " + show(time.Since(began))}, err
	}, "room")
}

// known waits until all others list a process again.
func (s *scene) known(ctx context.Context, n *harness.Node, bootID string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, other := range s.Nodes {
		if other == n || !other.Running() {
			continue
		}
		err := until(ctx, fmt.Sprintf("%s knows %s again", other.Name, n.Name), func() bool {
			status, err := other.Status(ctx)
			return err == nil && status.Has(n.Targets[0], bootID)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// busDown takes NATS away for a while.
func busDown(s *scene) []strike {
	return strikesAt(s.Bus != nil, "nats", func(t *testing.T) (effect, error) {
		s.Bus.Stop(syscall.SIGKILL)
		err := wait(t.Context(), s.span(8*time.Second, 30*time.Second))
		return effect{}, errors.Join(err, s.Bus.Start(), wait(t.Context(), 3*time.Second))
	})
}

// databaseRestarted lets PostgreSQL crash and come back.
func databaseRestarted(s *scene) []strike {
	return strikesAt(s.Postgres != nil, "postgres", func(t *testing.T) (effect, error) {
		began := time.Now()
		if err := s.Postgres.Kill(); err != nil {
			return effect{}, err
		}
		err := errors.Join(wait(t.Context(), 3*time.Second), s.Postgres.Up())
		return effect{outage: time.Since(began)}, err
	})
}

// commitCut loses the connections of room to PostgreSQL while commits are under way: by turns before the answer, which
// leaves the outcome unknown, and at any moment.
func commitCut(s *scene) []strike {
	return strikesAt(s.Postgres != nil, "room and postgres", func(t *testing.T) (effect, error) {
		const pause = 500 * time.Millisecond
		cut, rounds := 0, int(s.span(3*time.Second, 20*time.Second)/(2*pause))
		for range rounds {
			for _, how := range []func(*harness.Link) int{(*harness.Link).CutAnswers, (*harness.Link).Cut} {
				for _, n := range s.Running("room") {
					if n.Database != nil {
						cut += how(n.Database)
					}
				}
				if err := wait(t.Context(), pause); err != nil {
					return effect{}, err
				}
			}
		}
		return effect{note: fmt.Sprintf("%d connections cut", cut)}, nil
	})
}

// networkCut takes the other host off the network.
func networkCut(s *scene) []strike {
	if s.Network == nil {
		return nil
	}
	return []strike{{target: "other host", edge: true, do: func(t *testing.T) (effect, error) {
		err := s.Network.Cut()
		err = errors.Join(err, wait(t.Context(), s.span(8*time.Second, 20*time.Second)), s.Network.Heal())
		return effect{}, errors.Join(err, wait(t.Context(), 3*time.Second))
	}}}
}
