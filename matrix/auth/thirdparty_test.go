package auth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"testing"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
)

func TestThirdPartyInvite(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := base64.RawStdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	signed := func(mxid, token string) object {
		message, err := canonicaljson.Marshal(object{"mxid": mxid, "token": token})
		if err != nil {
			t.Fatal(err)
		}
		signature := base64.RawStdEncoding.EncodeToString(ed25519.Sign(private, message))
		return object{"mxid": mxid, "token": token, "signatures": object{"id.example.org": object{"ed25519:0": signature, "other:1": "x", "ed25519:2": "!"}}}
	}
	other := base64.RawStdEncoding.EncodeToString(make([]byte, ed25519.PublicKeySize))
	tests := map[string]struct {
		invite  object // the m.room.third_party_invite, nil for none
		signed  any
		sender  matrix.UserID
		banned  bool
		refused string
	}{
		"by public_key":    {invite: object{"public_key": public}, signed: signed(string(carol), "tok")},
		"by public_keys":   {invite: object{"public_key": other, "public_keys": []any{object{"public_key": "?"}, object{"public_key": public + "="}}}, signed: signed(string(carol), "tok")},
		"unsigned":         {invite: object{"public_key": public}, refused: "not signed"},
		"no token":         {invite: object{"public_key": public}, signed: object{"mxid": string(carol)}, refused: "not signed"},
		"another user":     {invite: object{"public_key": public}, signed: signed(string(dave), "tok"), refused: "another user"},
		"no such invite":   {signed: signed(string(carol), "tok"), refused: "no such"},
		"another token":    {invite: object{"public_key": public}, signed: signed(string(carol), "token"), refused: "no such"},
		"another sender":   {invite: object{"public_key": public}, signed: signed(string(carol), "tok"), sender: bob, refused: "sent by another"},
		"another key":      {invite: object{"public_key": other}, signed: signed(string(carol), "tok"), refused: "signature"},
		"no key":           {invite: object{}, signed: signed(string(carol), "tok"), refused: "signature"},
		"wrong signatures": {invite: object{"public_key": public}, signed: object{"mxid": string(carol), "token": "tok", "signatures": "x"}, refused: "signature"},
		"banned":           {invite: object{"public_key": public}, signed: signed(string(carol), "tok"), banned: true, refused: "banned"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
				r := newRoom(t, v, nil).member(alice, event.Join).member(bob, event.Join)
				if tt.invite != nil {
					r.set(alice, event.TypeThirdPartyInvite, "tok", tt.invite)
				}
				if tt.banned {
					r.member(carol, event.Ban)
				}
				sender := alice
				if tt.sender != "" {
					sender = tt.sender
				}
				err := r.allowed(r.build(sender, event.TypeMember, key0(string(carol)), object{
					"membership": "invite", "third_party_invite": object{"display_name": "c", "signed": tt.signed},
				}, nobody))
				if tt.refused == "" {
					requireAllowed(t, err)
				} else {
					requireForbidden(t, err, tt.refused)
				}
			})
		})
	}
}
