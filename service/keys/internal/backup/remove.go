package backup

import "net/http"

// deleteKeys answers DELETE /room_keys/keys.
func (b *Backup) deleteKeys(w http.ResponseWriter, r *http.Request) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	state, err := b.store.Clear(r.Context(), t.userID, t.version)
	b.wake()
	return answerState(w, state, err)
}

// deleteRoom answers DELETE /room_keys/keys/{roomId}.
func (b *Backup) deleteRoom(w http.ResponseWriter, r *http.Request) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	state, err := b.store.Remove(r.Context(), t.userID, t.version, t.roomID, "")
	return answerState(w, state, err)
}

// deleteSession answers DELETE /room_keys/keys/{roomId}/{sessionId}.
func (b *Backup) deleteSession(w http.ResponseWriter, r *http.Request) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	state, err := b.store.Remove(r.Context(), t.userID, t.version, t.roomID, t.sessionID)
	return answerState(w, state, err)
}
