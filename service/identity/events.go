package identity

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	"hongyan/platform/eventlog"
	"hongyan/service/identity/internal/store"
)

// Keys of the entries that replace each other: a device that comes and goes, and a profile that changes often,
// do not make the log grow. That a device was removed and that it was added are told apart, since a follower must
// see a removal that lies between two additions.
const (
	keyProfile       = "profile/"
	keyDeviceAdded   = "device_added/"
	keyDeviceChanged = "device_changed/"
	keyDeviceRemoved = "device_removed/"
	keyStatus        = "status"
)

// entry returns the log entry of an event.
func (s *Service) entry(kind identitypb.UserEventKind, key string, event *identitypb.UserEvent) (eventlog.Entry, error) {
	event.TsMs = s.nowMs()
	body, err := proto.Marshal(event)
	if err != nil {
		return eventlog.Entry{}, fmt.Errorf("encode user event: %w", err)
	}
	ref, err := s.randomID(16)
	if err != nil {
		return eventlog.Entry{}, err
	}
	return eventlog.Entry{Kind: eventlog.Kind(kind), Key: key, Ref: ref, Body: body}, nil
}

// tell adds an entry to a change.
func (s *Service) tell(c *change, kind identitypb.UserEventKind, key string, event *identitypb.UserEvent) error {
	e, err := s.entry(kind, key, event)
	if err != nil {
		return err
	}
	c.entries = append(c.entries, e)
	return nil
}

// tellRemoved adds the entries that say that devices are gone, and makes gateways forget them.
func (s *Service) tellRemoved(c *change, userID string, devices []store.Device) error {
	for _, d := range devices {
		err := s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED, keyDeviceRemoved+d.DeviceID,
			&identitypb.UserEvent{UserId: userID, DeviceIds: []string{d.DeviceID}, DeviceCreatedMs: []int64{d.CreatedMs}})
		if err != nil {
			return err
		}
	}
	ids := deviceIDs(devices)
	c.forget = &ids
	return nil
}

// profileOf is a profile as other services know it.
func profileOf(userID string, version int64, fields map[string]json.RawMessage) *identitypb.Profile {
	p := &identitypb.Profile{UserId: userID, Version: version}
	p.DisplayName = stringField(fields[fieldDisplayName])
	p.AvatarUrl = stringField(fields[fieldAvatarURL])
	return p
}

func stringField(value json.RawMessage) *string {
	var text *string
	if value == nil || json.Unmarshal(value, &text) != nil {
		return nil
	}
	return text
}

func profiles(accounts []store.Account, fields []store.Field) []*identitypb.Profile {
	by := make(map[string]map[string]json.RawMessage, len(accounts))
	for _, f := range fields {
		if by[f.UserID] == nil {
			by[f.UserID] = map[string]json.RawMessage{}
		}
		by[f.UserID][f.Name] = f.Value
	}
	out := make([]*identitypb.Profile, len(accounts))
	for i, a := range accounts {
		out[i] = profileOf(a.UserID, a.ProfileVersion, by[a.UserID])
	}
	return out
}
