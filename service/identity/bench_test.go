package identity_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/service/identity"
)

// BenchmarkAuthenticate is what a gateway's cache miss costs, in process.
func BenchmarkAuthenticate(b *testing.B) {
	for name, open := range databases {
		b.Run(name, func(b *testing.B) {
			g := newRig(b, open(b), nil)
			u := g.register("alice")
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, err := g.identity.Authenticate(b.Context(), &identitypb.AuthenticateRequest{AccessToken: u.token})
					require.NoError(b, err)
				}
			})
		})
	}
}

// BenchmarkLogin is a log-in with a password hashed as in production.
func BenchmarkLogin(b *testing.B) {
	for name, open := range databases {
		b.Run(name, func(b *testing.B) {
			g := newRig(b, open(b), func(c *identity.Config) { c.Passwords = identity.Default().Passwords })
			g.register("alice")
			for b.Loop() {
				g.login("alice", obj{"device_id": "ONE"}).ok()
			}
		})
	}
}
