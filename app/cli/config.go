package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"hongyan/app"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check or print the configuration", Args: cobra.ArbitraryArgs, RunE: runGroup}
	cmd.AddCommand(configCheckCommand(), configPrintCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether the server would start with this configuration",
		Long: `Say whether the server would start with this configuration: its values, and the files and directories that it names.

Nothing is changed, and nobody is connected to: whether the ports are free and the database answers shows when it starts.`,
		Args: cobra.NoArgs,
	}
	flags := addSettings(cmd, everySetting)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		if err := app.Check(cfg); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "the configuration is fine")
		return err
	}
	return cmd
}

func configPrintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print all settings as YAML, as they are in force, without secrets",
		Args:  cobra.NoArgs,
	}
	flags := addSettings(cmd, everySetting)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := flags.load(cmd)
		if err != nil {
			return err
		}
		text, err := cfg.YAML()
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return cmd
}
