package e2e_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"hongyan/test/harness"
	"hongyan/test/openapi"
)

// The same conversations are held on one process with either database, and on several of each service, which are killed
// meanwhile.
func TestConversations(t *testing.T) {
	for _, topology := range topologies() {
		t.Run(topology.Name, func(t *testing.T) {
			s := &scene{Cluster: harness.StartCluster(t, topology)}
			t.Run("many people in many rooms", func(t *testing.T) { talkInManyRooms(t, s) })
			t.Run("bot", func(t *testing.T) { serveABot(t, s) })
			t.Run("moderation", func(t *testing.T) { moderate(t, s) })
			t.Run("restarts without loss", func(t *testing.T) { talkThroughRestarts(t, s) })
		})
	}
}

func topologies() []harness.Topology {
	return []harness.Topology{harness.One(false), harness.One(true), harness.Three(harness.RegistryEtcd)}
}

// scene is where conversations are held.
type scene struct {
	*harness.Cluster
	people int
}

// register makes an account. Everybody connects somewhere else, as far as there are several gateways, and repeats nothing.
func (s *scene) register(t *testing.T, name string) *person {
	t.Helper()
	p := s.person(t)
	answer, err := p.RegisterDummy(t.Context(), &mautrix.ReqRegister{Username: name, Password: "secret of " + name})
	require.NoError(t, err)
	p.UserID, p.DeviceID, p.AccessToken = answer.UserID, answer.DeviceID, answer.AccessToken
	return p
}

// person has no account yet.
func (s *scene) person(t *testing.T) *person {
	t.Helper()
	urls := s.URLs()
	client, err := mautrix.NewClient(urls[s.people%len(urls)], "", "")
	s.people++
	require.NoError(t, err)
	client.Client.Transport = openapi.Transport(t, http.DefaultTransport)
	return &person{Client: client, seen: map[id.RoomID][]*event.Event{}, news: make(chan struct{}, 1)}
}

// unrest is what is killed behind the gateways. No client may notice.
type unrest struct{ *harness.Unrest }

// unrest begins, and ends with the test. On one process it is none. Instances of more services than these three can be struck.
func (s *scene) unrest(t *testing.T, more ...string) *unrest {
	u := &unrest{s.Unrest(context.WithoutCancel(t.Context()), append([]string{"identity", "room", "sync"}, more...)...)}
	t.Cleanup(func() {
		kills, err := u.End()
		require.NoError(t, err, "what was killed comes back")
		if len(s.Nodes) > 1 {
			require.Positive(t, kills, "processes were killed")
		}
		t.Logf("%d processes were killed meanwhile", kills)
	})
	return u
}

// round tells whether there is nobody left who was not killed; what does not come back, the test's end tells.
func (u *unrest) round() bool {
	whole, err := u.Round()
	return whole || err != nil
}
