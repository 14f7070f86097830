package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"hongyan/platform/sqldb"
)

// The tags of encoded values. A boolean is an integer, since SQLite knows no other.
const (
	tagNull = iota
	tagInt
	tagText
	tagBytes
	tagFloat
)

// appendRow encodes a row: its values one after the other, each a tag and what belongs to it.
func appendRow(to []byte, row []any) ([]byte, error) {
	for i, v := range row {
		switch v := v.(type) {
		case nil:
			to = append(to, tagNull)
		case int64:
			to = binary.AppendVarint(append(to, tagInt), v)
		case bool:
			n := int64(0)
			if v {
				n = 1
			}
			to = binary.AppendVarint(append(to, tagInt), n)
		case string:
			to = append(binary.AppendUvarint(append(to, tagText), uint64(len(v))), v...)
		case []byte:
			to = append(binary.AppendUvarint(append(to, tagBytes), uint64(len(v))), v...)
		case float64:
			to = binary.BigEndian.AppendUint64(append(to, tagFloat), math.Float64bits(v))
		default:
			return nil, fmt.Errorf("value %d is a %T", i+1, v)
		}
	}
	return to, nil
}

var errRow = errors.New("a row is damaged")

// decodeRow decodes the row that text begins with, and returns what follows it.
func decodeRow(text []byte, columns []sqldb.TableColumn) (row []any, rest []byte, err error) {
	row = make([]any, len(columns))
	for i, c := range columns {
		if row[i], text, err = decodeValue(text, c.Kind); err != nil {
			return nil, nil, err
		}
	}
	return row, text, nil
}

func decodeValue(text []byte, kind sqldb.Kind) (value any, rest []byte, err error) {
	if len(text) == 0 {
		return nil, nil, errRow
	}
	tag, text := text[0], text[1:]
	switch {
	case tag == tagNull:
		return nil, text, nil
	case tag == tagInt && (kind == sqldb.KindInt || kind == sqldb.KindBool):
		v, n := binary.Varint(text)
		if n <= 0 {
			return nil, nil, errRow
		}
		return v, text[n:], nil
	case tag == tagFloat && kind == sqldb.KindFloat && len(text) >= 8:
		return math.Float64frombits(binary.BigEndian.Uint64(text)), text[8:], nil
	case tag == tagText && kind == sqldb.KindText, tag == tagBytes && kind == sqldb.KindBytes:
		length, n := binary.Uvarint(text)
		if n <= 0 || length > uint64(len(text)-n) {
			return nil, nil, errRow
		}
		piece, rest := text[n:n+int(length)], text[n+int(length):]
		if tag == tagText {
			return string(piece), rest, nil
		}
		return append([]byte{}, piece...), rest, nil
	}
	return nil, nil, errRow
}

// Sum is what the rows of a table add up to, in whatever order they come.
type Sum struct {
	Rows   int64  `json:"rows"`
	Digest Digest `json:"digest"`
}

// Digest is the sum of the SHA-256 hashes of encoded rows, each taken as four numbers.
type Digest [4]uint64

// add counts an encoded row.
func (s *Sum) add(row []byte) {
	s.Rows++
	hash := sha256.Sum256(row)
	for i := range s.Digest {
		s.Digest[i] += binary.BigEndian.Uint64(hash[8*i:])
	}
}

// MarshalText writes a digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) {
	var raw []byte
	for _, part := range d {
		raw = binary.BigEndian.AppendUint64(raw, part)
	}
	return hex.AppendEncode(nil, raw), nil
}

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != 8*len(d) {
		return errors.New("want a digest of 64 hexadecimal digits")
	}
	for i := range d {
		d[i] = binary.BigEndian.Uint64(raw[8*i:])
	}
	return nil
}

// tally holds the sums of tables, by the names of service and table.
type tally map[string]Sum

func tallyKey(service, table string) string { return service + "/" + table }

// addAll counts rows. buf is memory for encoding them, which is returned.
func (t tally) addAll(buf []byte, service, table string, rows [][]any) ([]byte, error) {
	key := tallyKey(service, table)
	sum := t[key]
	for _, row := range rows {
		var err error
		if buf, err = appendRow(buf[:0], row); err != nil {
			return buf, fmt.Errorf("table %s of %s: %w", table, service, err)
		}
		sum.add(buf)
	}
	t[key] = sum
	return buf, nil
}
