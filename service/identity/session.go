package identity

import (
	"cmp"
	"context"
	"slices"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/service/identity/internal/store"
)

// deviceParams are the parameters by which a client asks for a session, in register and login.
type deviceParams struct {
	// DeviceID is empty where the server makes one up.
	DeviceID    string  `json:"device_id"`
	DisplayName *string `json:"initial_device_display_name"`
	// Refresh says that the client knows how to refresh.
	Refresh bool `json:"refresh_token"`
	// remote is the client's address.
	remote string
}

// Limits of what a client says of its device, in bytes.
const (
	maxDeviceID   = 255
	maxDeviceName = 255
)

// allDevices stands for every device of a user where messages are sent to devices: none can have that name.
const allDevices = "*"

func (p deviceParams) validate() error {
	if len(p.DeviceID) > maxDeviceID {
		return matrix.Errorf(matrix.CodeInvalidParam, "device_id is longer than %d bytes.", maxDeviceID)
	}
	if p.DeviceID == allDevices {
		return matrix.Errorf(matrix.CodeInvalidParam, "device_id must not be %q: that names all devices.", allDevices)
	}
	if p.DisplayName != nil && len(*p.DisplayName) > maxDeviceName {
		return matrix.Errorf(matrix.CodeTooLarge, "initial_device_display_name is longer than %d bytes.", maxDeviceName).
			WithStatus(400)
	}
	return nil
}

// session is what a client gets when it has logged in, registered or refreshed.
type session struct {
	deviceID, accessToken, refreshToken string
	// expiresInMs is 0 where the access token does not expire.
	expiresInMs int64
}

// grant is the part of an answer that hands out tokens.
type grant struct {
	DeviceID     string `json:"device_id,omitempty"`
	AccessToken  string `json:"access_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	ExpiresInMs  int64  `json:"expires_in_ms,omitempty"`
}

func (x session) grant() grant {
	return grant{DeviceID: x.deviceID, AccessToken: x.accessToken, RefreshToken: x.refreshToken, ExpiresInMs: x.expiresInMs}
}

// newSession makes up tokens for a device, and the device's id where there is none.
func (s *Service) newSession(userID, deviceID string, refresh bool) (session, store.Token, error) {
	var err error
	if deviceID == "" {
		if deviceID, err = s.randomWord(deviceAlphabet, 10); err != nil {
			return session{}, store.Token{}, err
		}
	}
	x := session{deviceID: deviceID}
	t := store.Token{UserID: userID, DeviceID: deviceID, CreatedMs: s.nowMs()}
	if t.ID, err = s.randomID(12); err != nil {
		return session{}, store.Token{}, err
	}
	if x.accessToken, t.AccessHash, err = s.newSecret(prefixAccess); err != nil {
		return session{}, store.Token{}, err
	}
	lifetime := s.cfg.Tokens.Access
	if refresh {
		if x.refreshToken, t.RefreshHash, err = s.newSecret(prefixRefresh); err != nil {
			return session{}, store.Token{}, err
		}
		lifetime = s.cfg.Tokens.Refreshable
		t.RefreshExpiresMs = s.expiryMs(s.cfg.Tokens.Refresh)
	}
	t.ExpiresMs = s.expiryMs(lifetime)
	x.expiresInMs = lifetime.Milliseconds()
	return x, t, nil
}

// addDevice adds a new device with its tokens to a change.
func (s *Service) addDevice(c *change, t store.Token, p deviceParams) error {
	c.do(store.InsertDevice(store.Device{
		UserID: t.UserID, DeviceID: t.DeviceID, DisplayName: p.DisplayName,
		CreatedMs: t.CreatedMs, LastSeenMs: t.CreatedMs, LastSeenIP: p.remote,
	}), store.InsertToken(t))
	return s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_ADDED, keyDeviceAdded+t.DeviceID,
		&identitypb.UserEvent{UserId: t.UserID, DeviceIds: []string{t.DeviceID}})
}

// claim fails unless what a session rests on holds of the account, and adds to the change what makes it so.
type claim func(ctx context.Context, account store.Account, c *change) error

// signIn gives a user a session on a new device, or on one that the user has: this ends the device's tokens and keeps
// all else of it. claim is decided
// together with that.
func (s *Service) signIn(ctx context.Context, userID string, p deviceParams, claim claim) (session, error) {
	x, t, err := s.newSession(userID, p.DeviceID, p.Refresh)
	if err != nil {
		return session{}, err
	}
	err = s.change(ctx, userID, func(ctx context.Context, account store.Account) (*change, error) {
		if account.Locked {
			return nil, errLocked()
		}
		c := &change{}
		if err := claim(ctx, account, c); err != nil {
			return nil, err
		}
		_, known, err := s.store.Device(ctx, userID, x.deviceID)
		if err != nil {
			return nil, err
		}
		if !known {
			if err := s.makeRoom(ctx, c, userID); err != nil {
				return nil, err
			}
			return c, s.addDevice(c, t, p)
		}
		c.do(store.DeleteDeviceTokens(userID, x.deviceID), store.InsertToken(t))
		c.forget = &[]string{x.deviceID}
		return c, nil
	})
	if err != nil {
		return session{}, err
	}
	s.seen.note(store.Seen{UserID: userID, DeviceID: x.deviceID, Ms: t.CreatedMs, IP: p.remote})
	return x, nil
}

// makeRoom adds to a change that, where a user has as many devices as one may have, those that were not seen for longest
// go, for one more to come.
func (s *Service) makeRoom(ctx context.Context, c *change, userID string) error {
	devices, err := s.store.Devices(ctx, userID)
	if err != nil || len(devices) < s.cfg.MaxDevices {
		return err
	}
	for i, d := range devices {
		devices[i] = s.seen.of(d)
	}
	slices.SortFunc(devices, func(a, b store.Device) int {
		return cmp.Or(cmp.Compare(a.LastSeenMs, b.LastSeenMs), cmp.Compare(a.DeviceID, b.DeviceID))
	})
	return s.dropDevices(c, userID, devices[:len(devices)-s.cfg.MaxDevices+1])
}

func errLocked() error {
	return matrix.NewError(matrix.CodeUserLocked, "This account has been locked.").WithField("soft_logout", true)
}
