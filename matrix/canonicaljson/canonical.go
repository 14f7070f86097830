package canonicaljson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"hongyan/matrix"
)

// MaxDepth is how deeply objects and arrays may be nested. The specification sets no limit;
// this one bounds the stack and is far above what any client sends.
const MaxDepth = 100

// MaxInt is the largest number, MinInt the smallest.
const (
	MaxInt = 1<<53 - 1
	MinInt = -MaxInt
)

// Canonicalize returns the canonical encoding of any JSON value. The result never aliases raw and
// is never longer than it.
func Canonicalize(raw []byte) ([]byte, error) {
	return Append(make([]byte, 0, len(raw)), raw)
}

// CanonicalizeObject is Canonicalize for a value that must be an object: another one is M_BAD_JSON.
func CanonicalizeObject(raw []byte) ([]byte, error) {
	out, err := Canonicalize(raw)
	if err != nil {
		return nil, err
	}
	if out[0] != '{' {
		return nil, matrix.Errorf(matrix.CodeBadJSON, "The JSON must be an object.")
	}
	return out, nil
}

// Append appends the canonical encoding of raw to dst. On an error it returns nil.
func Append(dst, raw []byte) ([]byte, error) {
	if err := checkSize(len(dst) + len(raw)); err != nil {
		return nil, err
	}
	var members [24]member
	e := encoder{in: raw, out: dst, members: members[:0]}
	if err := e.document(); err != nil {
		return nil, err
	}
	return e.out, nil
}

// Normalize is Canonicalize for JSON that is never signed: numbers may be of any size and kind, and
// stay as they are written. As in canonical JSON, keys are sorted and the last of equal ones wins.
func Normalize(raw []byte) ([]byte, error) {
	if err := checkSize(len(raw)); err != nil {
		return nil, err
	}
	var members [24]member
	e := encoder{in: raw, out: make([]byte, 0, len(raw)), members: members[:0], anyNumber: true}
	if err := e.document(); err != nil {
		return nil, err
	}
	return e.out, nil
}

// Check reports whether raw is acceptable JSON that need not be canonical: it is valid, in UTF-8
// without lone surrogates, and nested no deeper than MaxDepth. Numbers may be of any size and kind.
func Check(raw []byte) error {
	_, err := Normalize(raw)
	return err
}

// IsCanonical tells whether raw already is what Canonicalize returns.
func IsCanonical(raw []byte) bool {
	out, err := Canonicalize(raw)
	return err == nil && bytes.Equal(out, raw)
}

// Marshal encodes a Go value with encoding/json and returns the canonical encoding of that.
func Marshal(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode canonical json: %w", err)
	}
	return Canonicalize(raw)
}

// checkSize keeps positions within 32 bits.
func checkSize(n int) error {
	if n > math.MaxInt32 {
		return matrix.Errorf(matrix.CodeTooLarge, "The JSON is too large.")
	}
	return nil
}

func notJSON(pos int, what string) error {
	return matrix.Errorf(matrix.CodeNotJSON, "The body is not valid JSON: %s at byte %d.", what, pos)
}
