// Package harness starts the real binary for tests: built once, on free ports of loopback, with a data directory of
// its own, and ended with the test.
package harness
