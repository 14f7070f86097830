// Package zktest gives tests a ZooKeeper server of their own.
//
// Shared is one server for all tests of a binary, New one for a single test; both run Debian's ZooKeeper on the Java in PATH, with a small
// heap, on a free loopback port and a temporary directory, and do not wait for the disk. A server can be stopped,
// started again at the same address, wiped, frozen and thawed. When the test binary ends, by whatever means,
// the server is killed and its directory goes. Nothing is skipped: a machine without ZooKeeper fails the test.
package zktest
