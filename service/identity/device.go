package identity

import (
	"context"
	"net/http"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/identity/internal/store"
)

// deviceInfo is a device as its user sees it (definitions/client_device.yaml).
type deviceInfo struct {
	DeviceID    string  `json:"device_id"`
	DisplayName *string `json:"display_name,omitempty"`
	LastSeenIP  string  `json:"last_seen_ip,omitempty"`
	LastSeenTs  int64   `json:"last_seen_ts,omitempty"`
}

func (s *Service) deviceInfo(d store.Device) deviceInfo {
	d = s.seen.of(d)
	return deviceInfo{DeviceID: d.DeviceID, DisplayName: d.DisplayName, LastSeenIP: d.LastSeenIP, LastSeenTs: d.LastSeenMs}
}

// getDevices is GET /devices.
func (s *Service) getDevices(w http.ResponseWriter, r *http.Request) error {
	devices, err := s.store.Devices(r.Context(), httpx.CallerOf(r).UserID)
	if err != nil {
		return err
	}
	infos := make([]deviceInfo, len(devices))
	for i, d := range devices {
		infos[i] = s.deviceInfo(d)
	}
	httpx.WriteJSON(w, http.StatusOK, map[string][]deviceInfo{"devices": infos})
	return nil
}

// getDevice is GET /devices/{deviceId}.
func (s *Service) getDevice(w http.ResponseWriter, r *http.Request) error {
	id, err := deviceID(r)
	if err != nil {
		return err
	}
	d, ok, err := s.store.Device(r.Context(), httpx.CallerOf(r).UserID, id)
	if err != nil {
		return err
	}
	if !ok {
		return errNoDevice()
	}
	httpx.WriteJSON(w, http.StatusOK, s.deviceInfo(d))
	return nil
}

// putDevice is PUT /devices/{deviceId}. Only appservices may make devices that way.
func (s *Service) putDevice(w http.ResponseWriter, r *http.Request) error {
	id, err := deviceID(r)
	if err != nil {
		return err
	}
	var body struct {
		DisplayName *string `json:"display_name"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	if body.DisplayName != nil && len(*body.DisplayName) > maxDeviceName {
		return matrix.Errorf(matrix.CodeTooLarge, "display_name is longer than %d bytes.", maxDeviceName).
			WithStatus(http.StatusBadRequest)
	}
	if err := s.renameDevice(r, id, body.DisplayName); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

func (s *Service) renameDevice(r *http.Request, id string, name *string) error {
	userID := httpx.CallerOf(r).UserID
	return s.changeOnce(r.Context(), userID, once.Answered(r), func(ctx context.Context, _ store.Account) (*change, error) {
		d, ok, err := s.store.Device(ctx, userID, id)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, errNoDevice()
		}
		if name == nil || d.DisplayName != nil && *d.DisplayName == *name {
			return nil, nil
		}
		c := &change{}
		c.do(store.RenameDevice(userID, id, *name))
		return c, s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_CHANGED, keyDeviceChanged+id,
			&identitypb.UserEvent{UserId: userID, DeviceIds: []string{id}})
	})
}

// deleteDevice is DELETE /devices/{deviceId}. A device that is gone already is no error.
func (s *Service) deleteDevice(w http.ResponseWriter, r *http.Request) error {
	id, err := deviceID(r)
	if err != nil {
		return err
	}
	auth, err := readAuthBody(r, &empty{})
	if err != nil {
		return err
	}
	// Which device it is stands in the path, not in the body: the session is for this one alone.
	return s.deleteDevices(w, r, authRequest{action: actionDeleteDevice + id, body: auth}, []string{id})
}

// maxDeleteDevices is how many devices one request may delete.
const maxDeleteDevices = 1000

// postDeleteDevices is POST /delete_devices.
func (s *Service) postDeleteDevices(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Devices []string `json:"devices"`
	}
	auth, err := readAuthBody(r, &body)
	if err != nil {
		return err
	}
	if body.Devices == nil {
		return matrix.NewError(matrix.CodeMissingParam, "devices is missing.")
	}
	if len(body.Devices) > maxDeleteDevices {
		return matrix.Errorf(matrix.CodeInvalidParam, "devices has more than %d entries.", maxDeleteDevices)
	}
	return s.deleteDevices(w, r, authRequest{action: actionDeleteDevices, body: auth}, body.Devices)
}

func (s *Service) deleteDevices(w http.ResponseWriter, r *http.Request, auth authRequest, ids []string) error {
	auth.userID, auth.flows, auth.from = httpx.CallerOf(r).UserID, passwordFlows(), originOf(r)
	passed, err := s.requireAuth(r.Context(), auth)
	if err != nil {
		return err
	}
	if err := s.changeProven(r.Context(), auth, passed, s.removal(ids)); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// deviceID reads the path. What can be no device's id is one that the user does not have.
func deviceID(r *http.Request) (string, error) {
	id := r.PathValue("deviceId")
	if !isText(id) || len(id) > maxDeviceID {
		return "", errNoDevice()
	}
	return id, nil
}

func errNoDevice() error {
	return matrix.NewError(matrix.CodeNotFound, "You have no device with this id.")
}
