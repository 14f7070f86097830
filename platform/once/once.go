package once

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
)

// Keep is how long keys are remembered: much longer than an instance may be held up and still count as one.
const Keep = time.Hour

// Kind is what the scope of a gateway's key begins with. Then follow the user and the device.
const Kind = "key"

// Of returns the transaction of a request, without an answer; an empty one where no gateway gave the request a key.
func Of(r *http.Request) eventlog.Txn {
	c := httpx.CallerOf(r)
	if c.IdempotencyKey == "" {
		return eventlog.Txn{}
	}
	// Paths may be longer than a row of an index.
	what := sha256.Sum256([]byte(r.Method + " " + r.URL.EscapedPath()))
	return eventlog.Txn{
		Scope: Scope(Kind, c.UserID, c.DeviceID, base64.RawURLEncoding.EncodeToString(what[:])), ID: c.IdempotencyKey, Keep: Keep,
	}
}

// Answered is Of with the answer of every request that has nothing to say.
func Answered(r *http.Request) eventlog.Txn {
	txn := Of(r)
	txn.Response = []byte(`{}`)
	return txn
}

// Txns is what an append takes: the transaction, or nothing where it is empty.
func Txns(txn eventlog.Txn) []eventlog.Txn {
	if txn.ID == "" {
		return nil
	}
	return []eventlog.Txn{txn}
}

// Scope joins parts so that no part can pretend to be two.
func Scope(parts ...string) string {
	n := 0
	for _, p := range parts {
		n += len(p) + 1
	}
	b := make([]byte, 0, n)
	for i, p := range parts {
		if i > 0 {
			b = append(b, '|')
		}
		if strings.ContainsAny(p, "%|\x00") {
			p = url.PathEscape(p)
		}
		b = append(b, p...)
	}
	return string(b)
}

// Unchanged notes a request that had nothing to change: an attempt that was held up would find something later.
func Unchanged(ctx context.Context, log *eventlog.Log, txn eventlog.Txn) error {
	if txn.ID == "" {
		return nil
	}
	return log.PutTxn(ctx, txn)
}

// Settle returns what an attempt comes to that ended with err: nil where the request was done, be it by another attempt.
// The log says so, or the attempt was refused what was allowed then.
func Settle(ctx context.Context, log *eventlog.Log, txn eventlog.Txn, err error) error {
	var duplicate *eventlog.DuplicateTxnError
	if errors.As(err, &duplicate) {
		return nil
	}
	var refusal *matrix.Error
	if txn.ID == "" || !errors.As(err, &refusal) || refusal.Status >= http.StatusInternalServerError {
		return err
	}
	_, done, lookErr := log.Txn(ctx, txn.Scope, txn.ID)
	switch {
	case lookErr != nil:
		return matrix.Unavailable(lookErr)
	case done:
		return nil
	}
	return err
}
