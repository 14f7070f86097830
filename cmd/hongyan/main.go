// Command hongyan is a Matrix homeserver in one binary: the server, its administration and a load generator.
package main

import (
	"os"

	"hongyan/app/cli"
)

// version is set by the linker (make build).
var version = "dev"

func main() {
	os.Exit(cli.Process(version))
}
