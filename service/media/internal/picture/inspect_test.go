package picture_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/media/internal/picture"
)

// afterHeader is where the first chunk of a PNG is after its header.
const afterHeader = 8 + 12 + 13

func paletted(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewPaletted(image.Rect(0, 0, 40, 30), color.Palette{color.Black, color.White})))
	return b.Bytes()
}

func trueColour(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 40, 30))))
	return b.Bytes()
}

// with puts a chunk behind the header of a PNG.
func with(content []byte, kind string, body []byte) []byte {
	chunk := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind...)
	chunk = append(chunk, body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return append(append(bytes.Clone(content[:afterHeader]), chunk...), content[afterHeader:]...)
}

// TestInspectHoldsLittle inspects pictures that are mostly something else.
func TestInspectHoldsLittle(t *testing.T) {
	text := make([]byte, 20<<20)
	for name, content := range map[string][]byte{"paletted": paletted(t), "true colour": trueColour(t)} {
		content = with(content, "teXt", text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		info, err := picture.Inspect(bytes.NewReader(content))
		runtime.ReadMemStats(&after)
		require.NoError(t, err, name)
		require.Equal(t, image.Pt(40, 30), image.Pt(info.Width, info.Height), name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), name)
	}
}

// TestAnimatedPNG looks for the chunk that animates, behind others but not behind any number of bytes.
func TestAnimatedPNG(t *testing.T) {
	for _, c := range []struct {
		name     string
		content  []byte
		before   int
		animated bool
	}{
		{"paletted", paletted(t), 100, true},
		{"true colour", trueColour(t), 100, true},
		{"behind a large profile", paletted(t), 3 << 20, true},
		{"far behind", paletted(t), 5 << 20, false},
		{"far behind", trueColour(t), 5 << 20, false},
	} {
		content := with(with(c.content, "acTL", make([]byte, 8)), "teXt", make([]byte, c.before))
		info, err := picture.Inspect(bytes.NewReader(content))
		require.NoError(t, err, c.name)
		require.Equal(t, c.animated, info.Animated, c.name)
		info, err = picture.Inspect(bytes.NewReader(with(c.content, "teXt", make([]byte, c.before))))
		require.NoError(t, err, c.name)
		require.False(t, info.Animated, c.name)
	}
}

// TestInterlacedPNG takes more memory.
func TestInterlacedPNG(t *testing.T) {
	size := picture.Size{Width: 10, Height: 10, Method: picture.Scale}
	plain := trueColour(t)
	inter := bytes.Clone(plain)
	inter[28] = 1
	binary.BigEndian.PutUint32(inter[29:], crc32.ChecksumIEEE(inter[12:29]))
	less, err := picture.Inspect(bytes.NewReader(plain))
	require.NoError(t, err)
	more, err := picture.Inspect(bytes.NewReader(inter))
	require.NoError(t, err)
	require.Equal(t, less.Memory(size)+4*40*30/2, more.Memory(size))
}
