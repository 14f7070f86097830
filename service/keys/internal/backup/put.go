package backup

import (
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/backup/store"
)

// putKeys answers PUT /room_keys/keys.
func (b *Backup) putKeys(w http.ResponseWriter, r *http.Request) error {
	return b.putMany(w, r, func(raw []byte, _ target) ([]store.Key, error) {
		var body allBody
		if err := httpx.DecodeJSON(raw, &body); err != nil {
			return nil, err
		}
		if body.Rooms == nil {
			return nil, matrix.NewError(matrix.CodeMissingParam, "rooms is missing.")
		}
		return body.keys()
	})
}

// putRoom answers PUT /room_keys/keys/{roomId}.
func (b *Backup) putRoom(w http.ResponseWriter, r *http.Request) error {
	return b.putMany(w, r, func(raw []byte, t target) ([]store.Key, error) {
		var body roomBody
		if err := httpx.DecodeJSON(raw, &body); err != nil {
			return nil, err
		}
		if body.Sessions == nil {
			return nil, matrix.NewError(matrix.CodeMissingParam, "sessions is missing.")
		}
		return body.keys(nil, t.roomID)
	})
}

// putMany stores the keys of a body. Few bodies are decoded and stored at once: each takes several times its size.
func (b *Backup) putMany(w http.ResponseWriter, r *http.Request, decode func([]byte, target) ([]store.Key, error)) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	raw, err := httpx.ReadBody(r)
	if err != nil {
		return err
	}
	select {
	case b.large <- struct{}{}:
		defer func() { <-b.large }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	keys, err := decode(raw, t)
	if err != nil {
		return err
	}
	if len(keys) > b.cfg.RequestKeys {
		return matrix.Errorf(matrix.CodeTooLarge, "A request may store %d keys. Send them in several.", b.cfg.RequestKeys)
	}
	inOrder(keys)
	return b.put(w, r, t, keys)
}

// putSession answers PUT /room_keys/keys/{roomId}/{sessionId}.
func (b *Backup) putSession(w http.ResponseWriter, r *http.Request) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	var body keyBody
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	key, err := body.key(t.roomID, t.sessionID)
	if err != nil {
		return err
	}
	return b.put(w, r, t, []store.Key{key})
}

func (b *Backup) put(w http.ResponseWriter, r *http.Request, t target, keys []store.Key) error {
	state, stored, err := b.store.Put(r.Context(), t.userID, t.version, keys, b.cfg.limits())
	b.metrics.stored.Add(float64(stored))
	if err == nil {
		b.metrics.kept.Add(float64(int64(len(keys)) - stored))
	}
	return answerState(w, state, err)
}

func answerState(w http.ResponseWriter, state store.State, err error) error {
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, stateOf(state))
	return nil
}
