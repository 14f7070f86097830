package transfer

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"hongyan/platform/sqldb"
)

// An archive is a tar file within a Zstandard frame, which checks itself: first headerFile; then the parts
// SERVICE/TABLE/NUMBER, each some whole rows of a table; then keyFile, where there is one; last manifestFile,
// with which an archive is whole.
const (
	headerFile   = "hongyan.json"
	keyFile      = "signing.key"
	manifestFile = "manifest.json"
	// format is the archive's version. A program reads no other.
	format = 1
	// partBytes is from which size on a part ends.
	partBytes = 1 << 20
)

// Header is what an archive begins with.
type Header struct {
	Format int `json:"format"`
	// Program is the version of the program that made it, CreatedMS when that was.
	Program    string `json:"program"`
	ServerName string `json:"server_name"`
	CreatedMS  int64  `json:"created_ms"`
	// Services are in the order of the archive.
	Services []Service `json:"services"`
}

// Manifest is what an archive ends with.
type Manifest struct {
	// Tables are the sums of all tables, by SERVICE/TABLE.
	Tables map[string]Sum `json:"tables"`
	// Files are all files before this one.
	Files []File `json:"files"`
}

// File is a file in an archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Rows counts the rows of all tables.
func (m *Manifest) Rows() (n int64) {
	for _, sum := range m.Tables {
		n += sum.Rows
	}
	return n
}

// archiveWriter writes an archive.
type archiveWriter struct {
	packed   *zstd.Encoder
	tar      *tar.Writer
	created  time.Time
	manifest Manifest
	tally    tally

	// service and table are those of the part that grows.
	service, table string
	number         int
	part, row      []byte
}

func newArchiveWriter(to io.Writer, h Header) (*archiveWriter, error) {
	packed, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	w := &archiveWriter{packed: packed, tar: tar.NewWriter(packed), created: time.UnixMilli(h.CreatedMS), tally: tally{}}
	for _, s := range h.Services {
		for _, t := range s.Tables {
			w.tally[tallyKey(s.Name, t.Name)] = Sum{}
		}
	}
	text, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return w, w.file(headerFile, text)
}

// file writes a file.
func (w *archiveWriter) file(name string, content []byte) error {
	hash := sha256.Sum256(content)
	w.manifest.Files = append(w.manifest.Files, File{name, int64(len(content)), hex.EncodeToString(hash[:])})
	err := w.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: w.created,
	})
	if err == nil {
		_, err = w.tar.Write(content)
	}
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// rows writes rows of a table. A table's rows come together.
func (w *archiveWriter) rows(service string, t sqldb.Table, rows [][]any) error {
	if service != w.service || t.Name != w.table {
		if err := w.endPart(); err != nil {
			return err
		}
		w.service, w.table, w.number = service, t.Name, 0
	}
	key := tallyKey(service, t.Name)
	sum := w.tally[key]
	for _, row := range rows {
		var err error
		if w.row, err = appendRow(w.row[:0], row); err != nil {
			return fmt.Errorf("table %s of %s: %w", t.Name, service, err)
		}
		sum.add(w.row)
		w.part = append(w.part, w.row...)
		if len(w.part) >= partBytes {
			if err := w.endPart(); err != nil {
				return err
			}
		}
	}
	w.tally[key] = sum
	return nil
}

func (w *archiveWriter) endPart() error {
	if len(w.part) == 0 {
		return nil
	}
	w.number++
	err := w.file(fmt.Sprintf("%s/%s/%06d", w.service, w.table, w.number), w.part)
	w.part = w.part[:0]
	return err
}

// finish writes the end of the archive. key may be nil.
func (w *archiveWriter) finish(key []byte) (*Manifest, error) {
	if err := w.endPart(); err != nil {
		return nil, err
	}
	if key != nil {
		if err := w.file(keyFile, key); err != nil {
			return nil, err
		}
	}
	m := w.manifest
	m.Tables = w.tally
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	if err := w.file(manifestFile, text); err != nil {
		return nil, err
	}
	if err := w.tar.Close(); err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	if err := w.packed.Close(); err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return &m, nil
}

// abandon gives up what is held when the archive is not finished.
func (w *archiveWriter) abandon() { w.packed.Reset(nil) }
