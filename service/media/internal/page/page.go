package page

import (
	"net/url"
	"slices"
	"strings"
)

// Bounds of what is taken from a page.
const (
	maxProps  = 20
	maxTitle  = 300 // and other properties
	maxText   = 1000
	maxURL    = 2048
	maxImages = 8
)

// Page is what a page says of itself.
type Page struct {
	// graph is what it says in Open Graph, card what it tells Twitter, and meta other things; order is that of graph's names.
	graph, card, meta map[string]string
	order             []string
	// embed is what oEmbed says of it.
	embed map[string]string
	// title, heading, paragraphs and text are what people see.
	title, heading, paragraphs, text string
	// images are addresses of pictures: those that the page names for this purpose, what oEmbed names, and those that people see.
	named, embedded, seen []string
	// OEmbed is where oEmbed tells more; empty for nowhere.
	OEmbed string
}

func newPage() *Page {
	return &Page{graph: map[string]string{}, card: map[string]string{}, meta: map[string]string{}, embed: map[string]string{}}
}

// NeedsOEmbed tells whether asking oEmbed may tell what the page does not.
func (p *Page) NeedsOEmbed() bool {
	return p.OEmbed != "" && (firstOf(p.graph["og:title"], p.card["title"]) == "" || len(p.named) == 0)
}

// Images are addresses of pictures of the page, the best first, each once.
func (p *Page) Images() []string {
	var all []string
	for _, list := range [][]string{p.named, p.embedded, p.seen} {
		for _, image := range list {
			if !slices.Contains(all, image) && len(all) < maxImages {
				all = append(all, image)
			}
		}
	}
	return all
}

// Properties are what a preview says, but for the picture.
func (p *Page) Properties() map[string]any {
	props := map[string]any{}
	for _, name := range p.order {
		props[name] = p.graph[name]
	}
	for _, v := range []struct {
		name string
		most int
		from []string
	}{
		{"og:title", maxTitle, []string{p.graph["og:title"], p.card["title"], p.embed["og:title"], p.title, p.heading}},
		{"og:description", maxText, []string{
			p.graph["og:description"], p.card["description"], p.meta["description"], p.embed["og:description"], p.paragraphs, p.text,
		}},
		{"og:site_name", maxTitle, []string{p.graph["og:site_name"], p.meta["application-name"], p.embed["og:site_name"]}},
		{"og:type", maxTitle, []string{p.graph["og:type"], p.embed["og:type"]}},
	} {
		if text := firstOf(v.from...); text != "" {
			props[v.name] = cut(text, v.most)
		}
	}
	if props["og:description"] == props["og:title"] {
		delete(props, "og:description") // it says nothing more
	}
	return props
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// addGraph keeps a property of Open Graph; the first of a name counts.
func (p *Page) addGraph(name, value string, base *url.URL) {
	if !isGraphName(name) || p.graph[name] != "" || len(p.order) >= maxProps {
		return
	}
	if isAddress(name) {
		value = resolve(base, value)
	} else {
		most := maxTitle
		if name == "og:description" {
			most = maxText
		}
		value = cut(clean(value, maxText), most)
	}
	if value != "" {
		p.graph[name] = value
		p.order = append(p.order, name)
	}
}

// maxName is how long the name of a property may be.
const maxName = 64

// isGraphName tells whether a property is passed on: those of the picture are the server's own.
func isGraphName(name string) bool {
	rest, ok := strings.CutPrefix(name, "og:")
	if !ok || rest == "" || len(name) > maxName || rest == "image" || strings.HasPrefix(rest, "image:") {
		return false
	}
	return strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789_:-.") == ""
}

// isAddress tells whether a property's value is a URL.
func isAddress(name string) bool {
	switch name {
	case "og:url", "og:see_also", "og:video", "og:audio":
		return true
	}
	return strings.HasSuffix(name, ":url") || strings.HasSuffix(name, ":secure_url")
}

// resolve makes an address that a page names absolute; "" where it is none of http or https, or too long.
func resolve(base *url.URL, text string) string {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxURL {
		return ""
	}
	u, err := base.Parse(strings.ToValidUTF8(text, ""))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return ""
	}
	// No fragment: it is not asked for.
	u.Fragment, u.RawFragment = "", ""
	whole := u.String()
	if len(whole) > 2*maxURL || clean(whole, 2*maxURL) != whole {
		return ""
	}
	return whole
}
