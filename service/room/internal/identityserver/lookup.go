package identityserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"

	"hongyan/matrix"
)

// Address is where somebody can be reached outside of Matrix.
type Address struct {
	Medium  string `json:"medium"`
	Address string `json:"address"`
}

const (
	algorithmHash  = "sha256"
	codeBadPepper  = "M_INVALID_PEPPER"
	lookupAttempts = 2
)

// Lookup returns the users who have bound addresses, as far as there are such.
func (c *Client) Lookup(ctx context.Context, a Account, addresses []Address) (map[Address]matrix.UserID, error) {
	for attempt := 1; ; attempt++ {
		found, err := c.lookup(ctx, a, addresses)
		var refused *Error
		if attempt < lookupAttempts && errors.As(err, &refused) && refused.Code == codeBadPepper {
			continue // it was changed in between
		}
		return found, err
	}
}

func (c *Client) lookup(ctx context.Context, a Account, addresses []Address) (map[Address]matrix.UserID, error) {
	var details struct {
		Pepper     string   `json:"lookup_pepper"`
		Algorithms []string `json:"algorithms"`
	}
	if err := c.call(ctx, http.MethodGet, a.Server, "/hash_details", a.Token, nil, &details); err != nil {
		return nil, err
	}
	if !slices.Contains(details.Algorithms, algorithmHash) {
		return nil, errors.New("the identity server does not take hashed addresses")
	}
	hashed := make(map[string]Address, len(addresses))
	request := struct {
		Algorithm string   `json:"algorithm"`
		Pepper    string   `json:"pepper"`
		Addresses []string `json:"addresses"`
	}{algorithmHash, details.Pepper, nil}
	for _, address := range addresses {
		sum := sha256.Sum256([]byte(address.Address + " " + address.Medium + " " + details.Pepper))
		hash := base64.RawURLEncoding.EncodeToString(sum[:])
		hashed[hash] = address
		request.Addresses = append(request.Addresses, hash)
	}
	var answer struct {
		Mappings map[string]string `json:"mappings"`
	}
	if err := c.call(ctx, http.MethodPost, a.Server, "/lookup", a.Token, request, &answer); err != nil {
		return nil, err
	}
	found := map[Address]matrix.UserID{}
	for hash, id := range answer.Mappings {
		address, asked := hashed[hash]
		if user, err := matrix.ParseUserID(id); asked && err == nil {
			found[address] = user
		}
	}
	return found, nil
}
