// Package addressbook is an identity server for tests: who has which address, and invites for who has none yet (identity service
// API, version 2). It speaks HTTPS on loopback.
package addressbook

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/canonicaljson"
)

// Behaviour is what a test changes of a server, with Set.
type Behaviour struct {
	// Bound are users by address.
	Bound map[string]string
	// Invalid has its keys be none of its own.
	Invalid bool
	// Status, where not 0, is what everything is answered with.
	Status int
	// Stale refuses the next pepper.
	Stale bool
}

// Token is what its callers show.
const Token = "secret"

// Server is an identity server.
type Server struct {
	t    testing.TB
	http *httptest.Server
	// Name is its host and port.
	Name string
	key  ed25519.PrivateKey

	mu     sync.Mutex
	how    Behaviour
	stored []map[string]any
	asked  []string
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	b := &Server{t: t, key: key, how: Behaviour{Bound: map[string]string{}}}
	b.http = httptest.NewTLSServer(b)
	t.Cleanup(b.http.Close)
	b.Name = strings.TrimPrefix(b.http.URL, "https://")
	return b
}

// Public is its public key.
func (b *Server) Public() string {
	return base64.RawURLEncoding.EncodeToString(b.key.Public().(ed25519.PublicKey))
}

// ServeHTTP implements http.Handler.
func (b *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, r.Method+" "+r.URL.Path)
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	path := strings.TrimPrefix(r.URL.Path, "/_matrix/identity/v2")
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	switch {
	case b.how.Status != 0:
		answer(b.how.Status, map[string]any{"errcode": "M_TERMS_NOT_SIGNED", "error": "sign them"})
	case strings.HasSuffix(path, "/isvalid"):
		answer(200, map[string]any{"valid": !b.how.Invalid && r.URL.Query().Get("public_key") == b.Public()})
	case r.Header.Get("Authorization") != "Bearer "+Token:
		answer(401, map[string]any{"errcode": "M_UNAUTHORIZED", "error": "who are you?"})
	case path == "/hash_details":
		answer(200, map[string]any{"lookup_pepper": "pepper", "algorithms": []string{"none", "sha256"}})
	case path == "/lookup" && b.how.Stale:
		b.how.Stale = false
		answer(400, map[string]any{"errcode": "M_INVALID_PEPPER", "error": "another one now"})
	case path == "/lookup":
		found := map[string]string{}
		for address, user := range b.how.Bound {
			sum := sha256.Sum256([]byte(address + " email pepper"))
			if hash := base64.RawURLEncoding.EncodeToString(sum[:]); strings.Contains(fmt.Sprint(body["addresses"]), hash) {
				found[hash] = user
			}
		}
		answer(200, map[string]any{"mappings": found})
	case path == "/store-invite":
		b.stored = append(b.stored, body)
		keys := []any{
			map[string]any{"public_key": strings.Repeat("A", 43), "key_validity_url": b.http.URL + "/_matrix/identity/v2/pubkey/isvalid"},
			map[string]any{"public_key": b.Public(), "key_validity_url": b.http.URL + "/_matrix/identity/v2/pubkey/ephemeral/isvalid"},
		}
		answer(200, map[string]any{"token": fmt.Sprintf("token%d", len(b.stored)), "public_keys": keys, "display_name": "b...@e..."})
	default:
		answer(404, map[string]any{"errcode": "M_UNRECOGNIZED", "error": path})
	}
}

// Signed is what shows that an invite is a user's.
func (b *Server) Signed(user, token string) map[string]any {
	object := map[string]any{"mxid": user, "token": token}
	message, err := canonicaljson.Marshal(object)
	require.NoError(b.t, err)
	signature := base64.RawStdEncoding.EncodeToString(ed25519.Sign(b.key, message))
	object["signatures"] = map[string]any{b.Name: map[string]any{"ed25519:0": signature}}
	return object
}

// Set changes how it answers.
func (b *Server) Set(change func(*Behaviour)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.how)
}

// Questions are what it was asked since the last time.
func (b *Server) Questions() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	return asked
}

// Bind tells a homeserver that a user has bound the address that was invited last.
func (b *Server) Bind(ctx context.Context, homeserver, user string) error {
	stored := b.Stored()
	if len(stored) == 0 {
		return errors.New("nobody was invited")
	}
	last := stored[len(stored)-1]
	body, err := json.Marshal(map[string]any{
		"medium": last["medium"], "address": last["address"], "mxid": user,
		"invites": []any{map[string]any{
			"medium": last["medium"], "address": last["address"], "mxid": user, "room_id": last["room_id"], "sender": last["sender"],
			"signed": b.Signed(user, fmt.Sprintf("token%d", len(stored))),
		}},
	})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, homeserver+"/_matrix/federation/v1/3pid/onbind", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("onbind: %s", resp.Status)
	}
	return nil
}

// Invite is the body of an invite by an address.
func (b *Server) Invite(address string) map[string]any {
	return map[string]any{"id_server": b.Name, "id_access_token": Token, "medium": "email", "address": address}
}

// URL is where it is reached.
func (b *Server) URL() string { return b.http.URL }

// Certificate is what it shows, which nobody has signed.
func (b *Server) Certificate() *x509.Certificate { return b.http.Certificate() }

// Close ends it before the test's end.
func (b *Server) Close() { b.http.Close() }

// Stored are the invites that were left with it.
func (b *Server) Stored() []map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.stored)
}
