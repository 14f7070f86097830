package room

import (
	"hongyan/matrix"
	"hongyan/matrix/auth"
)

// checkPowerLevels refuses the content of an m.room.power_levels that no room of this version could have: M_BAD_JSON.
// Whether the sender may make the change is for the rules.
func (w *working) checkPowerLevels(content []byte) error {
	return checkPowerLevels(w.auth.create, content)
}

func checkPowerLevels(create *auth.Create, content []byte) error {
	levels, err := auth.ParsePowerLevels(create, content)
	if err != nil {
		return err
	}
	levels.Users(func(user matrix.UserID, _ int64) bool {
		if create.IsCreator(user) {
			err = matrix.Errorf(matrix.CodeBadJSON,
				"%s created the room and has all power for ever: leave them out of \"users\".", user)
		}
		return err == nil
	})
	return err
}
