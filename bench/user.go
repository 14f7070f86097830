package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"
)

// run is what all users of one run share.
type run struct {
	cfg    Config
	start  time.Time
	ledger *Ledger
	// measured is set while messages count towards the figures.
	measured atomic.Bool
	// paused is set while nothing is to be sent; busy are the messages and errands that are under way, with their repetitions.
	paused atomic.Bool
	busy   atomic.Int64

	accepted, delivered, echoed atomic.Int64
	// unsent are messages of which nobody knows whether the server has them: every repetition failed.
	unsent               atomic.Int64
	syncs, gaps          atomic.Int64
	errors               errorCounter
	acceptance, delivery Latencies
}

// attempted tells who wants to know of a request that has just ended.
func (r *run) attempted(a Attempt) {
	if tell := r.cfg.Attempted; tell != nil {
		a.Ended = time.Now()
		tell(a)
	}
}

// user is one account with its sync loop.
type user struct {
	*Client
	run   *run
	since string
	// ready is closed after the initial sync.
	ready chan struct{}
	n     int
}

const filter = `{"presence":{"not_types":["*"]},"room":{"timeline":{"limit":100},"state":{"lazy_load_members":true}}}`

// pollTimeout bounds how long the end of a run waits for parked polls. Idle users poll as real clients do.
func (c Config) pollTimeout() time.Duration {
	if c.Mode == ModeIdle {
		return 30 * time.Second
	}
	return 5 * time.Second
}

// marker is the key of the content that says when a message was sent and whether it counts.
const marker = "org.hongyan.bench"

// content returns the body of a message that says when it was sent, in microseconds since the start of the run.
func (u *user) content(measured bool) []byte {
	u.n++
	text := fmt.Sprintf("%s #%d ", u.UserID, u.n)
	if pad := u.run.cfg.BodyBytes - len(text); pad > 0 {
		text += strings.Repeat("x", pad)
	}
	b := make([]byte, 0, len(text)+120)
	b = append(b, `{"msgtype":"m.text","body":`...)
	b = strconv.AppendQuote(b, text)
	b = append(b, `,"`+marker+`":{"t":`...)
	b = strconv.AppendInt(b, time.Since(u.run.start).Microseconds(), 10)
	b = append(b, `,"m":`...)
	b = strconv.AppendBool(b, measured)
	return append(b, `}}`...)
}

// sendLoop sends into the rooms in turn until ctx ends, one message after the other.
func (u *user) sendLoop(ctx context.Context, rooms []string, pace <-chan struct{}) {
	for turn := 0; ctx.Err() == nil; turn++ {
		if pace != nil {
			select {
			case <-pace:
			case <-ctx.Done():
				return
			}
		}
		roomID, measured := rooms[turn%len(rooms)], u.run.measured.Load()
		content, txn := u.content(measured), "b"+strconv.Itoa(u.n)
		began := time.Now()
		// What was begun is finished: a send that is cut off may or may not have been accepted.
		u.run.busy.Add(1)
		eventID, err := u.sendUntilKnown(context.WithoutCancel(ctx), roomID, txn, content)
		if err == nil {
			u.run.ledger.Accept(roomID, eventID)
		}
		u.run.busy.Add(-1)
		if err != nil {
			u.run.errors.add("send", err)
			u.run.unsent.Add(1)
			continue
		}
		if tell := u.run.cfg.Accepted; tell != nil {
			tell(Message{Sender: u.Client, RoomID: roomID, TxnID: txn, EventID: eventID, Content: content})
		}
		if measured {
			u.run.accepted.Add(1)
			u.run.acceptance.Add(time.Since(began))
		}
	}
}

// sendUntilKnown repeats a send under its transaction id while the server asks to wait or cannot be reached.
func (u *user) sendUntilKnown(ctx context.Context, roomID, txn string, content []byte) (string, error) {
	for attempt := 1; ; attempt++ {
		began := time.Now()
		eventID, err := u.Send(ctx, roomID, txn, content)
		u.run.attempted(Attempt{Kind: "send", Began: began, Again: attempt > 1, Err: err})
		wait, again := retryAfter(err, attempt)
		if !again {
			return eventID, err
		}
		u.run.errors.add("send (repeated)", err)
		sleep(ctx, wait)
	}
}

// syncLoop keeps the user's view until ctx ends.
func (u *user) syncLoop(ctx context.Context) {
	for attempt := 0; ctx.Err() == nil; {
		timeout := u.run.cfg.pollTimeout()
		if u.since == "" {
			timeout = 0
		}
		began := time.Now()
		err := u.Sync(ctx, u.since, filter, timeout, func(body []byte) error { return u.see(ctx, string(body)) })
		if err != nil && ctx.Err() != nil {
			return
		}
		u.run.attempted(Attempt{Kind: "sync", Began: began, Again: attempt > 0, Err: err})
		if err != nil {
			attempt++
			u.run.errors.add("sync", err)
			wait, _ := retryAfter(err, attempt)
			sleep(ctx, max(wait, 50*time.Millisecond))
			continue
		}
		attempt = 0
		u.run.syncs.Add(1)
	}
}

// see takes in a sync response: as a whole or, when a gap cannot be filled, not at all.
func (u *user) see(ctx context.Context, body string) error {
	next := gjson.Get(body, "next_batch").String()
	if next == "" {
		return fmt.Errorf("sync: the answer has no next_batch")
	}
	type news struct {
		roomID string
		events []gjson.Result
	}
	var all []news
	var failed error
	gjson.Get(body, "rooms.join").ForEach(func(roomID, room gjson.Result) bool {
		timeline := room.Get("timeline")
		if u.since != "" && timeline.Get("limited").Bool() {
			u.run.gaps.Add(1)
			var missed []gjson.Result
			missed, failed = u.fillGap(ctx, roomID.String(), timeline.Get("prev_batch").String())
			all = append(all, news{roomID.String(), missed})
		}
		all = append(all, news{roomID.String(), timeline.Get("events").Array()})
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	for _, n := range all {
		for _, e := range n.events {
			u.seeEvent(n.roomID, e)
		}
	}
	first := u.since == ""
	u.since = strings.Clone(next)
	if first {
		close(u.ready)
	}
	return nil
}

// fillGap pages back from a limited timeline to what the user has seen, as clients do, and returns what was missed,
// oldest first.
func (u *user) fillGap(ctx context.Context, roomID, from string) ([]gjson.Result, error) {
	const pages, pageSize = 200, 100
	var missed []gjson.Result
	for range pages {
		var known bool
		var end string
		err := u.Messages(ctx, roomID, from, "b", pageSize, func(body []byte) error {
			answer := gjson.ParseBytes(body)
			end = answer.Get("end").String()
			for _, e := range answer.Get("chunk").Array() {
				if u.run.ledger.Saw(roomID, u.UserID, e.Get("event_id").String()) {
					known = true
					return nil
				}
				missed = append(missed, e)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("fill a gap in %s: %w", roomID, err)
		}
		if known || end == "" {
			break
		}
		from = end
	}
	slices.Reverse(missed)
	return missed, nil
}

func (u *user) seeEvent(roomID string, e gjson.Result) {
	var eventType, eventID, sender string
	var content gjson.Result
	e.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "type":
			eventType = value.Str
		case "event_id":
			eventID = value.Str
		case "sender":
			sender = value.Str
		case "content":
			content = value
		}
		return true
	})
	if eventType != "m.room.message" || !u.run.ledger.See(roomID, u.UserID, eventID) {
		return
	}
	mark := content.Get(strings.ReplaceAll(marker, ".", `\.`))
	if !mark.Get("m").Bool() {
		return
	}
	if sender == u.UserID {
		u.run.echoed.Add(1)
		return
	}
	sent, seen := u.run.start.Add(time.Duration(mark.Get("t").Int())*time.Microsecond), time.Now()
	u.run.delivered.Add(1)
	u.run.delivery.Add(seen.Sub(sent))
	if tell := u.run.cfg.Delivered; tell != nil {
		tell(sent, seen)
	}
}
