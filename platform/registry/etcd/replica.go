package etcd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"hongyan/platform/registry"
)

// replica is a copy of all records as they were at a revision.
type replica struct {
	root  string
	grace time.Duration

	cluster  uint64
	revision int64
	entries  map[string]entry // by what follows root in the key
	// missing are instances that were lost with etcd's memory, and may be well themselves: they get time to come back, so
	// that callers need not notice.
	missing map[string]missing
	changed bool // since list
}

// entry is a record as it is stored.
type entry struct {
	value    []byte
	lease    clientv3.LeaseID
	instance registry.Instance
	bad      bool // it has no instance
}

type missing struct {
	instance registry.Instance
	until    time.Time
}

func newReplica(root string, grace time.Duration) *replica {
	return &replica{root: root, grace: grace, entries: map[string]entry{}, missing: map[string]missing{}, changed: true}
}

// isOlder tells whether an answer comes from an etcd that does not know all that this one knows.
func (r *replica) isOlder(header *etcdserverpb.ResponseHeader) bool {
	return header.Revision < r.revision || r.cluster != 0 && header.ClusterId != r.cluster
}

// remembers tells whether an answer with everything comes from an etcd that has lost nothing since: there is a lease
// that was there before. Another etcd, or this one without its memory, gives everybody a new one.
func (r *replica) remembers(all *clientv3.GetResponse) bool {
	return !r.isOlder(all.Header) && slices.ContainsFunc(all.Kvs, func(kv *mvccpb.KeyValue) bool {
		e, known := r.entries[r.key(kv)]
		return known && kv.Lease != 0 && int64(e.lease) == kv.Lease
	})
}

// replace takes everything over. What is not there any more was removed, if etcd remembers the rest.
func (r *replica) replace(all *clientv3.GetResponse) {
	before, remembers := r.entries, r.remembers(all)
	r.entries = make(map[string]entry, len(all.Kvs))
	for _, kv := range all.Kvs {
		if e, ok := before[r.key(kv)]; ok {
			r.entries[r.key(kv)] = e
			delete(before, r.key(kv))
		}
		r.put(kv)
	}
	for key, e := range before {
		r.changed = true
		if !e.bad && !remembers {
			r.missing[key] = missing{e.instance, time.Now().Add(r.grace)}
		}
	}
	r.cluster, r.revision = all.Header.ClusterId, all.Header.Revision
}

// apply takes over what a watch says.
func (r *replica) apply(some clientv3.WatchResponse) {
	revision := r.revision
	for _, event := range some.Events {
		if event.Kv.ModRevision <= revision {
			continue // it was read already
		}
		r.revision = event.Kv.ModRevision // the header's may be that of events that are still to come
		if event.Type == clientv3.EventTypePut {
			r.put(event.Kv)
		} else {
			delete(r.entries, r.key(event.Kv))
			r.changed = true
		}
	}
}

// merge takes over what is newer, and tells whether that is everything that there is.
func (r *replica) merge(newer *clientv3.GetResponse) (whole bool) {
	for _, kv := range newer.Kvs {
		r.put(kv)
	}
	r.revision = newer.Header.Revision
	return int64(len(r.entries)) == newer.Count
}

func (r *replica) key(kv *mvccpb.KeyValue) string { return strings.TrimPrefix(string(kv.Key), r.root) }

func (r *replica) put(kv *mvccpb.KeyValue) {
	key := r.key(kv)
	e, known := r.entries[key]
	e.lease = clientv3.LeaseID(kv.Lease)
	if known && bytes.Equal(e.value, kv.Value) {
		r.entries[key] = e
		return
	}
	e.value, e.bad = kv.Value, false
	var err error
	if e.instance, err = decode(key, kv.Value); err != nil {
		logx.Errorf("registry: etcd: record %s is left out: %v", key, err)
		e.bad = true
	}
	r.entries[key] = e
	r.changed = true
	delete(r.missing, key)
}

// decode reads a record. What it does not know in it is of a newer version.
func decode(key string, value []byte) (registry.Instance, error) {
	var instance registry.Instance
	if err := json.Unmarshal(value, &instance); err != nil {
		return registry.Instance{}, err
	}
	if err := instance.Validate(); err != nil {
		return registry.Instance{}, err
	}
	if instance.Key() != key {
		return registry.Instance{}, fmt.Errorf("it says that it is %s", instance.Key())
	}
	return instance, nil
}

// expire drops what has not come back in its time.
func (r *replica) expire() {
	now := time.Now()
	for key, m := range r.missing {
		if now.After(m.until) {
			delete(r.missing, key)
			r.changed = true
		}
	}
}

// extend gives what is missing all of its time again: etcd is gone, and nobody can come back.
func (r *replica) extend() {
	until := time.Now().Add(r.grace)
	for key, m := range r.missing {
		r.missing[key] = missing{m.instance, until}
	}
}

// list returns all instances, and whether they may have changed since it was asked last.
func (r *replica) list() (list []registry.Instance, changed bool) {
	if !r.changed {
		return nil, false
	}
	r.changed = false
	list = make([]registry.Instance, 0, len(r.entries)+len(r.missing))
	for _, e := range r.entries {
		if !e.bad {
			list = append(list, e.instance)
		}
	}
	for _, m := range r.missing {
		list = append(list, m.instance)
	}
	return list, true
}
