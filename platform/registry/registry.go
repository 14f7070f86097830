package registry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrClosed is returned by a registry after Close.
var ErrClosed = errors.New("registry closed")

// State says what an instance takes.
type State string

// States of an instance.
const (
	// Starting instances are known but take no calls yet.
	Starting State = "starting"
	// Ready instances take calls.
	Ready State = "ready"
	// Draining instances finish what they have and take nothing new.
	Draining State = "draining"
)

// Instance is one service in one process, as it is registered. A record is keyed by service and boot id.
type Instance struct {
	// Service is the service's name ("room").
	Service string `json:"service"`
	// BootID is new each time a process starts and shared by its services.
	BootID string `json:"boot_id"`
	// HTTP and GRPC are where others reach it (host:port); empty where it has none, or is in this process.
	HTTP string `json:"http,omitempty"`
	GRPC string `json:"grpc,omitempty"`
	// Version is the program's.
	Version string `json:"version,omitempty"`
	// Zone is where it runs; callers prefer their own.
	Zone string `json:"zone,omitempty"`
	// Started is when the process started.
	Started time.Time `json:"started"`
	// Weight is its share of calls that have no owner, relative to others'; 0 counts as 1.
	Weight int `json:"weight,omitempty"`
	// State is what it takes.
	State State `json:"state"`
}

// Key identifies the record.
func (i Instance) Key() string { return i.Service + "/" + i.BootID }

// Validate says what is wrong with a record.
func (i Instance) Validate() error {
	if i.Service == "" || i.BootID == "" {
		return fmt.Errorf("instance %q: service and boot id are required", i.Key())
	}
	switch i.State {
	case Starting, Ready, Draining:
	default:
		return fmt.Errorf("instance %s: unknown state %q", i.Key(), i.State)
	}
	if i.Weight < 0 {
		return fmt.Errorf("instance %s: negative weight", i.Key())
	}
	return nil
}

// Registry is one process's connection to the registry, with one lease that it keeps alive by heartbeats until
// Close. Implementations come back by themselves after the registry was gone, and put all records back.
type Registry interface {
	// Put registers an instance, or replaces its record (a change of state). It returns when the record is stored, or
	// when ctx ends; in that case the record is stored as soon as the registry is there again.
	Put(ctx context.Context, instance Instance) error
	// Remove deregisters an instance of this process. One that is not registered is no error.
	Remove(ctx context.Context, instance Instance) error
	// Watch sends all instances of a service now, and again whenever they change, sorted by boot id. A slow reader
	// sees the newest list only. The channel is closed when ctx ends or the registry is closed, and for no other
	// reason: while the registry is gone it is silent.
	Watch(ctx context.Context, service string) (<-chan []Instance, error)
	// Close ends the lease, which removes all records of this process, and waits for what the registry runs.
	Close() error
}
