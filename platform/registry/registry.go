package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
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
	// Admin is where monitoring reads its process's metrics (host:port); empty where it has none that others reach. The
	// services of one process share it.
	Admin string `json:"admin,omitempty"`
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
	// Routes are what the gateway forwards to a service that is not part of the program; those of its own services
	// it knows by itself.
	Routes []Route `json:"routes,omitempty"`
}

// Route is a public route of a service that is not part of the program.
type Route struct {
	// Method is the HTTP method.
	Method string `json:"method"`
	// Path is the pattern, one {name} a segment.
	Path string `json:"path"`
	// Auth is required (the default), optional or none: whether the gateway wants an access token.
	Auth string `json:"auth,omitempty"`
	// Key is the path parameter that chooses the instance, "@user" for the caller, or empty for any instance.
	Key string `json:"key,omitempty"`
	// LongPoll exempts the route from every timeout.
	LongPoll bool `json:"long_poll,omitempty"`
	// MaxBody is the largest body in bytes; 0 is 256 KiB.
	MaxBody int64 `json:"max_body,omitempty"`
	// Once says that a request must never be sent twice.
	Once bool `json:"once,omitempty"`
	// Idempotent says that a request that may have been served may be sent again although its method does not say so:
	// POST, PATCH and DELETE.
	Idempotent bool `json:"idempotent,omitempty"`
}

// Key identifies the record.
func (i Instance) Key() string { return i.Service + "/" + i.BootID }

// Compare orders instances by service and boot id, as Watch does.
func Compare(a, b Instance) int {
	return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.BootID, b.BootID))
}

// isName tells whether a text can be a service's name or a boot id: both become parts of keys, paths and subjects.
func isName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// Validate says what is wrong with a record.
func (i Instance) Validate() error {
	if !isName(i.Service) || !isName(i.BootID) {
		return fmt.Errorf("instance %q: service and boot id need 1 to 64 letters, digits, - and _", i.Key())
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
	// when ctx ends, even before the call; in that case the record is stored as soon as the registry is there again.
	Put(ctx context.Context, instance Instance) error
	// Remove deregisters an instance of this process. One that is not registered is no error. It returns when the record
	// is gone, or when ctx ends, even before the call; in that case it goes as soon as the registry is there again.
	Remove(ctx context.Context, instance Instance) error
	// Watch sends all instances of all services now, and again whenever they change, sorted by service and boot id
	// (Compare). A slow reader sees the newest list only. The channel is closed when ctx ends or the registry is closed,
	// and for no other reason: while the registry is gone it is silent.
	Watch(ctx context.Context) (<-chan []Instance, error)
	// Close ends the lease, which removes all records of this process, and waits for what the registry runs. It waits for a
	// registry that is gone for two seconds at most, and then returns an error: the records go when the lease does.
	Close() error
}
