package serveracl_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/serveracl"
)

// TestAllows goes through the steps of the specification, and through what other servers may have sent for a list.
func TestAllows(t *testing.T) {
	for _, c := range []struct {
		content string
		server  matrix.ServerName
		want    bool
	}{
		{`{"allow":["*"]}`, "example.org", true},
		{`{"allow":["*"]}`, "1.2.3.4", true},
		{`{"allow":["*"],"allow_ip_literals":false}`, "1.2.3.4", false},
		{`{"allow":["*"],"allow_ip_literals":false}`, "1.2.3.4:8448", false},
		{`{"allow":["*"],"allow_ip_literals":false}`, "[2001:db8::1]:8448", false},
		{`{"allow":["*"],"allow_ip_literals":false}`, "example.org:1234", true},
		{`{"allow":["*"],"allow_ip_literals":"false"}`, "1.2.3.4", true},
		{`{"allow":["*"],"deny":["*.evil.com","evil.com"]}`, "evil.com:8448", false},
		{`{"allow":["*"],"deny":["*.evil.com","evil.com"]}`, "a.EVIL.com", false},
		{`{"allow":["*"],"deny":["*.Evil.com","evil.com"]}`, "notevil.com", true},
		{`{"allow":["good.?rg"]}`, "good.org", true},
		{`{"allow":["good.?rg"]}`, "good.xorg", false},
		{`{"allow":["good.org"],"deny":["good.org"]}`, "good.org", false},
		{`{}`, "example.org", false},
		{`{"deny":[]}`, "example.org", false},
		{`{"allow":"*"}`, "example.org", false},
		{`{"allow":[1,null,{},"*"],"deny":"x"}`, "example.org", true},
		{`{"allow":{"0":"*"}}`, "example.org", false},
		{`[]`, "example.org", false},
		{`{"ALLOW":["*"]}`, "example.org", false},
		{`{"Deny":["*"],"allow":["*"]}`, "example.org", true},
		{`{"allow":["*"],"allow_ip_literals":false}`, "001.2.3.4", false},
		{`{"allow":["*"],"deny":["evil.com"]}`, "evil.com.", false},
		{``, "example.org", false},
	} {
		require.Equal(t, c.want, serveracl.Parse([]byte(c.content)).Allows(c.server), "%s %s", c.content, c.server)
	}
}

// FuzzParse lets nothing that a server may send panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"allow":["*"],"deny":["a?*"],"allow_ip_literals":false}`), "example.org:80")
	f.Fuzz(func(_ *testing.T, content []byte, server string) {
		serveracl.Parse(content).Allows(matrix.ServerName(server))
	})
}
