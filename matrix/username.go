package matrix

import "strings"

// ValidateLocalpart checks the name of an account that is to be registered on server: the
// characters a-z, 0-9 and ._=-/+ (appendices, "User Identifiers"), not empty, and short enough
// that the user id has at most 255 bytes. The error is M_INVALID_USERNAME. Lower the name with
// strings.ToLower first where the endpoint says so.
func ValidateLocalpart(localpart string, server ServerName) error {
	switch {
	case localpart == "":
		return Errorf(CodeInvalidUsername, "The user name is empty.")
	case len(localpart)+len(server)+2 > MaxIDLength:
		return Errorf(CodeInvalidUsername, "The user name is too long: the user id may have at most %d bytes.", MaxIDLength)
	case strings.IndexFunc(localpart, notUserChar) >= 0:
		return Errorf(CodeInvalidUsername, "The user name may only contain the characters a-z, 0-9 and ._=-/+")
	}
	return nil
}

// IsHistorical tells whether the id is one which could not be registered today, though it is
// accepted (appendices, "Historical User IDs").
func (u UserID) IsHistorical() bool {
	local := u.Localpart()
	return local == "" || strings.IndexFunc(local, notUserChar) >= 0
}

func notUserChar(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		return false
	case r == '.', r == '_', r == '=', r == '-', r == '/', r == '+':
		return false
	}
	return true
}
