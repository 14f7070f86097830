package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"hongyan/service/gateway"
)

// Check says what would keep a server from starting with cfg that Load cannot know: it looks at files, and leaves
// everything as it is.
func Check(cfg Config) error {
	_, err := cfg.certificates(time.Now)
	return errors.Join(err, checkDataDir(cfg.DataDir))
}

// certificates reads the TLS certificate; nil where there shall be none.
func (c Config) certificates(now func() time.Time) (*gateway.Certificates, error) {
	if c.Gateway.TLSCert == "" {
		return nil, nil
	}
	certificates, err := gateway.LoadCertificates(c.Gateway.TLSCert, c.Gateway.TLSKey, now)
	if err != nil {
		return nil, fmt.Errorf("gateway.tls_cert and gateway.tls_key: %w", err)
	}
	return certificates, nil
}

// checkDataDir tells whether the data directory can be made or, where it is there, used.
func checkDataDir(path string) error {
	parent, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	for { // the nearest directory that is there
		info, err := os.Stat(parent)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("data_dir %s: %s is no directory", path, parent)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(parent) == parent {
			return fmt.Errorf("data_dir %s: %w", path, err)
		}
		parent = filepath.Dir(parent)
	}
	// Only trying tells: modes say nothing of read-only file systems, nor of those that the kernel makes up.
	probe, err := os.MkdirTemp(parent, ".hongyan-check-")
	if err != nil {
		return fmt.Errorf("data_dir %s: nothing can be written there: %w", path, err)
	}
	if err := os.Remove(probe); err != nil {
		return fmt.Errorf("data_dir %s: %w", path, err)
	}
	if _, err := readSigningKey(filepath.Join(path, signingKeyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// validateListen says what is wrong with the addresses to listen on.
func (c Config) validateListen() error {
	if !isListenAddress(c.Listen) {
		return fmt.Errorf("listen %q: want host:port or :port, with a port from 0 to 65535", c.Listen)
	}
	if c.AdminListen == "" || c.AdminListen == adminAuto {
		return nil
	}
	if !isListenAddress(c.AdminListen) {
		return fmt.Errorf("admin_listen %q: want host:port with a port from 0 to 65535, auto, or nothing", c.AdminListen)
	}
	if !isLoopback(c.AdminListen) && c.AdminToken == "" && !c.AdminOpen {
		return fmt.Errorf("admin_listen %q: other machines reach it: set admin_token, which readers must show, or "+
			"admin_open where only monitoring gets there", c.AdminListen)
	}
	if overlap(c.Listen, c.AdminListen) {
		return fmt.Errorf("admin_listen %q: is taken by listen (%s); want another port", c.AdminListen, c.Listen)
	}
	return nil
}

func isListenAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// overlap tells whether two addresses cannot be listened on at the same time.
func overlap(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	if portA != portB || portA == "0" {
		return false
	}
	everywhere := []string{"", "0.0.0.0", "::"}
	if hostA == hostB || slices.Contains(everywhere, hostA) || slices.Contains(everywhere, hostB) {
		return true
	}
	return (hostA == "localhost" && isLoopback(b)) || (hostB == "localhost" && isLoopback(a))
}
