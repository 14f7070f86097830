package eventlog

import (
	"context"
	"errors"
)

type postgresStore struct{ log *Log }

func newPostgresStore(l *Log) *postgresStore { return &postgresStore{log: l} }

func (s *postgresStore) write(context.Context, []*pending) error { return errors.New("soon") }

func (s *postgresStore) settle(context.Context, error) error { return nil }
