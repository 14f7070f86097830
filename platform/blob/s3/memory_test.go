package s3_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/blob/s3"
)

// TestPutHoldsLittle puts a blob of many parts, which takes no more memory than one of a few.
func TestPutHoldsLittle(t *testing.T) {
	s, err := s3.New(s3.Config{
		Endpoint: "http://store.test", Bucket: "media", Region: "us-east-1", AccessKey: "access", SecretKey: "secret", PathStyle: true,
	}, sink{})
	require.NoError(t, err)
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := s.Put(t.Context(), "large", io.LimitReader(zeros{}, size))
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(18<<20)) // with what is thrown away while the beginning grows
}

// zeros is content without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// sink is an object store that takes all and keeps nothing.
type sink struct{}

func (sink) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := ""
	if r.Body != nil {
		// Not by io.Discard's pool, which the race detector empties.
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, make([]byte, 32<<10)); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	if r.Method == http.MethodPost {
		name := "InitiateMultipartUploadResult"
		if r.URL.Query().Has("uploadId") {
			name = "CompleteMultipartUploadResult"
		}
		answer = "<" + name + "><Bucket>media</Bucket><Key>large</Key><UploadId>1</UploadId><ETag>x</ETag></" + name + ">"
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Etag": {`"x"`}}, Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer)),
	}, nil
}
