package media_test

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/media"
)

// halves is a picture that is red on the left and blue on the right.
func halves(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{R: 255, A: 255}
			if x >= w/2 {
				c = color.NRGBA{B: 255, A: 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

func asPNG(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

func asJPEG(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, nil))
	return b.Bytes()
}

// oriented puts EXIF's orientation into a JPEG.
func oriented(content []byte, orientation byte) []byte {
	exif := append([]byte("\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00"), orientation, 0, 0, 0, 0, 0, 0, 0)
	return append(append(bytes.Clone(content[:2]), exif...), content[2:]...)
}

func decoded(t testing.TB, a answer) image.Image {
	t.Helper()
	img, format, err := image.Decode(strings.NewReader(a.body))
	require.NoError(t, err)
	require.Equal(t, a.header.Get("Content-Type"), "image/"+format)
	require.Equal(t, `inline; filename=thumbnail.`+format, a.header.Get("Content-Disposition"))
	return img
}

func isRed(c color.Color) bool {
	r, _, b, _ := c.RGBA()
	return r > 0xc000 && b < 0x4000
}

// TestThumbnails asks for several sizes of a picture.
func TestThumbnails(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		original := asPNG(t, halves(1000, 500))
		id := g.upload("alice", "application/octet-stream", "x.png", original)
		for _, c := range []struct {
			w, h         int
			more         string
			wantW, wantH int
		}{
			{300, 200, "", 320, 160}, {320, 240, "&method=scale", 320, 160}, {20, 30, "&method=crop", 32, 32},
			{96, 96, "&method=crop&animated=true", 96, 96}, {640, 1, "", 640, 320}, {3000, 3000, "", 1000, 500}, {1500, 1100, "", 1000, 500},
		} {
			img := decoded(t, g.get("bob", thumbnail(id, c.w, c.h, c.more)).is(200, ""))
			require.Equal(t, image.Pt(c.wantW, c.wantH), img.Bounds().Size(), "%d x %d%s", c.w, c.h, c.more)
			require.True(t, isRed(img.At(2, 2)))
			require.False(t, isRed(img.At(c.wantW-2, 2)))
		}
		require.Equal(t, 1+4, g.blobs(), "what was asked for is made once, in few sizes")
	})
}

// TestKindsOfPictures has all formats, EXIF's orientation, transparent and moving pictures.
func TestKindsOfPictures(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), nil)
	small := func(content []byte, more string) image.Image {
		id := g.upload("alice", "", "", content)
		return decoded(t, g.get("bob", thumbnail(id, 320, 240, more)).is(200, ""))
	}
	for o, red := range map[byte]image.Point{1: {2, 2}, 2: {-2, 2}, 3: {-2, 2}, 6: {2, 2}, 8: {2, -2}} {
		img := small(oriented(asJPEG(t, halves(800, 400)), o), "")
		want := image.Pt(320, 160)
		if o >= 5 {
			want = image.Pt(120, 240)
		}
		require.Equal(t, want, img.Bounds().Size(), "orientation %d", o)
		at := image.Pt((red.X+want.X)%want.X, (red.Y+want.Y)%want.Y)
		require.True(t, isRed(img.At(at.X, at.Y)), "orientation %d", o)
	}
	clear := halves(800, 400)
	clear.SetNRGBA(5, 5, color.NRGBA{})
	for x := range 400 {
		clear.SetNRGBA(x, 7, color.NRGBA{})
	}
	require.Equal(t, image.Pt(320, 160), small(asPNG(t, clear), "").Bounds().Size())

	palette := color.Palette{color.NRGBA{R: 255, A: 255}, color.NRGBA{B: 255, A: 255}}
	moving := &gif.GIF{}
	for range 2 {
		moving.Image, moving.Delay = append(moving.Image, image.NewPaletted(image.Rect(0, 0, 50, 50), palette)), append(moving.Delay, 10)
	}
	var b bytes.Buffer
	require.NoError(t, gif.EncodeAll(&b, moving))
	id := g.upload("alice", "image/gif", "", b.Bytes())
	still := g.get("bob", thumbnail(id, 320, 240, "&animated=false")).is(200, "")
	require.Equal(t, "image/jpeg", still.header.Get("Content-Type"))
	require.Equal(t, "image/gif", g.get("bob", thumbnail(id, 320, 240, "&animated=true")).is(200, "").header.Get("Content-Type"))
}

// TestThumbnailErrors has each error that thumbnails can have.
func TestThumbnailErrors(t *testing.T) {
	few := func(c *media.Config) { c.Thumbnails.MaxPixels = 500_000 }
	g := newRig(t, newPlace(t, databases["sqlite"](t)), few)
	text := g.upload("alice", "image/png", "", []byte("no picture"))
	large := g.upload("alice", "image/png", "", asPNG(t, halves(1001, 500)))
	half := asPNG(t, halves(900, 500))
	broken := g.upload("alice", "image/png", "", half[:len(half)/2])
	bomb := asPNG(t, halves(1, 1))
	copy(bomb[16:], "\x7f\xff\xff\xff\x7f\xff\xff\xff")
	bombed := g.upload("alice", "image/png", "", bomb)
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		thumbnail(text, 10, 10, ""):               {400, "M_UNKNOWN"},
		thumbnail(broken, 10, 10, ""):             {400, "M_UNKNOWN"},
		thumbnail(bombed, 10, 10, ""):             {400, "M_UNKNOWN"},
		thumbnail(large, 10, 10, ""):              {413, "M_TOO_LARGE"},
		thumbnail(large, 10, 10, "&method=x"):     {400, "M_INVALID_PARAM"},
		thumbnail(large, 10, 10, "&animated=x"):   {400, "M_INVALID_PARAM"},
		thumbnail(large, 0, 10, ""):               {400, "M_INVALID_PARAM"},
		thumbnail(large, 10, -1, ""):              {400, "M_INVALID_PARAM"},
		thumbnail("nothing", 10, 10, ""):          {404, "M_NOT_FOUND"},
		"/_matrix/client/v1/media/thumbnail/hs/x": {400, "M_MISSING_PARAM"},
	} {
		g.get("bob", path).is(want.status, want.code)
	}
}

// TestThumbnailsAtOnce asks for one thumbnail from many clients: it is made once.
func TestThumbnailsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.upload("alice", "", "", asJPEG(t, halves(1000, 1000)))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { g.get("bob", thumbnail(id, 96, 96, "&method=crop")).is(200, "") })
		}
		wg.Wait()
		g.sweep()
		require.Equal(t, 2, g.blobs())
	})
}
