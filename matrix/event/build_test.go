package event_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
)

const (
	server = matrix.ServerName("example.org")
	roomID = matrix.RoomID("!room:example.org")
	roomV  = matrix.RoomID("!Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg")
	alice  = matrix.UserID("@alice:example.org")
	hash1  = matrix.EventID("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg")
	hash2  = matrix.EventID("$Aqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg")
)

// testKey is the key of every golden event.
func testKey(t testing.TB) event.SigningKey {
	key, err := event.ParseSigningKey([]byte("ed25519 a_test YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"))
	require.NoError(t, err)
	return key
}

func signer(t testing.TB) *event.Signer { return event.NewSigner(server, testKey(t)) }

func ptr[T any](v T) *T { return &v }

func proto(v event.RoomVersion) event.Proto {
	p := event.Proto{
		RoomVersion: v, RoomID: roomID, Sender: alice, Type: event.TypeMessage,
		Content:    []byte(`{"body":"hello","msgtype":"m.text"}`),
		PrevEvents: []matrix.EventID{hash1}, AuthEvents: []matrix.EventID{hash1, hash2},
		Depth: 7, OriginServerTS: 1700000000000,
	}
	if v.Rules().RoomIDFromCreate {
		p.RoomID = roomV
	}
	if v.Rules().OwnEventIDs {
		p.EventID = "$letter:example.org"
		p.ReferenceHashes = map[matrix.EventID]string{hash1: "Rqnc+F+dvnEYJTyHq/iKxU2bZ1CI92+kuZq3a5lr5Zg", hash2: "Aqnc+F+dvnEYJTyHq/iKxU2bZ1CI92+kuZq3a5lr5Zg"}
	}
	return p
}

func TestBuildGolden(t *testing.T) {
	e, err := event.Build(proto(event.V12), signer(t))
	require.NoError(t, err)
	require.Equal(t, "$4tcBGNLFNg3XH7W-uAGOBUJ4fR8ltzjdfndaTNKykLk", string(e.ID()))
	require.Equal(t, `{"auth_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg","$Aqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"content":{"body":"hello","msgtype":"m.text"},"depth":7,"hashes":{"sha256":"rwc8I5XYbE9LNL8zPQvAbu4PtBbE/Qk85ZbEQh5Rl2o"},"origin_server_ts":1700000000000,"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],"room_id":"!Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg","sender":"@alice:example.org","signatures":{"example.org":{"ed25519:a_test":"XL2uXAzAqhMZBPkf0zzD/lC9GdL/s2d4q7MSkk1OQkrW+RV6uN2nKWDCV3wzXtDDXHeGz+2sEhZBvtjl6eWgCQ"}},"type":"m.room.message"}`, string(e.JSON()))
}

// TestBuildNamesEventsAsTheVersionWants checks ids and references where they differ from the newest versions'.
func TestBuildNamesEventsAsTheVersionWants(t *testing.T) {
	e, err := event.Build(proto(event.V1), signer(t))
	require.NoError(t, err)
	require.Equal(t, "$letter:example.org", string(e.ID()))
	require.Contains(t, string(e.JSON()), `,"depth":7,"event_id":"$letter:example.org","hashes":{`)
	require.Contains(t, string(e.JSON()), `,"prev_events":[["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg",{"sha256":"Rqnc+F+dvnEYJTyHq/iKxU2bZ1CI92+kuZq3a5lr5Zg"}]],`)
	require.Equal(t, []matrix.EventID{hash1, hash2}, e.AuthEvents())
	hash, err := e.ReferenceHash()
	require.NoError(t, err)
	redacted, err := e.Redacted()
	require.NoError(t, err)
	again, err := redacted.ReferenceHash()
	require.NoError(t, err)
	require.Equal(t, hash, again, "a redaction changes no reference")

	slashed, safe := "", ""
	for depth := int64(1); slashed == ""; depth++ { // until an id has one of the letters that differ
		for v, id := range map[event.RoomVersion]*string{event.V3: &slashed, event.V4: &safe} {
			p := proto(v)
			p.Depth = depth
			e, err := event.Build(p, signer(t))
			require.NoError(t, err)
			*id = string(e.ID())
		}
		if !strings.ContainsAny(slashed, "/+") {
			slashed = ""
		}
	}
	require.Equal(t, strings.NewReplacer("/", "_", "+", "-").Replace(slashed), safe)

	for _, broken := range []string{`{"content":{},"sender":"@a:x","type":"m.x"}`, `{"content":{},"event_id":7,"sender":"@a:x","type":"m.x"}`} {
		_, err = event.Parse(event.V1, []byte(broken))
		require.Error(t, err)
	}
	odd, err := event.Parse(event.V2, []byte(`{"auth_events":["$a",[],[7],["$b",{}]],"content":{},"event_id":"$c:x","prev_events":{},"sender":"@a:x","type":"m.x"}`))
	require.NoError(t, err)
	require.Equal(t, []matrix.EventID{"$b"}, odd.AuthEvents())
	require.Empty(t, odd.PrevEvents())
}

// plainKeys need no escapes: gomatrixserverlib writes escaped keys back unescaped.
var plainKeys = rapid.StringMatching(`[a-zA-Z0-9_.日本é😀/<>&]{0,8}`)

// values draws JSON values that canonical JSON can hold.
func values(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		most := 6
		if depth == 0 {
			most = 4
		}
		switch rapid.IntRange(0, most).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.Int64Range(canonicaljson.MinInt, canonicaljson.MaxInt).Draw(t, "int")
		case 3, 4:
			return rapid.String().Draw(t, "string")
		case 5:
			return rapid.SliceOfN(values(depth-1), 0, 4).Draw(t, "array")
		default:
			return rapid.MapOfN(plainKeys, values(depth-1), 0, 5).Draw(t, "object")
		}
	})
}

var types = []string{
	event.TypeMessage, event.TypeMember, event.TypeCreate, event.TypePowerLevels, event.TypeJoinRules,
	event.TypeHistoryVisibility, event.TypeRedaction, event.TypeThirdPartyInvite, "m.room.aliases", "org.example.日本\"\\",
}

// contentKeys are those that some redaction algorithm treats specially.
var contentKeys = []string{
	"membership", "join_authorised_via_users_server", "creator", "join_rule", "allow", "ban", "events",
	"events_default", "kick", "redact", "state_default", "users", "users_default", "invite",
	"history_visibility", "redacts", "aliases", "body", "room_version",
}

func protos() *rapid.Generator[event.Proto] {
	return rapid.Custom(func(t *rapid.T) event.Proto {
		p := proto(rapid.SampledFrom(event.Versions()).Draw(t, "version"))
		p.Type = rapid.SampledFrom(types).Draw(t, "type")
		if rapid.Bool().Draw(t, "state") {
			p.StateKey = ptr(rapid.SampledFrom([]string{"", "@bob:example.org", "k\n\"", "日本"}).Draw(t, "state key"))
		}
		content := rapid.MapOfN(plainKeys, values(2), 0, 4).Draw(t, "content")
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(contentKeys), 0, 5, rapid.ID).Draw(t, "keys") {
			content[key] = values(2).Draw(t, "value")
		}
		// gomatrixserverlib does not know that version 11 keeps third_party_invite.signed.
		if !p.RoomVersion.Rules().NewRedaction && rapid.Bool().Draw(t, "third party") {
			content["third_party_invite"] = map[string]any{"display_name": "b", "signed": values(2).Draw(t, "signed")}
		}
		if p.Type == event.TypeRedaction {
			p.Redacts = hash1
			delete(content, "redacts")
		}
		if p.Type == event.TypeCreate && p.StateKey != nil && *p.StateKey == "" && p.RoomVersion.Rules().RoomIDFromCreate {
			p.RoomID = ""
		}
		p.Content = canonical(t, content)
		p.Depth = rapid.Int64Range(1, canonicaljson.MaxInt).Draw(t, "depth")
		return p
	})
}

func canonical(t require.TestingT, v any) []byte {
	out, err := canonicaljson.Marshal(v)
	require.NoError(t, err)
	return out
}

// TestBuildAgreesWithGomatrixserverlib checks ids, hashes, signatures and redactions of random
// events in every version against another implementation.
func TestBuildAgreesWithGomatrixserverlib(t *testing.T) {
	key := testKey(t)
	rapid.Check(t, func(t *rapid.T) {
		p := protos().Draw(t, "proto")
		e, err := event.Build(p, event.NewSigner(server, key))
		require.NoError(t, err)
		require.True(t, canonicaljson.IsCanonical(e.JSON()), "%s", e.JSON())
		require.NoError(t, e.VerifyContentHash())
		require.NoError(t, e.VerifySignature(server, key.ID(), key.Public()))

		theirs, err := gomatrixserverlib.GetRoomVersion(gomatrixserverlib.RoomVersion(p.RoomVersion))
		require.NoError(t, err)
		pdu, err := theirs.NewEventFromUntrustedJSON(e.JSON())
		require.NoError(t, err)
		require.False(t, pdu.Redacted(), "content hash")
		require.Equal(t, pdu.EventID(), string(e.ID()))
		redacted, err := theirs.RedactEventJSON(e.JSON())
		require.NoError(t, err)
		redacted, err = gomatrixserverlib.CanonicalJSON(redacted)
		require.NoError(t, err)
		require.NoError(t, gomatrixserverlib.VerifyJSON(string(server), gomatrixserverlib.KeyID(key.ID()), key.Public(), redacted))

		ours, err := e.Redacted()
		require.NoError(t, err)
		require.Equal(t, string(redacted), string(ours.JSON()))
		require.NoError(t, ours.VerifySignature(server, key.ID(), key.Public()))
		again, err := event.Parse(p.RoomVersion, ours.JSON())
		require.NoError(t, err)
		require.Equal(t, e.ID(), again.ID())
	})
}

// TestParseReadsWhatBuildMade compares the event that Build returns with the one that is read back.
func TestParseReadsWhatBuildMade(t *testing.T) {
	key := testKey(t)
	rapid.Check(t, func(t *rapid.T) {
		built, err := event.Build(protos().Draw(t, "proto"), event.NewSigner(server, key))
		require.NoError(t, err)
		read, err := event.Parse(built.Version(), built.JSON())
		require.NoError(t, err)
		require.Equal(t, describe(built), describe(read))
		require.Equal(t, string(built.ClientJSON(true)), string(read.ClientJSON(true)))
		known, err := event.ParseWithID(built.Version(), built.ID(), built.JSON())
		require.NoError(t, err)
		require.Equal(t, describe(built), describe(known))
	})
}

func describe(e *event.Event) string {
	key := "none"
	if k := e.StateKey(); k != nil {
		key = *k
	}
	return fmt.Sprint(e.ID(), e.Version(), e.Type(), e.IsState(), key, e.Sender(), e.RoomID(), e.HasRoomID(), string(e.Content()),
		e.Depth(), e.OriginServerTS(), e.PrevEvents(), e.AuthEvents(), e.Redacts(), e.Membership())
}

func TestBuildRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := map[string]struct {
		change func(*event.Proto)
		code   matrix.ErrCode
	}{
		"type":      {func(p *event.Proto) { p.Type = long }, matrix.CodeTooLarge},
		"state key": {func(p *event.Proto) { p.StateKey = &long }, matrix.CodeTooLarge},
		"sender":    {func(p *event.Proto) { p.Sender = matrix.UserID("@" + long + ":x") }, matrix.CodeTooLarge},
		"room id":   {func(p *event.Proto) { p.RoomID = matrix.RoomID("!" + long) }, matrix.CodeTooLarge},
		"content": {func(p *event.Proto) {
			p.Content = []byte(`{"body":"` + strings.Repeat("x", event.MaxSize) + `"}`)
		}, matrix.CodeTooLarge},
		"NUL in type":      {func(p *event.Proto) { p.Type = "a\x00" }, matrix.CodeInvalidParam},
		"NUL in state key": {func(p *event.Proto) { p.StateKey = ptr("a\x00") }, matrix.CodeInvalidParam},
		"version":          {func(p *event.Proto) { p.RoomVersion = "99" }, matrix.CodeUnsupportedRoomVersion},
		"no room id":       {func(p *event.Proto) { p.RoomID = "" }, matrix.CodeUnknown},
		"no type":          {func(p *event.Proto) { p.Type = "" }, matrix.CodeUnknown},
		"array":            {func(p *event.Proto) { p.Content = []byte(`[]`) }, matrix.CodeUnknown},
		"event id":         {func(p *event.Proto) { p.EventID = "$a:x" }, matrix.CodeUnknown},
		"no event id":      {func(p *event.Proto) { p.RoomVersion = event.V2 }, matrix.CodeUnknown},
		"no reference hash": {func(p *event.Proto) {
			*p = proto(event.V1)
			delete(p.ReferenceHashes, hash2)
		}, matrix.CodeUnknown},
		"depth": {func(p *event.Proto) { p.Depth = canonicaljson.MaxInt + 1 }, matrix.CodeUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := proto(event.V11)
			tt.change(&p)
			_, err := event.Build(p, signer(t))
			require.Error(t, err)
			require.Equal(t, tt.code, matrix.AsError(err).Code)
		})
	}
}

// TestBuildSizeLimit finds the largest event that is accepted: 65,536 bytes with everything.
func TestBuildSizeLimit(t *testing.T) {
	build := func(n int) (*event.Event, error) {
		p := proto(event.V11)
		p.Content = []byte(`{"body":"` + strings.Repeat("x", n) + `"}`)
		return event.Build(p, signer(t))
	}
	small, err := build(0)
	require.NoError(t, err)
	room := event.MaxSize - len(small.JSON())
	largest, err := build(room)
	require.NoError(t, err)
	require.Len(t, largest.JSON(), event.MaxSize)
	_, err = build(room + 1)
	require.Equal(t, matrix.CodeTooLarge, matrix.AsError(err).Code)
	require.Equal(t, 413, matrix.AsError(err).Status)
}

func TestCreateEventMakesRoomID(t *testing.T) {
	p := proto(event.V12)
	p.Type, p.StateKey, p.RoomID = event.TypeCreate, ptr(""), ""
	p.Content, p.PrevEvents, p.AuthEvents, p.Depth = []byte(`{"room_version":"12"}`), nil, nil, 1
	e, err := event.Build(p, signer(t))
	require.NoError(t, err)
	require.Equal(t, "!"+string(e.ID())[1:], string(e.RoomID()))
	require.False(t, e.HasRoomID())
	require.NotContains(t, string(e.JSON()), "room_id")
	require.Contains(t, string(e.JSON()), `"prev_events":[]`)
	var v map[string]any
	require.NoError(t, json.Unmarshal(e.ClientJSON(true), &v))
	require.Equal(t, string(e.RoomID()), v["room_id"])
	p.RoomID = roomV
	_, err = event.Build(p, signer(t))
	require.Error(t, err)
}

func BenchmarkBuild(b *testing.B) {
	s := signer(b)
	p := proto(event.V12)
	p.AuthEvents = append(p.AuthEvents, hash1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Build(p, s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGomatrixserverlib builds the same event, for comparison.
func BenchmarkGomatrixserverlib(b *testing.B) {
	key := testKey(b)
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	p := proto(event.V12)
	auth := []string{string(hash1), string(hash2), string(hash1)}
	b.ReportAllocs()
	for b.Loop() {
		eb := gomatrixserverlib.MustGetRoomVersion(gomatrixserverlib.RoomVersionV12).NewEventBuilderFromProtoEvent(&gomatrixserverlib.ProtoEvent{
			SenderID: string(p.Sender), RoomID: string(p.RoomID), Type: p.Type, PrevEvents: []string{string(hash1)}, AuthEvents: auth,
			Depth: p.Depth, Content: p.Content,
		})
		if _, err := eb.Build(time.UnixMilli(p.OriginServerTS), spec.ServerName(server), gomatrixserverlib.KeyID(key.ID()), private); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	e, err := event.Build(proto(event.V12), signer(b))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.ParseWithID(event.V12, e.ID(), e.JSON()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClientJSON(b *testing.B) {
	e, err := event.Build(proto(event.V12), signer(b))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		e.ClientJSON(false)
	}
}

func BenchmarkAppendUnsigned(b *testing.B) {
	e, err := event.Build(proto(event.V12), signer(b))
	require.NoError(b, err)
	client, buf := e.ClientJSON(false), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = event.AppendUnsigned(buf[:0], client, event.Unsigned{Age: 1234, Membership: event.Join, TransactionID: "m1.2"})
	}
}
