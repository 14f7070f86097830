package keys

import (
	"errors"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// apiError makes an error of the database one that the client may try again after; API errors stay what they are.
func apiError(err error) error {
	var known *matrix.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, eventlog.ErrUnknown) || sqldb.IsConnectionLost(err) {
		return matrix.Unavailable(err)
	}
	return err
}
