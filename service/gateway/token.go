package gateway

import (
	"net/http"
	"net/url"
	"strings"
)

// accessToken returns the request's access token: from the Authorization header, else from the query parameter
// access_token, which the specification has withdrawn and some clients still send. Empty says that there is none.
func accessToken(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if value, ok := tokenPair(pair); ok {
			return value
		}
	}
	return ""
}

// dropAccessToken removes the access token from the request, wherever it stands: services learn who calls, never
// with what.
func dropAccessToken(r *http.Request) {
	delete(r.Header, "Authorization")
	if !hasTokenPair(r.URL.RawQuery) {
		return
	}
	var kept []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if _, ok := tokenPair(pair); !ok {
			kept = append(kept, pair)
		}
	}
	r.URL.RawQuery = strings.Join(kept, "&")
	r.RequestURI = r.URL.RequestURI()
}

func hasTokenPair(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		if _, ok := tokenPair(pair); ok {
			return true
		}
	}
	return false
}

// tokenPair tells whether a query pair is the access token, and its value: empty where it is malformed.
func tokenPair(pair string) (value string, ok bool) {
	name, value, _ := strings.Cut(pair, "=")
	if name, err := url.QueryUnescape(name); err != nil || name != "access_token" {
		return "", false
	}
	value, err := url.QueryUnescape(value)
	if err != nil {
		value = ""
	}
	return value, true
}
