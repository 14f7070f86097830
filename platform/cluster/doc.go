// Package cluster is what a process has of the others: the registry and its local copy, the bus, the connections to
// services and, where others shall reach the services of this process, the listeners of the trusted hop.
//
// [Open] is the one place that chooses between a process that is alone (memory registry, in-process bus and calls) and one
// of many (etcd or ZooKeeper, NATS, gRPC and HTTP/2 over the network). Whoever holds a [Cluster] cannot tell, and does not
// ask. Between processes on other addresses than loopback everything is mutual TLS, from a shared secret or from files
// ([Config.Secret], [Config.TLSCert]). A process without either does not see instances on other machines.
package cluster
