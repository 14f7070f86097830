package identity_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	socialpb "hongyan/api/social"
	"hongyan/service/identity"
)

// acquaintances is the social service as identity sees it. It is changed between requests.
type acquaintances struct {
	socialpb.SocialClient
	know map[[2]string]bool
	err  error
}

// Visible implements socialpb.SocialClient.
func (a *acquaintances) Visible(_ context.Context, req *socialpb.VisibleRequest, _ ...grpc.CallOption) (*socialpb.VisibleResponse, error) {
	return &socialpb.VisibleResponse{Visible: a.know[[2]string{req.UserId, req.OtherId}]}, a.err
}

// TestProfileLookup has profiles be for some alone.
func TestProfileLookup(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, open(t), func(cfg *identity.Config) { cfg.ProfileLookup = identity.ProfileLookupUsers })
			alice, bob := g.register("alice"), g.register("bob")
			for _, path := range []string{"/profile/" + alice.id, "/profile/" + alice.id + "/displayname"} {
				g.get("", v3+path).fails(401, "M_MISSING_TOKEN")
				g.get(bob.token, v3+path).ok()
			}
			g.get(bob.token, v3+"/profile/@nobody:hs").fails(404, "M_NOT_FOUND")

			g = newRig(t, open(t), func(cfg *identity.Config) { cfg.ProfileLookup = identity.ProfileLookupShared })
			alice, bob = g.register("alice"), g.register("bob")
			for _, path := range []string{"/profile/" + alice.id, "/profile/" + alice.id + "/displayname"} {
				g.social.know, g.social.err = nil, nil
				g.get("", v3+path).fails(401, "M_MISSING_TOKEN")
				g.get(alice.token, v3+path).ok() // one's own
				g.get(bob.token, v3+path).fails(403, "M_FORBIDDEN")
				g.social.know = map[[2]string]bool{{bob.id, alice.id}: true}
				g.get(bob.token, v3+path).ok()
				g.social.err = errors.New("away")
				g.get(bob.token, v3+path).fails(503, "M_UNKNOWN")
				require.Equal(t, "alice", g.get(alice.token, v3+path).ok().body["displayname"])
			}
			g.social.err = nil
			g.get(bob.token, v3+"/profile/@nobody:hs").fails(403, "M_FORBIDDEN")
		})
	}
}
