package social_test

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus/memory"
	"hongyan/platform/sqldb"
	"hongyan/service/social"
)

// childURL is the environment of a process that follows until it is killed: its database.
const childURL = "HONGYAN_TEST_SOCIAL_URL"

// fixedWorld is the same in every process.
func fixedWorld() *world {
	wakes := memory.New(0)
	w := &world{
		people: newPeople(nil), rooms: rooms{newMemoryLog("room", nil)}, ignores: &ignores{content: map[string]string{}}, bus: wakes,
	}
	w.happen(42, 40_000)
	return w
}

// child follows, and writes a byte whenever it asks for something of the logs.
func child(url string) error {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url})
	if err != nil {
		return err
	}
	w := fixedWorld()
	asked := func() { _, _ = os.Stdout.WriteString(".") }
	w.people.asked, w.rooms.asked = asked, asked
	s, err := social.New(social.Default(), social.Deps{
		DB: db, Bus: w.bus, Identity: w.people, IdentityLog: w.people, RoomLog: w.rooms, Sync: w.ignores, Server: "hs",
	})
	if err != nil {
		return err
	}
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	return s.Run(ctx)
}

// TestKilledWhileFollowing kills processes again and again while they follow, and what is taken in in the end is as if nothing had
// happened.
func TestKilledWhileFollowing(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			for range 8 {
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), childURL+"="+url)
				out, err := cmd.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, cmd.Start())
				_, err = io.ReadFull(out, make([]byte, 2+rand.IntN(8))) // wherever it is then
				require.NoError(t, err)
				require.NoError(t, cmd.Process.Kill())
				_ = cmd.Wait()
			}
			w := fixedWorld()
			t.Cleanup(func() { require.NoError(t, w.bus.Close()) })
			g := newRig(t, url, w, social.Default())
			g.awaitModel()
		})
	}
}
