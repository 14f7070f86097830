package eventlog_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// The environment of a process that appends until it is killed.
const (
	childURL  = "HONGYAN_TEST_URL"
	childSeed = "HONGYAN_TEST_SEED"
)

// child appends to the log and writes its journal to the standard output, whose end it waits for.
func child(url string) int {
	seed, err := strconv.ParseUint(os.Getenv(childSeed), 10, 64)
	if err == nil {
		err = appendForever(url, seed)
	}
	_, _ = fmt.Fprintln(os.Stderr, err)
	return 1
}

func appendForever(url string, seed uint64) error {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, sqldb.Config{
		URL: url, LockTimeout: 300 * time.Millisecond, StatementTimeout: time.Second, IdleTxTimeout: 300 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	l, err := eventlog.Open(ctx, db, roomSchema(), eventlog.Config{AttemptTimeout: time.Second})
	if err != nil {
		return err
	}
	j := newJournal()
	j.out = os.Stdout
	w := &workload{rooms: 20, senders: 16, seed: seed, deadline: 20 * time.Second, journal: j}
	go w.run(ctx, l)
	return l.Run(ctx)
}

// process is a child with what it has told.
type process struct {
	cmd     *exec.Cmd
	journal *journal
	read    sync.WaitGroup
}

func startProcess(t testing.TB, url string, seed uint64) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), journal: newJournal()}
	p.cmd.Env = append(os.Environ(), childURL+"="+url, fmt.Sprintf("%s=%d", childSeed, seed))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	p.read.Go(func() { p.journal.read(out); _, _ = io.Copy(io.Discard, out) })
	t.Cleanup(p.kill)
	return p
}

// kill ends the process without a warning and waits until all that it said is read.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.read.Wait()
	_ = p.cmd.Wait()
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// await returns when the process has had so many more entries acknowledged.
func (p *process) await(t testing.TB, more int) {
	t.Helper()
	want := p.journal.acknowledged() + more
	require.Eventually(t, func() bool { return p.journal.acknowledged() >= want }, 2*patience, time.Millisecond)
}

// TestKilledProcesses kills appending processes again and again.
func TestKilledProcesses(t *testing.T) {
	for _, d := range []database{
		{"sqlite", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "log.db") }},
		{"postgres", databases()[1].url},
	} {
		t.Run(d.name, func(t *testing.T) {
			url, seed := d.url(t), seed(t)
			random := rand.New(rand.NewPCG(seed, 0))
			db := openDB(t, url)
			openLog(t, db, eventlog.Config{})
			require.NoError(t, db.Close())
			var journals []*journal
			for round := range uint64(5) {
				children := []*process{startProcess(t, url, seed+10*round)}
				if d.name == "postgres" {
					children = append(children, startProcess(t, url, seed+10*round+1), startProcess(t, url, seed+10*round+2))
				}
				for _, p := range children {
					p.await(t, 1+random.IntN(enough()/20))
					p.kill()
					journals = append(journals, p.journal)
				}
			}
			l := openLog(t, openDB(t, url), eventlog.Config{})
			check(t, l, journals...)
		})
	}
}

// TestPausedProcess stops a process in the middle of its appends, as a virtual machine that is moved: the others go
// on, and it goes on when it wakes.
func TestPausedProcess(t *testing.T) {
	url, seed := databases()[1].url(t), seed(t)
	l := instance(t, url)
	run(t, l)
	paused := startProcess(t, url, seed)
	own := newJournal()
	w := &workload{rooms: 20, senders: 8, seed: seed + 1, deadline: 2 * patience, journal: own}
	for range 5 {
		paused.await(t, enough()/30)
		paused.signal(t, syscall.SIGSTOP)
		// Every room can be written to while the process stands still, whatever it had begun.
		for i := range w.rooms {
			s := stream(t, l, fmt.Sprintf("!%d:x", i))
			a := message(s, eventlog.AnySeq, fmt.Sprintf("$own-%d-%d", i, s.Seq))
			own.try(a)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			r, err := l.Append(ctx, a)
			cancel()
			require.NoError(t, err)
			own.answer(a, r, nil)
		}
		paused.signal(t, syscall.SIGCONT)
	}
	paused.await(t, enough()/30)
	paused.kill()
	check(t, openLog(t, openDB(t, url), eventlog.Config{}), own, paused.journal)
}
