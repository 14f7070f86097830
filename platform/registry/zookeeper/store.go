package zookeeper

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/go-zookeeper/zk"
)

// forgetStored says that nothing is known to be stored: the session is a new one.
func (r *Registry) forgetStored() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wishes {
		w.stored = false
	}
}

// store makes the nodes of this process what they should be: those that are not known to be, or all of them.
func (s *session) store(all bool) error {
	r := s.registry
	r.mu.Lock()
	wishes := maps.Clone(r.wishes)
	maps.DeleteFunc(wishes, func(_ string, w *wish) bool { return w.stored && !all })
	r.mu.Unlock()
	for name, w := range wishes {
		if err := s.storeOne(name, w.data); err != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
		r.isStored(name, w)
	}
	return nil
}

// isStored tells who waits, unless the wish has changed meanwhile.
func (r *Registry) isStored(name string, w *wish) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wishes[name] != w {
		return
	}
	w.stored = true
	if w.data == nil {
		delete(r.wishes, name)
	}
	if !w.told {
		w.told = true
		close(w.done)
	}
}

// storeOne makes one node what it should be. Others may touch it at the same time.
func (s *session) storeOne(name string, data []byte) error {
	path := s.registry.config.folder() + "/" + name
	for attempt := 1; ; attempt++ {
		err := s.put(path, data)
		if errors.Is(err, zk.ErrNoNode) && data != nil {
			if err := s.makeFolder(); err != nil {
				return err
			}
		} else if !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrBadVersion) && !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		if attempt == 5 {
			return err
		}
	}
}

// put is one attempt of storeOne.
func (s *session) put(path string, data []byte) error {
	old, stat, err := s.conn.Get(path)
	if errors.Is(err, zk.ErrNoNode) {
		if data == nil {
			return nil
		}
		_, err = s.conn.Create(path, data, zk.FlagEphemeral, s.registry.config.acl())
		return err
	}
	switch {
	case err != nil:
		return err
	case data == nil:
		return s.conn.Delete(path, stat.Version)
	case stat.EphemeralOwner != s.id: // left over from a session of before, with which it would go
		return s.replace(path, stat.Version, data)
	case bytes.Equal(old, data):
		return nil
	}
	_, err = s.conn.Set(path, data, stat.Version)
	return err
}

// replace deletes a node and creates it anew, at once.
func (s *session) replace(path string, version int32, data []byte) error {
	answers, err := s.conn.Multi(
		&zk.DeleteRequest{Path: path, Version: version},
		&zk.CreateRequest{Path: path, Data: data, Acl: s.registry.config.acl(), Flags: zk.FlagEphemeral},
	)
	for _, answer := range answers {
		if err == nil || answer.Error != nil && errors.Is(err, zk.ErrAPIError) {
			err = answer.Error
		}
	}
	return err
}

// makeFolder creates the folder of the records and those above it where they are missing.
func (s *session) makeFolder() error {
	path := ""
	for part := range strings.SplitSeq(s.registry.config.folder()[1:], "/") {
		path += "/" + part
		there, _, err := s.conn.Exists(path)
		if err == nil && !there {
			_, err = s.conn.Create(path, nil, 0, s.registry.config.acl())
		}
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return fmt.Errorf("create folder %s: %w", path, err)
		}
	}
	return nil
}

// ownIsMissing tells whether a node of this process is stored and was not among those that were read.
func (s *session) ownIsMissing() bool {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	for name, w := range s.registry.wishes {
		if w.stored && w.data != nil && s.view.nodes[name] == nil {
			return true
		}
	}
	return false
}
