package outbound

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// releasing gives the request's place back when the body is closed.
type releasing struct {
	io.ReadCloser
	once    sync.Once
	release func()
}

// Close implements io.Closer.
func (r *releasing) Close() error {
	defer r.once.Do(r.release)
	return r.ReadCloser.Close()
}

// Bounded makes a response's body one that gives up to maxBytes, decompressed, and then ErrTooLarge. What came over the wire for it
// is bounded alike, so that compressed nothing does not come for ever.
func Bounded(res *http.Response, maxBytes int64) error {
	raw := res.Body
	b := &body{inner: &limited{inner: raw, left: maxBytes}, raw: raw}
	switch encoding := strings.ToLower(strings.TrimSpace(res.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		b.inner = &limited{inner: &unzip{raw: b.inner}, left: maxBytes}
		res.Header.Del("Content-Encoding")
		res.Header.Del("Content-Length")
		res.ContentLength = -1
	default:
		return fmt.Errorf("the answer is encoded as %.20q, which was not asked for", encoding)
	}
	res.Body = b
	return nil
}

type body struct {
	inner io.Reader
	raw   io.Closer
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) { return b.inner.Read(p) }

// Close implements io.Closer.
func (b *body) Close() error { return b.raw.Close() }

// limited gives left bytes and then ErrTooLarge, unless there are no more.
type limited struct {
	inner io.Reader
	left  int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 { // one more tells that there are more
		p = p[:l.left+1]
	}
	n, err := l.inner.Read(p)
	if int64(n) > l.left {
		n = int(l.left)
		l.left = 0
		return n, ErrTooLarge
	}
	l.left -= int64(n)
	return n, err
}

// unzip begins to decompress when it is first read.
type unzip struct {
	raw   io.Reader
	inner *gzip.Reader
}

func (u *unzip) Read(p []byte) (n int, err error) {
	if u.inner == nil {
		if u.inner, err = gzip.NewReader(u.raw); err != nil {
			u.inner = nil
			if errors.Is(err, io.EOF) { // nothing is not compressed
				return 0, io.EOF
			}
			return 0, fmt.Errorf("decompress: %w", err)
		}
	}
	return u.inner.Read(p)
}
