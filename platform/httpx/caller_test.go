package httpx_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

func TestCallerTravels(t *testing.T) {
	for _, want := range []httpx.Caller{
		{},
		{UserID: "@a:b", DeviceID: "D", TokenID: "7", RequestID: "r", IdempotencyKey: "i", RemoteAddr: netip.MustParseAddr("2001:db8::1")},
		{Admin: true, Guest: true, Locked: true, Suspended: true},
		{Suspended: true},
	} {
		r := &http.Request{Header: http.Header{
			"X-Hongyan-User": {"@evil:b"}, "X-Hongyan-Flags": {"a"}, "X-Hongyan-Other": {"x"}, "X-Other": {"stays"},
		}}
		httpx.SetCaller(r.Header, want)
		require.Equal(t, want, httpx.CallerOf(r))
		require.Equal(t, "stays", r.Header.Get("X-Other"))
		require.Empty(t, r.Header.Get("X-Hongyan-Other"), "what comes in does not get through")
	}
}
