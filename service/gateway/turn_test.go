package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/gateway"
)

const turnPath = "/_matrix/client/v3/voip/turnServer"

func TestTurnServer(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	require.Equal(t, "M_MISSING_TOKEN", e.get(turnPath).code())
	a := e.get(turnPath, token("tok-bob"))
	require.Equal(t, 200, a.status)
	require.Empty(t, a.body, "there is none")

	uris := []string{"turn:turn.example.com:3478?transport=udp", "turns:turn.example.com:443?transport=tcp"}
	e = newEdge(t, edgeOptions{config: func(c *gateway.Config) {
		c.Turn = gateway.TurnConfig{URIs: uris, Username: "team", Password: "hush", Lifetime: time.Hour}
	}})
	require.Equal(t, map[string]any{
		"username": "team", "password": "hush", "uris": []any{uris[0], uris[1]}, "ttl": 3600.0,
	}, e.get(turnPath, token("tok-bob")).body)
}

// The credentials are those that coturn computes from the same secret.
func TestTurnCredentialsEnd(t *testing.T) {
	e := newEdge(t, edgeOptions{config: func(c *gateway.Config) {
		c.Turn = gateway.TurnConfig{URIs: []string{"turn:turn.example.com"}, SharedSecret: "north", Lifetime: time.Hour}
	}})
	body := e.get(turnPath, token("tok-bob")).body
	var end int64
	_, err := fmt.Sscanf(body["username"].(string), "%d:@bob:x", &end)
	require.NoError(t, err, body["username"])
	require.Equal(t, e.clock.Now().Add(time.Hour).Unix(), end)
	// echo -n NAME | openssl dgst -sha1 -hmac north -binary | base64
	require.Equal(t, "lamN4QwbavBEEp/krb3yR5mgsEg=", gateway.TurnPassword("north", "1443779631:@user:example.com"))
	require.Equal(t, gateway.TurnPassword("north", body["username"].(string)), body["password"])
}

func TestTurnConfig(t *testing.T) {
	one := []string{"turn:turn.example.com"}
	for wrong, c := range map[string]gateway.TurnConfig{
		"uris":         {URIs: []string{"https://turn.example.com"}, Lifetime: time.Hour},
		"lifetime":     {URIs: one, SharedSecret: "s", Lifetime: time.Second},
		"one of them":  {URIs: one, SharedSecret: "s", Username: "u", Password: "p", Lifetime: time.Hour},
		"both or none": {URIs: one, Username: "u", Lifetime: time.Hour},
		"at least one": {SharedSecret: "s", Lifetime: time.Hour},
	} {
		cfg := gateway.Default()
		cfg.Turn = c
		require.ErrorContains(t, cfg.Validate(), wrong)
	}
	cfg := gateway.Default()
	cfg.Turn.URIs, cfg.Turn.SharedSecret = one, "s"
	require.NoError(t, cfg.Validate())
}
