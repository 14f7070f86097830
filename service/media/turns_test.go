package media_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/blob"
	"hongyan/service/media"
)

// gate is a blob store of which pictures are decoded when a test lets them.
type gate struct {
	blob.Store
	began chan struct{}
	open  chan struct{}
}

func (g *gate) Open(ctx context.Context, key string) (io.ReadSeekCloser, error) {
	content, err := g.Store.Open(ctx, key)
	return &gated{ReadSeekCloser: content, gate: g}, err
}

// gated is a JPEG, from whose beginning is read to inspect it, and the third time to decode it.
type gated struct {
	io.ReadSeekCloser
	gate  *gate
	seeks int
}

func (g *gated) Seek(offset int64, whence int) (int64, error) {
	if g.seeks++; g.seeks == 2 {
		g.gate.began <- struct{}{}
		<-g.gate.open
	}
	return g.ReadSeekCloser.Seek(offset, whence)
}

// gatedRig decodes nothing before the gate is opened for it.
func gatedRig(t *testing.T, change func(*media.ThumbnailsConfig)) (*rig, *gate) {
	p := newPlace(t, databases["sqlite"](t))
	g := &gate{p.blobs, make(chan struct{}, 100), make(chan struct{}, 100)}
	p.blobs = g
	return newRig(t, p, func(c *media.Config) { change(&c.Thumbnails) }), g
}

// ask asks for a thumbnail, which the returned function waits for.
func (g *rig) ask(user, id string) func() answer {
	done := make(chan answer, 1)
	go func() { done <- g.get(user, thumbnail(id, 32, 32, "&method=crop")) }()
	return func() answer { return <-done }
}

// waiting waits until so many requests of a user wait.
func (g *rig) waiting(user string, n int) {
	g.t.Helper()
	require.Eventually(g.t, func() bool { return media.WaitingThumbnails(g.service, as(user).UserID) == n }, patience, time.Millisecond)
}

// TestUsersTakeTurns has one user want much: others are not kept from theirs.
func TestUsersTakeTurns(t *testing.T) {
	g, pictures := gatedRig(t, func(c *media.ThumbnailsConfig) { c.AtOnce, c.UserWaiting, c.Timeout = 2, 2, time.Minute })
	var ids []string
	for i := range 6 {
		ids = append(ids, g.upload("alice", "", "", asJPEG(t, halves(100+i, 100))))
	}
	first := g.ask("alice", ids[0])
	<-pictures.began
	second := g.ask("alice", ids[1])
	g.waiting("alice", 1)
	third := g.ask("alice", ids[2])
	g.waiting("alice", 2)
	refused := g.get("alice", thumbnail(ids[3], 32, 32, "&method=crop")).is(429, "M_LIMIT_EXCEEDED")
	require.Positive(t, refused.get("retry_after_ms").Int())

	bob := g.ask("bob", ids[4])
	<-pictures.began // alice has one of the two places only
	same := g.ask("carol", ids[0])
	g.waiting("carol", 1)
	dave := g.ask("dave", ids[5])
	g.waiting("dave", 1)

	pictures.open <- struct{}{}
	pictures.open <- struct{}{}
	first().is(200, "")
	same().is(200, "")
	bob().is(200, "")
	// Two places are free: dave has one, alice the other.
	<-pictures.began
	<-pictures.began
	g.waiting("dave", 0)
	g.waiting("alice", 1)
	for range 2 {
		pictures.open <- struct{}{}
	}
	dave().is(200, "")
	<-pictures.began
	pictures.open <- struct{}{}
	second().is(200, "")
	third().is(200, "")
	require.Empty(t, pictures.began, "carol's was made for alice")
	require.Equal(t, 6+5, g.blobs())
}

// TestNextIsAnother has a user who waits come before the next picture of whom was served.
func TestNextIsAnother(t *testing.T) {
	g, pictures := gatedRig(t, func(c *media.ThumbnailsConfig) { c.AtOnce, c.Timeout = 1, time.Minute })
	var ids []string
	for i := range 3 {
		ids = append(ids, g.upload("alice", "", "", asJPEG(t, halves(100+i, 100))))
	}
	first := g.ask("alice", ids[0])
	<-pictures.began
	second := g.ask("alice", ids[1])
	g.waiting("alice", 1)
	bob := g.ask("bob", ids[2])
	g.waiting("bob", 1)
	pictures.open <- struct{}{}
	first().is(200, "")
	pictures.open <- struct{}{}
	bob().is(200, "")
	pictures.open <- struct{}{}
	second().is(200, "")
}

// TestTurnDoesNotCome has who waits too long told to try again: nothing has failed.
func TestTurnDoesNotCome(t *testing.T) {
	g, pictures := gatedRig(t, func(c *media.ThumbnailsConfig) { c.AtOnce, c.Timeout = 1, 2*time.Second })
	ids := []string{g.upload("alice", "", "", asJPEG(t, halves(100, 100))), g.upload("alice", "", "", asJPEG(t, halves(101, 100)))}
	first := g.ask("alice", ids[0])
	<-pictures.began
	g.ask("bob", ids[1])().is(429, "M_LIMIT_EXCEEDED")
	pictures.open <- struct{}{}
	first().is(503, "")
}
