package room

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/state"
)

// maxBound bounds the invites that an identity server may tell of at once.
const maxBound = 100

// boundBody is what an identity server says when somebody has bound an address for which it keeps invites.
type boundBody struct {
	MXID    string        `json:"mxid"`
	Invites []boundInvite `json:"invites"`
}

type boundInvite struct {
	RoomID string          `json:"room_id"`
	Signed json.RawMessage `json:"signed"`
}

// onBind is PUT /_matrix/federation/v1/3pid/onbind (server-server API, "Third-party invites"). Anybody may call it: what is not
// signed by a key that the room's invite names changes nothing.
func (s *Service) onBind(rw http.ResponseWriter, r *http.Request) error {
	body, err := readBody[boundBody](r)
	if err != nil {
		return err
	}
	user, err := matrix.ParseUserID(body.MXID)
	if err != nil {
		return err
	}
	if len(body.Invites) > maxBound {
		return matrix.Errorf(matrix.CodeInvalidParam, "At most %d invites can be told of at once.", maxBound)
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	for _, invite := range body.Invites {
		if _, err := matrix.ParseRoomID(invite.RoomID); err != nil {
			continue
		}
		err := s.exchange(ctx, invite.RoomID, user, invite.Signed)
		var refused *matrix.Error
		if errors.As(err, &refused) && refused.Status < 500 {
			logx.WithContext(ctx).Infof("an identity server's invite of %s to %s comes to nothing: %v", user, invite.RoomID, err)
		} else if err != nil {
			return err // the identity server may try again
		}
	}
	httpx.WriteRawJSON(rw, http.StatusOK, noAnswer())
	return nil
}

// exchange makes an invite by address one of a user, who shows by an identity server's signature that the address is theirs.
// Who is invited or in the room already stays what they are.
func (s *Service) exchange(ctx context.Context, room string, user matrix.UserID, signed json.RawMessage) error {
	signed, err := canonicaljson.CanonicalizeObject(signed)
	if err != nil {
		return err
	}
	token, err := tokenFor(user, signed)
	if err != nil {
		return err
	}
	if user.Server() != s.server {
		return matrix.Errorf(matrix.CodeForbidden, "%s is no user of this server.", user)
	}
	var keys []auth.InviteKey
	_, err = s.operate(ctx, room, eventlog.Txn{}, asOp(func(ctx context.Context, w *working) error {
		invite, err := w.pendingInvite(ctx, token)
		if err != nil || w.belongs(user) {
			return err
		}
		if keys = auth.SigningKeys(invite, signed); len(keys) == 0 {
			return matrix.NewError(matrix.CodeForbidden, "The signature of the third-party invite is wrong.")
		}
		return nil
	}))
	if err != nil || len(keys) == 0 {
		return err
	}
	if err := s.mustBeValid(ctx, keys); err != nil {
		return err
	}
	profiles, err := s.profiles(ctx, user)
	if err != nil {
		return err
	}
	if profiles[user] == nil {
		return matrix.Errorf(matrix.CodeForbidden, "%s is no user of this server.", user)
	}
	blocked, err := s.inviteBlocks(ctx, user)
	if err != nil {
		return err
	}
	_, err = s.operate(ctx, room, eventlog.Txn{}, asOp(func(ctx context.Context, w *working) error {
		invite, err := w.pendingInvite(ctx, token)
		if err != nil || w.belongs(user) {
			return err
		}
		w.thirdParty = invite
		_, err = w.setMember(ctx, memberChange{
			sender: invite.Sender(), target: user, to: event.Invite, profile: profiles[user], blocked: blocked[user],
			thirdParty: mustCanonical(map[string]any{"display_name": invite.ContentString("display_name"), "signed": signed}),
		})
		return err
	}))
	return err
}

// tokenFor reads which invite a signed object is for. It must be the user's.
func tokenFor(user matrix.UserID, signed json.RawMessage) (string, error) {
	var v struct {
		MXID  string `json:"mxid"`
		Token string `json:"token"`
	}
	switch err := httpx.DecodeJSON(signed, &v); {
	case err != nil:
		return "", err
	case v.MXID == "" || v.Token == "":
		return "", matrix.NewError(matrix.CodeMissingParam, "The signed part of the third-party invite needs \"mxid\" and \"token\".")
	case v.MXID != string(user):
		return "", matrix.NewError(matrix.CodeForbidden, "The third-party invite is for another user.")
	}
	return v.Token, nil
}

// pendingInvite is the invite by address with a token.
func (w *working) pendingInvite(ctx context.Context, token string) (*event.Event, error) {
	invite, err := w.current(ctx, event.TypeThirdPartyInvite, token)
	if err == nil && invite == nil {
		err = matrix.NewError(matrix.CodeForbidden, "The room has no such third-party invite.")
	}
	return invite, err
}

// belongs tells whether a user is in the room or invited.
func (w *working) belongs(user matrix.UserID) bool {
	now := w.state.Membership(string(user))
	return now == state.Join || now == state.Invite
}

// mustBeValid refuses where none of the keys is valid any more. One that says nothing of where to ask always is.
func (s *Service) mustBeValid(ctx context.Context, keys []auth.InviteKey) error {
	for _, key := range keys {
		if key.ValidityURL == "" {
			return nil
		}
		valid, err := s.addresses.Valid(ctx, key.ValidityURL, key.PublicKey)
		if err != nil {
			return identityServerError(ctx, err)
		}
		if valid {
			return nil
		}
	}
	return matrix.NewError(matrix.CodeForbidden, "The key that signed the third-party invite is not valid any more.")
}
