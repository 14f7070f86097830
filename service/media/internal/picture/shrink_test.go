package picture_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/media/internal/picture"
)

// TestAverages has each pixel be the average of what it stands for, where sizes do not divide each other too.
func TestAverages(t *testing.T) {
	for _, c := range []struct{ from, to, want []int }{
		{[]int{0, 100, 200, 40}, []int{2, 1}, []int{50, 120}},
		{[]int{0, 90, 210}, []int{2, 1}, []int{30, 170}}, // (2*0+90)/3, (90+2*210)/3
		{[]int{10, 20, 30}, []int{3, 1}, []int{10, 20, 30}},
		{[]int{0, 100, 200, 40}, []int{1, 1}, []int{85}},
	} {
		for _, turned := range []bool{false, true} {
			at := func(i int) (x, y int) {
				if turned {
					return 0, i
				}
				return i, 0
			}
			size := picture.Size{Width: c.to[0], Height: c.to[1], Method: picture.Scale}
			img := image.NewNRGBA(image.Rect(0, 0, len(c.from), 1))
			if turned {
				size.Width, size.Height = size.Height, size.Width
				img = image.NewNRGBA(image.Rect(0, 0, 1, len(c.from)))
			}
			for i, v := range c.from {
				x, y := at(i)
				// What is transparent is encoded without loss.
				img.SetNRGBA(x, y, color.NRGBA{A: byte(v)})
			}
			var b bytes.Buffer
			require.NoError(t, png.Encode(&b, img))
			info, err := picture.Inspect(bytes.NewReader(b.Bytes()))
			require.NoError(t, err)
			content, _, err := picture.Make(t.Context(), bytes.NewReader(b.Bytes()), info, size)
			require.NoError(t, err)
			small, err := png.Decode(bytes.NewReader(content))
			require.NoError(t, err)
			for i, want := range c.want {
				x, y := at(i)
				_, _, _, a := small.At(x, y).RGBA()
				require.Equal(t, want, int(a>>8), "%v at %d", c.from, i)
			}
		}
	}
}
