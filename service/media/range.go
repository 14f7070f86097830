package media

import (
	"net/http"
	"strings"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// rangeUnit is the one of which parts are served.
const rangeUnit = "bytes="

// inRange has ranges of an unknown unit ignored, as RFC 9110 wants it, and those that are not there answered with an error of Matrix.
func inRange(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
	asked := r.Header.Get("Range")
	if asked == "" {
		return w, r
	}
	r = r.Clone(r.Context())
	if len(asked) < len(rangeUnit) || !strings.EqualFold(asked[:len(rangeUnit)], rangeUnit) {
		r.Header.Del("Range")
		return w, r
	}
	r.Header.Set("Range", rangeUnit+asked[len(rangeUnit):])
	return &rangeWriter{ResponseWriter: w}, r
}

// rangeWriter answers what http.ServeContent refuses.
type rangeWriter struct {
	http.ResponseWriter
	refused bool
}

// WriteHeader writes all of an answer that refuses.
func (w *rangeWriter) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	w.Header().Del("Content-Disposition")
	e := matrix.NewError(matrix.CodeInvalidParam, "The content has no such range. Content-Range says how long it is.")
	httpx.WriteJSON(w.ResponseWriter, status, e)
}

func (w *rangeWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *rangeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
