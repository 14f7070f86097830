package signed_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/service/keys/internal/signed"
)

// The key and the signatures of the specification's appendix "Cryptographic Test Vectors".
const seed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

func specKey(t *testing.T) (private ed25519.PrivateKey, public string) {
	raw, err := base64.RawStdEncoding.DecodeString(seed)
	require.NoError(t, err)
	private = ed25519.NewKeyFromSeed(raw)
	return private, base64.RawStdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
}

func TestVectorsOfTheSpecification(t *testing.T) {
	_, public := specKey(t)
	for bare, signature := range map[string]string{
		`{}`:                    "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
		`{"two":"Two","one":1}`: "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
	} {
		object := strings.TrimSuffix(bare, "}")
		if bare != "{}" {
			object += ","
		}
		object += `"unsigned":{"x":1},"signatures":{"domain":{"ed25519:1":"` + signature + `"}}}`
		o, err := signed.Parse([]byte(object))
		require.NoError(t, err)
		require.True(t, o.Verified("domain", "1", public), bare)
		require.True(t, o.Verified("domain", "1", public+"="), "padding does no harm")
		require.False(t, o.Verified("domain", "2", public))
		require.False(t, o.Verified("other", "1", public))
		require.False(t, o.Verified("domain", "1", "AAAA"))
		require.False(t, o.Verified("domain", "1", strings.Repeat("A", 43)))
		changed, err := signed.Parse([]byte(strings.Replace(object, `"signatures"`, `"x":2,"signatures"`, 1)))
		require.NoError(t, err)
		require.False(t, changed.Verified("domain", "1", public))
	}
}

func TestParse(t *testing.T) {
	o, err := signed.Parse([]byte(`{"user_id":"@a:x","KEYS":{"no":"no"},"keys":{"ed25519:A":"k"},"usage":["master"],
		"signatures":{"@a:x":{"ed25519:A":"1"},"@b:x":{"ed25519:B":"2"}},"unsigned":{"device_display_name":"x"},"more":[1]}`))
	require.NoError(t, err)
	require.Equal(t, `{"KEYS":{"no":"no"},"keys":{"ed25519:A":"k"},"more":[1],"usage":["master"],"user_id":"@a:x"}`, string(o.Bare))
	require.Equal(t, map[string]string{"ed25519:A": "k"}, o.Keys)
	o.Only("@a:x")
	o.Add("@c:x", "ed25519:C", "3")
	raw, err := o.JSON(map[string]string{})
	require.NoError(t, err)
	require.Equal(t, `{"KEYS":{"no":"no"},"keys":{"ed25519:A":"k"},"more":[1],"signatures":{"@a:x":{"ed25519:A":"1"},"@c:x":{"ed25519:C":"3"}},`+
		`"unsigned":{},"usage":["master"],"user_id":"@a:x"}`, string(raw))
	for _, bad := range []string{
		``, `[]`, `null`, `{"user_id":1}`, `{"keys":[]}`, `{"keys":{"a":1}}`, `{"usage":"x"}`, `{"algorithms":{}}`,
		`{"signatures":[]}`, `{"signatures":{"a":{"b":1}}}`, `{"x":1.5}`, `{"x":9007199254740993}`,
	} {
		_, err := signed.Parse([]byte(bad))
		var known *matrix.Error
		require.ErrorAs(t, err, &known, bad)
	}
}

func TestPublicKey(t *testing.T) {
	_, public := specKey(t)
	for keys, want := range map[string]string{
		`{"ed25519:` + public + `":"` + public + `"}`:           public,
		`{"ed25519:` + public + `=":"` + public + `="}`:         "",
		`{"ed25519:x":"` + public + `"}`:                        "",
		`{"x:` + public + `":"` + public + `"}`:                 "",
		`{"ed25519:AAAA":"AAAA"}`:                               "",
		`{}`:                                                    "",
		`{"ed25519:` + public + `":"` + public + `","x:y":"z"}`: "",
	} {
		o, err := signed.Parse([]byte(`{"keys":` + keys + `}`))
		require.NoError(t, err)
		require.Equal(t, want, o.PublicKey(), keys)
	}
}

// FuzzParse reads anything; what is read is written so that it is read as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"user_id":"@a:x","keys":{"ed25519:A":"k"},"signatures":{"@a:x":{"ed25519:A":"1"}},"unsigned":{}}`))
	f.Add([]byte(`{"signatures":{"":{"":""}},"keys":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := signed.Parse(raw)
		if err != nil {
			return
		}
		require.True(t, canonicaljson.IsCanonical(o.Bare))
		o.Verified("@a:x", "A", "k")
		o.PublicKey()
		again, err := o.JSON(nil)
		require.NoError(t, err)
		read, err := signed.Parse(again)
		require.NoError(t, err)
		require.True(t, read.Same(o))
		twice, err := read.JSON(nil)
		require.NoError(t, err)
		require.Equal(t, again, twice)
	})
}
