package event_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/event"
)

func TestSigningKey(t *testing.T) {
	key, err := event.GenerateSigningKey(rand.Reader)
	require.NoError(t, err)
	require.Regexp(t, `^ed25519:a_[0-9a-f]{8}$`, key.ID())
	again, err := event.ParseSigningKey(key.Marshal())
	require.NoError(t, err)
	require.Equal(t, key.Public(), again.Public())
	require.Equal(t, key.ID(), again.ID())
	require.Len(t, bytes.Split(bytes.TrimSpace(key.Marshal()), []byte{' '}), 3)

	_, err = event.GenerateSigningKey(bytes.NewReader(nil))
	require.Error(t, err)
}

func TestSigningKeyIsHidden(t *testing.T) {
	key := testKey(t)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, key), "YJDBA", format)
	}
}

func TestParseSigningKeyRefuses(t *testing.T) {
	for _, text := range []string{
		"", "ed25519 1", "rsa 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1", "ed25519 a:b YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1",
		"ed25519 1 AAAA", "ed25519 1 !!!!", "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1 x",
	} {
		_, err := event.ParseSigningKey([]byte(text))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "YJDBA")
	}
	padded, err := event.ParseSigningKey([]byte("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1=\n"))
	require.NoError(t, err)
	require.Equal(t, "ed25519:1", padded.ID())
}

func TestVerifyRefuses(t *testing.T) {
	key := testKey(t)
	e, err := event.Build(proto(event.V11), signer(t))
	require.NoError(t, err)
	require.True(t, e.SignedBy(server))
	require.False(t, e.SignedBy("other.org"))
	require.Error(t, e.VerifySignature("other.org", key.ID(), key.Public()))
	require.Error(t, e.VerifySignature(server, "ed25519:other", key.Public()))
	other, err := event.GenerateSigningKey(rand.Reader)
	require.NoError(t, err)
	require.Error(t, e.VerifySignature(server, key.ID(), other.Public()))

	changed, err := event.Parse(event.V11, []byte(strings.Replace(string(e.JSON()), "hello", "hallo", 1)))
	require.NoError(t, err)
	require.Error(t, changed.VerifyContentHash())
	require.NoError(t, changed.VerifySignature(server, key.ID(), key.Public()), "the body is not covered")
	require.Equal(t, e.ID(), changed.ID())
}

func TestVersions(t *testing.T) {
	require.Equal(t, []event.RoomVersion{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}, event.Versions())
	require.True(t, event.DefaultVersion.Supported())
	v, err := event.ParseVersion("10")
	require.NoError(t, err)
	require.Equal(t, event.V10, v)
	for _, s := range []string{"", "0", "13", "org.example", strings.Repeat("9", 1000)} {
		_, err := event.ParseVersion(s)
		require.Equal(t, matrix.CodeUnsupportedRoomVersion, matrix.AsError(err).Code)
		require.Less(t, len(matrix.AsError(err).Message), 200)
	}
}

func FuzzParse(f *testing.F) {
	e, err := event.Build(proto(event.V12), signer(f))
	require.NoError(f, err)
	f.Add("12", e.JSON())
	f.Add("11", []byte(`{"type":"m.room.redaction","sender":"@a:x","content":{"redacts":"$x"},"state_key":"","room_id":"!x:y"}`))
	f.Add("6", []byte(`{"type":"m.room.member","sender":"@a:x","content":{"third_party_invite":{"signed":{}}},"state_key":"@b"`))
	f.Add("6", []byte(`{"":"\`))
	f.Fuzz(func(t *testing.T, version string, raw []byte) {
		e, err := event.Parse(event.RoomVersion(version), raw)
		if err != nil {
			return
		}
		require.NotEmpty(t, e.ID())
		e.PrevEvents()
		e.AuthEvents()
		e.Membership()
		e.SignedBy("x")
		_ = e.VerifyContentHash()
		require.NotEmpty(t, event.AppendUnsigned(nil, e.ClientJSON(true), event.Unsigned{}))
		require.NotEmpty(t, e.AppendStripped(nil))
		if r, err := e.Redacted(); err == nil {
			require.Equal(t, e.Type(), r.Type())
		}
	})
}
