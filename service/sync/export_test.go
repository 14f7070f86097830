package sync

import (
	"context"
	"net/http"
	"time"

	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix/filter"
)

// ReceiptContent is the content of m.receipt for receipts and a user's own marks.
func ReceiptContent(self string, receipts []*roompb.Receipt, marks []*syncpb.ReadMark) string {
	return string(appendReceipts(nil, &part{self: self, receipts: receipts, marks: marks}))
}

// EncodeFilter is the filter as the room service is given it.
func EncodeFilter(f *filter.RoomEventFilter) ([]byte, error) { return encodeFilter(f) }

// Contiguous is contiguous.
func Contiguous(events []*roompb.Event, end int64) []*roompb.Event { return contiguous(events, end) }

// Shared is a shared reading of a number.
type Shared struct{ s *shared[int] }

// NewShared returns a shared reading.
func NewShared(read func(context.Context) (int, error)) *Shared {
	return &Shared{newShared(read)}
}

// SetTimeout bounds a reading.
func (s *Shared) SetTimeout(d time.Duration) { s.s.timeout = d }

// Get reads.
func (s *Shared) Get(ctx context.Context) (int, error) { return s.s.get(ctx) }

// Section tells what becomes of a section with these members.
func Section(name string, members ...string) string {
	dst := []byte("{")
	s := openSection(&dst, name)
	for _, m := range members {
		s.next(&dst)
		dst = append(dst, m...)
	}
	s.close(&dst)
	return string(append(dst, '}'))
}

// Turns are turns of large answers.
type Turns struct{ t *turns }

// NewTurns returns as many turns, of which so many bytes may be unwritten.
func NewTurns(most int, unwritten int64) Turns { return Turns{newTurns(most, unwritten)} }

// Turn is the turn of one large answer.
type Turn struct{ u *turn }

// Take waits for a turn of a user.
func (t Turns) Take(ctx context.Context, user string) (Turn, error) {
	u, err := t.t.take(ctx, user)
	return Turn{u}, err
}

// Assembled says that the answer is put together.
func (t Turn) Assembled(bytes int64) { t.u.assembled(bytes) }

// Reply writes the answer, as a request does that holds the turn.
func (t Turn) Reply(w http.ResponseWriter, body []byte) error {
	return (&Service{}).reply(w, &waiting{turn: t.u}, &body, nil)
}

// Release gives the turn back.
func (t Turn) Release() { t.u.release() }

// Unwritten is how many bytes wait to be written without a place.
func (t Turns) Unwritten() int64 {
	t.t.mu.Lock()
	defer t.t.mu.Unlock()
	return t.t.unwritten
}

// Users is how many users have turns or wait for some.
func (t Turns) Users() int {
	t.t.mu.Lock()
	defer t.t.mu.Unlock()
	return len(t.t.of)
}

// DrainDelay is how long a poll of a user waits in a drain that takes d.
func DrainDelay(user string, d time.Duration) time.Duration {
	now := time.UnixMilli(0)
	dr := newDrain(func() time.Time { return now })
	dr.begin(now.Add(d))
	return dr.delay(user)
}
