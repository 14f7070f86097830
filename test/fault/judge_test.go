package fault_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"hongyan/bench"
)

// A judge that always finds everything well proves nothing: each bound is broken once.
func TestJudge(t *testing.T) {
	t.Setenv("FAULT_SLACK", "2")
	clear503 := &bench.APIError{Status: 503, Code: "M_UNKNOWN"}
	broken := errors.New("connection lost")
	cases := map[string]struct {
		bound  bound
		outage time.Duration
		edge   bool
		kind   string
		once   bool
		err    error
		stall  time.Duration
		wrong  bool
	}{
		"all well":                       {bound: bound{time.Second, none}, stall: time.Second},
		"a stall within the slack":       {bound: bound{time.Second, none}, stall: 1900 * time.Millisecond},
		"a stall":                        {bound: bound{time.Second, none}, stall: 2100 * time.Millisecond, wrong: true},
		"a stall of an outage":           {bound: bound{time.Second, none}, outage: time.Second, stall: 4900 * time.Millisecond},
		"a stall after an outage":        {bound: bound{time.Second, none}, outage: time.Second, stall: 5100 * time.Millisecond, wrong: true},
		"a stall without a bound":        {bound: bound{0, none}, stall: time.Hour},
		"a failure":                      {bound: bound{time.Second, none}, err: broken, wrong: true},
		"a failure in an outage":         {bound: bound{time.Second, none}, outage: time.Second, err: broken},
		"a failure that may be repeated": {bound: bound{0, unrepeatable}, kind: "send", err: broken, wrong: true},
		"a log-in":                       {bound: bound{0, unrepeatable}, kind: "login", once: true, err: broken},
		"a POST through a dead gateway":  {bound: bound{0, unrepeatable}, kind: "createRoom", edge: true, err: broken},
		"a PUT through a dead gateway":   {bound: bound{0, unrepeatable}, kind: "send", edge: true, err: broken, wrong: true},
		"a POST through a live gateway":  {bound: bound{0, unrepeatable}, kind: "createRoom", err: broken, wrong: true},
		"a clear 503":                    {bound: bound{0, refused}, err: clear503},
		"another error":                  {bound: bound{0, refused}, err: &bench.APIError{Status: 500, Code: "M_UNKNOWN"}, wrong: true},
		"another error in an outage":     {bound: bound{0, refused}, outage: time.Second, err: broken, wrong: true},
		"anything":                       {bound: bound{0, anyhow}, err: broken},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var cfg bench.Config
			seen := &recorder{}
			seen.hooks(&cfg)
			seen.reset()
			now := time.Now()
			cfg.Attempted(bench.Attempt{Kind: c.kind, Began: now, Ended: now, Once: c.once, Err: c.err})
			cfg.Attempted(bench.Attempt{Kind: c.kind, Began: now, Ended: now, Again: true, Err: broken}) // the client's own repetition
			cfg.Delivered(now, now.Add(c.stall))
			seen.end()
			r := &row{bound: c.bound, outage: c.outage, figures: seen.figures(c.edge)}
			require.Equal(t, 1, r.requests)
			r.judge()
			require.Equal(t, c.wrong, len(r.wrong) > 0, "%v", r.wrong)
		})
	}
}

// Nor does a mailbox that takes everything.
func TestMailbox(t *testing.T) {
	letter := func(n int) string {
		return fmt.Sprintf(`{"type":%q,"sender":"@w:x","content":{"n":%d}}`, letterType, n)
	}
	needs := func(n int) string {
		return fmt.Sprintf(`{"type":"m.room.encrypted","sender":"@w:x","content":{"needs":%d}}`, n)
	}
	answer := func(letters, events string) string {
		return `{"next_batch":"s","to_device":{"events":[` + letters + `]},"rooms":{"join":{"!r.x:x":{"timeline":{"events":[` + events + `]}}}}}`
	}
	cases := map[string]struct {
		answers []string
		wrong   string
	}{
		"all well":                 {answers: []string{answer(letter(1), needs(1)), answer(letter(2)+","+letter(3), ""), answer("", needs(3))}},
		"a letter twice":           {answers: []string{answer(letter(1), ""), answer(letter(1), "")}, wrong: "got letter 1 of @w:x after letter 1"},
		"a letter lost":            {answers: []string{answer(letter(1), ""), answer(letter(3), "")}, wrong: "got letter 3 of @w:x after letter 1"},
		"letters in another order": {answers: []string{answer(letter(2)+","+letter(1), "")}, wrong: "got letter 1 of @w:x after letter 2"},
		"an event too early":       {answers: []string{answer("", needs(1)), answer(letter(1), "")}, wrong: "needs letter 1 after letter 0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := &letters{roomID: "!r.x:x", told: func(bench.Attempt) {}, delivered: func(_, _ time.Time) {}}
			m := &mailbox{Client: &bench.Client{DeviceID: "D"}, l: l, last: map[string]int64{}}
			w := &writer{Client: &bench.Client{UserID: "@w:x"}, l: l}
			l.mailboxes, l.writers = []*mailbox{m}, []*writer{w}
			for _, a := range c.answers {
				m.take(gjson.Parse(a))
			}
			if c.wrong == "" {
				require.NoError(t, l.complaints())
			} else {
				require.ErrorContains(t, l.complaints(), c.wrong)
			}
			w.sent.Store(3)
			require.Equal(t, m.got(w) == 3, l.settled())
		})
	}
}
