// Command hongyan is a Matrix homeserver in one binary: the server, its administration and a load generator.
package main

import (
	"context"
	"os"

	"hongyan/app/cli"
)

// version is set by the linker (make build).
var version = "dev"

func main() {
	os.Exit(cli.Main(context.Background(), version, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
