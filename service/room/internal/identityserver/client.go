// Package identityserver asks identity servers who has an address, and leaves invites with them for who has none yet (identity
// service API, version 2). Only servers that this one's operator trusts are asked.
package identityserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"hongyan/matrix"
	"hongyan/platform/outbound"
)

// maxAnswer bounds what an identity server says, in bytes.
const maxAnswer = 256 << 10

// Client asks the servers that are trusted, over HTTPS.
type Client struct {
	http    *outbound.Client
	trusted []string
}

// New returns a client of the servers with these names (host and port). Without any it trusts none.
func New(client *outbound.Client, trusted []string) *Client {
	return &Client{http: client, trusted: trusted}
}

// Trusts tells whether a server may be asked.
func (c *Client) Trusts(server string) bool {
	return c.http != nil && slices.Contains(c.trusted, server)
}

// Account is that of a user with an identity server.
type Account struct {
	Server, Token string
}

// Error is what an identity server refused.
type Error struct {
	Status  int
	Code    matrix.ErrCode `json:"errcode"`
	Message string         `json:"error"`
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

// call makes a request and reads its answer into out.
func (c *Client) call(ctx context.Context, method, server, path, token string, in, out any) error {
	if !c.Trusts(server) {
		return fmt.Errorf("identity server %q is not trusted", server)
	}
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, "https://"+server+"/_matrix/identity/v2"+path, body)
	if err != nil {
		return fmt.Errorf("request to %s: %w", server, err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return c.do(r, out)
}

// do sends a request. An answer that is no success is an *Error.
func (c *Client) do(r *http.Request, out any) error {
	res, err := c.http.HTTP().Do(r)
	if err != nil {
		return fmt.Errorf("ask %s: %w", r.URL.Host, withoutURL(err))
	}
	defer func() { _ = res.Body.Close() }() // all is read
	if err := outbound.Bounded(res, maxAnswer); err != nil {
		return fmt.Errorf("ask %s: %w", r.URL.Host, err)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", r.URL.Host, err)
	}
	if res.StatusCode != http.StatusOK {
		refused := &Error{}
		_ = json.Unmarshal(raw, refused) // an answer without a code is one all the same
		refused.Status = res.StatusCode
		return refused
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", r.URL.Host, err)
	}
	return nil
}

// withoutURL takes the URL out of an error: its query may be secret.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// validityPaths are where an identity server can be asked whether a key is valid.
var validityPaths = [...]string{"/_matrix/identity/v2/pubkey/isvalid", "/_matrix/identity/v2/pubkey/ephemeral/isvalid"}

// Valid asks at the URL that an invite names whether a public key is (still) one of an identity server's. The URL must be that of
// a trusted server.
func (c *Client) Valid(ctx context.Context, at, key string) (bool, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "https" || !c.Trusts(u.Host) || u.User != nil || !slices.Contains(validityPaths[:], u.EscapedPath()) {
		return false, nil //nolint:nilerr // what is no URL of a trusted server makes nothing valid
	}
	u.RawQuery, u.Fragment = url.Values{"public_key": {key}}.Encode(), ""
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return false, fmt.Errorf("request to %s: %w", u.Host, err)
	}
	var answer struct {
		Valid bool `json:"valid"`
	}
	var refused *Error
	if err := c.do(r, &answer); errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return answer.Valid, nil
}
