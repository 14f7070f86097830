package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/app/transfer"
	"hongyan/platform/sqldb"
)

var kinds = []string{"sqlite", "postgres"}

// across runs a test from each kind of database to each.
func across(t *testing.T, test func(t *testing.T, from, to *deployment)) {
	for _, from := range kinds {
		for _, to := range kinds {
			t.Run(from+" to "+to, func(t *testing.T) { test(t, newDeployment(t, from), newDeployment(t, to)) })
		}
	}
}

const many = 3000 // more than a batch and than a part

func TestWhatIsBackedUpIsRestored(t *testing.T) {
	across(t, func(t *testing.T, from, to *deployment) {
		from.fill(many)
		archive := from.backup()
		info, err := transfer.Verify(t.Context(), bytes.NewReader(archive), nil)
		require.NoError(t, err)
		require.Equal(t, "x.org", info.Header.ServerName)
		require.Equal(t, []byte("key"), info.Key)
		require.Equal(t, int64(many), info.Manifest.Tables["b/thing"].Rows)
		require.Contains(t, info.Manifest.Tables, "b/no_thing", "an empty table is known too")
		require.NoError(t, to.restore(archive))
		require.NoError(t, to.usable())
		require.Equal(t, from.things(), to.things())

		old, _, _ := from.epochs()
		log, cursor, position := to.epochs()
		require.NotEqual(t, old, log, "a restored log is another one")
		require.Equal(t, log, cursor, "who follows it goes on")
		require.Equal(t, int64(11), position)

		again := to.backup()
		second, err := transfer.Verify(t.Context(), bytes.NewReader(again), nil)
		require.NoError(t, err)
		require.Equal(t, info.Manifest.Tables["b/thing"], second.Manifest.Tables["b/thing"], "sums do not depend on the database")
		to.with(func(all []transfer.Database) {
			_, err := all[1].DB.Exec(t.Context(), "INSERT INTO thing (flag) VALUES ($1)", true)
			require.NoError(t, err, "numbering goes on")
			held, err := tableOf(t, all[0].DB, "mine_lease").HasRows(t.Context(), all[0].DB)
			require.NoError(t, err)
			require.False(t, held, "a lease of before would never end")
		})
	})
}

func TestWhatIsMovedIsTheSame(t *testing.T) {
	across(t, func(t *testing.T, from, to *deployment) {
		from.fill(many)
		marked := 0
		from.with(func(all []transfer.Database) {
			require.NoError(t, transfer.Move(t.Context(), transfer.Moving{
				Databases: all, Targets: to.targets(), What: "from here",
				Done: func(context.Context) error {
					marked++
					require.ErrorContains(t, to.usable(), "from here", "not before the source is marked")
					return nil
				},
			}))
		})
		require.Equal(t, 1, marked)
		require.NoError(t, to.usable())
		require.Equal(t, from.things(), to.things())
		log, cursor, _ := from.epochs()
		newLog, newCursor, _ := to.epochs()
		require.Equal(t, [2]uint64{log, cursor}, [2]uint64{newLog, newCursor})
	})
}

func TestAnOlderArchiveGoesIntoANewerProgram(t *testing.T) {
	across(t, func(t *testing.T, from, to *deployment) {
		from.fill(10)
		archive := from.backup()
		to.version = 2
		require.NoError(t, to.restore(archive))
		for i, row := range to.things() {
			require.Equal(t, []any{int64(i + 1), "was " + string(rune('0'+(i+1)%10))}, []any{row[0], normal(row[6].(string))})
		}
		older := newDeployment(t, "sqlite")
		require.ErrorContains(t, older.restore(to.backup()), "has version 2 where the rows come from, and this program made version 1")
		require.Error(t, older.usable())
	})
}

// normal shortens "was 10" to "was 0".
func normal(note string) string { return "was " + note[len(note)-1:] }

func TestNothingIsOverwritten(t *testing.T) {
	across(t, func(t *testing.T, from, to *deployment) {
		from.fill(5)
		archive := from.backup()
		to.fill(7)
		before := to.things()
		require.ErrorIs(t, to.restore(archive), transfer.ErrNotEmpty)
		from.with(func(all []transfer.Database) {
			require.ErrorIs(t, transfer.Move(t.Context(), transfer.Moving{Databases: all, Targets: to.targets(), What: "x"}), transfer.ErrNotEmpty)
		})
		require.Equal(t, before, to.things())
		require.NoError(t, to.usable())
	})
}

func TestAFirstStartLeavesNothingThatStopsARestore(t *testing.T) {
	across(t, func(t *testing.T, from, to *deployment) {
		from.fill(5)
		to.with(func(all []transfer.Database) {
			for _, one := range all {
				require.NoError(t, migrate(one.Service, 1)(t.Context(), one.DB))
			}
			_, err := all[0].DB.Exec(t.Context(), "INSERT INTO mine_lease (name, holder, until_ms) VALUES ('a', 'me', 1)")
			require.NoError(t, err)
			_, err = all[1].DB.Exec(t.Context(), "INSERT INTO begun (x) VALUES (7)")
			require.NoError(t, err)
		})
		require.NoError(t, to.restore(from.backup()))
		require.Equal(t, from.things(), to.things())
	})
}

// TestAnInterruptedRunIsRepeated ends runs at every step that there is.
func TestAnInterruptedRunIsRepeated(t *testing.T) {
	across(t, func(t *testing.T, from, to *deployment) {
		from.fill(20)
		steps := 0
		for stopAt := 1; ; stopAt++ {
			ctx, cancel := context.WithCancel(t.Context())
			steps = 0
			failed := errors.New("stopped")
			var err error
			from.with(func(all []transfer.Database) {
				err = transfer.Move(ctx, transfer.Moving{
					Databases: all, Targets: to.targets(), What: "from here",
					Progress: func(transfer.Step) {
						if steps++; steps == stopAt {
							cancel()
						}
					},
					Done: func(context.Context) error {
						if stopAt == steps+1 {
							return failed
						}
						return nil
					},
				})
			})
			cancel()
			if err == nil {
				break
			}
			require.Error(t, to.usable(), "step %d", stopAt)
			if stopAt > steps {
				require.ErrorIs(t, err, failed, "nothing else stops it")
			}
			to.with(func(all []transfer.Database) {
				_, err := transfer.Backup(t.Context(), &bytes.Buffer{}, all, transfer.Header{}, nil, nil)
				require.ErrorContains(t, err, "incomplete", "half of it is no backup")
			})
			if errors.Is(err, failed) {
				// Everything is there: the source was perhaps marked, and only the end is missing.
				from.with(func(all []transfer.Database) {
					require.NoError(t, transfer.Move(t.Context(), transfer.Moving{
						Databases: all, Targets: to.targets(), What: "from here", Moved: true,
					}))
				})
				break
			}
		}
		require.Greater(t, steps, 5)
		require.NoError(t, to.usable())
		require.Equal(t, from.things(), to.things())
		from.with(func(all []transfer.Database) {
			empty := newDeployment(t, "sqlite")
			err := transfer.Move(t.Context(), transfer.Moving{Databases: all, Targets: empty.targets(), What: "from here", Moved: true})
			require.ErrorIs(t, err, transfer.ErrMoved)
		})
	})
}

// A server that opens the target between the first look and the mark is seen all the same, and nothing is taken from it.
func TestAServerThatComesFirstIsLeftAlone(t *testing.T) {
	from, to := newDeployment(t, "sqlite"), newDeployment(t, "postgres")
	from.fill(5)
	archive := from.backup()
	info, err := transfer.Verify(t.Context(), bytes.NewReader(archive), nil)
	require.NoError(t, err)
	var server *sqldb.DB
	opened := 0
	targets := to.targets()
	for i := range targets {
		open := targets[i].Open
		targets[i].Open = func(ctx context.Context, upTo map[string]int64) (*sqldb.DB, error) {
			if opened++; opened == len(targets)+1 { // each was looked at
				server, err = sqldb.Open(ctx, sqldb.Config{URL: to.urls["b"] + "&application_name=mine"})
				require.NoError(t, err)
				require.NoError(t, transfer.Refuse(ctx, server))
			}
			return open(ctx, upTo)
		}
	}
	err = transfer.Restore(t.Context(), bytes.NewReader(archive), info, targets, nil, nil)
	require.ErrorContains(t, err, "a server is connected to it")
	require.NoError(t, transfer.Refuse(t.Context(), server), "it may start again")
	require.NoError(t, server.Close())
	require.NoError(t, to.usable())
	require.NoError(t, to.restore(archive))
}

// What an earlier run has filled is filled again as long as the source was not marked: it may hold more by now.
func TestWhatCameSinceIsMovedToo(t *testing.T) {
	across(t, func(t *testing.T, from, to *deployment) {
		from.fill(5)
		move := func(done error) (err error) {
			from.with(func(all []transfer.Database) {
				err = transfer.Move(t.Context(), transfer.Moving{
					Databases: all, Targets: to.targets(), What: "from here",
					Done: func(context.Context) error { return done },
				})
			})
			return err
		}
		failed := errors.New("a server was there")
		require.ErrorIs(t, move(failed), failed)
		from.with(func(all []transfer.Database) {
			_, err := all[1].DB.Exec(t.Context(), "UPDATE thing SET name = 'later' WHERE id = 3")
			require.NoError(t, err)
		})
		require.NoError(t, move(nil))
		require.Equal(t, "later", to.things()[2][1])
		require.Equal(t, from.things(), to.things())
	})
}

func TestADatabaseThatIsMovingIsRefused(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			d := newDeployment(t, kind)
			d.fill(1)
			d.with(func(all []transfer.Database) {
				db := all[0].DB
				require.NoError(t, transfer.MarkMoving(t.Context(), db, "elsewhere"))
				require.ErrorContains(t, d.usable(), "it is being moved to elsewhere")
				require.NoError(t, transfer.EndMoving(t.Context(), db))
				require.NoError(t, d.usable())
				require.NoError(t, transfer.MarkMoved(t.Context(), db, "elsewhere"))
				require.NoError(t, transfer.EndMoving(t.Context(), db))
				require.ErrorContains(t, d.usable(), "it was moved to elsewhere", "another mark")
			})
		})
	}
}

func TestAMovedDatabaseIsRefused(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			d := newDeployment(t, kind)
			d.fill(1)
			d.with(func(all []transfer.Database) {
				require.NoError(t, transfer.MarkMoved(t.Context(), all[0].DB, "elsewhere"))
				moved, err := transfer.IsMoved(t.Context(), all[0].DB)
				require.NoError(t, err)
				require.True(t, moved)
				moved, err = transfer.IsMoved(t.Context(), all[1].DB)
				require.NoError(t, err)
				require.False(t, moved)
			})
			require.ErrorContains(t, d.usable(), "it was moved to elsewhere")
		})
	}
}
