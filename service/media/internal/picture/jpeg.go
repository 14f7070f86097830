package picture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

var errJPEG = errors.New("malformed JPEG")

// maxSegments is how many segments of a JPEG are looked at.
const maxSegments = 1000

// inspectJPEG reads segments up to the one that says how large the picture is.
func inspectJPEG(r *source, _ []byte) (Info, error) {
	info := Info{ContentType: "image/jpeg", orientation: 1}
	rgb := false
	if _, err := r.Discard(2); err != nil {
		return info, err
	}
	for range maxSegments {
		marker, body, err := nextSegment(r.Reader)
		if err != nil {
			return info, err
		}
		switch {
		case marker == 0xe1:
			if o := exifOrientation(body); o != 0 {
				info.orientation = o
			}
		case marker == 0xee:
			rgb = rgb || len(body) >= 12 && string(body[:5]) == "Adobe" && body[11] == 0
		case marker >= 0xc0 && marker <= 0xc2: // baseline, extended, progressive; others nobody decodes
			return info, info.readFrame(body, marker == 0xc2, rgb)
		case marker == 0xda || marker == 0xd9: // pixels, or the end
			return info, errJPEG
		}
	}
	return info, errJPEG
}

// nextSegment reads the next segment, of which body is without its length.
func nextSegment(r *bufio.Reader) (marker byte, body []byte, err error) {
	if b, err := r.ReadByte(); err != nil || b != 0xff {
		return 0, nil, errors.Join(errJPEG, err)
	}
	for marker = 0xff; marker == 0xff; { // it may be preceded by any number of these
		if marker, err = r.ReadByte(); err != nil {
			return 0, nil, err
		}
	}
	if marker == 0xd9 || marker == 0x01 || marker >= 0xd0 && marker <= 0xd7 {
		return marker, nil, nil
	}
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:])) - 2
	if n < 0 {
		return 0, nil, errJPEG
	}
	body = make([]byte, n)
	_, err = io.ReadFull(r, body)
	return marker, body, err
}

// readFrame reads how large the picture is, and what decoding it takes.
func (i *Info) readFrame(b []byte, progressive, rgb bool) error {
	if len(b) < 6 || len(b) < 6+3*int(b[5]) || b[5] == 0 {
		return errJPEG
	}
	i.Height, i.Width = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	components := int(b[5])
	var widest, highest, samples int64 = 1, 1, 0
	ids := ""
	for c := range components {
		sampling := b[6+3*c+1]
		h, v := int64(sampling>>4), int64(sampling&15)
		if h < 1 || h > 4 || v < 1 || v > 4 {
			return errJPEG
		}
		widest, highest, samples, ids = max(widest, h), max(highest, v), samples+h*v, ids+string(b[6+3*c])
	}
	// Pixels are kept in blocks, of which the last are not full.
	blocks := up(int64(i.Width), 8*widest) * up(int64(i.Height), 8*highest)
	i.memory = blocks*64*samples + 1<<16
	if progressive { // the coefficients of the whole picture are kept
		i.memory *= 5
	}
	if components > 3 || components == 3 && (rgb || ids == "RGB") { // it is copied
		i.memory += 4 * i.Pixels()
	} else {
		i.noTransform = true
	}
	if i.orientation >= 5 {
		i.Width, i.Height = i.Height, i.Width
	}
	return nil
}

// up is how many of a size it takes for n.
func up(n, size int64) int64 { return (n + size - 1) / size }

// guard keeps a JPEG from saying later that it is RGB, which would take more memory than was counted.
func (i Info) guard(r io.Reader) io.Reader {
	if !i.noTransform {
		return r
	}
	return &guardReader{inner: r}
}

// guardReader makes each segment that may say how colours are kept (APP14) one that nobody reads (APP13). Pixels have no such bytes.
type guardReader struct {
	inner io.Reader
	last  byte
}

func (g *guardReader) Read(p []byte) (int, error) {
	n, err := g.inner.Read(p)
	for i, b := range p[:n] {
		if g.last == 0xff && b == 0xee {
			p[i] = 0xed
		}
		g.last = b
	}
	return n, err
}

// exifOrientation reads the orientation from an APP1 segment; 0 where it says none.
func exifOrientation(b []byte) int {
	if len(b) < 14 || string(b[:6]) != "Exif\x00\x00" {
		return 0
	}
	b = b[6:]
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	entries := b[at+2:]
	for range order.Uint16(b[at:]) {
		if len(entries) < 12 {
			return 0
		}
		const tagOrientation, typeShort = 0x0112, 3
		if order.Uint16(entries) == tagOrientation && order.Uint16(entries[2:]) == typeShort {
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			return 0
		}
		entries = entries[12:]
	}
	return 0
}
