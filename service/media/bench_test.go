package media_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// BenchmarkUpload uploads 1 MiB that nobody has uploaded before.
func BenchmarkUpload(b *testing.B) {
	g := newRig(b, newPlace(b, databases["sqlite"](b)), nil)
	content := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		_, _ = random.Read(content[:64]) // it never fails
		g.upload("alice", "image/png", "", content)
	}
}

// BenchmarkDownload downloads 1 MiB.
func BenchmarkDownload(b *testing.B) {
	g := newRig(b, newPlace(b, databases["sqlite"](b)), nil)
	content := make([]byte, 1<<20)
	id := g.upload("alice", "image/png", "", content)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		g.get("bob", download(id)).is(200, "")
	}
}

// BenchmarkThumbnail makes a thumbnail of a picture of a camera, 12 megapixels.
func BenchmarkThumbnail(b *testing.B) {
	g := newRig(b, newPlace(b, databases["sqlite"](b)), nil)
	picture := asJPEG(b, halves(4000, 3000))
	for i := 0; b.Loop(); i++ {
		// A comment makes it another content.
		other := append(append(bytes.Clone(picture[:2]), 0xff, 0xfe, 0, 4, byte(i>>8), byte(i)), picture[2:]...)
		g.get("bob", thumbnail(g.upload("alice", "", "", other), 320, 240, "")).is(200, "")
	}
}
