package identityserver

import (
	"context"
	"errors"
	"net/http"

	"hongyan/matrix"
)

// Invite is what the identity server may tell who is invited.
type Invite struct {
	Address
	RoomID            matrix.RoomID `json:"room_id"`
	Sender            matrix.UserID `json:"sender"`
	RoomAlias         string        `json:"room_alias,omitempty"`
	RoomAvatarURL     string        `json:"room_avatar_url,omitempty"`
	RoomJoinRules     string        `json:"room_join_rules,omitempty"`
	RoomName          string        `json:"room_name,omitempty"`
	RoomType          string        `json:"room_type,omitempty"`
	SenderDisplayName string        `json:"sender_display_name,omitempty"`
	SenderAvatarURL   string        `json:"sender_avatar_url,omitempty"`
}

// PublicKey is one that will have signed what proves that the invite is somebody's.
type PublicKey struct {
	PublicKey      string `json:"public_key"`
	KeyValidityURL string `json:"key_validity_url,omitempty"`
}

// Stored is what the room is told of an invite that the identity server keeps.
type Stored struct {
	Token       string      `json:"token"`
	PublicKeys  []PublicKey `json:"public_keys"`
	DisplayName string      `json:"display_name"`
}

// maxKeys bounds the keys of an invite.
const maxKeys = 16

// Store leaves an invite with the identity server, for when somebody binds the address.
func (c *Client) Store(ctx context.Context, a Account, invite Invite) (Stored, error) {
	var stored Stored
	if err := c.call(ctx, http.MethodPost, a.Server, "/store-invite", a.Token, invite, &stored); err != nil {
		return Stored{}, err
	}
	if !validToken(stored.Token) || len(stored.PublicKeys) == 0 || len(stored.PublicKeys) > maxKeys {
		return Stored{}, errors.New("the identity server gave no token or no keys for the invite")
	}
	return stored, nil
}

// validToken tells whether a token is one by the specification: up to 255 of [0-9a-zA-Z.=_-].
func validToken(token string) bool {
	for _, c := range []byte(token) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '=' || c == '_' || c == '-') {
			return false
		}
	}
	return token != "" && len(token) <= 255
}
