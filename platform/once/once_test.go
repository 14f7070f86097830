package once_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/platform/sqldb"
)

func request(method, path string, c httpx.Caller) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	httpx.SetCaller(r.Header, c)
	return r
}

func TestScopesTellRequestsApart(t *testing.T) {
	alice := httpx.Caller{UserID: "@a:hs", DeviceID: "D", IdempotencyKey: "key"}
	as := func(user, device string) httpx.Caller {
		return httpx.Caller{UserID: user, DeviceID: device, IdempotencyKey: "key"}
	}
	first := once.Of(request("PUT", "/a", alice))
	require.Equal(t, "key", first.ID)
	require.Equal(t, once.Keep, first.Keep)
	require.Equal(t, first, once.Of(request("PUT", "/a", alice)))
	for _, other := range []*http.Request{
		request("POST", "/a", alice), request("PUT", "/a%2F", alice), request("PUT", "/a/", alice),
		request("PUT", "/a", as("@b:hs", "D")), request("PUT", "/a", as("@a:hs", "E")), request("PUT", "/a", as("@a:hs|D", "")),
	} {
		require.NotEqual(t, first.Scope, once.Of(other).Scope)
	}
	long := once.Of(request("PUT", "/"+strings.Repeat("%7C", 5000), alice))
	require.Equal(t, len(first.Scope), len(long.Scope), "an index has room for it")
	require.True(t, strings.HasPrefix(first.Scope, once.Scope(once.Kind, "@a:hs", "D", "")), "it can be forgotten with the device")
}

func TestWithoutAKeyNothingIsRemembered(t *testing.T) {
	r := request("PUT", "/a", httpx.Caller{UserID: "@a:hs"})
	require.Empty(t, once.Of(r))
	require.Empty(t, once.Txns(once.Answered(r)))
}

func TestSettle(t *testing.T) {
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "once.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	log, err := eventlog.Open(t.Context(), db, eventlog.Schema{Name: "facts"}, eventlog.Config{})
	require.NoError(t, err)

	done, fresh := eventlog.Txn{Scope: "s", ID: "done"}, eventlog.Txn{Scope: "s", ID: "fresh"}
	require.NoError(t, once.Unchanged(t.Context(), log, done))
	require.NoError(t, once.Unchanged(t.Context(), log, eventlog.Txn{}))
	_, ok, err := log.Txn(t.Context(), "", "")
	require.NoError(t, err)
	require.False(t, ok)

	refusal := matrix.NewError(matrix.CodeNotFound, "no")
	unavailable := matrix.Unavailable(errors.New("no database"))
	for name, tt := range map[string]struct {
		txn       eventlog.Txn
		err, want error
	}{
		"done":                {done, nil, nil},
		"done before":         {fresh, fmt.Errorf("commit: %w", &eventlog.DuplicateTxnError{Scope: "s", ID: "fresh"}), nil},
		"refused":             {fresh, refusal, refusal},
		"refused afterwards":  {done, refusal, nil},
		"refused without key": {eventlog.Txn{}, refusal, refusal},
		"not done":            {done, unavailable, unavailable},
		"unknown":             {done, eventlog.ErrUnknown, eventlog.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, once.Settle(t.Context(), log, tt.txn, tt.err), tt.want)
		})
	}
}
