//go:build linux

package cli_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"hongyan/app/cli"
	"hongyan/platform/obs/obstest"
)

// The test binary plays the program.
func TestMain(m *testing.M) {
	if os.Getenv("HONGYAN_TEST_PROGRAM") != "" {
		if err := os.Unsetenv("HONGYAN_TEST_PROGRAM"); err != nil {
			panic(err)
		}
		os.Exit(cli.Process("v0-test"))
	}
	obstest.Main(m)
}

// program returns the program as a process that was not started yet.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "HONGYAN_TEST_PROGRAM=1")
	return cmd
}

// openTerminal makes a terminal and returns both of its ends.
func openTerminal(t *testing.T) (person, process *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	process, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = process.Close() })
	return person, process
}

// echoes tells whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	require.NoError(t, err)
	return state.Lflag&unix.ECHO != 0
}

// TestInterruptedAtThePassword presses Ctrl-C where a password is asked for.
func TestInterruptedAtThePassword(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "admin.sock"), nil, 0o600)) // nobody is asked before the password is known
	person, terminal := openTerminal(t)
	cmd := program(t, "user", "passwd", "bob", "--data-dir", dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	question := make([]byte, len("Password: "))
	_, err := person.Read(question)
	require.NoError(t, err)
	require.Equal(t, "Password: ", string(question))
	require.Eventually(t, func() bool { return !echoes(t, terminal) }, time.Minute, time.Millisecond)
	_, err = person.WriteString("\x03")
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	require.Equal(t, 130, cmd.ProcessState.ExitCode(), "%s", cmd.ProcessState)
	require.True(t, echoes(t, terminal))
	rest := make([]byte, 1024)
	n, err := person.Read(rest)
	require.NoError(t, err)
	require.Equal(t, "\r\n", string(rest[:n]), "nothing else is said")
}

func TestSignalsEndACommandThatReads(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "admin.sock"), nil, 0o600))
	for signal, status := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		cmd := program(t, "user", "add", "bob", "--data-dir", dir)
		_, err := cmd.StdinPipe() // which stays open
		require.NoError(t, err)
		stderr, err := cmd.StderrPipe()
		require.NoError(t, err)
		cmd.Env = append(cmd.Env, "HONGYAN_READY=1") // warned of, once everything is set up
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(stderr).ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "unknown environment variable HONGYAN_READY")
		require.NoError(t, cmd.Process.Signal(signal))
		require.Error(t, cmd.Wait())
		require.Equal(t, status, cmd.ProcessState.ExitCode(), "%s", cmd.ProcessState)
	}
}
