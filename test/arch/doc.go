// Package arch holds the rules of the house that a compiler does not know: who may import whom, and that each package
// says what it is for. They are tests.
package arch
