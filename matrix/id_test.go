package matrix_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
)

const hash = "Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"

// fill returns sigil + filler + ":x.org" with n bytes.
func fill(sigil string, n int) string {
	return sigil + strings.Repeat("a", n-len(sigil)-len(":x.org")) + ":x.org"
}

func TestParseUserID(t *testing.T) {
	valid := []string{
		"@alice:example.org", "@a.b_c=d-e/f+g:example.org", "@alice:example.org:8448", "@alice:1.2.3.4", "@alice:[2001:db8::1]:8448",
		"@Alice:example.org", "@日本:example.org", "@:example.org", "@a b\n:example.org", "@a@b:x", fill("@", 255),
	}
	for _, s := range valid {
		id, err := matrix.ParseUserID(s)
		require.NoError(t, err, "%q", s)
		require.Equal(t, s, id.String())
		require.Equal(t, id, matrix.NewUserID(id.Localpart(), id.Server()))
	}
	invalid := []string{
		"", "@", "alice:example.org", "@alice", "!a:x", "@alice:", "@alice::", "@alice:a b", "@alice:x:y:z", "@alice:x:", "@alice:x:123456",
		"@alice:x:65536", "@alice:[::1", "@alice:[]", "@alice:[1.2.3.4]", "@alice:[::1%eth0]", "@a\x00b:x", "@a\xff:x", "@a:日本", fill("@", 256), "@a:x/y", "@a:[::1]x",
	}
	for _, s := range invalid {
		_, err := matrix.ParseUserID(s)
		require.Equal(t, matrix.CodeInvalidParam, matrix.AsError(err).Code, "%q", s)
	}
	id, err := matrix.ParseUserID("@alice:[::1]:80")
	require.NoError(t, err)
	require.Equal(t, "alice", id.Localpart())
	require.Equal(t, matrix.ServerName("[::1]:80"), id.Server())
}

func TestParseRoomID(t *testing.T) {
	for _, s := range []string{"!abc:example.org", "!" + hash, "!x", "!日本:x", fill("!", 255)} {
		id, err := matrix.ParseRoomID(s)
		require.NoError(t, err, s)
		require.Equal(t, s, id.String())
	}
	for _, s := range []string{"", "!", "!:x", "abc:x", "!abc:", "!a:b c", "!a\x00", "!a\xff", fill("!", 256), "#a:x"} {
		_, err := matrix.ParseRoomID(s)
		require.Equal(t, matrix.CodeInvalidParam, matrix.AsError(err).Code, "%q", s)
	}
	require.Equal(t, matrix.EventID("$"+hash), matrix.RoomID("!"+hash).CreateEventID())
	require.Equal(t, matrix.RoomID("!"+hash), matrix.EventID("$"+hash).RoomID())
	require.Empty(t, matrix.RoomID("!a:x").CreateEventID())
	require.Equal(t, matrix.ServerName("x:1"), matrix.RoomID("!a:x:1").Server())
	require.Empty(t, matrix.RoomID("!"+hash).Server())
}

func TestParseEventID(t *testing.T) {
	for _, s := range []string{"$" + hash, "$abc:example.org", "$+/x"} {
		_, err := matrix.ParseEventID(s)
		require.NoError(t, err, s)
	}
	for _, s := range []string{"", "$", "abc", "$a:", "$:x", "$" + strings.Repeat("a", 255)} {
		_, err := matrix.ParseEventID(s)
		require.Error(t, err, s)
	}
}

func TestParseRoomAlias(t *testing.T) {
	for _, s := range []string{"#room:example.org", "#日本 x:example.org", fill("#", 255)} {
		a, err := matrix.ParseRoomAlias(s)
		require.NoError(t, err, s)
		require.Equal(t, a, matrix.NewRoomAlias(a.Localpart(), a.Server()))
	}
	for _, s := range []string{"", "#", "#room", "#:x", "#room:", "#r\x00:x", "#r\xff:x", fill("#", 256), "room:x"} {
		_, err := matrix.ParseRoomAlias(s)
		require.Error(t, err, s)
	}
}

func TestParseServerName(t *testing.T) {
	for _, s := range []string{"matrix.org", "matrix.org:8888", "1.2.3.4", "1.2.3.4:1234", "[1234:5678::abcd]", "[1234:5678::abcd]:5678", "LOCALHOST", "a-b"} {
		n, err := matrix.ParseServerName(s)
		require.NoError(t, err, s)
		require.Equal(t, s, n.String())
	}
	for _, s := range []string{"", ":80", "a:", "a:b", "a:123456", "a_b", "a/b", "[::1", "::1", "http://x", strings.Repeat("a", 256)} {
		_, err := matrix.ParseServerName(s)
		require.Equal(t, matrix.CodeInvalidParam, matrix.AsError(err).Code, s)
	}
	host, port := matrix.ServerName("[::1]:80").HostPort()
	require.Equal(t, [2]string{"[::1]", "80"}, [2]string{host, port})
	host, port = matrix.ServerName("[::1]").HostPort()
	require.Equal(t, [2]string{"[::1]", ""}, [2]string{host, port})
	host, port = matrix.ServerName("x.org").HostPort()
	require.Equal(t, [2]string{"x.org", ""}, [2]string{host, port})
}

func TestValidateLocalpart(t *testing.T) {
	require.NoError(t, matrix.ValidateLocalpart("az09._=-/+", "x.org"))
	require.NoError(t, matrix.ValidateLocalpart(strings.Repeat("a", 248), "x.org"))
	for _, s := range []string{"", "Alice", "a b", "日本", "a:b", "a@b", "a#", strings.Repeat("a", 249)} {
		err := matrix.ValidateLocalpart(s, "x.org")
		require.Equal(t, matrix.CodeInvalidUsername, matrix.AsError(err).Code, "%q", s)
		require.Equal(t, 400, matrix.AsError(err).Status)
	}
	require.True(t, matrix.UserID("@Alice:x").IsHistorical())
	require.True(t, matrix.UserID("@:x").IsHistorical())
	require.False(t, matrix.UserID("@alice:x").IsHistorical())
}

// TestAccessorsOfNoID: ids that were never parsed must not break anything.
func TestAccessorsOfNoID(t *testing.T) {
	require.Empty(t, matrix.UserID("").Localpart())
	require.Empty(t, matrix.UserID("").Server())
	require.Empty(t, matrix.RoomID("").Server())
	require.Empty(t, matrix.RoomID("").CreateEventID())
	require.Empty(t, matrix.EventID("").RoomID())
	require.Empty(t, matrix.RoomAlias("").Localpart())
}

func FuzzIDs(f *testing.F) {
	for _, s := range []string{"@alice:example.org", "!" + hash, "$" + hash, "#room:[::1]:80", "@:x", "!a:x:65536", "#\x00:x", "@a\xff:x", "$:", fill("@", 255), fill("@", 256)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		accepted := 0
		if id, err := matrix.ParseUserID(s); err == nil {
			accepted++
			require.Equal(t, s, string(matrix.NewUserID(id.Localpart(), id.Server())))
			requireServer(t, id.Server())
		}
		if id, err := matrix.ParseRoomAlias(s); err == nil {
			accepted++
			require.Equal(t, s, string(matrix.NewRoomAlias(id.Localpart(), id.Server())))
			requireServer(t, id.Server())
		}
		if id, err := matrix.ParseRoomID(s); err == nil {
			accepted++
			if id.Server() == "" {
				require.Equal(t, id, id.CreateEventID().RoomID())
			} else {
				requireServer(t, id.Server())
			}
		}
		if _, err := matrix.ParseEventID(s); err == nil {
			accepted++
		}
		require.LessOrEqual(t, accepted, 1)
		if accepted > 0 {
			require.True(t, utf8.ValidString(s) && len(s) <= matrix.MaxIDLength && len(s) > 1)
		}
	})
}

func requireServer(t *testing.T, name matrix.ServerName) {
	_, err := matrix.ParseServerName(string(name))
	require.NoError(t, err)
}
