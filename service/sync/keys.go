package sync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	keyspb "hongyan/api/keys"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/synctoken"
	"hongyan/service/sync/internal/devices"
)

// keysView is how a request sees the keys: its device in the node that works, and the client's positions in that node's logs.
// It is empty where no node works.
type keysView struct {
	node *keysNode
	dev  *devices.Device
	// keys and lists are the positions in the logs "keys" and "device_list" from which news are told: the token's, or later
	// ones where nothing came in between.
	keys, lists int64
	// epoch is the node's in this device's tokens.
	epoch uint64
	// since is the token's position in the log "keys", 0 if it has none there.
	since int64
	// settled tells that the positions lie within the logs.
	settled bool
}

// seeKeys gives a request its view of the node that works now. It waits where the token is ahead of what was applied; ok is
// false where there is no node, or none that has come as far as the token.
func (s *Service) seeKeys(ctx context.Context, p *waiting) (ok bool) {
	node := s.keysNodeNow(ctx)
	if v := &p.keys; v.node != node {
		p.leaveKeys()
		if node == nil {
			return false
		}
		*v = keysView{
			node: node, dev: node.Attach(p.r.user, p.r.device, p.waiter.C), epoch: synctoken.OfDevice(node.Epoch(), p.r.device),
		}
		if p.r.sinceText != "" && p.r.since.KeysEpoch == v.epoch {
			v.keys, v.lists, v.since = p.r.since.Keys, p.r.since.DeviceLists, p.r.since.Keys
		}
	}
	if node == nil {
		return false
	}
	return p.keys.settled || s.settleKeys(ctx, p)
}

// settleKeys makes sure that the token's positions lie within the logs: those beyond mean nothing.
func (s *Service) settleKeys(ctx context.Context, p *waiting) bool {
	v := &p.keys
	if keys, lists := v.node.Applied(v.dev.User); v.keys > keys || v.lists > lists {
		if !s.catchUpKeys(ctx, p) {
			return false
		}
		keys, lists = v.node.Applied(v.dev.User)
		if v.keys > keys {
			v.keys, v.since = 0, 0
		}
		if v.lists > lists {
			v.lists = 0
		}
	}
	v.settled = true
	s.acknowledge(ctx, v)
	return true
}

// leaveKeys ends what a request holds of the keys.
func (p *waiting) leaveKeys() {
	if p.keys.dev != nil {
		p.keys.dev.Detach(p.waiter.C)
	}
	p.keys = keysView{}
}

// catchUpKeys waits until everything has been applied that was in the logs of keys when it was called. It waits for a service
// that does not answer once.
func (s *Service) catchUpKeys(ctx context.Context, p *waiting) bool {
	if s.trouble.lasts.Load() {
		return false
	}
	v := &p.keys
	waiting, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	heads, err := s.keysHeads.get(waiting)
	if err == nil && synctoken.KeysEpoch(heads.keys.Epoch, heads.list.Epoch) != v.node.Epoch() {
		return false // its followers will notice
	}
	if err == nil {
		user := v.dev.User
		keys, list := heads.keys.Shard[user.Shard], heads.list.Shard[0]
		if !p.now {
			list = min(list, v.lists) // only messages must not come too late
		}
		v.node.keys.Wake(user.Shard, keys)
		v.node.list.Wake(0, list)
		err = v.node.AwaitApplied(waiting, user, keys, list)
	}
	if err != nil {
		s.trouble.begin(ctx, "catch up with its logs", err)
	}
	return err == nil
}

// errHeld says that the news of the rooms are not to be shown yet, and that the request has to end.
var errHeld = errors.New("news are held back until the service keys answers")

// awaitKeys waits until the service keys may answer again, for a request whose news may have encrypted events: the messages to
// the device that these need must come no later. It tells whether to ask once more, and fails with errHeld when the request
// has to end. Who has waited for as long as the configuration says gets the events nonetheless.
func (s *Service) awaitKeys(ctx context.Context, p *waiting) (again bool, err error) {
	now := s.deps.Clock()
	if p.patience.IsZero() {
		p.patience = now.Add(s.cfg.KeysPatience)
	}
	left, over := p.patience.Sub(now), s.trouble.ends()
	if left <= 0 {
		p.patience = time.Time{} // for the next news
		return false, nil
	}
	if over == nil { // there is a moment until another node works
		left = min(left, probeEvery/10)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-p.node.Ended():
		return false, errHeld
	case <-s.drain.began:
		return false, errHeld
	case <-ctx.Done():
		return false, errHeld
	}
	return true, nil
}

// acknowledge lets the messages be deleted that the client got with the token that comes back.
func (s *Service) acknowledge(ctx context.Context, v *keysView) {
	if !v.dev.MustAcknowledge(v.since) || s.trouble.lasts.Load() {
		return
	}
	calling, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	_, err := s.deps.Keys.Acknowledge(calling, &keyspb.AcknowledgeRequest{
		UserId: v.dev.User.ID, DeviceId: v.dev.ID, Through: v.since,
	})
	if err != nil {
		s.trouble.suspect(ctx, "acknowledge messages to a device", err)
		return
	}
	v.dev.Acknowledged(v.since)
}

// counts returns how many keys the device of a request has left: what was known last where that cannot be read now, and nil
// where nothing is known. fresh tells that it is as the log says.
func (s *Service) counts(ctx context.Context, v *keysView) (c *devices.Counts, fresh bool) {
	c, fresh = v.dev.Counts()
	if fresh || s.trouble.lasts.Load() {
		return c, fresh
	}
	calling, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	life := v.dev.Life()
	resp, err := s.deps.Keys.Counts(calling, &keyspb.CountsRequest{UserId: v.dev.User.ID, DeviceId: v.dev.ID})
	if err != nil {
		s.trouble.suspect(ctx, "count the keys of a device", err)
		return c, false
	}
	v.dev.PutCounts(&devices.Counts{JSON: appendCounts(nil, resp), Changed: resp.GetChangedPosition()}, life)
	return v.dev.Counts()
}

// knownCounts returns the counts that need not be asked for, nil if there are none.
func (p *waiting) knownCounts() *devices.Counts {
	if p.keys.dev == nil {
		return nil
	}
	c, _ := p.keys.dev.Counts()
	return c
}

// mostUsed is the algorithm whose count clients want even where it is 0.
const mostUsed = "signed_curve25519"

// appendCounts appends how many keys a device has left.
func appendCounts(dst []byte, c *keyspb.CountsResponse) []byte {
	counts := map[string]int64{mostUsed: 0}
	maps.Copy(counts, c.GetOneTime())
	dst = append(dst, `,"device_one_time_keys_count":{`...)
	for i, algorithm := range slices.Sorted(maps.Keys(counts)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(canonicaljson.AppendString(dst, algorithm), ':')
		dst = strconv.AppendInt(dst, counts[algorithm], 10)
	}
	dst = append(dst, `},"device_unused_fallback_key_types":`...)
	return appendStrings(dst, c.GetUnusedFallback())
}

// appendStrings appends a list.
func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = canonicaljson.AppendString(dst, s)
	}
	return append(dst, ']')
}
