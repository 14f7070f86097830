package rawjson_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/internal/rawjson"
)

func TestObject(t *testing.T) {
	raw := []byte(` { "a" : 1 , "b\"\\" : [ 1 , {"x":"]}"} ] ,"c":"\\\"","d":{} , "e":true }`)
	var got []string
	for it := rawjson.Object(raw); it.Next(); {
		got = append(got, rawjson.Key(it.Key)+"="+string(it.Value))
	}
	require.Equal(t, []string{"a=1", `b"\=[ 1 , {"x":"]}"} ]`, `c="\\\""`, "d={}", "e=true"}, got)
}

func TestArray(t *testing.T) {
	var got []string
	for it := rawjson.Array([]byte(`["a",2, null ,{"b":[]}]`)); it.Next(); {
		got = append(got, string(it.Value))
	}
	require.Equal(t, []string{`"a"`, "2", "null", `{"b":[]}`}, got)
	require.Equal(t, []string{"a", "b"}, rawjson.Strings[string]([]byte(`["a",1,"b",{}]`)))
	require.Nil(t, rawjson.Strings[string]([]byte(`{"a":"b"}`)))
}

func TestEmpty(t *testing.T) {
	for _, raw := range []string{"", " ", "{}", "[]", "1", `"x"`, "null"} {
		object, array := rawjson.Object([]byte(raw)), rawjson.Array([]byte(raw))
		require.False(t, object.Next(), raw)
		require.False(t, object.Next(), raw)
		require.False(t, array.Next(), raw)
	}
}

func TestScalars(t *testing.T) {
	s, ok := rawjson.String([]byte(`"a\u65e5\n"`))
	require.True(t, ok)
	require.Equal(t, "a日\n", s)
	for _, raw := range []string{"", `"`, "1", "null", `"\x"`} {
		_, ok := rawjson.String([]byte(raw))
		require.False(t, ok, raw)
	}
	n, ok := rawjson.Int([]byte("-9007199254740991"))
	require.True(t, ok)
	require.Equal(t, int64(-9007199254740991), n)
	for _, raw := range []string{"", "1.5", "1e3", `"1"`, "true", "99999999999999999999", "-"} {
		_, ok := rawjson.Int([]byte(raw))
		require.False(t, ok, raw)
	}
	require.True(t, rawjson.Equals([]byte(`"\u0061"`), "a"))
	require.True(t, rawjson.Equals([]byte(`"a"`), "a"))
	require.False(t, rawjson.Equals([]byte(`a`), "a"))
}

func TestPaths(t *testing.T) {
	tests := map[string][]string{
		"": {""}, "a": {"a"}, "a.b": {"a", "b"}, `a\.b.c`: {"a.b", "c"}, `a\\.b`: {`a\`, "b"}, `a\x`: {`a\x`}, `a\`: {`a\`}, "..": {"", "", ""},
	}
	for path, want := range tests {
		require.Equal(t, want, rawjson.SplitPath(path), path)
	}
	raw := []byte(`{"a":{"b.c":{"\u0064":1}}}`)
	require.Equal(t, "1", string(rawjson.GetPath(raw, []string{"a", "b.c", "d"})))
	require.Nil(t, rawjson.GetPath(raw, []string{"a", "x", "d"}))
	require.Equal(t, string(raw), string(rawjson.GetPath(raw, nil)))
}

// FuzzWalk reads anything without panicking, and valid JSON as encoding/json does.
func FuzzWalk(f *testing.F) {
	for _, s := range []string{`{"a":[1,"x",{"b":null}],"c\"":"\\"}`, `[[[`, `{"a"`, `{"a":`, `"\`, `{"\\":1,"\\\"":2}`, "[1 2]", "{]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		walk(raw, 0)
		raw = bytes.TrimSpace(raw)
		if !json.Valid(raw) || !utf8.Valid(raw) || bytes.Contains(raw, []byte(`\ud`)) || bytes.Contains(raw, []byte(`\uD`)) {
			return
		}
		switch raw[0] {
		case '{':
			var want map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(raw, &want))
			got := map[string]json.RawMessage{}
			for it := rawjson.Object(raw); it.Next(); {
				got[rawjson.Key(it.Key)] = it.Value
			}
			require.Equal(t, len(want), len(got))
			for key, value := range want {
				require.Equal(t, string(value), string(got[key]))
			}
		case '[':
			var want []json.RawMessage
			require.NoError(t, json.Unmarshal(raw, &want))
			it := rawjson.Array(raw)
			for _, value := range want {
				require.True(t, it.Next())
				require.Equal(t, string(value), string(it.Value))
			}
			require.False(t, it.Next())
		}
	})
}

func walk(raw []byte, depth int) {
	if depth > 50 {
		return
	}
	for it := rawjson.Object(raw); it.Next(); {
		rawjson.Key(it.Key)
		walk(it.Value, depth+1)
	}
	for it := rawjson.Array(raw); it.Next(); {
		rawjson.Text(it.Value)
		rawjson.Int(it.Value)
		walk(it.Value, depth+1)
	}
}
