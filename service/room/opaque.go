package room

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"hongyan/matrix"
)

// maxOpaque bounds what is read as a token, in bytes.
const maxOpaque = 4096

// opaque makes a token of a struct of strings, numbers and booleans. It is no secret and is not signed: whatever it says is
// checked when it comes back.
func opaque(v any) string {
	raw, err := json.Marshal(v)
	if err != nil { // cannot be: such structs always encode
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// readOpaque reads a token of the parameter name into v: M_INVALID_PARAM where it is none.
func readOpaque(name, token string, v any) error {
	if len(token) > maxOpaque {
		return errToken(name)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return errToken(name)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil || decoder.More() {
		return errToken(name)
	}
	return nil
}

func errToken(name string) error {
	return matrix.Errorf(matrix.CodeInvalidParam, "%s is no token of this list: take one from an answer, or leave it out to begin anew.", name)
}
