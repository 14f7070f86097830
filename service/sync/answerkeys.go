package sync

import (
	"context"

	keyspb "hongyan/api/keys"
	"hongyan/service/sync/internal/devices"
)

// ofKeys is what an answer tells of the keys.
type ofKeys struct {
	// known tells that the positions are of the node's logs. Without that the token's stay as they are.
	known       bool
	keys, lists int64
	messages    []*keyspb.PositionedMessage
	// more tells that not all messages are among them that wait.
	more bool
	// changed and left are sorted.
	changed, left []string
	// counts are nil where nothing is known of them.
	counts *devices.Counts
	// news tells that the counts alone are worth an answer.
	news bool
}

// empty tells whether there is nothing that the client must be told.
func (k *ofKeys) empty() bool {
	return len(k.messages) == 0 && len(k.changed) == 0 && len(k.left) == 0 && !k.news
}

// readKeys reads what the client is to be told of the keys. It is called after the cut through the rooms was taken: positions
// in the logs of keys are then at least as new. Before encrypted events are shown, and where the client wants all there
// is, it waits until they truly are, so that the messages with which the events were encrypted are there.
//
// A service keys that does not answer ends nothing: what it would have told comes later, from the token's positions. News with
// encrypted events wait for it for a while: see awaitKeys.
func (a *answer) readKeys(ctx context.Context, g glance) error {
	for !a.lookAtKeys(ctx, g) && g.secret && !a.allRooms() {
		again, err := a.s.awaitKeys(ctx, a.p)
		if err != nil {
			return err
		}
		if !again {
			break
		}
	}
	if a.r.sinceText == "" {
		return nil
	}
	return a.readDeviceLists(ctx, g)
}

// allRooms tells whether the answer holds all of the client's rooms.
func (a *answer) allRooms() bool { return a.r.initial() || a.r.fullState }

// lookAtKeys reads what there is. It tells whether that is all that there was when it was called.
func (a *answer) lookAtKeys(ctx context.Context, g glance) (all bool) {
	k, p := &a.ofKeys, a.p
	*k = ofKeys{}
	if all = a.s.seeKeys(ctx, p); all {
		k.known = true
		if p.now || g.secret {
			all = a.s.catchUpKeys(ctx, p)
		}
		k.keys, k.lists = p.keys.node.Applied(p.keys.dev.User)
		all = a.readMessages(ctx) && all
		a.readCounts(ctx)
	}
	return all
}

// messagesAtOnce is how many messages to a device one answer has at most.
const messagesAtOnce = 100

// readMessages reads the messages that wait for the device. It tells whether they could be read.
func (a *answer) readMessages(ctx context.Context) bool {
	k, v := &a.ofKeys, &a.p.keys
	if !v.dev.MayHaveMessages(v.keys, k.keys) {
		return true
	}
	if a.s.trouble.lasts.Load() {
		k.keys = v.keys
		return false
	}
	calling, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	resp, err := a.s.deps.Keys.ToDevice(calling, &keyspb.ToDeviceRequest{
		UserId: a.r.user, DeviceId: a.r.device, After: v.keys, Through: k.keys, Limit: messagesAtOnce,
	})
	if err != nil {
		a.s.trouble.suspect(ctx, "read messages to a device", err)
		k.keys = v.keys
		return false
	}
	k.messages = resp.GetMessages()
	switch {
	case len(k.messages) == 0:
		v.keys = k.keys // not to be asked for again while the request waits
	case resp.GetMore():
		k.more, k.keys = true, k.messages[len(k.messages)-1].GetPosition()
	}
	return true
}

// messagesOnly is an answer that has messages to the device and nothing of the rooms, of which the token tells the client's
// positions as before: more messages wait, and encrypted events in the rooms may need them.
func (a *answer) messagesOnly() *[]byte {
	k := &a.ofKeys
	k.changed, k.left = nil, nil
	t, epoch := a.r.since, a.p.keys.epoch
	if t.KeysEpoch != epoch {
		t.KeysEpoch, t.DeviceLists = epoch, 0
	}
	t.Keys = k.keys
	next := t.String()
	body := a.s.buffers.get()
	*body = appendEnd(a.appendKeys(appendBeginning((*body)[:0], next)), k.counts)
	a.toldKeys(next)
	return body
}

// readCounts reads how many keys the device has left.
func (a *answer) readCounts(ctx context.Context) {
	k, v := &a.ofKeys, &a.p.keys
	var fresh bool
	k.counts, fresh = a.s.counts(ctx, v)
	k.news = fresh && a.r.sinceText != "" && v.dev.CountsAreNews(k.counts, a.r.sinceText, v.since)
}

// appendKeys appends what there is to tell, but for the counts.
func (a *answer) appendKeys(dst []byte) []byte {
	k := &a.ofKeys
	if len(k.messages) > 0 {
		dst = append(dst, `,"to_device":{"events":[`...)
		for i, m := range k.messages {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, m.GetMessage()...)
		}
		dst = append(dst, ']', '}')
	}
	if len(k.changed)+len(k.left) > 0 {
		dst = append(dst, `,"device_lists":{"changed":`...)
		dst = appendStrings(dst, k.changed)
		dst = append(dst, `,"left":`...)
		dst = append(appendStrings(dst, k.left), '}')
	}
	return dst
}

// nextKeys sets the positions in the logs of keys of the token.
func (a *answer) nextKeys() {
	t, k := &a.token, &a.ofKeys
	if !k.known {
		t.KeysEpoch, t.Keys, t.DeviceLists = a.r.since.KeysEpoch, a.r.since.Keys, a.r.since.DeviceLists
		return
	}
	t.KeysEpoch, t.Keys, t.DeviceLists = a.p.keys.epoch, k.keys, k.lists
}

// toldKeys notes what the client was told together with the new token.
func (a *answer) toldKeys(token string) {
	if a.ofKeys.known {
		a.p.keys.dev.Tell(a.ofKeys.counts, token)
	}
}
