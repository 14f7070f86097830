package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"hongyan/bench"
	"hongyan/matrix"
)

// Main runs the program with these arguments and returns its exit status.
func Main(ctx context.Context, version string, args []string, in io.Reader, out, errOut io.Writer) int {
	root := Root(version)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(errOut, "hongyan:", message(err))
		return 1
	}
	return 0
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
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(version), userCommand(), tokenCommand(), configCommand(), versionCommand(version),
		bench.Command())
	return root
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
