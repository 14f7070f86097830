// Package foreign shows that a service in another language can join: echo.py registers itself in etcd, gets traffic
// through the gateway as whoever is signed in, and leaves.
package foreign
