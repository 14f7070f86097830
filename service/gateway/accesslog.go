package gateway

import (
	"fmt"
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// logAccess writes one line for a request: at level debug, and at info where the server was at fault. It holds neither
// the token nor the body.
func logAccess(q *request, method string, path func() string, status int, took time.Duration) {
	line := func() any {
		return fmt.Sprintf("%s %s %d %dms user=%q address=%s request_id=%s",
			method, path(), status, took.Milliseconds(), q.user(), q.address, q.id)
	}
	if status >= http.StatusInternalServerError {
		logx.Info(line())
		return
	}
	logx.Debugfn(line)
}
