package picture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

// jpegQuality is that of what has no transparent parts.
const jpegQuality = 85

// Memory is how many bytes Make takes at most.
func (i Info) Memory(s Size) int64 {
	p := s.plan(i)
	// The small picture, the same turned, and it encoded into a buffer that grows; a row of the large one, and its sums.
	return i.memory + 24*int64(p.toW)*int64(p.toH) + 4*int64(max(p.fromW, p.fromH)) + 64*int64(max(p.toW, p.toH)) + 1<<20
}

// Make makes a picture of a size from one that was inspected: a JPEG, or a PNG where parts are transparent. Of several
// frames it takes the first. It ends soon after ctx.
func Make(ctx context.Context, r io.ReadSeeker, info Info, size Size) (content []byte, contentType string, err error) {
	img, err := load(ctx, r, info)
	if err != nil {
		return nil, "", err
	}
	p := size.plan(info)
	if info.orientation >= 5 { // the picture as it is stored lies on its side
		p = plan{p.fromH, p.fromW, p.toH, p.toW}
	}
	small, err := shrink(ctx, img, p)
	if err != nil {
		return nil, "", err
	}
	return encode(turn(small, info.orientation))
}

// TryMemory is how many bytes Try takes at most.
func (i Info) TryMemory() int64 { return i.memory + 1<<20 }

// Try tells with ErrNotPicture that a picture that was inspected cannot be decoded. It ends soon after ctx. A WebP that is animated is
// believed: there are clients that show it.
func Try(ctx context.Context, r io.ReadSeeker, info Info) error {
	if info.ContentType == "image/webp" && info.Animated {
		return nil
	}
	_, err := load(ctx, r, info)
	return err
}

// load decodes a picture.
func load(ctx context.Context, r io.ReadSeeker, info Info) (image.Image, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	watched := &watchedReader{inner: &boundReader{ctx: ctx, inner: r}}
	img, err := decode(bufio.NewReaderSize(watched, 64<<10), info)
	if watched.err != nil {
		return nil, fmt.Errorf("read picture: %w", watched.err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotPicture, err)
	}
	return img, nil
}

// boundReader ends with its context.
type boundReader struct {
	ctx   context.Context //nolint:containedctx // it lives as long as Make
	inner io.Reader
}

func (r *boundReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.inner.Read(p)
}

func decode(r io.Reader, info Info) (img image.Image, err error) {
	switch info.ContentType {
	case "image/jpeg":
		img, err = jpeg.Decode(info.guard(r))
	case "image/png":
		img, err = png.Decode(r)
	case "image/gif":
		img, err = decodeGIF(r, info)
	default:
		if info.Animated {
			return nil, errors.New("animated WebP")
		}
		img, err = webp.Decode(r)
	}
	if err != nil {
		return nil, err
	}
	w, h := info.Width, info.Height
	if info.orientation >= 5 {
		w, h = h, w
	}
	if b := img.Bounds(); b.Dx() != w || b.Dy() != h {
		return nil, errors.New("the picture is not of the size that it says")
	}
	return img, nil
}

// decodeGIF decodes the first frame, which may be a part of the picture.
func decodeGIF(r io.Reader, info Info) (image.Image, error) {
	frame, err := gif.Decode(r)
	if err != nil {
		return nil, err
	}
	whole := image.Rect(0, 0, info.Width, info.Height)
	if frame.Bounds() == whole {
		return frame, nil
	}
	img := image.NewRGBA(whole)
	draw.Draw(img, frame.Bounds().Intersect(whole), frame, frame.Bounds().Intersect(whole).Min, draw.Src)
	return img, nil
}

// turn turns and mirrors a picture as EXIF's orientation says.
func turn(img *image.RGBA, orientation int) *image.RGBA {
	if orientation < 2 || orientation > 8 {
		return img
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	if orientation >= 5 {
		out = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			tx, ty := x, y
			switch orientation {
			case 2:
				tx = w - 1 - x
			case 3:
				tx, ty = w-1-x, h-1-y
			case 4:
				ty = h - 1 - y
			case 5:
				tx, ty = y, x
			case 6:
				tx, ty = h-1-y, x
			case 7:
				tx, ty = h-1-y, w-1-x
			case 8:
				tx, ty = y, w-1-x
			}
			out.SetRGBA(tx, ty, img.RGBAAt(x, y))
		}
	}
	return out
}

func encode(img *image.RGBA) (content []byte, contentType string, err error) {
	var out bytes.Buffer
	if img.Opaque() {
		err = jpeg.Encode(&out, img, &jpeg.Options{Quality: jpegQuality})
		contentType = "image/jpeg"
	} else {
		err = png.Encode(&out, img)
		contentType = "image/png"
	}
	if err != nil {
		return nil, "", fmt.Errorf("encode picture: %w", err)
	}
	return out.Bytes(), contentType, nil
}
