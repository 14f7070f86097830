// Package compliance keeps docs/compliance.md true: every operation and module of the specification is on the page, an
// operation counts as built exactly where a service serves it, and what is built names the tests that prove it.
package compliance
