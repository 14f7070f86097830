package canonicaljson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
)

// values draws anything that canonical JSON can hold.
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
			return texts.Draw(t, "string")
		case 5:
			return rapid.SliceOfN(values(depth-1), 0, 5).Draw(t, "array")
		default:
			return rapid.MapOfN(texts, values(depth-1), 0, 20).Draw(t, "object")
		}
	})
}

var texts = rapid.OneOf(rapid.String(), rapid.StringMatching("[\x00-\x7f]{0,4}"))

// reference writes canonical JSON as the specification describes it, slowly.
func reference(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = reference(v[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.SortFunc(keys, func(a, b string) int { return slices.Compare([]rune(a), []rune(b)) })
		parts := make([]string, len(keys))
		for i, key := range keys {
			parts[i] = reference(key) + ":" + reference(v[key])
		}
		return "{" + strings.Join(parts, ",") + "}"
	case string:
		var b strings.Builder
		for _, r := range v {
			switch short := strings.IndexRune("\b\t\n\f\r\"\\", r); {
			case short >= 0:
				b.WriteString(`\` + string(`btnfr"\`[short]))
			case r < 0x20:
				fmt.Fprintf(&b, `\u%04x`, r)
			default:
				b.WriteRune(r)
			}
		}
		return `"` + b.String() + `"`
	default:
		return fmt.Sprint(v)
	}
}

// TestAgainstReference encodes random values in ways that no canonical encoder would, and expects
// the one canonical form.
func TestAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := any(rapid.MapOfN(texts, values(2), 0, 20).Draw(t, "value"))
		want := reference(v)
		raw, err := json.MarshalIndent(v, " ", "\t")
		require.NoError(t, err)
		got, err := canonicaljson.Canonicalize(raw)
		require.NoError(t, err)
		require.Equal(t, want, string(got))

		raw, err = json.Marshal(v)
		require.NoError(t, err)
		got, err = canonicaljson.Canonicalize(escapeAll(t, raw))
		require.NoError(t, err)
		require.Equal(t, want, string(got))

		again, err := canonicaljson.Append([]byte("x"), got)
		require.NoError(t, err)
		require.Equal(t, "x"+want, string(again))
	})
}

// escapeAll writes every letter within strings as \u escapes.
func escapeAll(t require.TestingT, raw []byte) []byte {
	var out bytes.Buffer
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	require.NoError(t, dec.Decode(&v))
	writeEscaped(&out, v)
	return out.Bytes()
}

func writeEscaped(out *bytes.Buffer, v any) {
	switch v := v.(type) {
	case string:
		out.WriteByte('"')
		for _, r := range v {
			if r > 0xffff {
				r -= 0x10000
				fmt.Fprintf(out, `\u%04X\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
			} else {
				fmt.Fprintf(out, `\u%04X`, r)
			}
		}
		out.WriteByte('"')
	case []any:
		out.WriteByte('[')
		for i := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			writeEscaped(out, v[i])
		}
		out.WriteByte(']')
	case map[string]any:
		out.WriteByte('{')
		first := true
		for key, value := range v {
			if !first {
				out.WriteString(" , ")
			}
			first = false
			writeEscaped(out, key)
			out.WriteString(" : ")
			writeEscaped(out, value)
		}
		out.WriteByte('}')
	case nil:
		out.WriteString("null")
	default:
		fmt.Fprint(out, v)
	}
}

// FuzzCanonicalize holds the encoder to encoding/json: what is accepted is JSON with the same
// meaning, and what is refused as no JSON is none.
func FuzzCanonicalize(f *testing.F) {
	for _, s := range []string{
		message, `{"b":1,"a":[true,false,null,-0,"\ud83d\ude00"]}`, `{"a":1,"a":2}`, `[1.5]`, `1e3`, `"\ud800"`, "\"\xff\"", `{"\u0000":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := canonicaljson.Canonicalize(raw)
		checked := canonicaljson.Check(raw)
		if err != nil {
			code := matrix.AsError(err).Code
			require.Contains(t, []matrix.ErrCode{matrix.CodeNotJSON, matrix.CodeBadJSON}, code)
			if code == matrix.CodeNotJSON {
				require.Equal(t, code, matrix.AsError(checked).Code)
				require.False(t, json.Valid(raw) && utf8.Valid(raw) && !bytes.Contains(bytes.ToLower(raw), []byte(`\ud`)), "%q", raw)
			}
			return
		}
		require.NoError(t, checked)
		require.True(t, utf8.Valid(got))
		require.LessOrEqual(t, len(got), len(raw))
		require.True(t, canonicaljson.IsCanonical(got), "%q", got)
		require.Equal(t, decode(t, raw), decode(t, got))
	})
}

func decode(t *testing.T, raw []byte) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	require.NoError(t, dec.Decode(&v), "%q", raw)
	return zeroSign(v)
}

// zeroSign makes -0 the 0 that it is.
func zeroSign(v any) any {
	switch v := v.(type) {
	case json.Number:
		if v == "-0" {
			return json.Number("0")
		}
	case []any:
		for i := range v {
			v[i] = zeroSign(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = zeroSign(v[key])
		}
	}
	return v
}
