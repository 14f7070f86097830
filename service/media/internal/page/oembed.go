package page

import (
	"encoding/json"
	"net/url"
	"strings"
)

// AddOEmbed adds what oEmbed says of the page, as JSON. base is where it came from. What cannot be read says nothing.
func (p *Page) AddOEmbed(body []byte, base *url.URL) {
	var said map[string]any
	if json.Unmarshal(body, &said) != nil {
		return
	}
	text := func(name string) string {
		value, _ := said[name].(string)
		return value
	}
	put(p.embed, "og:title", text("title"))
	put(p.embed, "og:site_name", text("provider_name"))
	switch strings.ToLower(text("type")) {
	case "photo":
		addImage(&p.embedded, resolve(base, text("url")))
	case "video":
		p.embed["og:type"] = "video.other"
		fallthrough
	case "rich":
		// What would be shown is a page of its own, of which the words are enough.
		if code := text("html"); code != "" {
			inner := Parse([]byte(code), "text/html; charset=utf-8", base)
			put(p.embed, "og:description", firstOf(inner.paragraphs, inner.text))
		}
	}
	put(p.embed, "og:description", text("description"))
	put(p.embed, "og:title", text("author_name"))
	addImage(&p.embedded, resolve(base, text("thumbnail_url")))
}
