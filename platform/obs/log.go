package obs

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/proc"
	"github.com/zeromicro/go-zero/core/prometheus"
	"github.com/zeromicro/go-zero/core/stat"
)

// LogConfig says what is logged and how.
type LogConfig struct {
	// Level is debug, info, error or off.
	Level string `yaml:"level"`
	// Format is plain (for people) or json (for machines).
	Format string `yaml:"format"`
}

// DefaultLogConfig is for a person who starts the server in a terminal.
func DefaultLogConfig() LogConfig { return LogConfig{Level: "info", Format: "plain"} }

// Validate says what is wrong with c.
func (c LogConfig) Validate() error {
	switch c.Level {
	case "debug", "info", "error", "off":
	default:
		return fmt.Errorf("log level %q: want debug, info, error or off", c.Level)
	}
	switch c.Format {
	case "plain", "json":
	default:
		return fmt.Errorf("log format %q: want plain or json", c.Format)
	}
	return nil
}

// levelOff lies above every level of logx but its own "disabled", which could never be switched on again.
const levelOff = 0xf0

// Setup configures logging, metrics and go-zero's process hooks for this process. It is called once, by the
// composition root, before anything logs; out is os.Stderr where nil. go-zero keeps the format of a process's first call.
func Setup(c LogConfig, out io.Writer) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if out == nil {
		out = os.Stderr
	}
	conf := logx.LogConf{Mode: "console", Encoding: c.Format, Level: "info", StackCooldownMillis: 100}
	if c.Format == "plain" {
		conf.TimeFormat = time.TimeOnly + ".000"
	}
	if err := logx.SetUp(conf); err != nil {
		return fmt.Errorf("set up logging: %w", err)
	}
	logx.SetWriter(logx.NewWriter(&scrubber{out: out}))
	disarm()
	SetLevel(c.Level)
	prometheus.Enable()
	return nil
}

// Identify adds to every log line which service of which process wrote it. It is called once, after Setup.
func Identify(who Identity) {
	fields := []logx.LogField{logx.Field("service", who.Service)}
	if who.BootID != "" {
		fields = append(fields, logx.Field("boot_id", who.BootID))
	}
	logx.AddGlobalFields(fields...)
}

// Quiet is for a process that is no server: it logs nothing, go-zero leaves its signals alone, and what it has to say it
// prints by itself. Setup may follow.
func Quiet() {
	disarm()
	SetLevel("off")
}

// disarm switches off what go-zero does to a process by itself.
func disarm() {
	logx.DisableStat()
	stat.DisableLog()
	// go-zero listens to SIGTERM and SIGINT by itself and kills the process when it has not ended in 5.5 s. The composition
	// root has its own drain and its own limit.
	proc.SetTimeToForceQuit(math.MaxInt64)
}

// SetLevel changes the level of a running process: debug, info, error or off. Anything else is info.
func SetLevel(level string) {
	switch strings.ToLower(level) {
	case "debug":
		logx.SetLevel(logx.DebugLevel)
	case "error":
		logx.SetLevel(logx.ErrorLevel)
	case "off":
		logx.SetLevel(levelOff)
	default:
		logx.SetLevel(logx.InfoLevel)
	}
}
