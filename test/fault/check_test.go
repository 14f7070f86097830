package fault_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/tidwall/gjson"

	"hongyan/bench"
)

// checkIdempotent sends a sample of the messages again: each must be answered with its event.
func checkIdempotent(ctx context.Context, sent []bench.Message) error {
	const sample = 300
	for _, i := range rand.Perm(len(sent))[:min(sample, len(sent))] {
		m := sent[i]
		again, err := m.Sender.Send(ctx, m.RoomID, m.TxnID, m.Content)
		if err != nil {
			return fmt.Errorf("repeat transaction %s of %s: %w", m.TxnID, m.Sender.UserID, err)
		}
		if again != m.EventID {
			return fmt.Errorf("transaction %s of %s made %s, and when repeated %s", m.TxnID, m.Sender.UserID, m.EventID, again)
		}
	}
	return nil
}

// checkHistory pages through every room from its beginning and from its end: each message stands there exactly once, and both
// ways have the same order.
func checkHistory(ctx context.Context, sent []bench.Message) error {
	readers, want := map[string]*bench.Client{}, map[string]string{}
	for _, m := range sent {
		readers[m.RoomID] = m.Sender
		if _, twice := want[m.EventID]; twice {
			return fmt.Errorf("%s answered two different transaction ids", m.EventID)
		}
		want[m.EventID] = m.RoomID
	}
	stands, texts := map[string]int{}, map[string]int{}
	for roomID, reader := range readers {
		forward, err := history(ctx, reader, roomID, "f")
		if err != nil {
			return err
		}
		backward, err := history(ctx, reader, roomID, "b")
		if err != nil {
			return err
		}
		slices.Reverse(backward)
		if !slices.Equal(forward, backward) {
			return fmt.Errorf("%s reads differently forwards (%d messages) and backwards (%d)", roomID, len(forward), len(backward))
		}
		for _, m := range forward {
			stands[m.id]++
			texts[roomID+m.text]++
		}
	}
	var wrong []error
	for id, roomID := range want {
		if stands[id] != 1 && len(wrong) < 10 {
			wrong = append(wrong, fmt.Errorf("%s stands %d times in the history of %s", id, stands[id], roomID))
		}
	}
	for text, n := range texts {
		if n != 1 && len(wrong) < 10 {
			wrong = append(wrong, fmt.Errorf("%q was written %d times", text, n))
		}
	}
	return errors.Join(wrong...)
}

// message is what one reads of one.
type message struct{ id, text string }

// history reads all messages of a room.
func history(ctx context.Context, reader *bench.Client, roomID, dir string) ([]message, error) {
	var all []message
	from := ""
	const pages = 1000
	for range pages {
		var end string
		err := reader.Messages(ctx, roomID, from, dir, 500, func(body []byte) error {
			answer := gjson.ParseBytes(body)
			end = answer.Get("end").Str
			for _, e := range answer.Get("chunk").Array() {
				if e.Get("type").Str == "m.room.message" {
					// The body is not kept: copy what is.
					all = append(all, message{id: string([]byte(e.Get("event_id").Str)), text: string([]byte(e.Get("content.body").Str))})
				}
			}
			end = string([]byte(end))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", roomID, err)
		}
		if end == "" {
			return all, nil
		}
		from = end
	}
	return nil, fmt.Errorf("the history of %s does not end after %d pages", roomID, pages)
}
