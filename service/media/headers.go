package media

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

const (
	octetStream = "application/octet-stream"
	// maxContentType and maxFileName bound what is kept of an upload, in bytes.
	maxContentType = 255
	maxFileName    = 1024
	// contentPolicy is the specification's: nothing in it runs or loads anything.
	contentPolicy = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';"
)

// inlineTypes are what a browser may show by itself (client-server API, "Serving inline content").
var inlineTypes = []string{
	"text/css", "text/plain", "text/csv", "application/json", "application/ld+json",
	"image/jpeg", "image/gif", "image/png", "image/apng", "image/webp", "image/avif",
	"video/mp4", "video/webm", "video/ogg", "video/quicktime",
	"audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav", "audio/x-wav", "audio/x-pn-wav",
	"audio/flac", "audio/x-flac",
}

// describe reads what an upload says of itself.
func describe(r *http.Request) (contentType, fileName string, err error) {
	query := httpx.ReadQuery(r.URL)
	fileName = query.String("filename")
	if err := query.Err(); err != nil {
		return "", "", err
	}
	if len(fileName) > maxFileName {
		return "", "", matrix.Errorf(matrix.CodeInvalidParam, "filename may be %d bytes long.", maxFileName)
	}
	contentType = r.Header.Get("Content-Type")
	if contentType == "" || len(contentType) > maxContentType || !isPrintable(contentType) {
		contentType = octetStream
	}
	return contentType, fileName, nil
}

// isPrintable tells whether text is of ASCII's printable characters.
func isPrintable(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// disposition is the Content-Disposition of content: whether a browser may show it, and as what it is saved.
func disposition(contentType, fileName string) string {
	how := "attachment"
	// Where two programs may read a type differently, it is none that is shown: browsers see lists in commas.
	if t, _, err := mime.ParseMediaType(contentType); err == nil && slices.Contains(inlineTypes, t) && !strings.Contains(contentType, ",") {
		how = "inline"
	}
	if fileName == "" {
		return how
	}
	return mime.FormatMediaType(how, map[string]string{"filename": fileName})
}

// protect sets the headers that keep content from being more than content.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
}
