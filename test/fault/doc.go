// Package fault breaks a running Hongyan under load and checks that nothing that was acknowledged is lost, doubled or
// reordered.
package fault
