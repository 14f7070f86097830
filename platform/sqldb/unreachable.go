package sqldb

// IsUnreachable reports whether there was no connection to the database to send a statement over: it was certainly not
// executed, and may be tried again.
func IsUnreachable(err error) bool { return err != nil && isNeverSent(err) }

// unavailable marks an error after which the same may be tried again: edges answer it with a 503 (see matrix.AsError).
type unavailable struct{ error }

// Unwrap returns the database's own error.
func (u unavailable) Unwrap() error { return u.error }

// Unavailable says that the same may be tried again.
func (unavailable) Unavailable() bool { return true }

// mark marks err where the database could not be reached, was lost, or refused because of others.
func mark(err error) error {
	if err == nil || !IsUnreachable(err) && !IsConnectionLost(err) && !IsRetryable(err) {
		return err
	}
	return unavailable{err}
}
