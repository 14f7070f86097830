package bench

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the shared-secret registration of this ecosystem is an HMAC-SHA1
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"
)

// Client speaks the client-server API for one account. It is safe for one sender and one syncing goroutine.
type Client struct {
	base  string
	send  *fasthttp.Client
	Token string
	// UserID and DeviceID are known after Register or Login.
	UserID, DeviceID string
}

// APIError is an answer that is no success.
type APIError struct {
	Status     int
	Code       string
	Message    string
	RetryAfter time.Duration
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message)
}

// NewTransport returns what clients of one run share: connections by the thousand.
func NewTransport(maxConns int) *fasthttp.Client {
	return &fasthttp.Client{
		Name: "hongyan-bench", MaxConnsPerHost: maxConns, MaxIdleConnDuration: 5 * time.Minute,
		ReadBufferSize: 4096, WriteBufferSize: 2048, MaxResponseBodySize: 256 << 20,
		NoDefaultUserAgentHeader: true, DisablePathNormalizing: true, DisableHeaderNamesNormalizing: true,
		// A repetition is the caller's decision: it has a transaction id or it does not happen.
		RetryIfErr: func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
	}
}

// NewClient returns a client of the homeserver at base that has no account yet.
func NewClient(transport *fasthttp.Client, base string) *Client {
	return &Client{base: strings.TrimSuffix(base, "/"), send: transport}
}

// Do sends a request and hands the body of a success to use, which must not keep it. body nil sends none.
func (c *Client) Do(ctx context.Context, method, path string, body []byte, timeout time.Duration, use func([]byte) error) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(c.base + path)
	req.Header.SetMethod(method)
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.SetBodyRaw(body)
	}
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.send.DoDeadline(req, resp, deadline); err != nil {
		return fmt.Errorf("%s %s: %w", method, firstPart(path), err)
	}
	if status := resp.StatusCode(); status/100 != 2 {
		return apiError(status, resp)
	}
	if use == nil {
		return nil
	}
	return use(resp.Body())
}

func firstPart(path string) string {
	before, _, _ := strings.Cut(path, "?")
	return before
}

func apiError(status int, resp *fasthttp.Response) *APIError {
	body := resp.Body()
	e := &APIError{
		Status: status, Code: gjson.GetBytes(body, "errcode").String(), Message: gjson.GetBytes(body, "error").String(),
		RetryAfter: time.Duration(gjson.GetBytes(body, "retry_after_ms").Int()) * time.Millisecond,
	}
	if s, err := strconv.Atoi(string(resp.Header.Peek("Retry-After"))); err == nil && e.RetryAfter == 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

const requestTimeout = 60 * time.Second

// JSON sends v and decodes the answer into out; both may be nil.
func (c *Client) JSON(ctx context.Context, method, path string, v, out any) error {
	var body []byte
	if v != nil {
		var err error
		if body, err = json.Marshal(v); err != nil {
			return fmt.Errorf("encode body: %w", err)
		}
	}
	return c.Do(ctx, method, path, body, requestTimeout, func(answer []byte) error {
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("decode answer of %s: %w", firstPart(path), err)
		}
		return nil
	})
}

type account struct {
	UserID      string `json:"user_id"`
	DeviceID    string `json:"device_id"`
	AccessToken string `json:"access_token"`
}

func (c *Client) use(a account) {
	c.UserID, c.DeviceID, c.Token = a.UserID, a.DeviceID, a.AccessToken
}

// Register makes an account: with the shared secret where there is one, otherwise as any client would, completing the
// stages m.login.dummy and m.login.registration_token.
func (c *Client) Register(ctx context.Context, name, password, sharedSecret, registrationToken string) error {
	if sharedSecret != "" {
		return c.registerShared(ctx, name, password, sharedSecret)
	}
	const path = "/_matrix/client/v3/register"
	body := map[string]any{"username": name, "password": password, "auth": map[string]any{"type": "m.login.dummy"}}
	var a account
	err := c.JSON(ctx, "POST", path, body, &a)
	if registrationToken != "" && statusIs(err, 401) {
		body["auth"] = map[string]any{"type": "m.login.registration_token", "token": registrationToken}
		err = c.JSON(ctx, "POST", path, body, &a)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", name, err)
	}
	c.use(a)
	return nil
}

func statusIs(err error, status int) bool {
	var e *APIError
	return errors.As(err, &e) && e.Status == status
}

func (c *Client) registerShared(ctx context.Context, name, password, secret string) error {
	const path = "/_synapse/admin/v1/register"
	var nonce struct {
		Nonce string `json:"nonce"`
	}
	if err := c.JSON(ctx, "GET", path, nil, &nonce); err != nil {
		return fmt.Errorf("ask for a registration nonce: %w", err)
	}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(strings.Join([]string{nonce.Nonce, name, password, "notadmin"}, "\x00")))
	var a account
	err := c.JSON(ctx, "POST", path, map[string]any{
		"nonce": nonce.Nonce, "username": name, "password": password, "admin": false, "mac": hex.EncodeToString(mac.Sum(nil)),
	}, &a)
	if err != nil {
		return fmt.Errorf("register %s with the shared secret: %w", name, err)
	}
	c.use(a)
	return nil
}

// Login logs in with a password, as a new device.
func (c *Client) Login(ctx context.Context, name, password string) error {
	var a account
	err := c.JSON(ctx, "POST", "/_matrix/client/v3/login", map[string]any{
		"type": "m.login.password", "password": password,
		"identifier": map[string]any{"type": "m.id.user", "user": name},
	}, &a)
	if err != nil {
		return fmt.Errorf("log %s in: %w", name, err)
	}
	c.use(a)
	return nil
}

// CreateRoom makes a room and returns its id.
func (c *Client) CreateRoom(ctx context.Context, options map[string]any) (string, error) {
	var out struct {
		RoomID string `json:"room_id"`
	}
	err := c.JSON(ctx, "POST", "/_matrix/client/v3/createRoom", options, &out)
	return out.RoomID, err
}

// Join joins a room.
func (c *Client) Join(ctx context.Context, roomID string) error {
	return c.JSON(ctx, "POST", "/_matrix/client/v3/join/"+url.PathEscape(roomID), map[string]any{}, nil)
}

// Send sends an m.room.message under a transaction id and returns the event id.
func (c *Client) Send(ctx context.Context, roomID, txnID string, content []byte) (string, error) {
	var eventID string
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(roomID) + "/send/m.room.message/" + url.PathEscape(txnID)
	err := c.Do(ctx, "PUT", path, content, requestTimeout, func(answer []byte) error {
		eventID = strings.Clone(gjson.GetBytes(answer, "event_id").String())
		if eventID == "" {
			return fmt.Errorf("send: the answer has no event_id")
		}
		return nil
	})
	return eventID, err
}

// Sync asks once; since empty is the initial sync. The body must not be kept.
func (c *Client) Sync(ctx context.Context, since, filter string, timeout time.Duration, use func([]byte) error) error {
	q := "timeout=" + strconv.FormatInt(timeout.Milliseconds(), 10)
	if since != "" {
		q += "&since=" + url.QueryEscape(since)
	}
	if filter != "" {
		q += "&filter=" + url.QueryEscape(filter)
	}
	return c.Do(ctx, "GET", "/_matrix/client/v3/sync?"+q, nil, timeout+30*time.Second, use)
}

// Messages pages through a room; the body must not be kept.
func (c *Client) Messages(ctx context.Context, roomID, from, dir string, limit int, use func([]byte) error) error {
	q := url.Values{"dir": {dir}, "limit": {strconv.Itoa(limit)}}
	if from != "" {
		q.Set("from", from)
	}
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(roomID) + "/messages?" + q.Encode()
	return c.Do(ctx, "GET", path, nil, requestTimeout, use)
}
