package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"hongyan/matrix/event"
)

// AdminSocket is where, in a data directory, the running server is administered.
const AdminSocket = "admin.sock"

// signingKeyFile is where, in a data directory, earlier versions kept the server's signing key.
const signingKeyFile = "signing.key"

// dataDir is the data directory of this process, which nobody else uses.
type dataDir struct {
	path string
	lock *os.File
}

// takeDataDir makes the directory where it is missing and locks it until close. The lock falls with the process.
func takeDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	name := filepath.Join(path, "lock")
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = lock.Close() }() // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data directory %s: %w", path, err)
		}
		owner, _ := io.ReadAll(io.LimitReader(lock, 32))
		return nil, fmt.Errorf("the data directory %s is in use by another server%s: stop it, or give this one a "+
			"directory of its own with --data-dir", path, byProcess(string(owner)))
	}
	d := &dataDir{path: path, lock: lock}
	if err := d.writeOwner(); err != nil {
		d.close()
		return nil, fmt.Errorf("lock the data directory %s: %w", path, err)
	}
	return d, nil
}

func byProcess(owner string) string {
	if owner = strings.TrimSpace(owner); owner == "" {
		return ""
	}
	return " (process " + owner + ")"
}

func (d *dataDir) writeOwner() error {
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err := d.lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

func (d *dataDir) close() {
	_ = d.lock.Close() // which unlocks it
}

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// readSigningKey reads a signing key from its file.
func readSigningKey(name string) (event.SigningKey, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return event.SigningKey{}, fmt.Errorf("signing key: %w", err)
	}
	key, err := event.ParseSigningKey(text)
	if err != nil {
		return event.SigningKey{}, fmt.Errorf("signing key %s: %w", name, err)
	}
	return key, nil
}

// oldSigningKey reads the signing key that earlier versions kept in the directory, and which room's database holds
// now; nil where there is none. The file is left alone.
func (d *dataDir) oldSigningKey() (*event.SigningKey, error) {
	key, err := readSigningKey(d.file(signingKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &key, nil
}
