package zookeeper

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/registry"
)

// view is what a session has read.
type view struct {
	// watched says that the watch on the folder is armed; checkNames that it is to be read although it is.
	watched    bool
	checkNames bool
	checkOwn   bool // the own nodes are to be looked at, even those that are stored
	nodes      map[string]*node
}

// node is one record.
type node struct {
	watched  bool               // its watch is armed
	current  bool               // nothing is known to have changed since it was read
	instance *registry.Instance // nil when it holds no good record
	bad      string             // what was wrong with it, when that was logged
}

// readAgain says that changes may have been missed.
func (v *view) readAgain() {
	v.checkNames, v.checkOwn = true, true
	for _, n := range v.nodes {
		n.current = false
	}
}

// happened takes over which watches have told.
func (v *view) happened(state state) {
	if state.names {
		v.watched = false
	}
	for name := range state.changed {
		if n := v.nodes[name]; n != nil {
			n.watched, n.current = false, false
		}
	}
}

// list returns the good records.
func (v *view) list() []registry.Instance {
	list := make([]registry.Instance, 0, len(v.nodes))
	for _, n := range v.nodes {
		if n.instance != nil {
			list = append(list, *n.instance)
		}
	}
	return list
}

// read reads what is not known, or has changed.
func (s *session) read() error {
	v := &s.view
	if !v.watched || v.checkNames {
		if err := s.readNames(); err != nil {
			return fmt.Errorf("read the names of the records: %w", err)
		}
		v.checkNames = false
	}
	for name, n := range v.nodes {
		if n.watched && n.current {
			continue
		}
		err := s.readNode(name, n)
		if errors.Is(err, zk.ErrNoNode) { // it went meanwhile; the watch on the folder tells when it returns
			delete(v.nodes, name)
		} else if err != nil {
			return fmt.Errorf("read record %s: %w", name, err)
		}
	}
	return nil
}

func (s *session) readNames() error {
	names, err := s.children()
	if errors.Is(err, zk.ErrNoNode) { // nobody was here, or everything was deleted
		if err := s.makeFolder(); err != nil {
			return err
		}
		s.view.watched = false
		names, err = s.children()
	}
	if err != nil {
		return err
	}
	nodes := make(map[string]*node, len(names))
	for _, name := range names {
		nodes[name] = s.view.nodes[name]
		if nodes[name] == nil {
			nodes[name] = &node{}
		}
	}
	s.view.nodes = nodes
	return nil
}

// children reads the names, and arms the watch unless it is: the client keeps each watch that it is asked for until it
// tells.
func (s *session) children() ([]string, error) {
	folder := s.registry.config.folder()
	if s.view.watched {
		names, _, err := s.conn.Children(folder)
		return names, err
	}
	names, _, _, err := s.conn.ChildrenW(folder)
	s.view.watched = err == nil
	return names, err
}

func (s *session) readNode(name string, n *node) error {
	path := s.registry.config.folder() + "/" + name
	var data []byte
	var err error
	if n.watched {
		data, _, err = s.conn.Get(path)
	} else {
		data, _, _, err = s.conn.GetW(path)
		n.watched = err == nil
	}
	if err != nil {
		return err
	}
	n.current, n.instance = true, nil
	instance, err := parse(name, data)
	if err == nil {
		n.instance, n.bad = &instance, ""
	} else if n.bad != err.Error() {
		n.bad = err.Error()
		logx.Errorf("registry: zookeeper: node %q is left out: %v", name, err)
	}
	return nil
}

// parse reads a record, which may come from a program that is not ours.
func parse(name string, data []byte) (registry.Instance, error) {
	var i registry.Instance
	if err := json.Unmarshal(data, &i); err != nil {
		return i, fmt.Errorf("no record: %w", err)
	}
	if err := i.Validate(); err != nil {
		return i, err
	}
	if nodeName(i) != name {
		return i, fmt.Errorf("its record is of %s", i.Key())
	}
	return i, nil
}
