package room

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/identityserver"
)

const (
	// maxAddress bounds an address, in bytes; maxAddresses how many are invited by one createRoom.
	maxAddress, maxAddresses = 512, 20
	// askTimeout bounds everything that a request asks of identity servers.
	askTimeout = 15 * time.Second
	// askedSuffix sets the transaction of an invite apart from that of the request that it belongs to.
	askedSuffix = "/3pid/"
)

// addressBody is an invite of somebody who is known by an address elsewhere ("Third-party invites").
type addressBody struct {
	IDServer      string `json:"id_server"`
	IDAccessToken string `json:"id_access_token"`
	Medium        string `json:"medium"`
	Address       string `json:"address"`
}

// addressed is an addressBody that was checked.
type addressed struct {
	account identityserver.Account
	address identityserver.Address
}

// hash stands for it where only its name is needed.
func (a addressed) hash() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{a.account.Server, a.address.Medium, a.address.Address}, "\n")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// addressee checks an invite by address.
func (s *Service) addressee(b addressBody) (addressed, error) {
	if len(s.cfg.IdentityServers) == 0 {
		return addressed{}, errThirdParty()
	}
	for _, f := range []struct{ name, value string }{
		{"id_server", b.IDServer}, {"id_access_token", b.IDAccessToken}, {"medium", b.Medium}, {"address", b.Address},
	} {
		if f.value == "" {
			return addressed{}, matrix.Errorf(matrix.CodeMissingParam, "%q is missing.", f.name)
		}
	}
	address := strings.ToLower(strings.TrimSpace(b.Address))
	switch {
	case !s.addresses.Trusts(b.IDServer):
		return addressed{}, errThirdParty()
	case strings.ContainsFunc(b.IDAccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return addressed{}, matrix.NewError(matrix.CodeInvalidParam, "\"id_access_token\" has characters that no token has.")
	case b.Medium != "email" && b.Medium != "msisdn":
		return addressed{}, matrix.NewError(matrix.CodeInvalidParam, "\"medium\" must be email or msisdn.")
	case address == "" || len(address) > maxAddress || !isText(address):
		return addressed{}, matrix.Errorf(matrix.CodeInvalidParam, "\"address\" must have 1 to %d bytes of text.", maxAddress)
	}
	return addressed{
		account: identityserver.Account{Server: b.IDServer, Token: b.IDAccessToken},
		address: identityserver.Address{Medium: b.Medium, Address: address},
	}, nil
}

// errThirdParty refuses invites by address through an identity server that this server does not trust.
func errThirdParty() error {
	return matrix.NewError(matrix.CodeServerNotTrusted,
		"This server does not trust that identity server: invite people by their user id.").WithStatus(http.StatusForbidden)
}

// inviteByAddress is POST /rooms/{roomId}/invite with an address: whoever has bound it is invited; where nobody has, the identity
// server keeps the invite until somebody does.
func (s *Service) inviteByAddress(rw http.ResponseWriter, q request, body addressBody) error {
	ctx, cancel := context.WithTimeout(q.http.Context(), askTimeout)
	defer cancel()
	again, err := s.done(ctx, q.once())
	if err != nil {
		return err
	}
	if !again { // what was done is not done again: nobody gets a second letter
		if err := s.inviteTo(ctx, q, body); err != nil {
			return err
		}
	}
	httpx.WriteRawJSON(rw, http.StatusOK, noAnswer())
	return nil
}

func (s *Service) inviteTo(ctx context.Context, q request, body addressBody) error {
	var to addressed
	_, err := s.inspect(ctx, q.room, func(w *working) (err error) {
		if err := w.mustBeJoined(q.user); err != nil {
			return err
		}
		if err := w.mustHavePower(q.user, w.auth.levels.Invite, "Inviting"); err != nil {
			return err
		}
		to, err = s.addressee(body)
		return err
	})
	if err != nil {
		return err
	}
	found, err := s.addresses.Lookup(ctx, to.account, []identityserver.Address{to.address})
	if err != nil {
		return identityServerError(ctx, err)
	}
	if user, ok := found[to.address]; ok {
		return s.inviteFound(ctx, q, user)
	}
	return s.inviteUnknown(ctx, q, q.room, to, q.once())
}

// inviteFound invites who has bound the address.
func (s *Service) inviteFound(ctx context.Context, q request, user matrix.UserID) error {
	found, err := s.profiles(ctx, user)
	if err != nil {
		return err
	}
	blocked, err := s.inviteBlocks(ctx, user)
	if err != nil {
		return err
	}
	c := memberChange{
		sender: q.user, target: user, to: event.Invite, device: q.DeviceID, profile: found[user], blocked: blocked[user],
	}
	_, err = s.operate(ctx, q.room, q.once(), asOp(func(ctx context.Context, w *working) error {
		_, err := w.setMember(ctx, c)
		return err
	}))
	return err
}

// inviteUnknown leaves the invite with the identity server and tells the room of it, once for the transaction.
func (s *Service) inviteUnknown(ctx context.Context, q request, room string, to addressed, txn eventlog.Txn) error {
	invite, err := s.describe(ctx, q, room)
	if err != nil {
		return err
	}
	invite.Address = to.address
	stored, err := s.addresses.Store(ctx, to.account, invite)
	if err != nil {
		return identityServerError(ctx, err)
	}
	d := draft{
		sender: q.user, typ: event.TypeThirdPartyInvite, key: &stored.Token, device: q.DeviceID,
		content: mustCanonical(map[string]any{
			"display_name": stored.DisplayName, "public_keys": stored.PublicKeys,
			"public_key": stored.PublicKeys[0].PublicKey, "key_validity_url": stored.PublicKeys[0].KeyValidityURL,
		}),
	}
	_, err = s.operate(ctx, room, txn, asOp(func(ctx context.Context, w *working) error {
		_, err := w.add(ctx, d)
		return err
	}))
	return err
}

// describe is what the identity server may tell of the room and of who invites.
func (s *Service) describe(ctx context.Context, q request, room string) (identityserver.Invite, error) {
	invite := identityserver.Invite{RoomID: matrix.RoomID(room), Sender: q.user}
	rooms, err := s.reads.previews(ctx, []string{room}, q.UserID)
	if err != nil {
		return invite, err
	}
	if p := rooms[room]; p != nil {
		invite.RoomName, invite.RoomAlias, invite.RoomAvatarURL = p.Name, p.Alias, p.Avatar
		invite.RoomJoinRules, invite.RoomType = p.JoinRule, p.Type
	}
	profiles, err := s.profiles(ctx, q.user)
	if err != nil {
		return invite, err
	}
	if p := profiles[q.user]; p != nil {
		invite.SenderDisplayName, invite.SenderAvatarURL = p.GetDisplayName(), p.GetAvatarUrl()
	}
	return invite, nil
}

// identityServerError is what the client is told of an identity server's error: what it refused, or that it cannot be asked.
func identityServerError(ctx context.Context, err error) error {
	var refused *identityserver.Error
	if !errors.As(err, &refused) || refused.Status >= http.StatusInternalServerError {
		if ctx.Err() != nil {
			return matrix.NewError(matrix.CodeUnknown, "The identity server did not answer in time.").
				WithStatus(http.StatusGatewayTimeout).WithCause(err)
		}
		return matrix.NewError(matrix.CodeUnknown, "The identity server cannot be asked.").WithStatus(http.StatusBadGateway).WithCause(err)
	}
	message := "The identity server refused: " + shortened(refused.Message, 200)
	switch {
	case refused.Status == http.StatusTooManyRequests:
		e := matrix.NewError(matrix.CodeLimitExceeded, message).WithCause(err)
		e.RetryAfter = time.Second
		return e
	case refused.Code == codeTerms:
		return matrix.NewError(refused.Code, message).WithStatus(http.StatusForbidden).WithCause(err)
	case refused.Status == http.StatusUnauthorized:
		// Its own code may be one that says, from here, that the caller is logged out of this server.
		return matrix.NewError(codeUnauthorized, message).WithStatus(http.StatusForbidden).WithCause(err)
	}
	return matrix.NewError(matrix.CodeUnknown, message).WithStatus(http.StatusBadRequest).WithCause(err)
}

// Codes of identity servers that mean here what they mean there.
const (
	codeTerms        matrix.ErrCode = "M_TERMS_NOT_SIGNED"
	codeUnauthorized matrix.ErrCode = "M_UNAUTHORIZED"
)

// addressees are those whom a createRoom invites by address: who has bound theirs joins the others whom it invites, the rest
// are returned.
func (s *Service) addressees(ctx context.Context, b *createBody) ([]addressed, error) {
	if len(b.Invite3PID) > maxAddresses {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "At most %d people can be invited by their address at once.", maxAddresses)
	}
	asked := map[identityserver.Account][]identityserver.Address{}
	var all, unknown []addressed
	for _, body := range b.Invite3PID {
		to, err := s.addressee(body)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, to) {
			all = append(all, to)
			asked[to.account] = append(asked[to.account], to.address)
		}
	}
	found := map[addressed]matrix.UserID{}
	for account, addresses := range asked {
		users, err := s.addresses.Lookup(ctx, account, addresses)
		if err != nil {
			return nil, identityServerError(ctx, err)
		}
		for address, user := range users {
			found[addressed{account, address}] = user
		}
	}
	for _, to := range all {
		if user, ok := found[to]; ok {
			b.Invite = append(b.Invite, string(user))
		} else {
			unknown = append(unknown, to)
		}
	}
	return unknown, nil
}

// inviteAddresses invites by address into a room that was created. The room is there by then: what fails is logged, and may be done
// again by hand.
func (s *Service) inviteAddresses(ctx context.Context, q request, room string, list []addressed) {
	for _, to := range list {
		txn := q.once()
		if txn.ID != "" {
			txn.ID += askedSuffix + to.hash()
		}
		again, err := s.done(ctx, txn)
		if err == nil && !again {
			err = s.inviteUnknown(ctx, q, room, to, txn)
		}
		if err != nil {
			logx.WithContext(ctx).Infof("room %s was created without inviting by an address: %v", room, err)
		}
	}
}

// done tells whether a transaction was carried out before.
func (s *Service) done(ctx context.Context, txn eventlog.Txn) (bool, error) {
	if txn.ID == "" {
		return false, nil
	}
	_, ok, err := s.log.Txn(ctx, txn.Scope, txn.ID)
	if err != nil {
		return false, matrix.Unavailable(err)
	}
	return ok, nil
}
