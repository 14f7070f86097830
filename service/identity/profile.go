package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"

	identitypb "hongyan/api/identity"
	socialpb "hongyan/api/social"
	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/identity/internal/store"
)

// getProfile is GET /profile/{userId} (client-server API, "Profiles").
func (s *Service) getProfile(w http.ResponseWriter, r *http.Request) error {
	fields, err := s.profile(r)
	if err != nil {
		return err
	}
	if len(fields) == 0 {
		return matrix.NewError(matrix.CodeNotFound, "There is no profile information for this user.")
	}
	httpx.WriteJSON(w, http.StatusOK, fields)
	return nil
}

// getProfileField is GET /profile/{userId}/{keyName}.
func (s *Service) getProfileField(w http.ResponseWriter, r *http.Request) error {
	fields, err := s.profile(r)
	if err != nil {
		return err
	}
	name := r.PathValue("keyName")
	value, ok := fields[name]
	if !ok {
		return matrix.NewError(matrix.CodeNotFound, "The profile has no such field.")
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]json.RawMessage{name: value})
	return nil
}

// profile reads the profile of the user in the path.
func (s *Service) profile(r *http.Request) (map[string]json.RawMessage, error) {
	id, err := matrix.ParseUserID(r.PathValue("userId"))
	if err != nil {
		return nil, err
	}
	if err := s.mayLookUp(r, id); err != nil {
		return nil, err
	}
	account, ok, err := s.store.Account(r.Context(), id.String())
	if err != nil {
		return nil, err
	}
	if !ok || account.Erased {
		return nil, matrix.NewError(matrix.CodeNotFound, "There is no such user.")
	}
	return s.store.Profile(r.Context(), id.String())
}

// mayLookUp refuses who may not look a profile up. Those who do not exist are refused alike.
func (s *Service) mayLookUp(r *http.Request, of matrix.UserID) error {
	if s.cfg.ProfileLookup == ProfileLookupAll {
		return nil
	}
	caller := httpx.CallerOf(r).UserID
	if caller == "" {
		return matrix.NewError(matrix.CodeMissingToken, "Profiles of this server are for its users: an access token is needed.")
	}
	if s.cfg.ProfileLookup == ProfileLookupUsers || caller == of.String() {
		return nil
	}
	seen, err := s.deps.Social.Visible(r.Context(), &socialpb.VisibleRequest{UserId: caller, OtherId: of.String()})
	if err != nil {
		return matrix.Unavailable(err)
	}
	if !seen.GetVisible() {
		return matrix.NewError(matrix.CodeForbidden, "You share no room with this user.")
	}
	return nil
}

// putProfileField is PUT /profile/{userId}/{keyName}.
func (s *Service) putProfileField(w http.ResponseWriter, r *http.Request) error {
	userID, name, err := s.ownProfile(r)
	if err != nil {
		return err
	}
	raw, err := httpx.ReadObject(r)
	if err != nil {
		return err
	}
	value, err := readField(name, raw)
	if err != nil {
		return err
	}
	if err := s.setField(r, userID, name, value); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// deleteProfileField is DELETE /profile/{userId}/{keyName}. A field that is not there is no error.
func (s *Service) deleteProfileField(w http.ResponseWriter, r *http.Request) error {
	userID, name, err := s.ownProfile(r)
	if err != nil {
		return err
	}
	if err := s.setField(r, userID, name, nil); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// ownProfile checks that a field may be changed by who wants to.
func (s *Service) ownProfile(r *http.Request) (userID, name string, err error) {
	id, err := matrix.ParseUserID(r.PathValue("userId"))
	if err != nil {
		return "", "", err
	}
	caller := httpx.CallerOf(r)
	if id.String() != caller.UserID {
		return "", "", matrix.NewError(matrix.CodeForbidden, "You can only change your own profile.")
	}
	if caller.Suspended {
		return "", "", matrix.NewError(matrix.CodeUserSuspended, "You cannot perform this action while suspended.")
	}
	name = r.PathValue("keyName")
	if caller.Guest && name != fieldDisplayName {
		return "", "", matrix.NewError(matrix.CodeGuestAccessForbidden, "Guests can only change their display name.")
	}
	return id.String(), name, checkFieldName(name)
}

// setField sets a field of a profile, or removes it where value is nil. To set what is there already changes nothing.
func (s *Service) setField(r *http.Request, userID, name string, value json.RawMessage) error {
	return s.changeOnce(r.Context(), userID, once.Answered(r), func(ctx context.Context, account store.Account) (*change, error) {
		fields, err := s.store.Profile(ctx, userID)
		if err != nil {
			return nil, err
		}
		old, had := fields[name]
		if had == (value != nil) && bytes.Equal(old, value) {
			return nil, nil
		}
		c := &change{}
		next := maps.Clone(fields)
		if value == nil {
			delete(next, name)
			c.do(store.DeleteField(userID, name))
		} else {
			next[name] = value
			if profileSize(next) >= maxProfile {
				return nil, matrix.NewError(matrix.CodeProfileTooLarge, "The profile would reach 64 KiB.")
			}
			c.do(store.SetField(store.Field{UserID: userID, Name: name, Value: value}))
		}
		version := account.Version + 1
		c.do(store.SetProfileVersion(userID, version))
		return c, s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED, keyProfile+name,
			&identitypb.UserEvent{UserId: userID, Profile: profileOf(userID, version, next), Fields: []string{name}})
	})
}

// profileSize is the size of a profile in bytes, as the JSON object that GET answers.
func profileSize(fields map[string]json.RawMessage) int {
	size := len("{}")
	for name, value := range fields {
		size += len(name) + len(value) + len(`"":,`)
	}
	return size
}
