package hop

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// wholeAnswer is up to how many bytes an answer is read to its end before any of it is handed on: when its instance dies in
// the middle, another one can be asked. Nearly all answers are smaller.
const wholeAnswer = 64 << 10

// readWhole reads an answer that says that it is small. Others are handed on as they come.
func (x *exchange) readWhole(res *http.Response) error {
	n := res.ContentLength
	if n <= 0 || n > wholeAnswer || res.Request.Method == http.MethodHead || res.Body == http.NoBody {
		return nil
	}
	body := make([]byte, n)
	_, err := io.ReadFull(res.Body, body)
	x.drop(res) // all that counts has been read, or not
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// drop closes an answer that nobody reads on. Over HTTP/2 that waits for a Read of the request's body, which the answer
// must not.
func (x *exchange) drop(res *http.Response) {
	if x.body.whole() {
		_ = res.Body.Close() // nobody reads on
		return
	}
	body := res.Body
	x.cluster.running.Go(func() { _ = body.Close() }) // nobody reads on
}
