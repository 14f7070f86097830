package cli

import (
	"bufio"
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
func readPassword(cmd *cobra.Command) (string, error) {
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return "", errors.New("no password on standard input")
		}
		return line, nil
	}
	first, err := askHidden(cmd, terminal, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := askHidden(cmd, terminal, "Password again: ")
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

func askHidden(cmd *cobra.Command, terminal *os.File, question string) (string, error) {
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), question)
	answer, err := term.ReadPassword(int(terminal.Fd()))
	_, _ = fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(answer), nil
}

// confirm asks a question on a terminal; elsewhere --yes is needed.
func confirm(cmd *cobra.Command, question string) error {
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return errors.New("nobody to ask: give --yes")
	}
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), question+" [y/N] ")
	answer, err := bufio.NewReader(terminal).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}
