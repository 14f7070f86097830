package httpx

import (
	"encoding/json"
	"unicode/utf8"

	"hongyan/matrix"
)

// MaxDepth is how deep objects and arrays may lie within each other in a body.
const MaxDepth = 100

// checkObject checks that body is one JSON object of valid UTF-8 that is nested no deeper than MaxDepth.
func checkObject(body []byte) error {
	if !utf8.Valid(body) {
		return matrix.NewError(matrix.CodeNotJSON, "The body is not valid UTF-8.")
	}
	if depth(body) > MaxDepth {
		return matrix.Errorf(matrix.CodeBadJSON, "The body is nested deeper than %d levels.", MaxDepth)
	}
	if !json.Valid(body) {
		return matrix.NewError(matrix.CodeNotJSON, "The body is not JSON.")
	}
	if body[0] != '{' {
		return matrix.NewError(matrix.CodeBadJSON, "The body must be a JSON object.")
	}
	return nil
}

// depth returns how deep brackets lie within each other, outside of strings.
func depth(body []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		}
	}
	return deepest
}
