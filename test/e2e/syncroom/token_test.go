package syncroom_test

import (
	"github.com/stretchr/testify/require"

	"hongyan/matrix/synctoken"
)

// strangeTokens are tokens that name another epoch of the room log, and a position that it has not reached.
func (g *rig) strangeTokens(token string) []string {
	g.t.Helper()
	t, err := synctoken.Parse(token)
	require.NoError(g.t, err)
	epoch, beyond := t.Clone(), t.Clone()
	epoch.RoomEpoch++
	require.NotEmpty(g.t, beyond.Rooms)
	beyond.Rooms[0].Position += 1000
	return []string{epoch.String(), beyond.String()}
}
