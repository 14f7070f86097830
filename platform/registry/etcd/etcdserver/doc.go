// Package etcdserver is an etcd inside this process: alone, or as a member of a cluster. "hongyan registry" runs it.
package etcdserver
