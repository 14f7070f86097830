package synctoken

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"

	"hongyan/matrix"
)

const (
	formatVersion = 1
	flagPoint     = 1 << 0
	flagTyping    = 1 << 1
	knownFlags    = flagPoint | flagTyping

	checksumSize = 4
	// MaxLength bounds the text of a token, in bytes.
	MaxLength = 65536
)

// String encodes the token. Negative positions and timestamps are encoded as 0.
func (t Token) String() string {
	b := make([]byte, 0, 96+8*len(t.Rooms))
	var flags byte
	if t.Point != nil {
		flags |= flagPoint
	}
	if t.Typing > 0 {
		flags |= flagTyping
	}
	b = append(b, formatVersion, flags)
	b = binary.AppendUvarint(b, t.RoomEpoch)
	b = binary.AppendUvarint(b, t.SyncEpoch)
	b = binary.AppendUvarint(b, t.KeysEpoch)
	b = appendPosition(b, t.Millis)
	b = appendPosition(b, t.Sync)
	b = appendPosition(b, t.Keys)
	b = appendPosition(b, t.DeviceLists)
	b = binary.AppendUvarint(b, uint64(len(t.Rooms)))
	next := 0
	for _, r := range t.Rooms {
		b = binary.AppendUvarint(b, uint64(r.Shard-next))
		b = appendPosition(b, r.Position)
		next = r.Shard + 1
	}
	if t.Point != nil {
		b = appendPosition(b, t.Point.Seq)
		b = appendPosition(b, t.Point.Depth)
	}
	if t.Typing > 0 {
		b = appendPosition(b, t.Typing)
	}
	b = binary.BigEndian.AppendUint32(b, checksum(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// Parse decodes a token. Anything that String does not return is M_INVALID_PARAM.
func Parse(s string) (Token, error) {
	if len(s) > MaxLength {
		return Token{}, invalid("it is too long")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 2+checksumSize {
		return Token{}, invalid("it is not one that this server issued")
	}
	body := b[:len(b)-checksumSize]
	if binary.BigEndian.Uint32(b[len(body):]) != checksum(body) {
		return Token{}, invalid("it is damaged")
	}
	if body[0] != formatVersion || body[1]&^knownFlags != 0 {
		return Token{}, invalid("its format is unknown")
	}
	r := reader{b: body[2:]}
	t := r.token(body[1])
	if r.failed || len(r.b) > 0 || t.String() != s {
		return Token{}, invalid("it is malformed")
	}
	return t, nil
}

func (r *reader) token(flags byte) (t Token) {
	t.RoomEpoch, t.SyncEpoch, t.KeysEpoch = r.uvarint(), r.uvarint(), r.uvarint()
	t.Millis, t.Sync, t.Keys, t.DeviceLists = r.position(), r.position(), r.position(), r.position()
	n := r.uvarint()
	if n > MaxShards || n*2 > uint64(len(r.b)) {
		r.failed = true
		return Token{}
	}
	if n > 0 {
		t.Rooms = make([]ShardPosition, 0, n)
	}
	next := uint64(0)
	for range n {
		step := r.uvarint()
		if step >= MaxShards || next+step >= MaxShards {
			r.failed = true
			return Token{}
		}
		t.Rooms = append(t.Rooms, ShardPosition{Shard: int(next + step), Position: r.position()})
		next += step + 1
	}
	if flags&flagPoint != 0 {
		t.Point = &Point{Seq: r.position(), Depth: r.position()}
	}
	if flags&flagTyping != 0 {
		t.Typing = r.position()
	}
	return t
}

// reader takes varints off b; the first that fails sets failed, and all after it are 0.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) position() int64 {
	v := r.uvarint()
	if v > math.MaxInt64 {
		r.failed = true
		return 0
	}
	return int64(v)
}

func appendPosition(b []byte, p int64) []byte {
	return binary.AppendUvarint(b, uint64(max(p, 0)))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func invalid(why string) error {
	return matrix.Errorf(matrix.CodeInvalidParam, "The pagination token is invalid: %s.", why)
}
