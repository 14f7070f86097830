package social_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	socialpb "hongyan/api/social"
)

// sees requires that a user may, or may not, know of another one, as identity asks. An answer without the newest of the room log, since
// the machine was busy for a second, is asked for again.
func (g *rig) sees(want bool, user, other string) {
	g.t.Helper()
	for {
		before := g.behind()
		resp, err := g.social.Visible(g.t.Context(), &socialpb.VisibleRequest{UserId: userID(user), OtherId: userID(other)})
		require.NoError(g.t, err)
		if resp.GetVisible() == want || g.behind() == before {
			require.Equal(g.t, want, resp.GetVisible(), "%s sees %s", user, other)
			return
		}
	}
}

// TestVisible tells who may know of whom, right after what it must know of.
func TestVisible(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		g.sees(false, "anna", "bela")
		g.rooms.room("private", "invite", "anna", "bela")
		g.sees(true, "anna", "bela")
		g.sees(true, "bela", "anna")
		g.sees(false, "carl", "anna")
		g.rooms.member("private", "bela", "leave")
		g.sees(false, "anna", "bela")
		g.rooms.room("open", "public", "bela")
		g.sees(true, "anna", "bela")
		g.sees(false, "bela", "anna") // it does not work the other way round
		g.rooms.joinRule("open", "invite")
		g.sees(false, "anna", "bela")
		g.rooms.history("open", "world_readable")
		g.sees(true, "anna", "bela")
		g.sees(false, "anna", "nobody")
	})
}
