package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"hongyan/platform/cluster"
	"hongyan/platform/registry/etcd/etcdserver"
)

// tlsFiles are this node's certificate and key in files, for etcd, which reads them for each connection. They are in a
// temporary directory, since the key must not get into copies of the data directory: whoever has it is a member.
type tlsFiles struct {
	dir string
	// lock keeps those away who clear temporary directories of what is old (tmpfiles.d).
	lock *os.File
}

// writeTLS writes the files anew, and removes those that earlier versions kept in the data directory.
func writeTLS(credentials *cluster.TLS, data *dataDir) (*tlsFiles, error) {
	ca, cert, key, err := credentials.PEM()
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(data.file("tls")); err != nil {
		return nil, fmt.Errorf("remove an earlier key: %w", err)
	}
	dir, err := os.MkdirTemp("", "hongyan-registry-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("make a directory for certificates: %w", err)
	}
	f := &tlsFiles{dir: dir}
	if err := f.fill(map[string][]byte{"ca.pem": ca, "cert.pem": cert, "key.pem": key}); err != nil {
		return nil, errors.Join(fmt.Errorf("write the certificate: %w", err), f.remove())
	}
	return f, nil
}

func (f *tlsFiles) fill(files map[string][]byte) (err error) {
	if f.lock, err = os.Open(f.dir); err != nil {
		return err
	}
	if err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(f.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (f *tlsFiles) file(name string) string { return filepath.Join(f.dir, name) }

// server names the files for etcd.
func (f *tlsFiles) server() *etcdserver.TLS {
	return &etcdserver.TLS{CA: f.file("ca.pem"), Cert: f.file("cert.pem"), Key: f.file("key.pem")}
}

// remove removes the files.
func (f *tlsFiles) remove() error {
	err := os.RemoveAll(f.dir)
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	return err
}
