package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"net/netip"
	"sync"
	"time"
	"unicode/utf8"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
)

// maxTokenLength bounds the access tokens that are worth a look-up, in bytes.
const maxTokenLength = 1024

// maxForgets bounds how many users' forgets are remembered one by one; beyond it the oldest is remembered by making
// everything that was looked up before it invalid.
const maxForgets = 4096

// maxRelookups bounds how often a request looks its token up again: because of forgets in the middle, or because an
// answer came too late to count.
const maxRelookups = 8

// lookup asks identity whose token it is. address is the client's, for the list of devices.
type lookup func(ctx context.Context, token string, address netip.Addr) (*identitypb.AuthenticateResponse, error)

// tokenHash stands for an access token, which is not kept itself.
type tokenHash [sha256.Size]byte

// session is what identity said of a token.
type session struct {
	*identitypb.AuthenticateResponse
	// started counts the forgets before the look-up began.
	started uint64
	// began is when the look-up began, until when its result must not be used for further requests.
	began, until time.Time
	hash         tokenHash
}

// flight is a look-up that is under way. session and err may be read when done is closed.
type flight struct {
	done chan struct{}
	// until is when it is too old to be joined: a slow look-up must not stretch the two seconds.
	until   time.Time
	session *session
	err     error
}

// forgets are the numbers of the newest forgets that concern a user: of all devices, and of single ones.
type forgets struct {
	all     uint64
	devices map[string]uint64
}

// forgetMark is a user's forget in the order of time.
type forgetMark struct {
	user   string
	number uint64
}

// sessions knows who uses which access token and which long polls are parked.
//
// Forgets are numbered, and each look-up notes the number at which it began. A look-up's result is valid only while
// its number is not below that of a forget which concerns its device: this covers what is cached, what is still under way,
// and polls that are just being parked, with one comparison under one lock.
type sessions struct {
	lookup lookup
	now    func() time.Time
	ttl    time.Duration
	// timeout bounds one look-up.
	timeout  time.Duration
	capacity int
	maxPolls int

	mu      sync.Mutex
	known   map[tokenHash]*session
	queue   []*session // in the order in which they end; the first live one is queue[head]
	head    int
	flights map[tokenHash]*flight
	count   uint64 // forgets so far
	floor   uint64 // what began before this forget is invalid
	forgot  map[string]*forgets
	marks   []forgetMark
	polls   map[string]*pollList
	// hits and misses count looks at what is known.
	hits, misses uint64
}

func newSessions(look lookup, now func() time.Time, cfg AuthConfig) *sessions {
	return &sessions{
		lookup: look, now: now, ttl: cfg.CacheFor, timeout: cfg.Timeout,
		capacity: cfg.CacheEntries, maxPolls: cfg.MaxPolls,
		known:   map[tokenHash]*session{},
		flights: map[tokenHash]*flight{},
		forgot:  map[string]*forgets{},
		polls:   map[string]*pollList{},
	}
}

// get says whose token it is. mayLook can refuse a look-up; what is known needs none. The error is a *matrix.Error,
// or the context's.
func (s *sessions) get(ctx context.Context, token string, address netip.Addr, mayLook func() error) (*session, error) {
	if len(token) > maxTokenLength || !utf8.ValidString(token) { // no token is made so
		if err := mayLook(); err != nil {
			return nil, err
		}
		return nil, matrix.NewError(matrix.CodeUnknownToken, "Unknown access token.")
	}
	hash := tokenHash(sha256.Sum256([]byte(token)))
	for range maxRelookups {
		known, fl, leader, err := s.begin(hash, mayLook)
		if known != nil || err != nil {
			return known, err
		}
		if leader {
			s.fly(ctx, fl, hash, token, address)
		} else {
			select {
			case <-fl.done:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if fl.err != nil {
			return nil, fl.err
		}
		if s.fresh(fl.session) {
			return fl.session, nil
		}
	}
	return nil, matrix.Unavailable(errors.New("the token was forgotten during every look-up, or each took too long"))
}

// begin returns what is known of a token, or the look-up to wait for, or one that the caller leads.
func (s *sessions) begin(hash tokenHash, mayLook func() error) (known *session, fl *flight, leader bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known = s.known[hash]; known != nil {
		if s.usableLocked(known) {
			s.hits++
			return known, nil, false, nil
		}
		delete(s.known, hash)
	}
	now := s.now()
	if fl = s.flights[hash]; fl != nil && now.Before(fl.until) {
		return nil, fl, false, nil
	}
	if err := mayLook(); err != nil {
		return nil, nil, false, err
	}
	s.misses++
	until := now.Add(s.ttl)
	fl = &flight{
		done: make(chan struct{}), until: until,
		session: &session{started: s.count, began: now, until: until, hash: hash},
	}
	s.flights[hash] = fl
	return nil, fl, true, nil
}

// fly makes the look-up of a flight. It does not end with the request that leads it: others wait for it.
func (s *sessions) fly(ctx context.Context, fl *flight, hash tokenHash, token string, address netip.Addr) {
	done := false
	defer func() {
		if !done { // the look-up panicked: nobody may wait for it for ever
			fl.err = matrix.Internal(errors.New("look-up of an access token panicked"))
		}
		s.mu.Lock()
		if s.flights[hash] == fl {
			delete(s.flights, hash)
		}
		if fl.err == nil && s.usableLocked(fl.session) {
			s.keepLocked(fl.session)
		}
		s.mu.Unlock()
		close(fl.done)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	answer, err := s.lookup(ctx, token, address)
	switch {
	case err != nil:
		fl.err = lookupError(err)
	case answer.GetUserId() == "":
		fl.err = matrix.Internal(errors.New("look-up of an access token named no user"))
	default:
		fl.session.AuthenticateResponse = answer
		if end := answer.GetExpiresAtMs(); end > 0 {
			if left := time.UnixMilli(end).Sub(s.now()); left < s.ttl {
				fl.session.until = minTime(fl.session.until, s.now().Add(left))
			}
		}
	}
	done = true
}

// lookupError is what the client reads when a look-up failed: a refusal as it is, anything else as "try again".
func lookupError(err error) error {
	var refusal *matrix.Error
	if errors.As(err, &refusal) && refusal.Status < 500 {
		return refusal
	}
	return matrix.Unavailable(err)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// fresh tells whether those who waited for a look-up may go by its result: no forget since it began concerns it, and it
// began less than two seconds ago. That is not until: where nothing is cached, the result still serves who waited.
func (s *sessions) fresh(e *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.validLocked(e) && s.now().Sub(e.began) < maxCacheFor
}

func (s *sessions) usableLocked(e *session) bool {
	return s.validLocked(e) && s.now().Before(e.until)
}

// validLocked tells whether no forget since the look-up began concerns the session.
func (s *sessions) validLocked(e *session) bool {
	if e.started < s.floor {
		return false
	}
	f := s.forgot[e.GetUserId()]
	return f == nil || (e.started >= f.all && e.started >= f.devices[e.GetDeviceId()])
}

// keepLocked caches a result and makes room for it.
func (s *sessions) keepLocked(e *session) {
	now := s.now()
	for s.head < len(s.queue) && (len(s.known) >= s.capacity || !now.Before(s.queue[s.head].until)) {
		if old := s.queue[s.head]; s.known[old.hash] == old {
			delete(s.known, old.hash)
		}
		s.queue[s.head] = nil
		s.head++
	}
	if s.head > len(s.queue)/2 {
		s.queue = append(s.queue[:0], s.queue[s.head:]...)
		s.head = 0
	}
	s.known[e.hash] = e
	s.queue = append(s.queue, e)
}

// forget makes everything that was looked up so far invalid for these devices of a user, or for all of them where
// none is named, and ends their long polls.
func (s *sessions) forget(user string, devices []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	f := s.forgot[user]
	if f == nil {
		f = &forgets{}
		s.forgot[user] = f
	}
	if len(devices) == 0 {
		f.all, f.devices = s.count, nil
	}
	for _, device := range devices {
		if f.devices == nil {
			f.devices = make(map[string]uint64, len(devices))
		}
		f.devices[device] = s.count
	}
	s.marks = append(s.marks, forgetMark{user: user, number: s.count})
	if len(s.marks) > maxForgets {
		s.dropMarksLocked(len(s.marks) - maxForgets/2)
	}
	s.endPollsLocked(user, devices)
}

// leave forgets everything and remembers nothing any more: who has left the registry is not told of forgets.
func (s *sessions) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ttl = 0
	s.count++
	s.floor = s.count
	clear(s.forgot)
	s.marks = nil
}

// dropMarksLocked replaces the oldest n forgets by one that concerns everybody: it costs look-ups, never safety.
func (s *sessions) dropMarksLocked(n int) {
	s.floor = s.marks[n-1].number
	for _, m := range s.marks[:n] {
		f := s.forgot[m.user]
		if f == nil {
			continue
		}
		maps.DeleteFunc(f.devices, func(_ string, number uint64) bool { return number <= s.floor })
		if f.all <= s.floor && len(f.devices) == 0 {
			delete(s.forgot, m.user)
		}
	}
	s.marks = append(s.marks[:0], s.marks[n:]...)
}
