package keys

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	"hongyan/platform/eventlog"
)

// news is what a page of identity's log says of one user, as far as keys are concerned.
type news struct {
	user string
	// removed says of each removed device when it was made, in milliseconds, or, as earlier versions of identity told, a later time
	// before its removal.
	removed map[string]int64
	// changed are devices that have another name.
	changed     []string
	deactivated bool
}

// applyIdentity makes keys follow a page of identity's log. It may be repeated.
func (s *Service) applyIdentity(ctx context.Context, records []eventlog.Record) error {
	for _, n := range collectNews(records) {
		if err := s.inTime(ctx, func(ctx context.Context) error { return s.takeIn(ctx, n) }); err != nil {
			return err
		}
	}
	return s.inTime(ctx, s.forgetRemovals)
}

// takeIn does what follows from the news of one user.
func (s *Service) takeIn(ctx context.Context, n *news) error {
	if len(n.removed) > 0 {
		if err := s.removeDevices(ctx, n.user, n.removed); err != nil {
			return err
		}
		if err := s.forgetToDevice(ctx, n.user, n.removed); err != nil {
			return err
		}
	}
	if n.deactivated {
		if err := s.backup.DeleteUser(ctx, n.user); err != nil {
			return err
		}
		return s.removeUser(ctx, n.user)
	}
	if len(n.changed) > 0 {
		return s.renamed(ctx, n.user, n.changed)
	}
	return nil
}

// collectNews reduces records to one news a user, in the order of their first records.
func collectNews(records []eventlog.Record) []*news {
	byUser := map[string]*news{}
	var list []*news
	for _, r := range records {
		e := new(identitypb.UserEvent)
		if err := proto.Unmarshal(r.Body, e); err != nil {
			logx.Errorf("skip entry %d of identity's shard %d: %v", r.Position, r.Shard, err)
			continue
		}
		n := byUser[r.Name]
		if n == nil {
			n = &news{user: r.Name, removed: map[string]int64{}}
		}
		if !n.add(identitypb.UserEventKind(r.Kind), e) {
			continue
		}
		if byUser[n.user] == nil {
			byUser[n.user] = n
			list = append(list, n)
		}
	}
	return list
}

// add takes in an entry of identity's log and tells whether it matters to keys.
func (n *news) add(kind identitypb.UserEventKind, e *identitypb.UserEvent) bool {
	switch kind {
	case identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED:
		n.deactivated = true
	case identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED:
		for i, id := range e.GetDeviceIds() {
			made := e.GetTsMs()
			if created := e.GetDeviceCreatedMs(); len(created) == len(e.GetDeviceIds()) {
				made = created[i]
			}
			n.removed[id] = max(n.removed[id], made)
		}
	case identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_CHANGED:
		n.changed = append(n.changed, e.GetDeviceIds()...)
	default:
		return false
	}
	return true
}
