package gateway

import (
	"fmt"
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// atFault tells whether a status says that the server did not do what it should. 502 does not: with it a service tells a client that
// a server of others, which the client named, gave nothing, such as the page of a preview. Of a foreign service nobody knows.
func (q *request) atFault(status int) bool {
	if status == http.StatusBadGateway && q.endpoint != nil && !q.endpoint.foreign {
		return false
	}
	return status >= http.StatusInternalServerError
}

// logAccess writes one line for a request: at level debug, and at info where the server was at fault. It holds neither
// the token nor the body, and who is signed in and from where as far as that is known. What machines look for is a field
// of its own where lines are few.
func logAccess(q *request, method string, path func() string, status int, took time.Duration) {
	line := func() any {
		text := fmt.Sprintf("%s %s %d %dms request_id=%s", method, path(), status, took.Milliseconds(), q.id)
		if q.address.IsValid() {
			text += " address=" + q.address.String()
		}
		if user := q.user(); user != "" {
			text += fmt.Sprintf(" user=%q", user)
		}
		return text
	}
	if q.atFault(status) {
		fields := []logx.LogField{logx.Field("request_id", q.id)}
		if q.span != nil {
			fields = append(fields, logx.Field("trace", q.span.SpanContext().TraceID().String()))
		}
		logx.Infow(fmt.Sprint(line()), fields...)
		return
	}
	logx.Debugfn(line)
}
