package synctoken_test

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/matrix"
	"hongyan/matrix/synctoken"
)

func sample() synctoken.Token {
	return synctoken.Token{
		RoomEpoch: 1, SyncEpoch: 2, KeysEpoch: 3, Millis: 1700000000000, Sync: 12, Keys: 34, DeviceLists: 56,
		Rooms: []synctoken.ShardPosition{{Shard: 0, Position: 1000}, {Shard: 5, Position: 7}, {Shard: 63, Position: math.MaxInt64}},
	}
}

// TestGolden pins the encoding: tokens that clients hold must stay valid.
func TestGolden(t *testing.T) {
	token := sample()
	require.Equal(t, "AQABAgOA0JX_vDEMIjgDAOgHBAc5__________9_3fVGGg", token.String())
	point := token.At(5, synctoken.Point{Seq: 99, Depth: 3})
	require.Equal(t, "AQEBAgOA0JX_vDEAAAABBQdjAyL3oM4", point.String())
	require.Equal(t, "AQAAAAAAAAAAACiLi84", synctoken.Token{}.String())
	token.Typing = 1700000000000
	require.Equal(t, "AQIBAgOA0JX_vDEMIjgDAOgHBAc5__________9_gNCV_7wxev3YRg", token.String())
}

func tokens() *rapid.Generator[synctoken.Token] {
	positions := rapid.Int64Range(0, math.MaxInt64)
	return rapid.Custom(func(t *rapid.T) synctoken.Token {
		token := synctoken.Token{
			RoomEpoch: rapid.Uint64().Draw(t, "room epoch"), SyncEpoch: rapid.Uint64().Draw(t, "sync epoch"), KeysEpoch: rapid.Uint64().Draw(t, "keys epoch"),
			Millis: positions.Draw(t, "millis"), Sync: positions.Draw(t, "sync"), Keys: positions.Draw(t, "keys"), DeviceLists: positions.Draw(t, "device lists"),
		}
		for _, shard := range rapid.SliceOfNDistinct(rapid.IntRange(0, synctoken.MaxShards-1), 0, 70, rapid.ID).Draw(t, "shards") {
			token.SetRoom(shard, positions.Draw(t, "position"))
		}
		if rapid.Bool().Draw(t, "point") {
			token.Point = &synctoken.Point{Seq: positions.Draw(t, "seq"), Depth: positions.Draw(t, "depth")}
		}
		if rapid.Bool().Draw(t, "typing") {
			token.Typing = positions.Draw(t, "told")
		}
		return token
	})
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := tokens().Draw(t, "token")
		s := token.String()
		require.LessOrEqual(t, len(s), synctoken.MaxLength)
		got, err := synctoken.Parse(s)
		require.NoError(t, err)
		require.Equal(t, token, got)
	})
}

// TestDamage: no token survives the change of a character.
func TestDamage(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	s := sample().String()
	for i := range len(s) {
		for _, c := range alphabet {
			damaged := s[:i] + string(c) + s[i+1:]
			if damaged == s {
				continue
			}
			_, err := synctoken.Parse(damaged)
			requireInvalid(t, err, damaged)
		}
	}
}

func requireInvalid(t require.TestingT, err error, s string) {
	require.Error(t, err, s)
	e := matrix.AsError(err)
	require.Equal(t, matrix.CodeInvalidParam, e.Code, s)
	require.Equal(t, 400, e.Status)
}

func TestParseRefuses(t *testing.T) {
	varint := func(b []byte, values ...uint64) []byte {
		for _, v := range values {
			b = binary.AppendUvarint(b, v)
		}
		return b
	}
	head := []byte{1, 0}
	tests := map[string][]byte{
		"version":           varint([]byte{2, 0}, 0, 0, 0, 0, 0, 0, 0, 0),
		"flags":             varint([]byte{1, 2}, 0, 0, 0, 0, 0, 0, 0, 0),
		"short":             varint(head, 0, 0, 0, 0, 0, 0, 0),
		"trailing":          varint(head, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"negative":          varint(head, 0, 0, 0, 1<<63, 0, 0, 0, 0),
		"shard count":       varint(head, 0, 0, 0, 0, 0, 0, 0, 1<<40),
		"missing shard":     varint(head, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1),
		"shard number":      varint(head, 0, 0, 0, 0, 0, 0, 0, 1, synctoken.MaxShards, 1),
		"shard overflow":    varint(head, 0, 0, 0, 0, 0, 0, 0, 2, 1, 1, math.MaxUint64, 1),
		"long varint":       append(varint(head, 0, 0, 0, 0, 0, 0, 0), 0x80, 0x00),
		"endless varint":    append(varint(head, 0, 0, 0, 0, 0, 0, 0), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"point missing":     varint([]byte{1, 1}, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"nothing but flags": head,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			body := binary.BigEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
			_, err := synctoken.Parse(base64.RawURLEncoding.EncodeToString(body))
			requireInvalid(t, err, name)
		})
	}
	for _, s := range []string{"", "s72594_4483_1934", "t1-2_3", "AQ", "AQ==", sample().String() + "=", sample().String() + "A", " " + sample().String(), strings.Repeat("A", synctoken.MaxLength+1), "日本"} {
		_, err := synctoken.Parse(s)
		requireInvalid(t, err, s)
	}
}

func TestRooms(t *testing.T) {
	token := synctoken.Token{}
	_, ok := token.Room(3)
	require.False(t, ok)
	token.SetRoom(9, 90)
	token.SetRoom(3, 30)
	copied := token.Clone()
	token.SetRoom(9, 91)
	token.SetRoom(5, 50)
	require.Equal(t, []synctoken.ShardPosition{{3, 30}, {5, 50}, {9, 91}}, token.Rooms)
	require.Equal(t, []synctoken.ShardPosition{{3, 30}, {9, 90}}, copied.Rooms)
	p, ok := token.Room(5)
	require.True(t, ok)
	require.Equal(t, int64(50), p)
}

func TestAt(t *testing.T) {
	token := sample()
	at := token.At(5, synctoken.Point{Seq: 8})
	require.Equal(t, []synctoken.ShardPosition{{5, 7}}, at.Rooms)
	require.Equal(t, &synctoken.Point{Seq: 8}, at.Point)
	require.Equal(t, token.RoomEpoch, at.RoomEpoch)
	require.Nil(t, token.Point)
	require.Empty(t, token.Clone().Point)
	require.Empty(t, func() []synctoken.ShardPosition { a := token.At(6, synctoken.Point{}); return a.Rooms }())
	c := at.Clone()
	c.Point.Seq = 1
	require.Equal(t, int64(8), at.Point.Seq)
}

func TestNegativeIsZero(t *testing.T) {
	got, err := synctoken.Parse(synctoken.Token{Sync: -1, Millis: -5}.String())
	require.NoError(t, err)
	require.Equal(t, synctoken.Token{}, got)
}

func FuzzParse(f *testing.F) {
	token := sample()
	at := token.At(5, synctoken.Point{Seq: 99})
	for _, s := range []string{token.String(), at.String(), synctoken.Token{}.String(), "", "s1_2_3", "AQABAgOA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := synctoken.Parse(s)
		if err != nil {
			requireInvalid(t, err, s)
			return
		}
		require.Equal(t, s, got.String())
	})
}

// FuzzBody lets the fuzzer past the checksum.
func FuzzBody(f *testing.F) {
	for _, token := range []synctoken.Token{{}, sample()} {
		b, err := base64.RawURLEncoding.DecodeString(token.String())
		require.NoError(f, err)
		f.Add(b[:len(b)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		body = binary.BigEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		s := base64.RawURLEncoding.EncodeToString(body)
		if got, err := synctoken.Parse(s); err == nil {
			require.Equal(t, s, got.String())
		}
	})
}

func BenchmarkString(b *testing.B) {
	token := full()
	b.ReportAllocs()
	for b.Loop() {
		_ = token.String()
	}
}

func BenchmarkParse(b *testing.B) {
	s := full().String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := synctoken.Parse(s); err != nil {
			b.Fatal(err)
		}
	}
}

// full has a position in each of 64 shards.
func full() synctoken.Token {
	token := sample()
	for shard := range 64 {
		token.SetRoom(shard, int64(100000+shard))
	}
	return token
}
