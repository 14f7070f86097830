package room_test

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/outbound"
	"hongyan/service/room"
	"hongyan/test/addressbook"
)

// newWorldWithAddresses starts a room service that trusts an identity server.
func newWorldWithAddresses(t *testing.T, databaseURL string) (*world, *addressbook.Server) {
	b := addressbook.New(t)
	roots := x509.NewCertPool()
	roots.AddCert(b.Certificate())
	client, err := outbound.New(outbound.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{0}, HTTPSOnly: true, RootCAs: roots,
	})
	require.NoError(t, err)
	cfg := room.Default()
	cfg.IdentityServers = []string{b.Name}
	g := newWorldOn(t, databaseURL, nil, cfg, room.Deps{IdentityServers: client})
	for _, user := range []string{"alice", "bob", "carol"} {
		g.people.set(user, "The "+user, "")
	}
	return g, b
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
