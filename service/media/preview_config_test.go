package media_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/media"
)

// TestPreviewsConfig says at start what an administrator did not mean, whether or not previews are on.
func TestPreviewsConfig(t *testing.T) {
	for says, change := range map[string]func(*media.PreviewsConfig){
		`allow: "10.0.0" is no range`:  func(c *media.PreviewsConfig) { c.Allow = []string{"10.0.0"} },
		`refuse: "x/8" is no range`:    func(c *media.PreviewsConfig) { c.Refuse = []string{"x/8"} },
		"write it as a range of IPv4":  func(c *media.PreviewsConfig) { c.Allow = []string{"::ffff:10.0.0.0/104"} },
		"pattern":                      func(c *media.PreviewsConfig) { c.Deny = []string{"ftp://site.example"} },
		"a port cannot":                func(c *media.PreviewsConfig) { c.Deny = []string{"[2606:4700::1111]:443"} },
		"max_text_bytes must be":       func(c *media.PreviewsConfig) { c.MaxTextBytes = 0 },
		`ports: "http" is no port`:     func(c *media.PreviewsConfig) { c.Ports = []string{"http"} },
		"ports: want some":             func(c *media.PreviewsConfig) { c.Ports = nil },
		"total_timeout: want at most":  func(c *media.PreviewsConfig) { c.TotalTimeout = time.Minute },
		"fresh_for: want at least":     func(c *media.PreviewsConfig) { c.FreshFor = time.Second },
		"keep_for: want at least":      func(c *media.PreviewsConfig) { c.KeepFor = time.Minute },
		"max_page_bytes: want at most": func(c *media.PreviewsConfig) { c.MaxPageBytes = 1 << 30 },
		"at_once must be positive":     func(c *media.PreviewsConfig) { c.AtOnce = 0 },
		"max_redirects must be":        func(c *media.PreviewsConfig) { c.MaxRedirects = -1 },
	} {
		cfg := media.Default()
		change(&cfg.URLPreviews)
		require.ErrorContains(t, cfg.Validate(), says)
	}
	cfg := media.Default()
	cfg.URLPreviews.Allow = []string{"10.0.0.0/8", "fd00::1", "192.168.1.7"}
	cfg.URLPreviews.Deny = []string{"*.site.example", "site.example/*"}
	cfg.URLPreviews.Ports = []string{"all"}
	require.NoError(t, cfg.Validate())
}
