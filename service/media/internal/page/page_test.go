package page_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	xunicode "golang.org/x/text/encoding/unicode"

	"hongyan/service/media/internal/page"
)

var base = &url.URL{Scheme: "https", Host: "site.example", Path: "/a/b"}

type props = map[string]any

func parse(body string) *page.Page { return page.Parse([]byte(body), "text/html; charset=utf-8", base) }

// TestProperties says what a page's words come to: what is meant for previews first, then what people see.
func TestProperties(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want props
	}{
		"nothing":   {"", props{}},
		"no html":   {"\x00\x01\x02", props{}},
		"empty tag": {"<", props{"og:description": "<"}},
		"open graph": {
			`<html prefix="og: https://ogp.me/ns#"><head><title>Other</title><meta property="og:title" content="The &amp; Title"/>
			<meta property="og:description" content="  Two
			lines "><meta property=og:url content="/here#part"><meta property="og:locale:alternate" content="de_DE">
			<meta property="og:video:width" content="640"><meta property="og:video" content="//cdn.example/v.mp4">
			<meta name="description" content="not this">`,
			props{
				"og:title": "The & Title", "og:description": "Two lines", "og:url": "https://site.example/here", "og:locale:alternate": "de_DE",
				"og:video:width": "640", "og:video": "https://cdn.example/v.mp4",
			},
		},
		"first of a name": {`<meta property="og:title" content="one"><meta property="og:title" content="two">`, props{"og:title": "one"}},
		"by name":         {`<META NAME="OG:Title" CONTENT="one">`, props{"og:title": "one"}},
		"twitter": {
			`<title>x</title><meta name="twitter:title" content="Card"><meta property="twitter:description" content="Says">`,
			props{"og:title": "Card", "og:description": "Says"},
		},
		"title and description": {
			`<title> A
			 title </title><title>again</title><meta name="Description" content="Of it"><svg><title>icon</title></svg>`,
			props{"og:title": "A title", "og:description": "Of it"},
		},
		"heading and text": {
			`<body><nav><a>Home</a><p>menu</p></nav><script>var x = "<p>no</p>"</script><style>p{}</style><header>top</header>
			<h1>Big <em>news</em></h1><div>aside of it</div><p>First <b>words</b>.</p><p>More words.</p><footer>end</footer>`,
			props{"og:title": "Big news", "og:description": "First words . More words."},
		},
		"text without paragraphs": {`<title>T</title><body>plain <i>text</i>`, props{"og:title": "T", "og:description": "plain text"}},
		"not the server's to be told": {
			`<meta property="og:image" content="mxc://evil/id"><meta property="matrix:image:size" content="1">
			<meta property="og:image:width" content="5"><meta property="og:image:anything" content="5"><meta property="og:x y" content="5">
			<meta property="og:" content="5"><meta property="article:author" content="x">`,
			props{},
		},
		"addresses": {
			`<meta property="og:url" content="javascript:alert(1)"><meta property="og:video" content="data:video/mp4,x">
			<meta property="og:audio:url" content="file:///etc/passwd"><meta property="og:see_also" content="https://a:b@site.example/">
			<meta property="og:video:secure_url" content="https://site.example/ok">`,
			props{"og:video:secure_url": "https://site.example/ok"},
		},
		"turned text":      {"<title>safe\u202eexe.txt\u2066\x07\u0000</title>", props{"og:title": "safeexe.txt"}},
		"says it once":     {`<meta property="og:title" content="same"><meta name="description" content="same">`, props{"og:title": "same"}},
		"broken utf-8":     {"<title>a\xff\xfeb</title>", props{"og:title": "ab"}},
		"unclosed":         {`<title>T</title><meta property="og:description" content="never ends`, props{"og:title": "T"}},
		"base":             {`<base href="https://other.example/x/"><meta property="og:url" content="y">`, props{"og:url": "https://other.example/x/y"}},
		"base of no use":   {`<base href="javascript:1"><base href="/c/"><meta property="og:url" content="y">`, props{"og:url": "https://site.example/c/y"}},
		"site name":        {`<meta name="application-name" content="App">`, props{"og:site_name": "App"}},
		"hidden forever":   {`<title>T</title><svg><svg><svg><p>x`, props{"og:title": "T"}},
		"closed title":     {`<title/><meta property="og:title" content="T"><p>words</p>`, props{"og:title": "T", "og:description": "words"}},
		"closed script":    {`<script src="x"/><textarea/><title>T</title><p>words</p>`, props{"og:title": "T", "og:description": "words"}},
		"text of a button": {`<button>Click</button><p>real</p>`, props{"og:description": "real"}},
	} {
		got := parse(tt.body).Properties()
		require.Equal(t, tt.want, got, name)
	}
}

// TestImages says which pictures a page has, the best first.
func TestImages(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want []string
	}{
		"named": {
			`<img src="/seen.png"><meta property="og:image" content="/one.png"><meta property="og:image:secure_url" content="/two.png">
			<meta name="twitter:image" content="three.png"><link rel="image_src" href="/one.png"><meta itemprop="image" content="/four.png">`,
			[]string{
				"https://site.example/one.png", "https://site.example/two.png", "https://site.example/a/three.png",
				"https://site.example/four.png", "https://site.example/seen.png",
			},
		},
		"seen": {
			`<img src="data:image/gif;base64,xx"><img src="/dot.gif" width=1 height=1><img width="16px" src="/icon.png">
			<header><img src="/logo.png"></header><img width="100%" src="/wide.png"><img data-src="/lazy.png" height="64">`,
			[]string{"https://site.example/wide.png", "https://site.example/lazy.png"},
		},
		"none": {`<img><img src=""><img src="ftp://x/y"><img src="http://u:p@x/y">`, nil},
		"many": {strings.Repeat(`<meta property="og:image" content="/same.png">`, 100), []string{"https://site.example/same.png"}},
	} {
		require.Equal(t, tt.want, parse(tt.body).Images(), name)
	}
}

// TestOEmbed says what oEmbed adds: after what the page means for previews, before what people see.
func TestOEmbed(t *testing.T) {
	link := `<title>seen</title><link rel="alternate" type="application/json+oembed" href="/oembed?url=x&amp;format=json"><p>words</p>`
	for name, tt := range map[string]struct {
		said   string
		want   props
		images []string
	}{
		"photo": {
			`{"type":"photo","url":"/p.jpg","width":"10","height":20,"title":"Photo","provider_name":"Site","thumbnail_url":"t.jpg"}`,
			props{"og:title": "Photo", "og:site_name": "Site", "og:description": "words"},
			[]string{"https://site.example/p.jpg", "https://site.example/a/t.jpg"},
		},
		"video": {
			`{"type":"video","html":"<iframe src=\"//x\">no</iframe>","author_name":"Ann","thumbnail_url":"/t.jpg"}`,
			props{"og:title": "Ann", "og:type": "video.other", "og:description": "words"}, []string{"https://site.example/t.jpg"},
		},
		"rich": {
			`{"type":"rich","html":"<blockquote><p>Said &amp; done</p></blockquote><script>x</script>","author_name":"Ann"}`,
			props{"og:title": "Ann", "og:description": "Said & done"}, nil,
		},
		"link":      {`{"type":"link","title":"L","url":"/not-a-picture"}`, props{"og:title": "L", "og:description": "words"}, nil},
		"nonsense":  {`{"type":1,"title":{"a":1},"thumbnail_url":["x"],"html":null}`, props{"og:title": "seen", "og:description": "words"}, nil},
		"no object": {`["x"]`, props{"og:title": "seen", "og:description": "words"}, nil},
		"no json":   {`<xml>`, props{"og:title": "seen", "og:description": "words"}, nil},
		"deep":      {strings.Repeat("[", 20000), props{"og:title": "seen", "og:description": "words"}, nil},
	} {
		p := parse(link)
		require.Equal(t, "https://site.example/oembed?url=x&format=json", p.OEmbed)
		require.True(t, p.NeedsOEmbed())
		p.AddOEmbed([]byte(tt.said), base)
		require.Equal(t, tt.want, p.Properties(), name)
		require.Equal(t, tt.images, p.Images(), name)
	}
	whole := parse(link + `<meta property="og:title" content="t"><meta property="og:image" content="/i">`)
	require.False(t, whole.NeedsOEmbed(), "it says all itself")
	require.False(t, parse("<title>t</title>").NeedsOEmbed())
}

// TestCharset reads pages that are not in UTF-8, wherever they say what they are in.
func TestCharset(t *testing.T) {
	const chinese, japaneseText = "鸿雁传书，中文网页", "日本語のページ、カタカナ"
	late := strings.Repeat("<!-- "+strings.Repeat("x", 90)+" -->", 20) // more than browsers look at
	for name, tt := range map[string]struct {
		as                encoding.Encoding
		head, contentType string
		want              string
	}{
		"gbk in meta":          {simplifiedchinese.GBK, `<meta charset="gbk">`, "text/html", chinese},
		"gb2312 in http-equiv": {simplifiedchinese.GBK, `<meta http-equiv="Content-Type" content="text/html; charset=gb2312">`, "text/html", chinese},
		"gb18030 in header":    {simplifiedchinese.GB18030, ``, "text/html; charset=GB18030", chinese},
		"gbk declared late":    {simplifiedchinese.GBK, late + `<meta charset=gbk>`, "", chinese},
		"shift_jis":            {japanese.ShiftJIS, `<meta charset="Shift_JIS">`, "text/html", japaneseText},
		"euc-jp in header":     {japanese.EUCJP, ``, "text/html;charset=euc-jp", japaneseText},
		"iso-2022-jp":          {japanese.ISO2022JP, `<meta charset="iso-2022-jp">`, "text/html", japaneseText},
		"big5":                 {traditionalchinese.Big5, `<meta charset="big5">`, "text/html", "繁體中文"},
		"euc-kr":               {korean.EUCKR, `<meta charset="euc-kr">`, "text/html", "한국어"},
		"utf-16 with a mark":   {xunicode.UTF16(xunicode.LittleEndian, xunicode.UseBOM), ``, "text/html", chinese},
		"utf-8 with a mark":    {xunicode.UTF8BOM, ``, "text/html; charset=gbk", chinese},
		"utf-8 undeclared":     {encoding.Nop, late, "text/html", chinese},
		"utf-8 said utf-16":    {encoding.Nop, `<meta charset="utf-16">`, "text/html", chinese},
		"xml":                  {japanese.EUCJP, ``, "application/xhtml+xml", japaneseText},
		"unknown label":        {encoding.Nop, `<meta charset="nonsense">`, "text/html; charset=rubbish", chinese},
	} {
		start := ""
		if name == "xml" {
			start = `<?xml version="1.0" encoding='euc-jp'?>`
		}
		body, err := tt.as.NewEncoder().String(start + tt.head + "<title>" + tt.want + "</title>")
		require.NoError(t, err, name)
		got := page.Parse([]byte(body), tt.contentType, base).Properties()
		require.Equal(t, props{"og:title": tt.want}, got, name)
	}
	latin := page.Parse([]byte("<title>caf\xe9</title>"), "text/html", base).Properties()
	require.Equal(t, props{"og:title": "café"}, latin)
	cutOff := page.Parse([]byte("<title>é</title><p>鸿雁"[:len("<title>é</title><p>鸿雁")-1]), "text/html", base).Properties()
	require.Equal(t, props{"og:title": "é", "og:description": "鸿"}, cutOff)
}

// TestBounds has pages that would rather be too much.
func TestBounds(t *testing.T) {
	long := strings.Repeat("word ", 100000)
	var many strings.Builder
	for i := range 10000 {
		_, _ = fmt.Fprintf(&many, `<meta property="og:x%d" content="y">`, i)
	}
	for _, body := range map[string]string{
		"long title":      "<title>" + long + "</title>",
		"long text":       "<p>" + long,
		"long meta":       `<meta property="og:title" content="` + long + `"><meta property="og:description" content="` + strings.Repeat("x", 5000) + `">`,
		"long name":       `<meta property="og:` + strings.Repeat("x", 5000) + `" content="y">`,
		"many":            many.String(),
		"deep":            strings.Repeat("<div>", 200000) + "<title>deep</title>",
		"deep and hidden": strings.Repeat("<svg>", 200000) + "<p>deep",
		"many attributes": "<meta " + strings.Repeat("a=b ", 100000) + ">",
		"spaces":          strings.Repeat("<p> \n </p>", 100000) + "<p>end",
		"long address":    `<meta property="og:url" content="/` + strings.Repeat("x", 100000) + `">`,
	} {
		checkBounds(t, parse(body))
	}
	require.Equal(t, "deep", parse(strings.Repeat("<div>", 200000) + "<title>deep</title>").Properties()["og:title"])
	require.Equal(t, "end", parse(strings.Repeat("<p> \n </p>", 100000) + "<p>end").Properties()["og:description"])
	require.Len(t, parse(many.String()).Properties(), 20)
	title := parse("<title>" + long + "</title>").Properties()["og:title"].(string)
	require.LessOrEqual(t, utf8.RuneCountInString(title), 300)
	require.True(t, strings.HasSuffix(title, "word…"), title)
}

// TestEncode says what is left out where not all fits: what clients show comes first, and nothing is escaped that need not be.
func TestEncode(t *testing.T) {
	all := props{
		"og:image": "mxc://hs/id", "og:image:width": 30, "matrix:image:size": int64(5), "og:title": "<T> & \"x\"", "og:a": strings.Repeat("<", 100),
		"og:b": "b", "og:description": strings.Repeat("d", 100),
	}
	whole := `{"og:image":"mxc://hs/id","og:image:width":30,"matrix:image:size":5,"og:title":"<T> & \"x\"","og:description":"` +
		strings.Repeat("d", 100) + `","og:a":"` + strings.Repeat("<", 100) + `","og:b":"b"}`
	for most, want := range map[int]string{
		len(whole): whole, 1 << 20: whole,
		len(whole) - 1: strings.TrimSuffix(whole, `,"og:b":"b"}`) + "}",
		240:            strings.Replace(whole, `"og:a":"`+strings.Repeat("<", 100)+`",`, "", 1),
		140:            `{"og:image":"mxc://hs/id","og:image:width":30,"matrix:image:size":5,"og:title":"<T> & \"x\"","og:b":"b"}`,
		2:              "{}",
	} {
		got, err := page.Encode(all, most)
		require.NoError(t, err)
		require.Equal(t, want, got, most)
	}
	got, err := page.Encode(nil, 100)
	require.NoError(t, err)
	require.Equal(t, "{}", got)
}

// checkBounds holds what is promised of every page.
func checkBounds(t testing.TB, p *page.Page) {
	t.Helper()
	all := p.Properties()
	require.LessOrEqual(t, len(all), 24)
	for name, value := range all {
		text := value.(string)
		require.True(t, strings.HasPrefix(name, "og:") && len(name) <= 64, name)
		require.False(t, name == "og:image" || strings.HasPrefix(name, "og:image:"), name)
		require.NotEmpty(t, text)
		require.LessOrEqual(t, utf8.RuneCountInString(text), 4096)
		require.True(t, utf8.ValidString(text))
		require.False(t, strings.ContainsFunc(text, unicode.IsControl), "%q", text)
	}
	const most = 8 << 10
	answer, err := page.Encode(all, most)
	require.NoError(t, err)
	require.LessOrEqual(t, len(answer), most)
	var read props
	require.NoError(t, json.Unmarshal([]byte(answer), &read))
	for name, value := range read {
		require.Equal(t, all[name], value)
	}
	require.LessOrEqual(t, len(p.Images()), 8)
	for _, address := range append(p.Images(), p.OEmbed) {
		if address == "" {
			continue
		}
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.NotEmpty(t, u.Host)
		require.Nil(t, u.User)
		require.LessOrEqual(t, len(address), 4096)
	}
}

// FuzzParse reads anything as a page and as oEmbed's answer.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`<title>T</title><meta property="og:title" content="x"><img src="/a.png">`), "text/html", []byte(`{"type":"photo","url":"/x"}`))
	f.Add([]byte("\xff\xfe<\x00t\x00"), "text/html; charset=shift_jis", []byte(`{"type":"rich","html":"<p>x"}`))
	f.Add([]byte("<meta charset=gbk><base href='//x'><link rel='alternate' type='application/json+oembed' href='\xb0\xa1'>"), "", []byte(`[]`))
	f.Add([]byte("<?xml encoding=''?><svg><p></svg><p>text"), "text/html; charset=utf-16", []byte(`{"title":"\u202e"}`))
	f.Fuzz(func(t *testing.T, body []byte, contentType string, embed []byte) {
		p := page.Parse(body, contentType, base)
		checkBounds(t, p)
		p.AddOEmbed(embed, base)
		checkBounds(t, p)
	})
}
