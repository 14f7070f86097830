package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// nonceLifetime is how long a nonce may be used, as with Synapse.
const nonceLifetime = time.Minute

// Parts of a nonce, in bytes: when it expires, randomness, and the server's own MAC over these. So the server
// remembers only the nonces that were used by somebody who knows the secret.
const (
	nonceExpiry = 8
	nonceRandom = 16
	nonceMAC    = 16
)

// getNonce is GET /_synapse/admin/v1/register (Synapse's admin API, "Shared-Secret Registration").
func (s *Service) getNonce(w http.ResponseWriter, _ *http.Request) error {
	if s.cfg.RegistrationSharedSecret == "" {
		return errNoSharedSecret()
	}
	nonce := binary.BigEndian.AppendUint64(nil, uint64(s.expiryMs(nonceLifetime)))
	nonce = append(nonce, make([]byte, nonceRandom)...)
	if _, err := io.ReadFull(s.deps.Rand, nonce[nonceExpiry:]); err != nil {
		return err
	}
	nonce = append(nonce, s.nonceMAC(nonce)...)
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"nonce": hex.EncodeToString(nonce)})
	return nil
}

// sharedSecretBody is the body of POST /_synapse/admin/v1/register.
type sharedSecretBody struct {
	Nonce        *string `json:"nonce"`
	Username     *string `json:"username"`
	Password     *string `json:"password"`
	DisplayName  *string `json:"displayname"`
	Admin        bool    `json:"admin"`
	UserType     *string `json:"user_type"`
	MAC          *string `json:"mac"`
	InhibitLogin bool    `json:"inhibit_login"`
	deviceParams
}

// postSharedSecret is POST /_synapse/admin/v1/register. It works whatever Config.Registration says.
func (s *Service) postSharedSecret(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.RegistrationSharedSecret == "" {
		return errNoSharedSecret()
	}
	var body sharedSecretBody
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	n, err := s.sharedSecretAccount(r.Context(), body)
	if err != nil {
		return err
	}
	if !body.InhibitLogin {
		body.remote = remoteAddr(r)
		n.device = &body.deviceParams
	}
	userID, x, err := s.create(r.Context(), n)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, signedIn{UserID: userID, HomeServer: s.deps.ServerName, grant: x.grant()})
	return nil
}

// sharedSecretAccount checks a request in Synapse's order and returns the account that it asks for.
func (s *Service) sharedSecretAccount(ctx context.Context, body sharedSecretBody) (newAccount, error) {
	for _, p := range []struct {
		name  string
		value *string
	}{{"nonce", body.Nonce}, {"username", body.Username}, {"password", body.Password}, {"mac", body.MAC}} {
		if p.value == nil || *p.value == "" {
			return newAccount{}, matrix.Errorf(matrix.CodeBadJSON, "%s must be given.", p.name)
		}
	}
	expires, ok := s.readNonce(*body.Nonce)
	if !ok {
		return newAccount{}, errNonce()
	}
	if !hmac.Equal(s.registrationMAC(body), decodeHex(*body.MAC)) {
		return newAccount{}, matrix.NewError(matrix.CodeForbidden, "HMAC incorrect")
	}
	if body.UserType != nil {
		return newAccount{}, matrix.NewError(matrix.CodeInvalidParam, "This server has no types of users.")
	}
	if body.DisplayName != nil && !validDisplayName(*body.DisplayName) {
		return newAccount{}, errDisplayName()
	}
	name := lowerName(*body.Username)
	if err := s.checkName(ctx, name); err != nil {
		return newAccount{}, err
	}
	if err := s.checkPassword(*body.Password); err != nil {
		return newAccount{}, err
	}
	if err := body.validate(); err != nil {
		return newAccount{}, err
	}
	used := false
	return newAccount{
		localpart: name, password: *body.Password, admin: body.Admin, displayName: body.DisplayName,
		claim: func(_ context.Context, c *change) error {
			if used {
				return errNonce()
			}
			used = true // the name is free: if the change conflicts, it is for the nonce
			c.do(store.UseNonce(strings.ToLower(*body.Nonce), expires))
			return nil
		},
	}, nil
}

// registrationMAC is what a client that knows the secret sends: HMAC-SHA1 over the parameters, separated by NUL.
func (s *Service) registrationMAC(body sharedSecretBody) []byte {
	mac := hmac.New(sha1.New, []byte(s.cfg.RegistrationSharedSecret.Reveal()))
	write := func(parts ...string) {
		for _, p := range parts {
			_, _ = io.WriteString(mac, p) // a hash never fails
		}
	}
	role := "notadmin"
	if body.Admin {
		role = "admin"
	}
	write(*body.Nonce, "\x00", *body.Username, "\x00", *body.Password, "\x00", role)
	if body.UserType != nil {
		write("\x00", *body.UserType)
	}
	return mac.Sum(nil)
}

// readNonce returns when a nonce expires, unless it has or is not one of ours.
func (s *Service) readNonce(text string) (expiresMs int64, ok bool) {
	nonce := decodeHex(text)
	if len(nonce) != nonceExpiry+nonceRandom+nonceMAC {
		return 0, false
	}
	signed, mac := nonce[:nonceExpiry+nonceRandom], nonce[nonceExpiry+nonceRandom:]
	expiresMs = int64(binary.BigEndian.Uint64(nonce))
	return expiresMs, hmac.Equal(mac, s.nonceMAC(signed)) && s.nowMs() < expiresMs
}

func (s *Service) nonceMAC(signed []byte) []byte {
	mac := hmac.New(sha256.New, []byte("hongyan registration nonce\x00"+s.cfg.RegistrationSharedSecret.Reveal()))
	_, _ = mac.Write(signed) // a hash never fails
	return mac.Sum(nil)[:nonceMAC]
}

// decodeHex returns nil for what is no hexadecimal text.
func decodeHex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

func errNoSharedSecret() error {
	return matrix.NewError(matrix.CodeUnknown, "Shared secret registration is not enabled")
}

func errNonce() error { return matrix.NewError(matrix.CodeUnknown, "unrecognised nonce") }
