package identity

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// origin is where credentials come from, as far as guessing them is concerned.
type origin struct {
	// signedIn says that whoever sends them has a session of the account already, on this device where it is known.
	signedIn bool
	device   string
	// addr is the client's address.
	addr netip.Addr
}

func originOf(r *http.Request) origin {
	caller := httpx.CallerOf(r)
	return origin{signedIn: caller.UserID != "", device: caller.DeviceID, addr: caller.RemoteAddr}
}

// network is what one attacker is taken to have many of: an IPv4 address, or the /64 of an IPv6 address.
func network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the zero Prefix is that of no address
	return p
}

// noteTimeout bounds noting a failed check, which a client that has gone away does not spare.
const noteTimeout = 5 * time.Second

// beginCheck waits until a password of an account may be checked, or fails with M_LIMIT_EXCEEDED; end says whether the
// check has failed. See "Guessing passwords" in the package comment.
func (s *Service) beginCheck(ctx context.Context, userID string, from origin) (end func(failed bool) error, err error) {
	ended := func(f *failures, key string, failed bool) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
		defer cancel()
		return f.end(ctx, key, failed)
	}
	// None of the parts can hold the character between them.
	key := userID + "\x00at " + network(from.addr).String()
	if from.signedIn {
		key = userID + "\x00on " + from.device
	}
	if err := s.fromOne.begin(ctx, key); err != nil {
		return nil, err
	}
	endOne := func(failed bool) error { return ended(s.fromOne, key, failed) }
	if from.signedIn {
		return endOne, nil
	}
	mine, err := s.beginOfAll(ctx, userID, from.addr)
	if err != nil {
		return nil, errors.Join(err, endOne(false))
	}
	if !mine {
		return endOne, nil
	}
	return func(failed bool) error {
		return errors.Join(endOne(failed), ended(s.fromAll, userID, failed))
	}, nil
}

// beginOfAll begins a check among those of all addresses, and reports whether it must be ended: who is at home neither
// waits for others nor is refused because of them, and counts by address alone.
func (s *Service) beginOfAll(ctx context.Context, userID string, addr netip.Addr) (mine bool, err error) {
	wait, err := s.fromAll.try(ctx, userID)
	if wait == nil && err == nil {
		return true, nil
	}
	var limited *matrix.Error
	if err != nil && !errors.As(err, &limited) {
		return false, err
	}
	known, lookErr := s.knownAt(ctx, userID, addr)
	if known || lookErr != nil {
		return false, lookErr
	}
	if err == nil {
		err = s.fromAll.begin(ctx, userID)
	}
	return err == nil, err
}

// knownAt reports whether one of a user's devices was seen at an address last.
func (s *Service) knownAt(ctx context.Context, userID string, addr netip.Addr) (bool, error) {
	if !addr.IsValid() {
		return false, nil
	}
	devices, err := s.store.Devices(ctx, userID)
	if err != nil {
		return false, err
	}
	for _, d := range devices {
		if seen, err := netip.ParseAddr(s.seen.of(d).LastSeenIP); err == nil && network(seen) == network(addr) {
			return true, nil
		}
	}
	return false, nil
}
