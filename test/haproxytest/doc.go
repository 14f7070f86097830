// Package haproxytest gives tests a HAProxy of their own, as docs/discovery.md says to set it up: before servers that it
// finds by SRV records, or before given ones.
//
// It runs Debian's HAProxy on a free loopback port and ends with the test, or with the test binary by whatever means that
// ends. Nothing is skipped: a machine without HAProxy fails the test.
package haproxytest
