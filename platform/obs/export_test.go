package obs

import "io"

// Scrubber opens what log lines go through to the tests.
func Scrubber(out io.Writer) io.Writer { return &scrubber{out: out} }
