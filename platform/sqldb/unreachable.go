package sqldb

// IsUnreachable reports whether there was no connection to the database to send a statement over: it was certainly not
// executed, and may be tried again.
func IsUnreachable(err error) bool { return err != nil && isNeverSent(err) }
