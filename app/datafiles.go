package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// movedFile says, in a data directory, where its databases were moved to.
const movedFile = "moved-to"

// movedTo returns where the databases of the directory were moved to, "" while they are what is used.
func (d *dataDir) movedTo() (string, error) {
	text, err := os.ReadFile(d.file(movedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read where the databases are: %w", err)
	}
	where, _, _ := strings.Cut(string(text), "\n")
	return where, nil
}

// rawSigningKey returns the file of the server's signing key as it is, nil where there is none.
func (d *dataDir) rawSigningKey() ([]byte, error) {
	text, err := os.ReadFile(d.file(signingKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return text, nil
}

// refuseKey fails when the directory has another signing key than the given one, which may be nil.
func (d *dataDir) refuseKey(key []byte) error {
	have, err := d.rawSigningKey()
	if err != nil {
		return err
	}
	if key != nil && have != nil && string(key) != string(have) {
		return fmt.Errorf("%s is the key of another server: this wants an empty deployment, and overwrites nothing",
			d.file(signingKeyFile))
	}
	return nil
}

// putKey writes the signing key, unless it is nil.
func (d *dataDir) putKey(key []byte) error {
	if key == nil {
		return nil
	}
	if err := d.writeDurably(d.file(signingKeyFile), key); err != nil {
		return fmt.Errorf("keep the signing key: %w", err)
	}
	return nil
}

// writeDurably writes a file that only this user may read: whole or not at all, also when the power fails.
func (d *dataDir) writeDurably(name string, content []byte) error {
	temp, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return err
	}
	return syncDir(d.path)
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
