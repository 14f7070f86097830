package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf8"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// authData is the parameter "auth" (definitions/auth_data.yaml).
type authData struct {
	Type    string `json:"type"`
	Session string `json:"session"`
	credentials
}

// authBody is a body with "auth".
type authBody struct {
	// auth is empty where it is missing.
	auth authData
	// params is a hash of all other parameters.
	params []byte
}

// readAuthBody reads a body into v, and what it says under "auth".
func readAuthBody(r *http.Request, v any) (authBody, error) {
	raw, err := httpx.ReadBody(r)
	if err != nil {
		return authBody{}, err
	}
	if err := httpx.DecodeJSON(raw, v); err != nil {
		return authBody{}, err
	}
	return decodeAuthBody(raw)
}

func decodeAuthBody(raw []byte) (authBody, error) {
	var body struct {
		Auth authData `json:"auth"`
	}
	if err := httpx.DecodeJSON(raw, &body); err != nil {
		return authBody{}, err
	}
	params, err := hashParams(raw)
	return authBody{auth: body.Auth, params: params}, err
}

// hashParams hashes all of a body but "auth". The order of keys and the white space do not matter.
func hashParams(raw []byte) ([]byte, error) {
	body := map[string]any{}
	if len(raw) > 0 {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&body); err != nil {
			return nil, matrix.NewError(matrix.CodeNotJSON, "The body is not JSON.").WithCause(err)
		}
	}
	delete(body, "auth")
	sorted, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	sum := sha256.Sum256(sorted)
	return sum[:], nil
}

// isText reports whether databases take a text.
func isText(text string) bool {
	return utf8.ValidString(text) && !bytes.ContainsRune([]byte(text), 0)
}
