package httpx_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

// lot is the edge: it goes on with requests after their handlers.
type lot struct {
	http.ResponseWriter
	wait httpx.Wait
}

func (l *lot) Park(wait httpx.Wait) bool {
	l.wait = wait
	return true
}

func parking(t *testing.T) http.Handler {
	t.Helper()
	h, err := httpx.NewServer("sync", []httpx.Binding{{
		Route: httpx.Route{Method: "GET", Path: "/poll", LongPoll: true},
		Handler: func(w http.ResponseWriter, r *http.Request) error {
			wait := func(_ context.Context, w http.ResponseWriter) error {
				httpx.WriteJSON(w, http.StatusOK, "waited")
				return nil
			}
			if httpx.Park(w, wait) {
				return nil
			}
			return wait(r.Context(), w)
		},
	}}, httpx.Options{})
	require.NoError(t, err)
	return h
}

func TestAHandlerInProcessParksAtTheEdge(t *testing.T) {
	rec := httptest.NewRecorder()
	edge := &lot{ResponseWriter: rec}
	require.NoError(t, httpx.Forward(edge, httptest.NewRequest(http.MethodGet, "/poll", nil), httpx.Local(parking(t))))
	require.NotNil(t, edge.wait)
	require.Zero(t, rec.Body.Len(), "nothing is answered before the wait")
	require.NoError(t, edge.wait(t.Context(), rec))
	require.Equal(t, `"waited"`, rec.Body.String())
}

func TestAHandlerWaitsByItselfWhereNobodyTakesOver(t *testing.T) {
	rec := httptest.NewRecorder()
	require.NoError(t, httpx.Forward(rec, httptest.NewRequest(http.MethodGet, "/poll", nil), httpx.Local(parking(t))))
	require.Equal(t, `"waited"`, rec.Body.String())

	server := httptest.NewServer(parking(t)) // as over the network
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/poll")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, errors.Join(err, resp.Body.Close()))
	require.Equal(t, `"waited"`, string(body))
	require.False(t, httpx.Park(nil, nil))
}
