package media_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	mediapb "hongyan/api/media"
	"hongyan/matrix"
	"hongyan/platform/blob"
	"hongyan/platform/rpc"
	"hongyan/service/media"
)

// tryRemove removes media as the operator of the machine does.
func (g *rig) tryRemove(uri string, copies bool) (*mediapb.RemoveMediaResponse, error) {
	server := rpc.NewServer("admin", rpc.Options{})
	g.service.RegisterAdmin(server)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(server)
	return mediapb.NewRemovalClient(conns.Conn("admin")).RemoveMedia(context.Background(), &mediapb.RemoveMediaRequest{Uri: uri, Copies: copies})
}

func (g *rig) remove(id string, copies bool) *mediapb.RemoveMediaResponse {
	g.t.Helper()
	done, err := g.tryRemove("mxc://hs/"+id, copies)
	require.NoError(g.t, err)
	return done
}

// TestRemove removes media for ever: it is not found, its bytes and thumbnails are gone, and it no longer counts for its user.
func TestRemove(t *testing.T) {
	picture := asPNG(t, halves(200, 100))
	size := int64(len(picture))
	quota := func(c *media.Config) { c.UserBytes = size + 10 }
	onBothWith(t, quota, func(t *testing.T, g *rig) {
		id := g.upload("alice", "image/png", "", picture)
		g.get("bob", thumbnail(id, 32, 32, "&method=crop")).is(200, "")
		require.Equal(t, 2, g.blobs())
		g.tryUpload("alice", "", "", make([]byte, 11)).is(403, "M_FORBIDDEN")

		done := g.remove(id, false)
		require.Len(t, done.GetRemoved(), 1)
		require.Equal(t, "mxc://hs/"+id, done.GetRemoved()[0].GetUri())
		require.Equal(t, "@alice:hs", done.GetRemoved()[0].GetUserId())
		require.Equal(t, size, done.GetRemoved()[0].GetBytes())
		require.Zero(t, done.GetCopies())
		require.False(t, done.GetLater())
		require.Zero(t, g.blobs(), "at once")
		require.Zero(t, g.count("content")+g.count("thumbnail")+g.count("media"))
		for _, path := range []string{download(id), thumbnail(id, 32, 32, "")} {
			g.get("alice", path).is(404, "M_NOT_FOUND")
		}
		g.put("alice", id, []byte("again")).is(404, "M_NOT_FOUND")
		require.Zero(t, uploadedBy(g, "alice"))
		g.sweep()
		require.Zero(t, g.count("loose_blob"))

		again := g.upload("alice", "image/png", "", picture) // there is room for it
		require.True(t, g.get("bob", download(again)).is(200, "").body == string(picture))
		reserved := g.create("bob")
		require.Zero(t, g.remove(reserved, false).GetRemoved()[0].GetBytes())
		g.put("bob", reserved, []byte("x")).is(404, "M_NOT_FOUND")
	})
}

// TestRemoveCopies leaves content that others have uploaded too, and tells so; unless all are to go, as of a preview.
func TestRemoveCopies(t *testing.T) {
	onBothSites(t, nil, func(t *testing.T, g *rig, s *site) {
		picture := asPNG(t, halves(64, 48))
		s.says("/p.png", "image/png", picture)
		var ids []string
		for range 103 {
			ids = append(ids, g.upload("bob", "image/png", "", picture))
		}
		shown := g.preview("alice", s.url("/p.png")).image()
		first := g.upload("alice", "image/png", "", picture)

		require.Positive(t, g.remove(first, false).GetCopies())
		g.get("bob", download(first)).is(404, "M_NOT_FOUND")
		g.get("bob", download(ids[0])).is(200, "")
		g.sweep() // what was uploaded again goes
		require.Equal(t, 1, g.blobs())

		done := g.remove(ids[0], true)
		require.Len(t, done.GetRemoved(), 104)
		require.Zero(t, done.GetCopies())
		require.Zero(t, g.blobs()+g.count("media")+g.count("content")+g.count("preview"))
		g.get("bob", download(shown)).is(404, "M_NOT_FOUND")
		require.Zero(t, uploadedBy(g, "bob")+uploadedBy(g, "alice"))
	})
}

// TestRemoveCopiesTogether has somebody else remove the last of the copies that are looked at together, meanwhile: the others go all
// the same.
func TestRemoveCopiesTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		const all, together = 110, 100
		var ids []string
		for range all {
			ids = append(ids, g.upload("alice", "", "", []byte("content")))
		}
		g.sweep() // what was uploaded again goes
		slices.Sort(ids)
		first, last := ids[all-1], ids[together-1]
		var meanwhile func()
		meanwhile = func() {
			if g.count("media") > all-together/2 {
				g.place.clock.whenAsked(meanwhile)
				return
			}
			g.remove(last, false)
		}
		g.place.clock.whenAsked(meanwhile)
		done := g.remove(first, true)
		require.Len(t, done.GetRemoved(), all-1)
		require.Zero(t, done.GetCopies())
		require.Zero(t, g.count("media")+g.count("content")+g.blobs())
	})
}

// TestRemoveRefusals says what is wrong with a URI.
func TestRemoveRefusals(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), nil)
	for uri, code := range map[string]matrix.ErrCode{
		"": "M_INVALID_PARAM", "mxc://other/abc": "M_INVALID_PARAM", "mxc://hs/": "M_INVALID_PARAM", "mxc://hs/../x": "M_INVALID_PARAM",
		"https://hs/abc": "M_INVALID_PARAM", "mxc://hs/abc": "M_NOT_FOUND",
	} {
		_, err := g.tryRemove(uri, false)
		var refusal *matrix.Error
		require.ErrorAs(t, err, &refusal, uri)
		require.Equal(t, code, refusal.Code, uri)
	}
}

// keeping is a blob store that removes nothing for now.
type keeping struct {
	blob.Store
	keeps bool
}

func (k *keeping) Delete(ctx context.Context, key string) error {
	if k.keeps {
		return errors.New("not now")
	}
	return k.Store.Delete(ctx, key)
}

// TestRemoveLater has a blob store that does not work: the media is gone all the same, and its bytes when it works again.
func TestRemoveLater(t *testing.T) {
	p := newPlace(t, databases["sqlite"](t))
	store := &keeping{Store: p.blobs}
	p.blobs = store
	g := newRig(t, p, nil)
	id := g.upload("alice", "", "", []byte("content"))
	store.keeps = true
	require.True(t, g.remove(id, false).GetLater())
	g.get("alice", download(id)).is(404, "M_NOT_FOUND")
	require.Equal(t, 1, g.blobs())
	store.keeps = false
	g.sweep()
	require.Zero(t, g.blobs())
}
