package canonicaljson_test

import (
	"strings"
	"testing"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
)

func TestCanonicalize(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"empty object":           {`{}`, `{}`},
		"whitespace":             {" {\n\t\"one\" : 1 ,\r\n \"two\":\"Two\" } ", `{"one":1,"two":"Two"}`},
		"sorted":                 {`{"b":"2","a":"1"}`, `{"a":"1","b":"2"}`},
		"spec example, nested":   {`{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}`, `{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}`},
		"unicode":                {`{"a":"日本語"}`, `{"a":"日本語"}`},
		"unicode keys":           {`{"本":2,"日":1}`, `{"日":1,"本":2}`},
		"unicode escape":         {`{"a":"\u65E5"}`, `{"a":"日"}`},
		"null":                   {`{"a":null}`, `{"a":null}`},
		"negative zero":          {`{"a":-0}`, `{"a":0}`},
		"by code point":          {`{"\ud83d\ude00":1,"\uffee":2,"a":3}`, `{"a":3,"` + "\uffee" + `":2,"😀":1}`},
		"prefix first":           {`{"ab":1,"a":2}`, `{"a":2,"ab":1}`},
		"escaped keys":           {`{"b":1,"\n":2,"\u0001":3,"\"":4,"\\":5,"a":6}`, `{"\u0001":3,"\n":2,"\"":4,"\\":5,"a":6,"b":1}`},
		"escape before a letter": {`{"a\nb":1,"aAb":2,"a":3}`, `{"a":3,"a\nb":1,"aAb":2}`},
		"short escapes":          {`"\/\b\t\n\f\r\"\\\u0008\u0009\u000a\u000c\u000d\u0022\u005c\u002f"`, `"/\b\t\n\f\r\"\\\b\t\n\f\r\"\\/"`},
		"control":                {`"\u0000\u000B\u001F\u007f"`, `"\u0000\u000b\u001f` + "\x7f" + `"`},
		"duplicate":              {`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		"duplicate, escaped":     {`{"a":1,"\u0061":{"x":[]}}`, `{"a":{"x":[]}}`},
		"duplicates in order":    {`{"a":1,"a":2,"a":3}`, `{"a":3}`},
		"bounds":                 {`[9007199254740991,-9007199254740991]`, `[9007199254740991,-9007199254740991]`},
		"scalars":                {`[true,false,null,"",0]`, `[true,false,null,"",0]`},
		"many keys":              {`{"m":1,"l":1,"k":1,"j":1,"i":1,"h":1,"g":1,"f":1,"e":1,"d":1,"c":1,"b":1,"a":1,"m":2}`, `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":2}`},
		"unsorted in unsorted":   {`{"z":{"y":1,"x":{"b":1,"a":2}},"a":{"d":1,"c":2}}`, `{"a":{"c":2,"d":1},"z":{"x":{"a":2,"b":1},"y":1}}`},
		"deepest":                {strings.Repeat("[", canonicaljson.MaxDepth) + strings.Repeat("]", canonicaljson.MaxDepth), strings.Repeat("[", canonicaljson.MaxDepth) + strings.Repeat("]", canonicaljson.MaxDepth)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := canonicaljson.Canonicalize([]byte(tt.in))
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
			require.True(t, canonicaljson.IsCanonical(got))
			require.NoError(t, canonicaljson.Check([]byte(tt.in)))
		})
	}
}

func TestCanonicalizeRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, canonicaljson.MaxDepth+1) + "1" + strings.Repeat("}", canonicaljson.MaxDepth+1)
	tests := map[string]struct {
		in   string
		code matrix.ErrCode
	}{
		"empty":             {``, matrix.CodeNotJSON},
		"only space":        {` `, matrix.CodeNotJSON},
		"NaN":               {`{"a":NaN}`, matrix.CodeNotJSON},
		"Infinity":          {`{"a":-Infinity}`, matrix.CodeNotJSON},
		"word":              {`[nul]`, matrix.CodeNotJSON},
		"leading zero":      {`01`, matrix.CodeNotJSON},
		"plus":              {`+1`, matrix.CodeNotJSON},
		"minus alone":       {`-`, matrix.CodeNotJSON},
		"dot alone":         {`1.`, matrix.CodeNotJSON},
		"exponent alone":    {`1e`, matrix.CodeNotJSON},
		"trailing":          {`{} x`, matrix.CodeNotJSON},
		"trailing comma":    {`{"a":1,}`, matrix.CodeNotJSON},
		"array comma":       {`[1,]`, matrix.CodeNotJSON},
		"no colon":          {`{"a" 1}`, matrix.CodeNotJSON},
		"no key":            {`{1:2}`, matrix.CodeNotJSON},
		"open object":       {`{"a":1`, matrix.CodeNotJSON},
		"open array":        {`[1`, matrix.CodeNotJSON},
		"open string":       {`"a`, matrix.CodeNotJSON},
		"open escape":       {`"a\`, matrix.CodeNotJSON},
		"escape":            {`"\x"`, matrix.CodeNotJSON},
		"short escape":      {`"\u12"`, matrix.CodeNotJSON},
		"not hex":           {`"\u12g4"`, matrix.CodeNotJSON},
		"control":           {"\"\n\"", matrix.CodeNotJSON},
		"bad UTF-8":         {"\"\xff\"", matrix.CodeNotJSON},
		"overlong UTF-8":    {"\"\xc0\x80\"", matrix.CodeNotJSON},
		"surrogate UTF-8":   {"\"\xed\xa0\x80\"", matrix.CodeNotJSON},
		"lone high":         {`"\ud800"`, matrix.CodeNotJSON},
		"lone low":          {`"\udc00\ud800"`, matrix.CodeNotJSON},
		"high and no low":   {`"\ud800\u0041"`, matrix.CodeNotJSON},
		"high and bad hex":  {`"\ud800\uzzzz"`, matrix.CodeNotJSON},
		"byte order mark":   {"\ufeff{}", matrix.CodeNotJSON},
		"float":             {`{"a":1.5}`, matrix.CodeBadJSON},
		"whole float":       {`1.0`, matrix.CodeBadJSON},
		"exponent":          {`1e3`, matrix.CodeBadJSON},
		"negative exponent": {`-1E-3`, matrix.CodeBadJSON},
		"too large":         {`9007199254740992`, matrix.CodeBadJSON},
		"too small":         {`-9007199254740992`, matrix.CodeBadJSON},
		"huge":              {strings.Repeat("9", 400), matrix.CodeBadJSON},
		"too deep":          {deep, matrix.CodeBadJSON},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := canonicaljson.Canonicalize([]byte(tt.in))
			var e *matrix.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.code, e.Code, e.Message)
			require.Equal(t, 400, e.Status)
		})
	}
}

func TestCheckTakesAnyNumber(t *testing.T) {
	require.NoError(t, canonicaljson.Check([]byte(`[1.5,1e3,123456789012345678901234567890]`)))
	require.Error(t, canonicaljson.Check([]byte(`[1.]`)))
}

func TestNormalize(t *testing.T) {
	got, err := canonicaljson.Normalize([]byte(`{"b":1.50,"a":-0,"b":1E3}`))
	require.NoError(t, err)
	require.Equal(t, `{"a":-0,"b":1E3}`, string(got))
	_, err = canonicaljson.Normalize([]byte(`{`))
	require.Equal(t, matrix.CodeNotJSON, matrix.AsError(err).Code)
}

func TestCanonicalizeObject(t *testing.T) {
	_, err := canonicaljson.CanonicalizeObject([]byte(`[]`))
	require.Equal(t, matrix.CodeBadJSON, matrix.AsError(err).Code)
	got, err := canonicaljson.CanonicalizeObject([]byte(` {"b":1,"a":2}`))
	require.NoError(t, err)
	require.Equal(t, `{"a":2,"b":1}`, string(got))
}

func TestAppend(t *testing.T) {
	b := append([]byte(nil), '{')
	b = canonicaljson.AppendKey(b, "a\n")
	b = canonicaljson.AppendString(b, "x\x01\"\\\x7f日\xff!")
	b = canonicaljson.AppendKey(b, "b")
	b = canonicaljson.AppendInt(b, -5)
	b = canonicaljson.AppendKey(b, "c")
	b = canonicaljson.AppendBool(b, true)
	b = canonicaljson.AppendKey(b, "d")
	b = canonicaljson.AppendStrings(b, []matrix.EventID{"$a", "$b"})
	b = canonicaljson.AppendKey(b, "e")
	b = canonicaljson.AppendStrings[string](b, nil)
	b = append(b, '}')
	require.Equal(t, `{"a\n":"x\u0001\"\\`+"\x7f日\ufffd"+`!","b":-5,"c":true,"d":["$a","$b"],"e":[]}`, string(b))
	require.True(t, canonicaljson.IsCanonical(b))
}

func TestMarshal(t *testing.T) {
	got, err := canonicaljson.Marshal(map[string]any{"b": "<&>", "a": []int{1}})
	require.NoError(t, err)
	require.Equal(t, `{"a":[1],"b":"<&>"}`, string(got))
	_, err = canonicaljson.Marshal(1.5)
	require.Equal(t, matrix.CodeBadJSON, matrix.AsError(err).Code)
	_, err = canonicaljson.Marshal(func() {})
	require.Error(t, err)
}

const message = `{"msgtype":"m.text","body":"Good morning, shall we meet at the \u65E5 station? It's been a while.","m.mentions":{"user_ids":["@alice:example.org"]},"m.relates_to":{"m.in_reply_to":{"event_id":"$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"}}}`

func BenchmarkCanonicalize(b *testing.B) {
	raw := []byte(message)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canonicaljson.Canonicalize(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonicalizeSorted(b *testing.B) {
	raw, _ := canonicaljson.Canonicalize([]byte(message))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canonicaljson.Canonicalize(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGomatrixserverlib(b *testing.B) {
	raw := []byte(message)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gomatrixserverlib.EnforcedCanonicalJSON(raw, gomatrixserverlib.RoomVersionV11); err != nil {
			b.Fatal(err)
		}
	}
}
