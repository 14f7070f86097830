package sync

import (
	"errors"

	"hongyan/matrix"
	"hongyan/service/sync/internal/userlog"
)

// unavailable makes an error of the database one that the client may try again after; API errors stay what they are.
func unavailable(err error) error {
	var known *matrix.Error
	if err == nil || errors.As(err, &known) || !userlog.Unavailable(err) {
		return err
	}
	return matrix.Unavailable(err)
}

// isGone tells whether a room is not there any more: it was removed, perhaps before this node heard of it.
func isGone(err error) bool {
	var known *matrix.Error
	return errors.As(err, &known) && known.Code == matrix.CodeNotFound
}
