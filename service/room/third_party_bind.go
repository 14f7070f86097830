package room

import (
	"context"
	"encoding/json"
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

const (
	// maxBound bounds the invites that an identity server may tell of at once, maxBoundBody what it says, in bytes.
	maxBound, maxBoundBody = 50, 64 << 10
	// maxInviteKeys bounds the keys of an invite by address and the signatures of a proof that are looked at, maxAsked how many keys
	// it is asked of whether they are valid.
	maxInviteKeys, maxKeysAsked = 16, 4
)

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
	if len(s.cfg.IdentityServers) == 0 {
		return matrix.NewError(matrix.CodeUnrecognized, "This server trusts no identity server.").WithStatus(http.StatusNotFound)
	}
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
	refused := 0
	for _, invite := range body.Invites {
		if _, err := matrix.ParseRoomID(invite.RoomID); err != nil {
			refused++
			continue
		}
		switch err := s.exchange(ctx, invite.RoomID, user, invite.Signed); {
		case matrix.IsFinal(err):
			refused++
		case err != nil:
			return err // the identity server may try again
		}
	}
	if refused > 0 {
		logx.WithContext(ctx).Debugf("%d of %d invites by an address of %s came to nothing", refused, len(body.Invites), user)
	}
	httpx.WriteRawJSON(rw, http.StatusOK, noAnswer())
	return nil
}

// exchange makes an invite by address one of a user, who shows by an identity server's signature that the address is theirs.
// Who is invited or in the room already stays what they are. Who left the room since, or was removed from it, needs a new invite:
// the proof is no secret from then on.
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
		return errNoUserHere(user)
	}
	var invite *event.Event
	_, err = s.operate(ctx, room, eventlog.Txn{}, asOp(func(ctx context.Context, w *working) (err error) {
		if invite, err = w.pendingInvite(ctx, token, user); err != nil || w.belongs(user) {
			invite = nil
		}
		return err
	}))
	if err != nil || invite == nil {
		return err
	}
	if signed, err = s.prove(ctx, invite, signed); err != nil {
		return err
	}
	profiles, err := s.profiles(ctx, user)
	if err != nil {
		return err
	}
	if profiles[user] == nil {
		return errNoUserHere(user)
	}
	blocked, err := s.inviteBlocks(ctx, user)
	if err != nil {
		return err
	}
	_, err = s.operate(ctx, room, eventlog.Txn{}, asOp(func(ctx context.Context, w *working) error {
		invite, err := w.pendingInvite(ctx, token, user)
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

func errNoUserHere(user matrix.UserID) error {
	return matrix.Errorf(matrix.CodeForbidden, "%s is no user of this server.", user)
}

// prove checks that an object is signed with a key of an invite that is valid still, and returns what of it is signed, with that
// signature alone.
func (s *Service) prove(ctx context.Context, invite *event.Event, object json.RawMessage) (json.RawMessage, error) {
	keys, signatures := auth.InviteKeys(invite), auth.Signatures(object)
	if len(keys) > maxInviteKeys || len(signatures) > maxInviteKeys {
		return nil, matrix.Errorf(matrix.CodeForbidden, "The third-party invite has more than %d keys or signatures.", maxInviteKeys)
	}
	by, with := auth.Signed(object, keys, signatures)
	if len(by) == 0 {
		return nil, matrix.NewError(matrix.CodeForbidden, "The signature of the third-party invite is wrong.")
	}
	for i := range by[:min(len(by), maxKeysAsked)] {
		valid := by[i].ValidityURL == "" // one that says nothing of where to ask always is
		if !valid {
			var err error
			if valid, err = s.addresses.Valid(ctx, by[i].ValidityURL, by[i].PublicKey); err != nil {
				return nil, identityServerError(ctx, err)
			}
		}
		if valid {
			return onlySignature(object, with[i])
		}
	}
	return nil, matrix.NewError(matrix.CodeForbidden, "The key that signed the third-party invite is not valid any more.")
}

// onlySignature leaves of an object what is signed, with one signature.
func onlySignature(object json.RawMessage, with auth.Signature) (json.RawMessage, error) {
	o, err := parseObject(object)
	if err != nil {
		return nil, err
	}
	delete(o, "unsigned")
	o.set("signatures", map[string]any{with.Entity: map[string]string{with.KeyID: with.Text}})
	return o.canonical()
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

// pendingInvite is the invite by address with a token, as long as it is good for a user: whoever sent it may still invite, and the user
// has not left the room since.
func (w *working) pendingInvite(ctx context.Context, token string, user matrix.UserID) (*event.Event, error) {
	entry := w.state.Get(event.TypeThirdPartyInvite, token)
	if entry == nil {
		return nil, matrix.NewError(matrix.CodeForbidden, "The room has no such third-party invite.")
	}
	if m := w.state.Member(string(user)); m != nil && m.Seq > entry.Seq && (m.Membership == state.Leave || m.Membership == state.Ban) {
		return nil, matrix.NewError(matrix.CodeForbidden, "The third-party invite was used before.")
	}
	invite, err := w.current(ctx, event.TypeThirdPartyInvite, token)
	if err != nil {
		return nil, err
	}
	if w.state.Membership(string(invite.Sender())) != state.Join || w.auth.levels.UserLevel(invite.Sender()) < w.auth.levels.Invite {
		return nil, matrix.NewError(matrix.CodeForbidden, "Whoever sent the third-party invite may not invite any more.")
	}
	return invite, nil
}

// belongs tells whether a user is in the room or invited.
func (w *working) belongs(user matrix.UserID) bool {
	now := w.state.Membership(string(user))
	return now == state.Join || now == state.Invite
}
