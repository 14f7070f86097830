package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// readPassword asks for a password twice on a terminal, or reads one line of standard input. Passwords are never
// arguments: those are seen by everybody on the machine.
func readPassword(ctx context.Context, cmd *cobra.Command) (string, error) {
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		line, err := await(ctx, func() (string, error) { return bufio.NewReader(cmd.InOrStdin()).ReadString('\n') })
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return "", errors.New("no password on standard input")
		}
		return line, nil
	}
	first, err := askHidden(ctx, cmd, terminal, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := askHidden(ctx, cmd, terminal, "Password again: ")
	switch {
	case err != nil:
		return "", err
	case first != second:
		return "", errors.New("the passwords differ")
	case first == "":
		return "", errors.New("the password is empty")
	}
	return first, nil
}

// askHidden reads a line that the terminal does not show. The terminal is as it was when it returns.
func askHidden(ctx context.Context, cmd *cobra.Command, terminal *os.File, question string) (string, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), question)
	answer, err := await(ctx, func() (string, error) {
		line, err := term.ReadPassword(fd)
		return string(line), err
	})
	err = errors.Join(err, term.Restore(fd, before))
	_, _ = fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return answer, nil
}

// await returns what read returns, or ctx's error where that ends first. Nothing can end a read of a terminal or a pipe:
// it is then left to the end of the process, which is at hand.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// confirm asks a question on a terminal; elsewhere --yes is needed.
func confirm(ctx context.Context, cmd *cobra.Command, question string) error {
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return errors.New("nobody to ask: give --yes")
	}
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), question+" [y/N] ")
	answer, err := await(ctx, func() (string, error) { return bufio.NewReader(terminal).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}
