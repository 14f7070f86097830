// Package obstest helps tests to prove that nothing is left running.
package obstest

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

// LeakOptions names the goroutines that imported libraries start when the program starts and never end.
func LeakOptions() []goleak.Option {
	options := []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/zeromicro/go-zero/core/collection.(*TimingWheel).run"), // caches' cleaner
		goleak.IgnoreAnyFunction("os/signal.loop"),
	}
	// go-zero's signal handling and CPU statistics. The compiler numbers a package's init functions.
	for i := range 4 {
		for _, pkg := range []string{"proc", "stat"} {
			options = append(options,
				goleak.IgnoreAnyFunction(fmt.Sprintf("github.com/zeromicro/go-zero/core/%s.init.%d.func1", pkg, i)))
		}
	}
	return options
}

// Main runs a package's tests and fails if one of them left a goroutine running. Use it as TestMain's body.
func Main(m *testing.M) { goleak.VerifyTestMain(m, LeakOptions()...) }
