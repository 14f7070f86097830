package media

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"hongyan/matrix"
	"hongyan/platform/outbound"
)

// PreviewsConfig is whether and how previews of web pages are made.
type PreviewsConfig struct {
	Enabled bool `yaml:"enabled"`
	// Allow are ranges of addresses that are asked although they are not public, Refuse such that are not although they are. Deny are
	// patterns of hosts and URLs that are never asked, Ports those that are; "all" is all.
	Allow  []string `yaml:"allow"`
	Refuse []string `yaml:"refuse"`
	Deny   []string `yaml:"deny"`
	Ports  []string `yaml:"ports"`
	// Timeout is how long one request to another site may take, TotalTimeout making a preview, and so waiting for one's turn.
	Timeout      time.Duration `yaml:"timeout"`
	TotalTimeout time.Duration `yaml:"total_timeout"`
	MaxRedirects int           `yaml:"max_redirects"`
	// MaxPageBytes is how much of a page is read, MaxImageBytes how large a picture may be.
	MaxPageBytes  int64 `yaml:"max_page_bytes"`
	MaxImageBytes int64 `yaml:"max_image_bytes"`
	// AtOnce is how many one instance makes at once, UserAtOnce how many of them for one user, UserWaiting how many more may wait,
	// HostAtOnce how many of them of pages at one host, and how many requests there are to one.
	AtOnce      int `yaml:"at_once"`
	UserAtOnce  int `yaml:"user_at_once"`
	UserWaiting int `yaml:"user_waiting"`
	HostAtOnce  int `yaml:"host_at_once"`
	// FreshFor is how long a preview is given before another is made, KeepFor how long it is kept for whoever asks how it was.
	FreshFor time.Duration `yaml:"fresh_for"`
	KeepFor  time.Duration `yaml:"keep_for"`
	// MaxPreviews is how many are kept, MaxTextBytes how large they may be together, MaxImagesBytes how large their pictures.
	MaxPreviews    int64 `yaml:"max_previews"`
	MaxTextBytes   int64 `yaml:"max_text_bytes"`
	MaxImagesBytes int64 `yaml:"max_images_bytes"`
}

func defaultPreviews() PreviewsConfig {
	return PreviewsConfig{
		Ports: []string{"80", "443"}, Timeout: 8 * time.Second, TotalTimeout: 14 * time.Second, MaxRedirects: 5,
		// Some sites say what a page is behind a MiB of scripts.
		MaxPageBytes: 3 << 20, MaxImageBytes: 10 << 20, AtOnce: 16, UserAtOnce: 4, UserWaiting: 64, HostAtOnce: 4,
		FreshFor: time.Hour, KeepFor: 30 * 24 * time.Hour, MaxPreviews: 100_000, MaxTextBytes: 256 << 20, MaxImagesBytes: 2 << 30,
	}
}

// maxTotal is the longest time for a turn, and for making a preview then: the route has as much for both, and some.
const maxTotal = 25 * time.Second

// minFresh is the shortest time for which a preview is fresh: failures are remembered for less.
const minFresh = 2 * failedFor

// Validate refuses what cannot work.
func (c PreviewsConfig) Validate() error {
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"timeout", int64(c.Timeout)}, {"total_timeout", int64(c.TotalTimeout)}, {"max_page_bytes", c.MaxPageBytes},
		{"max_image_bytes", c.MaxImageBytes}, {"at_once", int64(c.AtOnce)}, {"user_at_once", int64(c.UserAtOnce)},
		{"user_waiting", int64(c.UserWaiting)}, {"host_at_once", int64(c.HostAtOnce)}, {"max_previews", c.MaxPreviews},
		{"max_text_bytes", c.MaxTextBytes}, {"max_images_bytes", c.MaxImagesBytes}, {"max_redirects", int64(c.MaxRedirects)},
	} {
		if v.value < 1 {
			return fmt.Errorf("%s must be positive", v.name)
		}
	}
	switch {
	case c.MaxPageBytes > 64<<20:
		return errors.New("max_page_bytes: want at most 67108864: pages are read into memory")
	case c.TotalTimeout > maxTotal:
		return fmt.Errorf("total_timeout: want at most %s", maxTotal)
	case c.FreshFor < minFresh:
		return fmt.Errorf("fresh_for: want at least %s", minFresh)
	case c.KeepFor < c.FreshFor:
		return errors.New("keep_for: want at least fresh_for")
	case len(c.Ports) == 0:
		return errors.New("ports: want some, such as 80 and 443, or all")
	}
	_, err := c.client("")
	return err
}

func (c PreviewsConfig) limits() limits {
	return limits{most: c.AtOnce, ofUser: c.UserAtOnce, ofSource: c.HostAtOnce, waiting: c.UserWaiting}
}

// client is a client for other sites, which says that it is of a server.
func (c PreviewsConfig) client(server matrix.ServerName) (*outbound.Client, error) {
	allow, err := ranges("allow", c.Allow)
	if err != nil {
		return nil, err
	}
	refuse, err := ranges("refuse", c.Refuse)
	if err != nil {
		return nil, err
	}
	ports, err := c.ports()
	if err != nil {
		return nil, err
	}
	return outbound.New(outbound.Config{
		Allow: allow, Refuse: refuse, Deny: c.Deny, Ports: ports, MaxRedirects: c.MaxRedirects, Timeout: c.Timeout,
		AtOnce: c.AtOnce, HostAtOnce: c.HostAtOnce, UserAgent: fmt.Sprintf(userAgent, server),
	})
}

func (c PreviewsConfig) ports() ([]int, error) {
	ports := make([]int, 0, len(c.Ports))
	for _, text := range c.Ports {
		if text == "all" {
			return []int{0}, nil
		}
		port, err := strconv.Atoi(text)
		if err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("ports: %q is no port; want 1 to 65535, or all", text)
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// ranges reads ranges of addresses; an address alone is one.
func ranges(name string, texts []string) ([]netip.Prefix, error) {
	all := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no range of addresses, such as 10.0.0.0/8", name, text)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}
