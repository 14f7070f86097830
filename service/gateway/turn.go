package gateway

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // TURN servers compute it so
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hongyan/platform/httpx"
	"hongyan/platform/obs"
)

// TurnConfig says which TURN servers carry calls between clients that cannot reach each other. Without URIs there are none.
type TurnConfig struct {
	// URIs are where they are ("turn:turn.example.com:3478?transport=udp"), RFC 7065.
	URIs []string `yaml:"uris"`
	// SharedSecret is what they share with this server (coturn: static-auth-secret): every user gets credentials that
	// end. Without it all get Username and Password.
	SharedSecret obs.Secret `yaml:"shared_secret"`
	Username     string     `yaml:"username"`
	Password     obs.Secret `yaml:"password"`
	// Lifetime is how long credentials are good for, at least a minute. Clients ask again before they end.
	Lifetime time.Duration `yaml:"lifetime"`
}

var turnSchemes = []string{"turn:", "turns:", "stun:", "stuns:"}

func (c TurnConfig) validate() error {
	for _, uri := range c.URIs {
		known := false
		for _, scheme := range turnSchemes {
			known = known || (strings.HasPrefix(uri, scheme) && len(uri) > len(scheme))
		}
		if !known {
			return fmt.Errorf("uris: %q: want a URI such as turn:turn.example.com:3478?transport=udp", uri)
		}
	}
	static := c.Username != "" || c.Password != ""
	switch {
	case c.Lifetime < time.Minute:
		return fmt.Errorf("lifetime %s: want at least 1m", c.Lifetime)
	case c.SharedSecret != "" && static:
		return errors.New("shared_secret, or username and password: want one of them")
	case static && (c.Username == "" || c.Password == ""):
		return errors.New("username and password: want both or none")
	case len(c.URIs) == 0 && (c.SharedSecret != "" || static):
		return errors.New("uris: want at least one for the credentials")
	}
	return nil
}

// turnServer is an answer of getTurnServer.
type turnServer struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	URIs     []string `json:"uris"`
	// TTL is in seconds.
	TTL int64 `json:"ttl"`
}

// getTurnServer is GET /_matrix/client/v3/voip/turnServer ("Voice over IP"). Where there is no TURN server the answer is empty,
// which clients that probe take for that.
func (l *local) getTurnServer(w http.ResponseWriter, r *http.Request) error {
	turn := l.cfg.Turn
	if len(turn.URIs) == 0 {
		httpx.WriteJSON(w, http.StatusOK, struct{}{})
		return nil
	}
	answer := turnServer{
		Username: turn.Username, Password: turn.Password.Reveal(), URIs: turn.URIs, TTL: int64(turn.Lifetime / time.Second),
	}
	if turn.SharedSecret != "" {
		answer.Username = strconv.FormatInt(l.clock().Add(turn.Lifetime).Unix(), 10) + ":" + httpx.CallerOf(r).UserID
		answer.Password = turnPassword(turn.SharedSecret, answer.Username)
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// turnPassword is the one that a TURN server expects of a user name (the "TURN REST API": HMAC-SHA1 of the name).
func turnPassword(secret obs.Secret, username string) string {
	mac := hmac.New(sha1.New, []byte(secret.Reveal()))
	_, _ = mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
