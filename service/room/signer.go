package room

import (
	"bytes"
	"context"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix/event"
)

// openSigner makes what signs events. The key is the one in the database, which all instances share; the first instance
// of a new server puts it there.
func (s *Service) openSigner(ctx context.Context) (*event.Signer, error) {
	offered, err := s.offeredKey()
	if err != nil {
		return nil, err
	}
	text, err := s.store.SigningKey(ctx, offered.Marshal())
	if err != nil {
		return nil, err
	}
	key, err := event.ParseSigningKey(text)
	if err != nil {
		return nil, fmt.Errorf("signing key in the database: %w", err)
	}
	if s.deps.ImportKey != nil && !bytes.Equal(text, offered.Marshal()) {
		logx.WithContext(ctx).Errorf("the signing key to import is %s, but the server has %s already and keeps it",
			offered.ID(), key.ID())
	}
	return event.NewSigner(s.deps.Server, key), nil
}

// offeredKey is the key of a server that has none.
func (s *Service) offeredKey() (event.SigningKey, error) {
	if s.deps.ImportKey != nil {
		return *s.deps.ImportKey, nil
	}
	key, err := event.GenerateSigningKey(s.deps.Rand)
	if err != nil {
		return event.SigningKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	return key, nil
}
