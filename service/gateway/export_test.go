package gateway

import (
	"context"
	"net"
	"net/netip"
	"time"

	"hongyan/platform/bus"
	"hongyan/platform/httpx"
	"hongyan/platform/obs"
)

// ReturnedConn is a connection as the listener gets it back from a poll, with what its client sent early.
func ReturnedConn(c net.Conn, early string) net.Conn {
	bounded := boundedOf(c)
	bounded.unread([]byte(early))
	bounded.comesBack()
	return bounded
}

// Remembered counts the forgets that are remembered one by one.
func (s *Service) Remembered() int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	n := 0
	for _, f := range s.sessions.forgot {
		n += max(len(f.devices), 1)
	}
	return n
}

// Shares tells whether the gateway counts together with others.
func (s *Service) Shares() bool { return s.limits.share.on.Load() }

// Tokens is what a bucket holds.
func (s *Service) Tokens(class httpx.Limit, user string, address netip.Addr) float64 {
	if user != "" {
		return s.limits.account[class].tokens(user)
	}
	return s.limits.address[class].tokens(addressKey(address))
}

// BadTokens is what an address's bucket of unknown tokens holds.
func (s *Service) BadTokens(address netip.Addr) float64 {
	return s.limits.badTokens.tokens(addressKey(address))
}

func (b *buckets) tokens(key string) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	return b.limiterLocked(key, now).TokensAt(now)
}

// EncodeTaken makes messages of what add is called with.
func EncodeTaken(self string, fill func(add func(name, key string, n int)), publish func([]byte)) {
	m := takenMessage{self: self, publish: publish}
	fill(m.add)
	m.flush()
}

// DecodeTaken reads a message.
func DecodeTaken(data []byte, self string, each func(name, key string, n int)) error {
	return readTaken(data, self, each)
}

// Taker returns what counts a request of an account, and what must run meanwhile.
func Taker(others bus.Bus) (take func(user string), run func(context.Context) error) {
	cfg := Default().Limits
	cfg.Account.Default = Rate{PerSecond: 1e9, Burst: 1 << 30}
	l := newLimits(cfg, time.Now, others)
	take = func(user string) { _ = l.take(httpx.LimitDefault, user, netip.Addr{}) }
	if others != nil {
		return take, l.runShare
	}
	return take, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
}

// KeepBodies counts bytes of bodies of polls as kept.
func KeepBodies(s *Service, n int64) { s.remote.keep(n) }

// KeptBodies returns how many bytes of bodies of polls are kept.
func KeptBodies(s *Service) int64 {
	s.remote.mu.Lock()
	defer s.remote.mu.Unlock()
	return s.remote.bodies
}

// TurnPassword is the password that belongs to a user name.
func TurnPassword(secret obs.Secret, username string) string { return turnPassword(secret, username) }

// GuestRoutes are what guests may call, by method, with {} for parameters.
var GuestRoutes = guestRoutes
