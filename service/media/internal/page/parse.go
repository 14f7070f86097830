package page

import (
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

const (
	// maxAttributes is how many attributes of an element are looked at, maxAttribute how long the value of one may be, in bytes.
	maxAttributes = 64
	maxAttribute  = 16 << 10
	// maxDecoded is how large a page may become in UTF-8.
	maxDecoded = 16 << 20
	// maxGathered is how much text is looked at, in bytes; enoughText is how much of it says enough.
	maxGathered = 4 << 10
	enoughText  = 300
)

// Parse reads a page, or as much as there is of it. base is where it came from, contentType what its server says it is.
func Parse(body []byte, contentType string, base *url.URL) *Page {
	r := &reader{
		page: newPage(), base: base,
		title: gather{most: maxGathered}, heading: gather{most: maxGathered}, paragraphs: gather{most: enoughText * 4}, text: gather{most: enoughText * 4},
	}
	// Elements are not nested into a tree: however deep they are, reading takes as long as the page is large.
	z := html.NewTokenizer(io.LimitReader(decoded(body, contentType), maxDecoded))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return r.done()
		case html.TextToken:
			r.words(z.Text())
		case html.StartTagToken:
			r.start(z, false)
		case html.SelfClosingTagToken:
			// The tokenizer would take what follows <title/> for its text, tags and all, up to an end that does not come.
			z.NextIsNotRawText()
			r.start(z, true)
		case html.EndTagToken:
			name, _ := z.TagName()
			r.end(string(name))
		}
	}
}

// reader reads one page.
type reader struct {
	page *Page
	base *url.URL
	// based says that the page has said what its addresses are relative to, titled that it has a title.
	based, titled bool
	// in is the element whose text is read; hidden how many elements it is within whose text is none of the page's.
	in     string
	hidden int

	title, heading, paragraphs, text gather
}

// isHidden tells whether an element's text is not what a page is about.
func isHidden(name string) bool {
	switch name {
	case "script", "style", "noscript", "template", "svg", "math", "nav", "header", "footer", "aside", "form", "button", "select",
		"textarea", "iframe", "object", "noembed", "noframes", "dialog":
		return true
	}
	return false
}

// attributes reads the attributes of the element that z is at. The first of a name counts.
func attributes(z *html.Tokenizer) map[string]string {
	all := map[string]string{}
	for range maxAttributes {
		key, value, more := z.TagAttr()
		name := string(key)
		if _, twice := all[name]; !twice && len(value) <= maxAttribute {
			all[name] = string(value)
		}
		if !more {
			break
		}
	}
	return all
}

func (r *reader) start(z *html.Tokenizer, closed bool) {
	raw, more := z.TagName()
	name := string(raw)
	switch name {
	case "meta", "link", "base", "img":
		if more {
			r.void(name, attributes(z))
		}
	case "title", "h1", "p":
		if r.hidden == 0 && !closed {
			r.in = name
		}
	default:
		if !closed && isHidden(name) {
			r.hidden++
		}
	}
	r.gap()
}

func (r *reader) end(name string) {
	switch {
	case name == r.in:
		r.in = ""
		r.titled = r.titled || name == "title"
	case isHidden(name) && r.hidden > 0:
		r.hidden--
	}
	r.gap()
}

// gap keeps words of different elements apart.
func (r *reader) gap() {
	for _, g := range []*gather{&r.title, &r.heading, &r.paragraphs, &r.text} {
		g.apart = true
	}
}

func (r *reader) words(text []byte) {
	if r.hidden > 0 {
		return
	}
	switch r.in {
	case "title":
		if !r.titled {
			r.title.add(text)
		}
		return
	case "h1":
		r.heading.add(text)
	case "p":
		r.paragraphs.add(text)
	}
	r.text.add(text)
}

// void is an element without content.
func (r *reader) void(name string, attr map[string]string) {
	switch name {
	case "meta":
		r.meta(attr)
	case "link":
		r.link(attr)
	case "base":
		if href := resolve(r.base, attr["href"]); href != "" && !r.based {
			if u, err := url.Parse(href); err == nil {
				r.base, r.based = u, true
			}
		}
	case "img":
		if r.hidden == 0 && !isTiny(attr["width"]) && !isTiny(attr["height"]) {
			addImage(&r.page.seen, resolve(r.base, firstOf(attr["src"], attr["data-src"])))
		}
	}
}

func (r *reader) meta(attr map[string]string) {
	value := attr["content"]
	for _, name := range []string{attr["property"], attr["name"], attr["itemprop"]} {
		name = strings.ToLower(strings.TrimSpace(name))
		switch name {
		case "og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src", "image":
			addImage(&r.page.named, resolve(r.base, value))
		case "twitter:title", "twitter:description":
			put(r.page.card, strings.TrimPrefix(name, "twitter:"), value)
		case "description", "application-name":
			put(r.page.meta, name, value)
		default:
			r.page.addGraph(name, value, r.base)
		}
	}
}

func put(to map[string]string, name, value string) {
	if value = clean(value, maxText); value != "" && to[name] == "" {
		to[name] = value
	}
}

func (r *reader) link(attr map[string]string) {
	for _, rel := range strings.Fields(strings.ToLower(attr["rel"])) {
		switch {
		case rel == "image_src":
			addImage(&r.page.named, resolve(r.base, attr["href"]))
		case rel == "alternate" && strings.EqualFold(strings.TrimSpace(attr["type"]), "application/json+oembed") && r.page.OEmbed == "":
			r.page.OEmbed = resolve(r.base, attr["href"])
		}
	}
}

func addImage(to *[]string, image string) {
	if image != "" && len(*to) < maxImages {
		*to = append(*to, image)
	}
}

// isTiny tells whether a side of a picture says that it is a button or a counter.
func isTiny(side string) bool {
	side = strings.TrimSuffix(strings.TrimSpace(side), "px")
	if side == "" || strings.Trim(side, "0123456789") != "" {
		return false
	}
	return len(strings.TrimLeft(side, "0")) < 2 || len(side) == 2 && side < "64"
}

func (r *reader) done() *Page {
	r.page.title = clean(r.title.String(), maxText)
	r.page.heading = clean(r.heading.String(), maxText)
	r.page.paragraphs = cut(clean(r.paragraphs.String(), maxText), enoughText)
	r.page.text = cut(clean(r.text.String(), maxText), enoughText)
	return r.page
}
