package transfer

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"hongyan/platform/sqldb"
)

const (
	// maxFile bounds a file in an archive, which is read into memory as a whole.
	maxFile = 512 << 20
	// maxWindow bounds the memory that unpacking takes; the writer's is 8 MiB.
	maxWindow = 32 << 20
)

// ErrDamaged says that an archive is not what was written.
var ErrDamaged = errors.New("the archive is damaged")

// archiveReader reads an archive and checks it.
type archiveReader struct {
	packed *zstd.Decoder
	tar    *tar.Reader
	header Header
	tables map[string]sqldb.Table
	files  []File
	tally  tally
	row    []byte
	key    []byte
	// manifest is set when everything was read and found right.
	manifest *Manifest
	// ahead is a part that was read but not handed over yet.
	ahead *part
}

// part is some rows of a table.
type part struct {
	service string
	table   sqldb.Table
	rows    [][]any
}

// openArchive reads the header. close must follow.
func openArchive(from io.Reader) (*archiveReader, error) {
	packed, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, damaged(err)
	}
	r := &archiveReader{packed: packed, tar: tar.NewReader(packed), tables: map[string]sqldb.Table{}, tally: tally{}}
	if err := r.readHeader(); err != nil {
		packed.Close()
		return nil, err
	}
	return r, nil
}

func (r *archiveReader) close() { r.packed.Close() }

func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

func (r *archiveReader) readHeader() error {
	name, content, err := r.file()
	if err != nil {
		return err
	}
	if name != headerFile {
		return fmt.Errorf("this is no archive of \"hongyan backup\": it begins with %q", name)
	}
	if err := json.Unmarshal(content, &r.header); err != nil {
		return damaged(err)
	}
	if r.header.Format != format {
		return fmt.Errorf("the archive has format %d, made by hongyan %s; this program reads format %d",
			r.header.Format, r.header.Program, format)
	}
	for _, s := range r.header.Services {
		for _, t := range s.Tables {
			key := tallyKey(s.Name, t.Name)
			if _, twice := r.tables[key]; twice {
				return fmt.Errorf("%w: it has table %s twice", ErrDamaged, key)
			}
			r.tables[key], r.tally[key] = t, Sum{}
		}
	}
	return nil
}

// file reads the next file; io.EOF when there is none.
func (r *archiveReader) file() (name string, content []byte, err error) {
	h, err := r.tar.Next()
	if err != nil {
		return "", nil, damaged(err)
	}
	if h.Size > maxFile {
		return "", nil, fmt.Errorf("%w: file %q has %d bytes", ErrDamaged, h.Name, h.Size)
	}
	if content, err = io.ReadAll(r.tar); err != nil {
		return "", nil, damaged(err)
	}
	hash := sha256.Sum256(content)
	r.files = append(r.files, File{h.Name, int64(len(content)), hex.EncodeToString(hash[:])})
	return h.Name, content, nil
}

// next returns the next part; io.EOF when the whole archive was read and is what was written.
func (r *archiveReader) next() (*part, error) {
	if p := r.ahead; p != nil {
		r.ahead = nil
		return p, nil
	}
	if r.manifest != nil {
		return nil, io.EOF
	}
	for {
		name, content, err := r.file()
		if err != nil {
			return nil, err
		}
		switch name {
		case keyFile:
			r.key = content
		case manifestFile:
			if err := r.compare(content); err != nil {
				return nil, err
			}
			return nil, io.EOF
		default:
			return r.decode(name, content)
		}
	}
}

func (r *archiveReader) decode(name string, content []byte) (*part, error) {
	names := strings.Split(name, "/")
	if len(names) != 3 {
		return nil, fmt.Errorf("%w: it holds a file %q", ErrDamaged, name)
	}
	p := &part{service: names[0]}
	key := tallyKey(names[0], names[1])
	table, ok := r.tables[key]
	if !ok {
		return nil, fmt.Errorf("%w: it holds a file %q of no table", ErrDamaged, name)
	}
	p.table = table
	for rest := content; len(rest) > 0; {
		var row []any
		var err error
		if row, rest, err = decodeRow(rest, table.Columns); err != nil {
			return nil, fmt.Errorf("%w: file %q: %w", ErrDamaged, name, err)
		}
		if len(table.Columns) == 0 {
			return nil, fmt.Errorf("%w: file %q: the table has no columns", ErrDamaged, name)
		}
		p.rows = append(p.rows, row)
	}
	var err error
	r.row, err = r.tally.addAll(r.row, p.service, table.Name, p.rows)
	return p, err
}

// compare compares what was read with the manifest, and looks that nothing follows.
func (r *archiveReader) compare(content []byte) error {
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return damaged(err)
	}
	if !slices.Equal(m.Files, r.files[:len(r.files)-1]) || !maps.Equal(m.Tables, map[string]Sum(r.tally)) {
		return fmt.Errorf("%w: its checksums are others than those of its contents", ErrDamaged)
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	if n, err := io.Copy(io.Discard, r.packed); err != nil || n > 0 {
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	r.manifest = &m
	return nil
}

func (r *archiveReader) services() []Service { return r.header.Services }

// read implements source: services must be read in the archive's order.
func (r *archiveReader) read(ctx context.Context, service Service, to take) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.service != service.Name {
			r.ahead = p
			return nil
		}
		if err := to(p.table, p.rows); err != nil {
			return err
		}
	}
}

// end implements source.
func (r *archiveReader) end() error {
	if p, err := r.next(); err == nil {
		return fmt.Errorf("%w: table %s of %s is not where it should be", ErrDamaged, p.table.Name, p.service)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// Info is what an archive says of itself, after all of it was read and found right.
type Info struct {
	Header   Header
	Manifest Manifest
	// Key is the server's signing key as its file holds it; nil where the archive has none.
	Key []byte
}

// String names the archive, and no other.
func (i *Info) String() string {
	text, err := json.Marshal(i)
	if err != nil { // cannot be: it was read from JSON
		text = nil
	}
	hash := sha256.Sum256(text)
	return fmt.Sprintf("the backup of %s of %s (%x)", i.Header.ServerName,
		time.UnixMilli(i.Header.CreatedMS).UTC().Format(time.RFC3339), hash[:6])
}

// Verify reads an archive to its end and tells what is in it. Its error wraps ErrDamaged where the archive is not
// what was written.
func Verify(ctx context.Context, from io.Reader, progress Progress) (*Info, error) {
	r, err := openArchive(from)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := r.next()
		if errors.Is(err, io.EOF) {
			return &Info{r.header, *r.manifest, r.key}, nil
		}
		if err != nil {
			return nil, err
		}
		progress.step("check", p.service, p.table.Name, len(p.rows))
	}
}
