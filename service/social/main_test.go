package social_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs/obstest"
)

// TestMain runs the tests, or is one of the processes that they start to be killed.
func TestMain(m *testing.M) {
	logx.Disable()
	if url := os.Getenv(childURL); url != "" {
		_, _ = fmt.Fprintln(os.Stderr, child(url))
		os.Exit(1)
	}
	obstest.Main(m)
}
