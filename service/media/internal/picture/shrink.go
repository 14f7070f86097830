package picture

import (
	"context"
	"image"

	"golang.org/x/image/draw"
)

// shrink makes the middle of a picture smaller: each pixel is the average of those that it stands for, and of the parts of some.
// It looks at each row once, and keeps no picture but the small one.
func shrink(ctx context.Context, img image.Image, p plan) (*image.RGBA, error) {
	b := img.Bounds()
	left, top := b.Min.X+(b.Dx()-p.fromW)/2, b.Min.Y+(b.Dy()-p.fromH)/2
	row := image.NewRGBA(image.Rect(0, 0, p.fromW, 1))
	sums, across := make([]uint64, 4*p.toW), make([]uint64, 4*p.toW)
	out := image.NewRGBA(image.Rect(0, 0, p.toW, p.toH))
	// A row of the large picture is toH high, one of the small picture fromH.
	want, total, y := p.fromH, uint64(p.fromW)*uint64(p.fromH), 0
	for i := range p.fromH {
		if i%16 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		draw.Draw(row, row.Rect, img, image.Pt(left, top+i), draw.Src)
		clear(across)
		addRow(across, row.Pix, p)
		for height := p.toH; height > 0; {
			part := min(height, want)
			for c, v := range across {
				sums[c] += uint64(part) * v
			}
			height -= part
			if want -= part; want > 0 {
				continue
			}
			for c, v := range sums {
				out.Pix[y*out.Stride+c] = byte((v + total/2) / total)
			}
			clear(sums)
			want, y = p.fromH, y+1
		}
	}
	return out, nil
}

// addRow adds the pixels of a row to the sums of those that they become. One of the row is toW wide, one of the sums fromW.
func addRow(sums []uint64, pix []byte, p plan) {
	want := p.fromW
	for x := 0; len(pix) >= 4; pix = pix[4:] {
		r, g, b, a := uint64(pix[0]), uint64(pix[1]), uint64(pix[2]), uint64(pix[3])
		for width := p.toW; width > 0; {
			part := min(width, want)
			n, sum := uint64(part), sums[4*x:4*x+4]
			sum[0], sum[1], sum[2], sum[3] = sum[0]+n*r, sum[1]+n*g, sum[2]+n*b, sum[3]+n*a
			width -= part
			if want -= part; want == 0 {
				want, x = p.fromW, x+1
			}
		}
	}
}
