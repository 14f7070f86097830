package eventlog_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// enough is how many acknowledged entries a test with faults waits for.
func enough() int {
	if testing.Short() {
		return 300
	}
	return 1500
}

// instance opens a log of its own, over connections of its own, as another process would.
func instance(t testing.TB, url string) *eventlog.Log {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{
		URL: url, LockTimeout: 300 * time.Millisecond, StatementTimeout: 2 * time.Second, IdleTxTimeout: 500 * time.Millisecond,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return openLog(t, db, eventlog.Config{AttemptTimeout: time.Second, CommitTimeout: 20 * time.Second, TailBytes: 100_000})
}

// TestConcurrentAppenders lets many senders in several instances write to few rooms while followers read.
func TestConcurrentAppenders(t *testing.T) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			url := d.url(t)
			var logs []*eventlog.Log
			for range map[string]int{"sqlite": 1, "postgres": 3}[d.name] {
				logs = append(logs, instance(t, url))
			}
			underLoad(t, logs, func() {})
		})
	}
}

// TestKilledConnections ends sessions on the server at random.
func TestKilledConnections(t *testing.T) {
	url := databases()[1].url(t)
	logs := []*eventlog.Log{instance(t, url), instance(t, url), instance(t, url)}
	admin := openDB(t, url)
	underLoad(t, logs, func() {
		_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND random() < 0.3`)
		require.NoError(t, err)
	})
}

// TestCutConnections cuts connections in the middle: before the request arrives, and before its answer does.
func TestCutConnections(t *testing.T) {
	url := databases()[1].url(t)
	logs := []*eventlog.Log{instance(t, url)}
	var proxies []*proxy
	for range 2 {
		p := startProxy(t, url)
		logs, proxies = append(logs, instance(t, p.url)), append(proxies, p)
	}
	n := 0
	underLoad(t, logs, func() {
		n++
		proxies[n%2].cut(cuts[n%len(cuts)])
	})
}

// underLoad runs logs and the workload on them, with a follower on each, and the fault again and again; then it checks.
func underLoad(t *testing.T, logs []*eventlog.Log, fault func()) {
	t.Helper()
	w := &workload{rooms: 20, senders: 24, seed: seed(t), deadline: 20 * time.Second, journal: newJournal()}
	var followers []*seen
	var stops []func() error
	var endings []func()
	for _, l := range logs {
		endings = append(endings, run(t, l))
		s := newSeen()
		followers = append(followers, s)
		cfg := eventlog.FollowConfig{Poll: 10 * time.Millisecond, Timeout: time.Second, Page: 50}
		stops = append(stops, follow(eventlog.NewFollower(l, cfg, s.apply)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx, logs...) }()
	for round := 1; round <= 10; round++ {
		fault()
		require.Eventually(t, func() bool { return w.journal.acknowledged() >= round*enough()/10 }, 2*patience, time.Millisecond)
	}
	cancel()
	<-done
	// A sender that gave up left an append that is written all the same. A log that ended has written all of them.
	for _, end := range endings {
		end()
	}

	all := count(t, logs[0], "room_entry")
	for i, s := range followers {
		require.Eventually(t, func() bool { return s.count() >= all }, patience, time.Millisecond, "follower %d", i)
		require.NoError(t, stops[i]())
		s.check(t)
		require.Equal(t, all, s.count(), "follower %d read what is not there", i)
	}
	fresh, err := eventlog.Open(t.Context(), logs[0].DB(), roomSchema(), eventlog.Config{})
	require.NoError(t, err)
	check(t, fresh, w.journal)
	t.Log(summary(w.journal))
}

func summary(j *journal) string {
	outcomes := make(map[string]int)
	for _, f := range j.fates {
		outcomes[f.outcome]++
	}
	return fmt.Sprint(outcomes)
}
