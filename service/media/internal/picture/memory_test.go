package picture_test

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/media/internal/picture"
)

// noise fills a picture with what is hard to compress, transparent here and there.
func noise[T interface {
	image.Image
	Set(x, y int, c color.Color)
}](img T) T {
	state := uint32(1)
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			state = state*1664525 + 1013904223
			img.Set(x, y, color.NRGBA{byte(state >> 24), byte(state >> 16), byte(state >> 8), byte(255 - x%2)})
		}
	}
	return img
}

// TestMemory compares what making a picture smaller allocates, all in all, with what was foretold.
func TestMemory(t *testing.T) {
	whole := image.Rect(0, 0, 500, 400)
	asPNG := func(img image.Image) func(io.Writer) error {
		return func(w io.Writer) error { return png.Encode(w, img) }
	}
	for name, encode := range map[string]func(io.Writer) error{
		"jpeg":      func(w io.Writer) error { return jpeg.Encode(w, noise(image.NewRGBA(whole)), nil) },
		"gray jpeg": func(w io.Writer) error { return jpeg.Encode(w, noise(image.NewGray(whole)), nil) },
		"gif": func(w io.Writer) error {
			return gif.Encode(w, image.NewPaletted(whole, color.Palette{color.Black}), nil)
		},
		"png":      asPNG(noise(image.NewNRGBA(whole))),
		"deep png": asPNG(noise(image.NewNRGBA64(whole))),
		"gray png": asPNG(noise(image.NewGray(whole))),
	} {
		var b bytes.Buffer
		require.NoError(t, encode(&b), name)
		info, err := picture.Inspect(bytes.NewReader(b.Bytes()))
		require.NoError(t, err, name)
		for _, size := range []picture.Size{
			{Width: 480, Height: 360, Method: picture.Scale}, {Width: 300, Height: 300, Method: picture.Crop},
			{Width: 32, Height: 32, Method: picture.Crop},
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err = picture.Make(t.Context(), bytes.NewReader(b.Bytes()), info, size)
			runtime.ReadMemStats(&after)
			require.NoError(t, err, name)
			took := int64(after.TotalAlloc - before.TotalAlloc)
			require.LessOrEqual(t, took, info.Memory(size), "%s, %v", name, size)
			require.Less(t, info.Memory(size), 8*took+6*maxOverhead, "%s, %v", name, size)
		}
	}
}

// maxOverhead is what is counted whatever the size.
const maxOverhead = 1 << 20

// TestColoursAreSettled has a JPEG say behind its frame that it is RGB, which would take more than was counted.
func TestColoursAreSettled(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 1024, 1024)), nil))
	plain := b.Bytes()
	adobe := []byte("\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00")
	scan := bytes.Index(plain, []byte("\xff\xda"))
	size := picture.Size{Width: 32, Height: 32, Method: picture.Crop}
	info, err := picture.Inspect(bytes.NewReader(plain))
	require.NoError(t, err)
	least := info.Memory(size)
	for name, c := range map[string]struct {
		content []byte
		rgb     bool
	}{
		"not at all": {plain, false},
		"before":     {append(append(bytes.Clone(plain[:2]), adobe...), plain[2:]...), true},
		"behind":     {append(append(bytes.Clone(plain[:scan]), adobe...), plain[scan:]...), false},
		"at the end": {append(append(bytes.Clone(plain[:len(plain)-2]), adobe...), plain[len(plain)-2:]...), false},
	} {
		info, err := picture.Inspect(bytes.NewReader(c.content))
		require.NoError(t, err, name)
		if c.rgb {
			require.Equal(t, least+4*info.Pixels(), info.Memory(size), name)
		} else {
			require.Equal(t, least, info.Memory(size), name)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err = picture.Make(t.Context(), bytes.NewReader(c.content), info, size)
		runtime.ReadMemStats(&after)
		require.NoError(t, err, name)
		require.LessOrEqual(t, int64(after.TotalAlloc-before.TotalAlloc), info.Memory(size), name)
	}
}
