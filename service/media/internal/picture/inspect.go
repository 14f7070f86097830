package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// ErrNotPicture says that something is no picture that can be made smaller.
var ErrNotPicture = errors.New("not a picture that can be made smaller")

// ErrTooLarge says that a picture has more pixels than may be decoded.
var ErrTooLarge = errors.New("the picture is too large")

// maxSide is the longest side of a picture, in pixels: JPEG and GIF have no longer ones.
const maxSide = 65535

// Info is what a picture says of itself.
type Info struct {
	// ContentType is what it is, whatever it was uploaded as.
	ContentType string
	// Width and Height are those of the picture as it is shown.
	Width, Height int
	// Animated says that it has several frames.
	Animated bool

	// orientation is EXIF's: 1 is as it is stored, 5 to 8 lie on their side.
	orientation int
	// memory is how many bytes it takes to decode it, at most.
	memory int64
	// noTransform says that memory holds only while a JPEG's colours are what they mostly are.
	noTransform bool
}

// Pixels is how many there are.
func (i Info) Pixels() int64 { return int64(i.Width) * int64(i.Height) }

// Inspect reads what a picture says of itself. It decodes nothing.
func Inspect(r io.ReadSeeker) (Info, error) {
	var magic [32]byte
	n, err := io.ReadFull(r, magic[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return Info{}, fmt.Errorf("read picture: %w", err)
	}
	inspect := inspectorOf(magic[:n])
	if inspect == nil {
		return Info{}, ErrNotPicture
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Info{}, fmt.Errorf("read picture: %w", err)
	}
	watched := &watchedReader{inner: r}
	info, err := inspect(&source{bufio.NewReaderSize(watched, 16<<10), watched, r}, magic[:n])
	switch {
	case watched.err != nil:
		return Info{}, fmt.Errorf("read picture: %w", watched.err)
	case err != nil:
		return Info{}, fmt.Errorf("%w: %w", ErrNotPicture, err)
	case info.Width < 1 || info.Height < 1:
		return Info{}, ErrNotPicture
	case info.Width > maxSide || info.Height > maxSide:
		return Info{}, ErrTooLarge
	}
	return info, nil
}

// Known tells by the beginning of something whether it may be a picture that Inspect knows.
func Known(magic []byte) bool { return inspectorOf(magic) != nil }

type inspector func(r *source, magic []byte) (Info, error)

func inspectorOf(magic []byte) inspector {
	switch {
	case bytes.HasPrefix(magic, []byte("\xff\xd8\xff")):
		return inspectJPEG
	case bytes.HasPrefix(magic, []byte("\x89PNG\r\n\x1a\n")):
		return inspectPNG
	case bytes.HasPrefix(magic, []byte("GIF87a")), bytes.HasPrefix(magic, []byte("GIF89a")):
		return inspectGIF
	case len(magic) >= 16 && string(magic[:4]) == "RIFF" && string(magic[8:12]) == "WEBP":
		return inspectWebP
	}
	return nil
}

// watchedReader keeps why reading failed, to tell that from bad content.
type watchedReader struct {
	inner io.Reader
	err   error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.inner.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// source is a picture that is read, little of it at a time.
type source struct {
	*bufio.Reader
	watched *watchedReader
	seeker  io.Seeker
}

// again begins anew.
func (s *source) again() error {
	if _, err := s.seeker.Seek(0, io.SeekStart); err != nil {
		s.watched.err = err
		return err
	}
	s.Reset(s.watched)
	return nil
}

func inspectPNG(r *source, magic []byte) (Info, error) {
	cfg, err := png.DecodeConfig(r)
	if err != nil {
		return Info{}, err
	}
	// Gray and true colour may become colours with alpha when they are decoded.
	perPixel := int64(4)
	switch cfg.ColorModel {
	case color.Gray16Model, color.RGBA64Model, color.NRGBA64Model:
		perPixel = 8
	}
	info := Info{ContentType: "image/png", orientation: 1}
	info.size(cfg)
	info.memory = perPixel * info.Pixels()
	if magic[28] == 1 { // it is interlaced: half of it is there twice
		info.memory += info.memory / 2
	}
	if err := r.again(); err != nil { // of one with a palette nobody knows how much was read
		return Info{}, err
	}
	if _, err := r.Discard(pngSignature); err != nil {
		return Info{}, err
	}
	info.Animated = isAPNG(io.LimitReader(r, maxChunkBytes))
	return info, nil
}

func (i *Info) size(cfg image.Config) { i.Width, i.Height = cfg.Width, cfg.Height }

const (
	// pngSignature is how long the signature of a PNG is.
	pngSignature = 8
	// maxChunks is how many chunks of a PNG are looked at before its content, maxChunkBytes how long they may be together: enough
	// for a profile of its colours.
	maxChunks     = 1000
	maxChunkBytes = 4 << 20
)

// isAPNG looks for the chunk that animates, which comes before the content. r is behind the signature.
func isAPNG(r io.Reader) bool {
	for range maxChunks {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return false
		}
		switch string(head[4:]) {
		case "acTL":
			return true
		case "IDAT", "IEND":
			return false
		}
		length := int64(head[0])<<24 | int64(head[1])<<16 | int64(head[2])<<8 | int64(head[3])
		if n, err := io.CopyN(io.Discard, r, length+4); err != nil || n != length+4 {
			return false
		}
	}
	return false
}

func inspectGIF(r *source, _ []byte) (Info, error) {
	var seen bytes.Buffer
	cfg, err := gif.DecodeConfig(struct{ io.Reader }{io.TeeReader(r, &seen)})
	if err != nil {
		return Info{}, err
	}
	info := Info{ContentType: "image/gif", orientation: 1}
	info.size(cfg)
	info.memory = 5 * info.Pixels() // a frame, and the picture that it is drawn on
	info.Animated = hasFrames(bufio.NewReader(io.MultiReader(bytes.NewReader(seen.Bytes()), r)))
	return info, nil
}

// hasFrames tells whether a GIF has a second frame.
func hasFrames(r *bufio.Reader) bool {
	var head [13]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || skipColours(r, head[10]) != nil {
		return false
	}
	for frames := 0; ; {
		kind, err := r.ReadByte()
		if err != nil {
			return false
		}
		switch kind {
		case 0x21: // an extension: its label
			_, err = r.Discard(1)
		case 0x2c: // a frame: where it is, its colours, how its codes begin
			if frames++; frames > 1 {
				return true
			}
			var frame [9]byte
			if _, err = io.ReadFull(r, frame[:]); err == nil {
				if err = skipColours(r, frame[8]); err == nil {
					_, err = r.Discard(1)
				}
			}
		default:
			return false
		}
		if err != nil || skipBlocks(r) != nil {
			return false
		}
	}
}

// skipColours skips the table of colours that flags announce.
func skipColours(r *bufio.Reader, flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	_, err := r.Discard(3 << (flags&7 + 1))
	return err
}

func skipBlocks(r *bufio.Reader) error {
	for {
		n, err := r.ReadByte()
		if err != nil || n == 0 {
			return err
		}
		if _, err := r.Discard(int(n)); err != nil {
			return err
		}
	}
}

// maxPartitions bounds what a decoder of WebP reads at once: eight partitions of 16 MiB.
const maxPartitions = 8 << 24

func inspectWebP(r *source, magic []byte) (Info, error) {
	info := Info{ContentType: "image/webp", orientation: 1}
	if len(magic) >= 30 && string(magic[12:16]) == "VP8X" && magic[20]&0x02 != 0 {
		// The decoder knows no animations, and what it would say of their size is none.
		info.Animated = true
		info.Width = 1 + (int(magic[24]) | int(magic[25])<<8 | int(magic[26])<<16)
		info.Height = 1 + (int(magic[27]) | int(magic[28])<<8 | int(magic[29])<<16)
		return info, nil
	}
	cfg, err := webp.DecodeConfig(r)
	if err != nil {
		return Info{}, err
	}
	info.size(cfg)
	perPixel := int64(10)
	if len(magic) >= 16 && string(magic[12:16]) == "VP8 " { // lossy, and nothing is transparent
		perPixel = 2
	}
	// What is encoded is read whole, as long as it says that it is, if that is less than the decoder's bound.
	says := int64(binary.LittleEndian.Uint32(magic[4:]))
	info.memory = perPixel*up(int64(info.Width), 16)*up(int64(info.Height), 16)*256 + min(says, maxPartitions)
	return info, nil
}
