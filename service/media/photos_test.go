package media_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/media"
	"hongyan/service/media/internal/picture"
)

// jpegOf is the beginning of a JPEG of a size: with 4:2:0 as cameras have it.
func jpegOf(t *testing.T, w, h int, progressive bool) []byte {
	content := asJPEG(t, halves(16, 16))
	frame := bytes.Index(content, []byte("\xff\xc0"))
	binary.BigEndian.PutUint16(content[frame+5:], uint16(h))
	binary.BigEndian.PutUint16(content[frame+7:], uint16(w))
	if progressive {
		content[frame+1] = 0xc2
	}
	return content
}

// pngOf is the beginning of a PNG of a size.
func pngOf(t *testing.T, w, h int) []byte {
	content := asPNG(t, halves(16, 16))
	binary.BigEndian.PutUint32(content[16:], uint32(w))
	binary.BigEndian.PutUint32(content[20:], uint32(h))
	binary.BigEndian.PutUint32(content[29:], crc32.ChecksumIEEE(content[12:29]))
	return content
}

// webpOf is the beginning of a WebP of a size, as large as it would be; lossy, or lossless.
func webpOf(w, h int, lossless bool) []byte {
	kind, body := "VP8 ", []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, byte(w), byte(w >> 8), byte(h), byte(h >> 8)}
	if lossless {
		kind, body = "VP8L", binary.LittleEndian.AppendUint32([]byte{0x2f}, uint32(w-1)|uint32(h-1)<<14)
	}
	const size = 10 << 20
	content := binary.LittleEndian.AppendUint32([]byte("RIFF"), size)
	content = binary.LittleEndian.AppendUint32(append(content, "WEBP"+kind...), size-12)
	return append(append(content, body...), make([]byte, 64)...)
}

// TestOrdinaryPhotos has memory for what cameras and telephones make, in every size.
func TestOrdinaryPhotos(t *testing.T) {
	cfg := media.Default().Thumbnails
	for name, content := range map[string][]byte{
		"48 MP JPEG": jpegOf(t, 8000, 6000, false), "24 MP progressive JPEG": jpegOf(t, 6000, 4000, true),
		"24 MP PNG": pngOf(t, 6000, 4000), "24 MP WebP": webpOf(6000, 4000, false), "24 MP lossless WebP": webpOf(6000, 4000, true),
	} {
		info, err := picture.Inspect(bytes.NewReader(content))
		require.NoError(t, err, name)
		require.GreaterOrEqual(t, info.Pixels(), int64(24e6), name)
		require.LessOrEqual(t, info.Pixels(), cfg.MaxPixels, name)
		for _, text := range cfg.Sizes {
			size, err := picture.ParseSize(text)
			require.NoError(t, err)
			require.LessOrEqual(t, info.Memory(size), cfg.MemoryBytes, "%s, %s", name, text)
		}
	}
}

// TestSmallerThanNone has a smaller thumbnail where there is no memory for a larger one.
func TestSmallerThanNone(t *testing.T) {
	content := asJPEG(t, halves(2000, 1500))
	info, err := picture.Inspect(bytes.NewReader(content))
	require.NoError(t, err)
	g := newRig(t, newPlace(t, databases["sqlite"](t)), func(c *media.Config) {
		c.Thumbnails.MemoryBytes = info.Memory(picture.Size{Width: 640, Height: 480, Method: picture.Scale})
	})
	id := g.upload("alice", "", "", content)
	for asked, want := range map[image.Point]image.Point{{1600, 1200}: {640, 480}, {800, 600}: {640, 480}, {300, 200}: {320, 240}} {
		for range 2 {
			img := decoded(t, g.get("bob", thumbnail(id, asked.X, asked.Y, "")).is(200, ""))
			require.Equal(t, want, img.Bounds().Size())
		}
	}
	require.Equal(t, 1+2, g.blobs())
	huge := g.upload("alice", "", "", jpegOf(t, 8000, 6000, false))
	require.True(t, strings.Contains(g.get("bob", thumbnail(huge, 32, 32, "&method=crop")).is(413, "M_TOO_LARGE").body, "Download"))
}

// TestGarbageIsCollected has what a large picture took collected when its thumbnail is made, and not what a small one took.
func TestGarbageIsCollected(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), nil)
	for side, want := range map[int]uint32{100: 0, 3000: 1} {
		id := g.upload("alice", "", "", asPNG(t, image.NewGray(image.Rect(0, 0, side, side))))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g.get("bob", thumbnail(id, 32, 32, "&method=crop")).is(200, "")
		runtime.ReadMemStats(&after)
		require.Equal(t, want, after.NumForcedGC-before.NumForcedGC, side)
	}
}
