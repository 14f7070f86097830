package harness

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a program that a test starts, signals and starts again with the same arguments. It runs in a process group of
// its own, so that a Ctrl-C at the terminal is not its business, and is killed when the test binary goes.
type Process struct {
	// Name is what it is called in messages.
	Name string

	argv []string
	env  []string
	log  *tail
	file *os.File

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// NewProcess returns a process that does not run yet. env is added to the test's environment.
func NewProcess(name string, env []string, argv ...string) *Process {
	return &Process{Name: name, argv: argv, env: env, log: &tail{}}
}

// Start starts it. It must not be running.
func (p *Process) Start() error {
	cmd := exec.Command(p.argv[0], p.argv[1:]...) //nolint:noctx // it outlives the call; Stop ends it
	cmd.Env = append(os.Environ(), p.env...)
	log, err := p.logTo()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	return nil
}

// logTo is where it prints: to the tail, and where TEST_LOGS names a directory, to a file there.
func (p *Process) logTo() (io.Writer, error) {
	dir := os.Getenv("TEST_LOGS")
	if dir == "" {
		return p.log, nil
	}
	if p.file == nil {
		err := os.MkdirAll(dir, 0o755)
		if err != nil {
			return nil, fmt.Errorf("log of %s: %w", p.Name, err)
		}
		if p.file, err = os.CreateTemp(dir, p.Name+"-*.log"); err != nil {
			return nil, fmt.Errorf("log of %s: %w", p.Name, err)
		}
	}
	return io.MultiWriter(p.log, p.file), nil
}

// Done is closed when the process that was started last has ended.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Running tells whether it was started and has not ended.
func (p *Process) Running() bool {
	done := p.Done()
	if done == nil {
		return false
	}
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// PID is that of the process that was started last.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Signal sends a signal to it.
func (p *Process) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(sig)
	}
}

// Stop sends a signal, waits for the end and returns the exit status; -1 when a signal ended it, 0 when it never ran.
func (p *Process) Stop(sig syscall.Signal) int {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd == nil {
		return 0
	}
	_ = cmd.Process.Signal(sig)
	<-done
	return cmd.ProcessState.ExitCode()
}

// Log is the end of what it printed.
func (p *Process) Log() string { return p.log.String() }

// patience is the longest wait for something that takes a moment on an idle machine.
const patience = 60 * time.Second

// await asks until the answer is yes.
func (p *Process) await(ctx context.Context, what string, yes func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	done := p.Done()
	for {
		there := yes(ctx)
		select {
		case <-done: // somebody else may have answered
			return fmt.Errorf("%s ended before %s:\n%s", p.Name, what, p.log)
		default:
		}
		if there {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("%s: not %s: %w\n%s", p.Name, what, ctx.Err(), p.log)
		case <-tick.C:
		}
	}
}

// awaitPort waits until something listens at an address.
func (p *Process) awaitPort(ctx context.Context, addr string) error {
	return p.await(ctx, "it listened", func(ctx context.Context) bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// answers tells whether a GET is answered with 200.
func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// tail keeps the end of a log.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
