package zookeeper

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"hongyan/platform/obs"
)

// Defaults, and the bounds of the session timeout.
const (
	DefaultPrefix         = "/hongyan"
	DefaultSessionTimeout = 4 * time.Second
	minSessionTimeout     = time.Second
	maxSessionTimeout     = 5 * time.Minute
)

// Config says where ZooKeeper is.
type Config struct {
	// Endpoints are the servers (host:port). Names are looked up at each attempt to connect.
	Endpoints []string `yaml:"endpoints"`
	// Prefix is the folder of this deployment; empty is "/hongyan".
	Prefix string `yaml:"prefix"`
	// Username and Password are for ZooKeeper's digest scheme; nodes are then open to this user alone. Empty leaves them
	// open to everybody.
	Username string     `yaml:"username"`
	Password obs.Secret `yaml:"password"`
	// SessionTimeout is how long a record outlives its process; 0 is 4 s. The server raises it to two of its ticks.
	SessionTimeout time.Duration `yaml:"session_timeout"`
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if len(c.Endpoints) == 0 {
		return errors.New("zookeeper: no endpoints")
	}
	for _, e := range c.Endpoints {
		if host, port, err := net.SplitHostPort(e); err != nil || host == "" || port == "" {
			return fmt.Errorf("zookeeper endpoint %q: want host:port", e)
		}
	}
	if c.Prefix != "" {
		if err := checkPrefix(c.Prefix); err != nil {
			return err
		}
	}
	if c.SessionTimeout != 0 && (c.SessionTimeout < minSessionTimeout || c.SessionTimeout > maxSessionTimeout) {
		return fmt.Errorf("zookeeper session timeout %v: want %v to %v", c.SessionTimeout, minSessionTimeout, maxSessionTimeout)
	}
	if strings.Contains(c.Username, ":") || (c.Username == "") != (c.Password == "") {
		return errors.New("zookeeper: username and password belong together, and a username has no colon")
	}
	return nil
}

func checkPrefix(prefix string) error {
	parts := strings.Split(prefix, "/")
	if parts[0] != "" || len(parts) < 2 {
		return fmt.Errorf("zookeeper prefix %q: want a path that begins with /", prefix)
	}
	for _, part := range parts[1:] {
		if part == "" || part == "." || part == ".." || part == "zookeeper" || strings.ContainsFunc(part, strange) {
			return fmt.Errorf("zookeeper prefix %q: want letters, digits, -, _ and . between slashes", prefix)
		}
	}
	return nil
}

func strange(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return false
	}
	return true
}

// withDefaults fills what is empty.
func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = DefaultSessionTimeout
	}
	return c
}

// folder is where the records lie.
func (c Config) folder() string { return c.Prefix + "/instances" }

// acl is who may touch the nodes.
func (c Config) acl() []zk.ACL {
	if c.Username == "" {
		return zk.WorldACL(zk.PermAll)
	}
	return zk.DigestACL(zk.PermAll, c.Username, c.Password.Reveal())
}
