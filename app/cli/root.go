package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"hongyan/app"
	"hongyan/bench"
	"hongyan/matrix"
)

// Main runs the program with these arguments until ctx ends, and returns its exit status.
func Main(ctx context.Context, version string, args []string, in io.Reader, out, errOut io.Writer) int {
	root := Root(version)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.ExecuteContext(ctx); err != nil {
		if i, ok := interrupted(ctx); ok && isCancelled(err) {
			return i.status() // whoever pressed Ctrl-C knows
		}
		_, _ = fmt.Fprintln(errOut, "hongyan:", message(err))
		return 1
	}
	return 0
}

// isCancelled tells whether an error only says that the context has ended.
func isCancelled(err error) bool {
	return errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled
}

// message is what a person reads of an error.
func message(err error) string {
	var refusal *matrix.Error
	if errors.As(err, &refusal) && refusal.Status < 500 {
		return refusal.Message
	}
	return err.Error()
}

// Root returns the command "hongyan" with all its commands.
func Root(version string) *cobra.Command {
	root := &cobra.Command{
		Use:   "hongyan",
		Short: "Hongyan 鸿雁, a Matrix homeserver",
		Long: `Hongyan 鸿雁, a Matrix homeserver.

"hongyan serve" needs nothing else: it keeps its data in ./data and serves http://localhost:8008.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          runGroup,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(suggestFlag)
	root.AddCommand(serveCommand(version), registryCommand(version), userCommand(), tokenCommand(), reportsCommand(), mediaCommand(), purgeCommand(), compactCommand(),
		configCommand(), topologyCommand(), healthCommand(), backupCommand(version), restoreCommand(version), migrateCommand(version), versionCommand(version), bench.Command())
	return root
}

// runGroup is what a command does that is only a name for others: it shows them, and refuses what is none of them.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	if near := app.Nearest(args[0], known); near != "" {
		return fmt.Errorf("%s: unknown command %q: did you mean %q?", cmd.CommandPath(), args[0], near)
	}
	return fmt.Errorf("%s: unknown command %q: want one of %s", cmd.CommandPath(), args[0], strings.Join(known, ", "))
}

func versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "hongyan %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
