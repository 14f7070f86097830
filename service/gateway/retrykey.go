package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

const (
	// headerRetryKey is what a load balancer gives all its attempts at one request: they may come by several gateways.
	headerRetryKey = "X-Hongyan-Retry-Key"
	// maxRetryKey bounds it, in bytes.
	maxRetryKey = 128
)

// idempotencyKey is the same for all attempts at one request of a client.
//
// Of a retry key, which a client may have sent itself where a trusted proxy lets it through, the key is made together with who
// calls and what for: nobody comes upon somebody else's request with it, and whoever repeats one of his own key's is
// answered as he was the first time. Nobody is told from anybody where nobody is signed in: there it does not count.
func (s *Service) idempotencyKey(r *http.Request, q *request) string {
	key := r.Header.Get(headerRetryKey)
	if q.session == nil || !isRetryKey(key) || !isTrusted(peerAddress(r), s.trusted) {
		return q.id
	}
	hash := sha256.New()
	for _, part := range []string{
		q.session.GetUserId(), q.session.GetDeviceId(), q.session.GetTokenId(), r.Method, r.URL.EscapedPath(), key,
	} {
		_, _ = hash.Write(append([]byte(part), 0)) // no part has a NUL; a hash takes everything
	}
	return base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
}

// isRetryKey tells whether a key is there and is one: letters, digits and what load balancers put between them.
func isRetryKey(key string) bool {
	if key == "" || len(key) > maxRetryKey {
		return false
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.:", rune(c)) {
			return false
		}
	}
	return true
}
