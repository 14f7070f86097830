package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	identitypb "hongyan/api/identity"
	keyspb "hongyan/api/keys"
	"hongyan/platform/eventlog"
	"hongyan/service/keys/internal/store"
)

// A device id may be given to another device after its first one was removed, and the removal is heard of later than the
// second one's first upload. So each device's row says when the device was made, as identity knows it: an upload for a later
// device first forgets what an earlier one left, and a removal that is followed late takes only what was of the device that is
// gone. The row stays for a while after the removal, so that an upload that was under way is refused.

// removalMemory is how long it is remembered that a device was removed: longer than any request takes.
const removalMemory = time.Hour

// maxAttempts bounds how often a change is made anew because another one was quicker.
const maxAttempts = 20

// removeDevices forgets what belonged to devices that are gone, of which it is said when they were made.
func (s *Service) removeDevices(ctx context.Context, userID string, removed map[string]int64) error {
	deviceIDs := slices.Sorted(maps.Keys(removed))
	return s.retry(ctx, func(ctx context.Context) error {
		there, err := s.identityDevices(ctx, userID, deviceIDs)
		if err != nil {
			return err
		}
		known, err := s.store.Devices(ctx, userID, deviceIDs)
		if err != nil {
			return err
		}
		var statements []eventlog.Statement
		listed := false
		for _, id := range deviceIDs {
			d, ok := known[id]
			d.DeviceID = id
			if ok && d.RemovedMs > 0 || ok && there[id].GetCreatedMs() == d.CreatedMs || !ok && there[id] != nil {
				continue // it was followed already, or what is there belongs to a later device
			}
			listed = listed || ok
			statements = append(statements, store.RemoveDevice(userID, d, removed[id], s.now())...)
		}
		if listed {
			return s.changeDeviceList(ctx, userID, eventlog.Append{Statements: statements})
		}
		return s.store.Exec(ctx, statements) // none of them ever had a key
	})
}

// removeUser forgets all that belonged to a user.
func (s *Service) removeUser(ctx context.Context, userID string) error {
	return s.retry(ctx, func(ctx context.Context) error {
		return s.changeDeviceList(ctx, userID, eventlog.Append{Statements: store.ForgetUser(userID)})
	})
}

// renamed tells that devices have other names, where they have keys.
func (s *Service) renamed(ctx context.Context, userID string, deviceIDs []string) error {
	known, err := s.store.Devices(ctx, userID, deviceIDs)
	if err != nil {
		return err
	}
	for _, d := range known {
		if d.RemovedMs == 0 {
			return s.changeDeviceList(ctx, userID, eventlog.Append{})
		}
	}
	return nil
}

// forgetRemovals forgets removals of long ago, with the messages that were under way to these devices then.
func (s *Service) forgetRemovals(ctx context.Context) error {
	before := s.now() - removalMemory.Milliseconds()
	removed, err := s.store.Removals(ctx, before)
	if err != nil || len(removed) == 0 {
		return err
	}
	for d, createdMs := range removed {
		if err := s.store.ForgetMessages(ctx, d.UserID, d.DeviceID, createdMs+1); err != nil {
			return err
		}
	}
	return s.store.ForgetRemovals(ctx, before)
}

// identityDevices asks identity for devices of a user; those that do not exist are missing.
func (s *Service) identityDevices(ctx context.Context, userID string, deviceIDs []string) (map[string]*identitypb.Device, error) {
	resp, err := s.deps.Identity.Devices(ctx, &identitypb.DevicesRequest{
		Users: []*identitypb.DevicesOfUser{{UserId: userID, DeviceIds: deviceIDs}},
	})
	if err != nil {
		return nil, fmt.Errorf("ask for devices: %w", err)
	}
	byID := make(map[string]*identitypb.Device, len(resp.GetDevices()))
	for _, d := range resp.GetDevices() {
		byID[d.GetDeviceId()] = d
	}
	return byID, nil
}

// changeDeviceList writes an append that changes a user's devices or cross-signing keys, with the entry that tells of it.
func (s *Service) changeDeviceList(ctx context.Context, userID string, a eventlog.Append) error {
	stream, err := s.deviceListStreams.of(ctx, userID)
	if err != nil {
		return err
	}
	a.Stream, a.Expect = stream, eventlog.AnySeq
	a.Entries = []eventlog.Entry{deviceListEntry()}
	_, err = s.deviceList.Append(ctx, a)
	return err
}

// deviceListEntry tells that devices or cross-signing keys of a user have changed.
func deviceListEntry() eventlog.Entry {
	return eventlog.Entry{Kind: eventlog.Kind(keyspb.EntryKind_ENTRY_KIND_DEVICE_LIST), Key: "u", Body: []byte{}}
}

// retry does a change that reads and then writes, until nobody else was quicker.
func (s *Service) retry(ctx context.Context, change func(context.Context) error) error {
	for attempt := range maxAttempts {
		err := change(ctx)
		if !errors.Is(err, eventlog.ErrConflict) && !errors.Is(err, eventlog.ErrExists) {
			return err
		}
		s.metrics.conflicts.Inc()
		select {
		case <-time.After(time.Duration(attempt) * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("change keys: %w: %w", eventlog.ErrUnavailable, ctx.Err())
		}
	}
	return fmt.Errorf("change keys: others were quicker: %w", eventlog.ErrUnavailable)
}

// now is the present in milliseconds since 1970.
func (s *Service) now() int64 { return s.deps.Clock().UnixMilli() }
