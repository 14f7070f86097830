// Package registrytest is the conformance suite of registries.
package registrytest
