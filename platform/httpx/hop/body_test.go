package hop_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
)

// A body that is small enough is sent again from its beginning; one that is not is sent once.
func TestBodiesAreSentAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		size  int
		limit hop.Options
		whole bool
	}{
		"small":                     {100 << 10, hop.Options{}, true},
		"as large as may be":        {1 << 20, hop.Options{}, true},
		"larger":                    {2 << 20, hop.Options{}, false},
		"all bodies together large": {100 << 10, hop.Options{MaxBodies: 10 << 10}, false},
	} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", known), func(t *testing.T) {
				// The first instance that is taken dies of it, whichever it is.
				tt.limit.SilenceTimeout = patience
				h := newHouse(t, tt.limit)
				var once sync.Once
				for _, id := range []string{"a", "b"} {
					h.start(id, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						body, err := io.ReadAll(r.Body)
						if err != nil {
							panic(http.ErrAbortHandler)
						}
						once.Do(func() { panic(http.ErrAbortHandler) })
						_, _ = w.Write(body)
					}))
				}
				h.known("room", 2)
				payload := bytes.Repeat([]byte("x"), tt.size)
				var body io.Reader = bytes.NewReader(payload)
				if !known {
					body = io.MultiReader(body)
				}
				_, got, err := call(h.cluster.Upstream("room"), request(t, "PUT", "/", body))
				if !tt.whole {
					require.Error(t, err)
					return
				}
				require.NoError(t, err)
				require.Equal(t, string(payload), got)
			})
		}
	}
}

// A client that breaks off is to blame itself: nothing is repeated, and the instance stays in use.
func TestBrokenBodies(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: patience})
	h.start("a", says("a"))
	h.known("room", 1)
	broken := errors.New("the client broke off")
	body := io.MultiReader(strings.NewReader("half"), &failer{broken})
	_, _, err := call(h.cluster.Upstream("room"), request(t, "PUT", "/", body, httpx.HeaderIdempotency, "k"))
	require.ErrorIs(t, err, broken)
	require.EqualValues(t, 1, h.cluster.Traffic()[0].Calls)
	require.Zero(t, h.cluster.Traffic()[0].Errors)
}

type failer struct{ err error }

func (f *failer) Read([]byte) (int, error) { return 0, f.err }

// An attempt is lost while the client has not sent all of its body: the next one gets the rest.
func TestTheRestOfABodyGoesToTheNextAttempt(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: patience})
	first := make(chan string, 2)
	instances := map[string]*instance{}
	for _, id := range []string{"a", "b"} {
		instances[id] = h.start(id, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begin := make([]byte, 5)
			if _, err := io.ReadFull(r.Body, begin); err != nil {
				panic(http.ErrAbortHandler)
			}
			first <- id
			rest, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			_, _ = fmt.Fprintf(w, "%s%s", begin, rest)
		}))
	}
	h.known("room", 2)
	in, out := io.Pipe()
	result := make(chan string, 1)
	go func() {
		_, body, err := call(h.cluster.Upstream("room"), request(t, "PUT", "/", in))
		result <- body + fmt.Sprint(err)
	}()
	_, err := io.WriteString(out, "hello")
	require.NoError(t, err)
	lost := instances[<-first]
	lost.kill() // while the transport waits for more
	_, err = io.WriteString(out, ", world")
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.Equal(t, "hello, world<nil>", <-result)
	require.NotEqual(t, lost.record.BootID, <-first)
}
