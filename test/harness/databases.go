package harness

import (
	"testing"

	"hongyan/test/pgtest"
)

// OnEachDatabase runs a test as two: on SQLite files, the default, and on a PostgreSQL server of the test's own.
func OnEachDatabase(t *testing.T, test func(*testing.T, Options)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, Options{}) })
	t.Run("postgres", func(t *testing.T) { test(t, Options{Args: []string{"--database", pgtest.StartDurable(t)}}) })
}
