package room_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/canonicaljson"
	"hongyan/platform/outbound"
	"hongyan/service/room"
)

// addressBook is an identity server.
type addressBook struct {
	t      testing.TB
	server *httptest.Server
	name   string
	key    ed25519.PrivateKey

	mu     sync.Mutex
	bound  map[string]string // users by address
	stored []map[string]any
	// invalid has keys be none of its own; status, where not 0, is what everything is answered with; stale refuses the next pepper.
	invalid, stale bool
	status         int
	asked          []string
}

func newAddressBook(t testing.TB) *addressBook {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	b := &addressBook{t: t, key: key, bound: map[string]string{}}
	b.server = httptest.NewTLSServer(b)
	t.Cleanup(b.server.Close)
	b.name = strings.TrimPrefix(b.server.URL, "https://")
	return b
}

func (b *addressBook) public() string {
	return base64.RawURLEncoding.EncodeToString(b.key.Public().(ed25519.PublicKey))
}

// ServeHTTP implements http.Handler.
func (b *addressBook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	case b.status != 0:
		answer(b.status, map[string]any{"errcode": "M_TERMS_NOT_SIGNED", "error": "sign them"})
	case strings.HasSuffix(path, "/isvalid"):
		answer(200, map[string]any{"valid": !b.invalid && r.URL.Query().Get("public_key") == b.public()})
	case r.Header.Get("Authorization") != "Bearer secret":
		answer(401, map[string]any{"errcode": "M_UNAUTHORIZED", "error": "who are you?"})
	case path == "/hash_details":
		answer(200, map[string]any{"lookup_pepper": "pepper", "algorithms": []string{"none", "sha256"}})
	case path == "/lookup" && b.stale:
		b.stale = false
		answer(400, map[string]any{"errcode": "M_INVALID_PEPPER", "error": "another one now"})
	case path == "/lookup":
		found := map[string]string{}
		for address, user := range b.bound {
			sum := sha256.Sum256([]byte(address + " email pepper"))
			if hash := base64.RawURLEncoding.EncodeToString(sum[:]); strings.Contains(fmt.Sprint(body["addresses"]), hash) {
				found[hash] = user
			}
		}
		answer(200, map[string]any{"mappings": found})
	case path == "/store-invite":
		b.stored = append(b.stored, body)
		keys := []any{
			map[string]any{"public_key": strings.Repeat("A", 43), "key_validity_url": b.server.URL + "/_matrix/identity/v2/pubkey/isvalid"},
			map[string]any{"public_key": b.public(), "key_validity_url": b.server.URL + "/_matrix/identity/v2/pubkey/ephemeral/isvalid"},
		}
		answer(200, map[string]any{"token": fmt.Sprintf("token%d", len(b.stored)), "public_keys": keys, "display_name": "b...@e..."})
	default:
		answer(404, map[string]any{"errcode": "M_UNRECOGNIZED", "error": path})
	}
}

// signed is what shows that an invite is a user's.
func (b *addressBook) signed(user, token string) map[string]any {
	object := map[string]any{"mxid": user, "token": token}
	message, err := canonicaljson.Marshal(object)
	require.NoError(b.t, err)
	signature := base64.RawStdEncoding.EncodeToString(ed25519.Sign(b.key, message))
	object["signatures"] = map[string]any{b.name: map[string]any{"ed25519:0": signature}}
	return object
}

// set changes how it answers.
func (b *addressBook) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// questions are what it was asked since the last time.
func (b *addressBook) questions() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	return asked
}

// newWorldWithAddresses starts a room service that trusts an identity server.
func newWorldWithAddresses(t *testing.T, databaseURL string) (*world, *addressBook) {
	b := newAddressBook(t)
	roots := x509.NewCertPool()
	roots.AddCert(b.server.Certificate())
	client, err := outbound.New(outbound.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{0}, HTTPSOnly: true, RootCAs: roots,
	})
	require.NoError(t, err)
	cfg := room.Default()
	cfg.IdentityServers = []string{b.name}
	g := newWorldOn(t, databaseURL, nil, cfg, room.Deps{IdentityServers: client})
	for _, user := range []string{"alice", "bob", "carol"} {
		g.people.set(user, "The "+user, "")
	}
	return g, b
}

// byAddress is the body of an invite.
func (b *addressBook) byAddress(address string) map[string]any {
	return map[string]any{"id_server": b.name, "id_access_token": "secret", "medium": "email", "address": address}
}

// bind tells the room service that somebody has bound an address, as the identity server does.
func (g *world) bind(user, roomID string, signed map[string]any) answer {
	g.t.Helper()
	body, err := json.Marshal(map[string]any{
		"medium": "email", "address": "bob@example.org", "mxid": user,
		"invites": []any{map[string]any{"room_id": roomID, "sender": userID("alice"), "signed": signed, "medium": "email", "address": "x", "mxid": user}},
	})
	require.NoError(g.t, err)
	return g.bindRaw(string(body))
}

func (g *world) bindRaw(body string) answer {
	r := httptest.NewRequest(http.MethodPut, "/_matrix/federation/v1/3pid/onbind", strings.NewReader(body))
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Body.Bytes()}
}
