package picture_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/media/internal/picture"
)

func TestSizes(t *testing.T) {
	for _, text := range []string{"", "32x32", "32 crop", "0x1 crop", "1x9999 scale", "1x1 stretch", "axb crop", "1x1x1 crop"} {
		_, err := picture.ParseSize(text)
		require.Error(t, err, text)
	}
	var sizes []picture.Size
	for _, text := range []string{"32x32 crop", "96x96 crop", "320x240 scale", "160x80 crop", "640x480 scale"} {
		size, err := picture.ParseSize(text)
		require.NoError(t, err)
		sizes = append(sizes, size)
	}
	for _, c := range []struct {
		asked  picture.Size
		want   int
		enough bool
	}{
		{picture.Size{Width: 1, Height: 1, Method: picture.Crop}, 0, true},
		{picture.Size{Width: 33, Height: 20, Method: picture.Crop}, 1, true},
		{picture.Size{Width: 20, Height: 10, Method: picture.Crop}, 3, true},
		{picture.Size{Width: 20, Height: 20, Method: picture.Scale}, 2, true},
		{picture.Size{Width: 200, Height: 200, Method: picture.Crop}, 2, true},
		{picture.Size{Width: 321, Height: 1, Method: picture.Scale}, 4, true},
		{picture.Size{Width: 641, Height: 1, Method: picture.Scale}, 4, false},
	} {
		got, enough := picture.Choose(sizes, c.asked)
		require.Equal(t, c.enough, enough, c.asked)
		require.Equal(t, sizes[c.want], got, c.asked)
	}
}

// TestNothingIsEnlarged has pictures of all shapes made smaller, at the very most as large as they are.
func TestNothingIsEnlarged(t *testing.T) {
	for _, s := range []image.Point{{1, 1}, {1, 4000}, {4000, 1}, {33, 31}, {50, 500}, {700, 700}} {
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, image.NewGray(image.Rectangle{Max: s})))
		info, err := picture.Inspect(bytes.NewReader(b.Bytes()))
		require.NoError(t, err)
		for _, size := range []picture.Size{{Width: 32, Height: 32, Method: picture.Crop}, {Width: 64, Height: 48, Method: picture.Scale}} {
			content, _, err := picture.Make(t.Context(), bytes.NewReader(b.Bytes()), info, size)
			require.NoError(t, err)
			cfg, _, err := image.DecodeConfig(bytes.NewReader(content))
			require.NoError(t, err)
			require.LessOrEqual(t, cfg.Width, min(s.X, size.Width))
			require.LessOrEqual(t, cfg.Height, min(s.Y, size.Height))
			if size.Method == picture.Crop {
				require.Equal(t, min(s.X, 32), cfg.Width, s)
				require.Equal(t, min(s.Y, 32), cfg.Height, s)
			}
		}
	}
}

// TestTimeEnds has a picture given up when its time is over.
func TestTimeEnds(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 100, 100))))
	info, err := picture.Inspect(bytes.NewReader(b.Bytes()))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = picture.Make(ctx, bytes.NewReader(b.Bytes()), info, picture.Size{Width: 9, Height: 9, Method: picture.Crop})
	require.ErrorIs(t, err, context.Canceled)
}

// FuzzPicture makes anything smaller that says that it is a small picture.
func FuzzPicture(f *testing.F) {
	img := image.NewPaletted(image.Rect(0, 0, 9, 7), color.Palette{color.Black, color.White})
	for _, encode := range []func(io.Writer) error{
		func(w io.Writer) error { return png.Encode(w, img) },
		func(w io.Writer) error { return jpeg.Encode(w, img, nil) },
		func(w io.Writer) error { return gif.Encode(w, img, nil) },
	} {
		var b bytes.Buffer
		require.NoError(f, encode(&b))
		f.Add(b.Bytes())
	}
	f.Add([]byte("RIFF\x20\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x01\x00\x00"))
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		info, err := picture.Inspect(bytes.NewReader(content))
		if err != nil || info.Pixels() > 1<<16 {
			return
		}
		small, _, err := picture.Make(t.Context(), bytes.NewReader(content), info, picture.Size{Width: 4, Height: 4, Method: picture.Crop})
		if err != nil {
			return
		}
		cfg, _, err := image.DecodeConfig(bytes.NewReader(small))
		require.NoError(t, err)
		require.LessOrEqual(t, max(cfg.Width, cfg.Height), 4)
	})
}
