package room_test

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/bus/memory"
	"hongyan/platform/sqldb"
	"hongyan/service/room"
)

// prepare brings up the database of a room service that offers a key, and returns the key that is kept.
func prepare(t *testing.T, url string, offered *event.SigningKey) event.SigningKey {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url})
	require.NoError(t, err)
	wakes := memory.New(0)
	defer func() {
		require.NoError(t, wakes.Close())
		require.NoError(t, db.Close())
	}()
	s, err := room.New(room.Default(), room.Deps{
		DB: db, Bus: wakes, Identity: noIdentity{}, IdentityLog: emptyLog{}, Server: "hs", ImportKey: offered,
	})
	require.NoError(t, err)
	require.NoError(t, s.Prepare(ctx))
	var text string
	require.NoError(t, db.QueryRow(ctx, `SELECT secret FROM signing_key`).Scan(&text))
	key, err := event.ParseSigningKey([]byte(text))
	require.NoError(t, err)
	return key
}

func TestTheSigningKeyIsInTheDatabase(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			old, err := event.GenerateSigningKey(rand.Reader)
			require.NoError(t, err)
			url := open(t)
			made := prepare(t, url, nil)
			require.Equal(t, made.Public(), prepare(t, url, nil).Public(), "the second start")
			require.Equal(t, made.Public(), prepare(t, url, &old).Public(), "a key that comes too late")
			require.Equal(t, old.Public(), prepare(t, open(t), &old).Public(), "a key of an earlier version")
		})
	}
}

// TestInstancesSignWithOneKey starts instances on an empty database at once.
func TestInstancesSignWithOneKey(t *testing.T) {
	url := databases["postgres"](t)
	keys := make([]event.SigningKey, 3)
	var starting sync.WaitGroup
	for i := range keys {
		starting.Go(func() { keys[i] = prepare(t, url, nil) })
	}
	starting.Wait()
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	id := one.create("")
	two.say("alice", id, "hello")
	for _, e := range two.pdus(id, event.V12) {
		for _, key := range keys {
			require.NoError(t, e.VerifySignature("hs", key.ID(), key.Public()))
		}
	}
}
