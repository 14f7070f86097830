// Package obstest helps tests to prove that nothing is left running.
package obstest

import (
	"testing"

	"go.uber.org/goleak"
)

// LeakOptions names the goroutines that imported libraries start when the program starts and never end.
func LeakOptions() []goleak.Option {
	return []goleak.Option{
		// go-zero: signals, CPU statistics, caches' cleaner.
		goleak.IgnoreAnyFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		goleak.IgnoreAnyFunction("github.com/zeromicro/go-zero/core/stat.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/zeromicro/go-zero/core/collection.(*TimingWheel).run"),
		goleak.IgnoreAnyFunction("os/signal.loop"),
	}
}

// Main runs a package's tests and fails if one of them left a goroutine running. Use it as TestMain's body.
func Main(m *testing.M) { goleak.VerifyTestMain(m, LeakOptions()...) }
