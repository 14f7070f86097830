package httpx_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

type inner struct {
	X int `json:"x"`
	Y int `json:"y"`
}

type body struct {
	Name  string            `json:"name"`
	Count int64             `json:"count"`
	Inner inner             `json:"inner"`
	List  []inner           `json:"list"`
	Map   map[string]string `json:"map"`
	Raw   json.RawMessage   `json:"raw"`
	Any   any               `json:"any"`
}

func request(text string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
	r.Header.Set("Content-Type", "text/html; charset=latin1")
	return r
}

func TestReadJSON(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	for _, tc := range []struct {
		name, text string
		want       body
		code       matrix.ErrCode
		message    string // part of the error
	}{
		{name: "empty", text: ""},
		{name: "white space", text: " \r\n\t "},
		{name: "empty object", text: " {} "},
		{name: "unknown keys", text: `{"name":"a","other":[1.5,{"x":null}]}`, want: body{Name: "a"}},
		{name: "null is missing", text: `{"name":null}`},
		{name: "duplicate: the last counts", text: `{"name":"a","name":"b"}`, want: body{Name: "b"}},
		{name: "duplicate objects do not merge", text: `{"inner":{"x":1},"inner":{"y":2}}`, want: body{Inner: inner{Y: 2}}},
		{name: "duplicate maps do not merge", text: `{"map":{"a":"1"},"map":{"b":"2"}}`, want: body{Map: map[string]string{"b": "2"}}},
		{name: "escaped duplicate", text: `{"name":"a","n\u0061me":"b"}`, want: body{Name: "b"}},
		{name: "case matters", text: `{"name":"a","Name":"b","NAME":"c"}`, want: body{Name: "a"}},
		{name: "case matters below", text: `{"list":[{"X":1},{"x":2}],"inner":{"Y":3}}`, want: body{List: []inner{{}, {X: 2}}}},
		{name: "case within maps stays", text: `{"map":{"A":"1","a":"2"}}`, want: body{Map: map[string]string{"A": "1", "a": "2"}}},
		{name: "Unicode folding", text: `{"li\u017ft":[{"x":1}],"liſt":[{"x":1}]}`},
		{name: "duplicates within raw", text: `{"raw":{"a":1, "a":2}}`, want: body{Raw: json.RawMessage(`{"a":2}`)}},
		{name: "largest integer", text: `{"count":9223372036854775807}`, want: body{Count: math.MaxInt64}},
		{name: "malformed", text: `{"name":`, code: matrix.CodeNotJSON},
		{name: "just text", text: `hello`, code: matrix.CodeNotJSON},
		{name: "more behind", text: `{} {}`, code: matrix.CodeNotJSON},
		{name: "NaN", text: `{"count":NaN}`, code: matrix.CodeNotJSON},
		{name: "infinity", text: `{"count":Infinity}`, code: matrix.CodeNotJSON},
		{name: "single quotes", text: `{'name':'a'}`, code: matrix.CodeNotJSON},
		{name: "bad UTF-8", text: "{\"name\":\"\xff\"}", code: matrix.CodeNotJSON},
		{name: "bare NUL", text: "{\"name\":\"\x00\"}", code: matrix.CodeNotJSON},
		{name: "escaped NUL", text: `{"name":"a\u0000"}`, code: matrix.CodeBadJSON},
		{name: "not NUL", text: `{"name":"a\\u0000"}`, want: body{Name: `a\u0000`}},
		{name: "lone high surrogate", text: `{"name":"\ud800"}`, code: matrix.CodeNotJSON},
		{name: "lone low surrogate", text: `{"name":"x\uDFFFx"}`, code: matrix.CodeNotJSON},
		{name: "surrogates in the wrong order", text: `{"name":"\udc00\ud800"}`, code: matrix.CodeNotJSON},
		{name: "high surrogate and another character", text: `{"name":"\ud83d\u0041"}`, code: matrix.CodeNotJSON},
		{name: "two high surrogates", text: `{"name":"\ud83d\ud83d\ude00"}`, code: matrix.CodeNotJSON},
		{name: "lone surrogate in a key", text: `{"\ud800":1}`, code: matrix.CodeNotJSON},
		{name: "lone surrogate deep in what is ignored", text: `{"x":[{"y":"\n\uDBFF"}]}`, code: matrix.CodeNotJSON},
		{name: "surrogate pair", text: `{"name":"\ud83d\ude00\uD83D\uDE00"}`, want: body{Name: "😀😀"}},
		{name: "no escape of a surrogate", text: `{"name":"\\ud800"}`, want: body{Name: `\ud800`}},
		{name: "list", text: `[]`, code: matrix.CodeBadJSON},
		{name: "null", text: `null`, code: matrix.CodeBadJSON},
		{name: "number for text", text: `{"name":1}`, code: matrix.CodeBadJSON, message: "name: unexpected number"},
		{name: "float", text: `{"count":1.5}`, code: matrix.CodeBadJSON, message: "count"},
		{name: "exponent", text: `{"count":1e2}`, code: matrix.CodeBadJSON},
		{name: "too large a number", text: `{"count":9223372036854775808}`, code: matrix.CodeBadJSON},
		{name: "wrong deep inside", text: `{"inner":{"x":"1"}}`, code: matrix.CodeBadJSON, message: "inner.x"},
		{name: "as deep as may be", text: `{"raw":` + deep(httpx.MaxDepth-1) + `}`, want: body{Raw: json.RawMessage(deep(httpx.MaxDepth - 1))}},
		{name: "deeper", text: deep(httpx.MaxDepth + 1), code: matrix.CodeBadJSON},
		{name: "very deep", text: deep(20000), code: matrix.CodeBadJSON},
		{name: "deep and open", text: strings.Repeat("[", 200000), code: matrix.CodeBadJSON},
		{name: "brackets within text", text: `{"name":"` + strings.Repeat(`[{\"`, 200) + `"}`, want: body{Name: strings.Repeat(`[{"`, 200)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got body
			err := httpx.ReadJSON(request(tc.text), &got)
			if tc.code == "" {
				require.NoError(t, err)
				require.Equal(t, tc.want, got)
				return
			}
			var e *matrix.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.code, e.Code)
			require.Equal(t, http.StatusBadRequest, e.Status)
			require.Contains(t, e.Message, tc.message)
		})
	}
}

type embedded struct {
	Name  string  `json:"name"`
	Inner []inner `json:"m.inner"`
}

// What is wrong is named by the keys of the body, not by the Go types that it is decoded into.
func TestReadJSONNamesKeys(t *testing.T) {
	for text, want := range map[string]string{
		`{"name":1}`:                               "name: unexpected number.",
		`{"m.inner":[{"x":1},{"x":true}]}`:         "m.inner.x: unexpected bool.",
		`{"auth":{"name":[]}}`:                     "auth.name: unexpected array.",
		`{"auth":{"m.inner":[{"y":"a"}]}}`:         "auth.m.inner.y: unexpected string.",
		`{"by":{"some.key":{"name":1}}}`:           "by.name: unexpected number.",
		`{"auth":"x"}`:                             "auth: unexpected string.",
		`{"Untagged":"x"}`:                         "Untagged: unexpected string.",
		`{"pointer":{"name":{}}}`:                  "pointer.name: unexpected object.",
		`{"list":[{"y":1},{"y":9999999999999.5}]}`: "list.y: unexpected number 9999999999999.5.",
	} {
		var v struct {
			Auth struct {
				Type string `json:"type"`
				embedded
			} `json:"auth"`
			embedded
			By       map[string]embedded `json:"by"`
			List     []inner             `json:"list"`
			Pointer  *embedded           `json:"pointer"`
			Untagged int
		}
		err := httpx.ReadJSON(request(text), &v)
		var e *matrix.Error
		require.ErrorAs(t, err, &e, text)
		require.Equal(t, matrix.CodeBadJSON, e.Code, text)
		require.Equal(t, want, e.Message, text)
	}
}

func TestReadObject(t *testing.T) {
	got, err := httpx.ReadObject(request(`  {"b":1.5,"a":{"x":1,"x":2}}` + "\n"))
	require.NoError(t, err)
	require.Equal(t, `{"b":1.5,"a":{"x":1,"x":2}}`, string(got), "as it is: making it canonical is the caller's")
	got, err = httpx.ReadObject(request(""))
	require.NoError(t, err)
	require.Equal(t, `{}`, string(got))
	for _, text := range []string{"[]", "1", `"{}"`} {
		_, err = httpx.ReadObject(request(text))
		require.Equal(t, matrix.CodeBadJSON, matrix.AsError(err).Code, text)
	}
	for _, text := range []string{"{", `{"a":["\ud800"]}`} {
		_, err = httpx.ReadObject(request(text))
		require.Equal(t, matrix.CodeNotJSON, matrix.AsError(err).Code, text)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestReadErrors(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/", failing{io.ErrUnexpectedEOF})
	require.Equal(t, matrix.CodeNotJSON, matrix.AsError(httpx.ReadJSON(r, &body{})).Code)
	r = httptest.NewRequest(http.MethodPost, "/", failing{&http.MaxBytesError{Limit: 7}})
	e := matrix.AsError(httpx.ReadJSON(r, &body{}))
	require.Equal(t, matrix.CodeTooLarge, e.Code)
	require.Equal(t, http.StatusRequestEntityTooLarge, e.Status)
	r = httptest.NewRequest(http.MethodPost, "/", failing{io.ErrClosedPipe})
	require.Equal(t, http.StatusBadRequest, matrix.AsError(httpx.ReadJSON(r, &body{})).Status)
}

func TestWriteJSON(t *testing.T) {
	w := httptest.NewRecorder()
	httpx.WriteJSON(w, http.StatusCreated, map[string]string{"a": "<&>"})
	require.Equal(t, http.StatusCreated, w.Code)
	require.Equal(t, `{"a":"<&>"}`, w.Body.String())
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, "11", w.Header().Get("Content-Length"))
	w = httptest.NewRecorder()
	httpx.WriteJSON(w, http.StatusOK, math.NaN())
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "M_UNKNOWN")
}

// reference decodes as Matrix means it, slowly: the last of equal keys.
func reference(t *testing.T, text []byte) any {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	require.NoError(t, dec.Decode(&v)) // into any, encoding/json does not merge
	return v
}

func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1,"a":2,"b":[{"a":1,"a":{}}]}`, `{"\u0061":1,"a":2}`, `{"a":{"b":1,"b":2},"a":{"c":3}}`, `{"A":1,"a":2}`,
		`{"":{},"":[]}`, " {\t\"a\" : [ ] , \"b\" : \"\\\\\" } ", `{"a":-1.5e+3,"b":true,"c":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got struct {
			All map[string]json.RawMessage
		}
		err := httpx.DecodeJSON(text, &got.All)
		if err != nil {
			status := matrix.AsError(err).Status
			require.Equal(t, http.StatusBadRequest, status)
			return
		}
		if len(bytes.TrimSpace(text)) == 0 {
			return
		}
		want := reference(t, text).(map[string]any)
		require.Len(t, got.All, len(want))
		for key, raw := range got.All {
			require.True(t, reflect.DeepEqual(want[key], reference(t, raw)), "%q: %s", key, raw)
		}
		_ = httpx.DecodeJSON(text, &body{}) // must not panic
	})
}

func BenchmarkReadJSON(b *testing.B) {
	text := []byte(`{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"x","refresh_token":true}`)
	b.ReportAllocs()
	for b.Loop() {
		var v struct {
			Type       string            `json:"type"`
			Identifier map[string]string `json:"identifier"`
			Password   string            `json:"password"`
		}
		if err := httpx.DecodeJSON(text, &v); err != nil {
			b.Fatal(err)
		}
	}
}
