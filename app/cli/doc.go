// Package cli is the command line: it reads flags, loads the configuration and calls app.
package cli
