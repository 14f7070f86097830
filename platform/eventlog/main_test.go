package eventlog_test

import (
	"os"
	"testing"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs/obstest"
)

// TestMain runs the tests, or is one of the processes that they start to be killed.
func TestMain(m *testing.M) {
	logx.Disable()
	if url := os.Getenv(childURL); url != "" {
		os.Exit(child(url))
	}
	obstest.Main(m)
}
