package page

import (
	"bytes"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// declaredWithin is how far into a page it may say what it is written in. Browsers look at 1024 bytes; many pages say it later.
const declaredWithin = 32 << 10

// decoded is a page in UTF-8: by its byte order mark, by what its server says, by what it says, by what it looks like.
func decoded(body []byte, contentType string) io.Reader {
	e := encodingOf(body, contentType)
	if e == encoding.Nop || e == nil {
		return bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	}
	// What stands for one byte is at most three: no page becomes large by it.
	return e.NewDecoder().Reader(bytes.NewReader(body))
}

func encodingOf(body []byte, contentType string) encoding.Encoding {
	if e, _, certain := charset.DetermineEncoding(body, contentType); certain {
		return e
	}
	head := body[:min(len(body), declaredWithin)]
	if e := declared(head); e != nil {
		return e
	}
	if utf8.Valid(wholeRunes(body)) {
		return encoding.Nop
	}
	return charmap.Windows1252
}

// wholeRunes cuts off a character that is not whole, where a page was cut off.
func wholeRunes(body []byte) []byte {
	for i := 1; i <= utf8.UTFMax && i <= len(body); i++ {
		if c := body[len(body)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(body[len(body)-i:]) {
				return body[:len(body)-i]
			}
			break
		}
	}
	return body
}

// declared is the encoding that a page says it is in.
func declared(head []byte) encoding.Encoding {
	if e := declaredXML(head); e != nil {
		return e
	}
	z := html.NewTokenizer(bytes.NewReader(head))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return nil
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			if string(name) != "meta" || !more {
				continue
			}
			attr := attributes(z)
			label := attr["charset"]
			if label == "" && strings.EqualFold(attr["http-equiv"], "content-type") {
				_, params, _ := mime.ParseMediaType(attr["content"]) // what cannot be read says nothing
				label = params["charset"]
			}
			if e := labelled(label); e != nil {
				return e
			}
		}
	}
}

// declaredXML reads the declaration of XML at the beginning of a page.
func declaredXML(head []byte) encoding.Encoding {
	head = bytes.TrimLeft(head, " \t\r\n")
	if !bytes.HasPrefix(head, []byte("<?xml")) {
		return nil
	}
	line, _, _ := bytes.Cut(head, []byte("?>"))
	_, after, ok := bytes.Cut(line, []byte("encoding="))
	if !ok || len(after) < 2 {
		return nil
	}
	label, _, _ := bytes.Cut(after[1:], after[:1])
	return labelled(string(label))
}

func labelled(label string) encoding.Encoding {
	if label == "" {
		return nil
	}
	e, name := charset.Lookup(label)
	if strings.HasPrefix(name, "utf-16") { // one could not have read it then
		return encoding.Nop
	}
	return e
}
