package httpx

import (
	"log"

	"github.com/zeromicro/go-zero/core/logx"
)

// ErrorLog is the ErrorLog of an http.Server: it passes net/http's complaints about clients on, for those who debug.
func ErrorLog(name string) *log.Logger { return log.New(lineWriter{name: name}, "", 0) }

type lineWriter struct{ name string }

func (w lineWriter) Write(line []byte) (int, error) {
	logx.Debugf("%s: %s", w.name, line)
	return len(line), nil
}
