package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout bounds the question.
const healthTimeout = 3 * time.Second

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tell whether a server takes requests, for container health checks",
		Long: `Tell whether a server takes requests, for container health checks.

It asks /readyz of the server's admin listener and fails, with the reason, unless that answers that it is ready.`,
		Args: cobra.NoArgs,
	}
	address := cmd.Flags().String("admin", "localhost:9008", "address of the server's admin listener")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), healthTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+*address+"/readyz", http.NoBody)
		if err != nil {
			return fmt.Errorf("--admin %q: want host:port", *address)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("no server answers: %w", err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		if err != nil {
			return fmt.Errorf("read the answer of %s: %w", *address, err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("not ready: %s", strings.TrimSpace(string(body)))
		}
		return say(cmd, "ready")
	}
	return cmd
}
