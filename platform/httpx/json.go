package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"sync"

	"hongyan/matrix"
)

// ReadJSON reads the body, a JSON object, into v. The Content-Type does not matter, an empty body is {}, unknown
// keys are ignored, keys are told apart by case, and of a key that is given twice the last value counts. Its errors
// are *matrix.Error: M_NOT_JSON (malformed, bad UTF-8, NaN, more behind the object), M_BAD_JSON (wrong shape, nested
// deeper than [MaxDepth], the NUL character, which databases do not take), M_TOO_LARGE.
func ReadJSON(r *http.Request, v any) error {
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	return DecodeJSON(body, v)
}

// ReadObject reads the body as it is, checked to be one JSON object, {} where it is empty: for event contents, which
// matrix/canonicaljson then makes canonical. Errors are those of ReadJSON. The caller owns the result.
func ReadObject(r *http.Request) (json.RawMessage, error) {
	body, err := ReadBody(r)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return json.RawMessage("{}"), nil
	}
	if err := checkObject(body); err != nil {
		return nil, err
	}
	return body, nil
}

// DecodeJSON is ReadJSON for a body that was read already.
func DecodeJSON(body []byte, v any) error {
	body = bytes.Trim(body, " \t\r\n")
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := checkObject(body); err != nil {
		return err
	}
	body, err := normalize(body, v)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return shapeError(err, v)
	}
	return nil
}

// ReadBody reads the whole body, which the server has bounded (M_TOO_LARGE beyond), without the white space around it.
func ReadBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= 64<<10 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(r.Body); err != nil {
		return nil, readError(err)
	}
	return bytes.Trim(buf.Bytes(), " \t\r\n"), nil
}

// readError says what a failed read of the body is answered as.
func readError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return errTooLarge(large.Limit)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return matrix.NewError(matrix.CodeNotJSON, "The body ends early.").WithCause(err)
	}
	return matrix.NewError(matrix.CodeUnknown, "The body cannot be read.").WithCause(fmt.Errorf("read body: %w", err))
}

// shapeError maps what encoding/json found in a body that is well-formed: it has another shape than v.
func shapeError(err error, v any) error {
	var e *matrix.Error
	if errors.As(err, &e) { // from an UnmarshalJSON of ours
		return e
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		field := keyPath(reflect.TypeOf(v), wrong.Field)
		if field == "" {
			field = "the body"
		}
		return matrix.Errorf(matrix.CodeBadJSON, "%s: unexpected %s.", field, wrong.Value).WithCause(err)
	}
	return matrix.NewError(matrix.CodeBadJSON, "The body has an unexpected shape.").WithCause(err)
}

var jsonBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keptBuffer is the largest buffer, in bytes, that is kept for the next answer.
const keptBuffer = 64 << 10

// WriteJSON answers v as JSON. A v that cannot be encoded is a mistake in the program and answered as 500.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	buf := jsonBuffers.Get().(*bytes.Buffer)
	buf.Reset()
	defer func() {
		if buf.Cap() <= keptBuffer {
			jsonBuffers.Put(buf)
		}
	}()
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		buf.Reset()
		status = http.StatusInternalServerError
		buf.WriteString(`{"errcode":"M_UNKNOWN","error":"Internal server error."}` + "\n")
	}
	WriteRawJSON(w, status, bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

// WriteRawJSON answers a body that is JSON already.
func WriteRawJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonContentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away; nobody is left to tell
}

// jsonContentType is shared by all answers; net/http only reads it.
var jsonContentType = []string{"application/json"}
