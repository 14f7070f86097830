package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hongyan/app"
)

// settingFlags are the flags of settings, with what was given.
type settingFlags struct {
	file  string
	given map[string]string
}

// addSettings adds --config and a flag for each setting that keep wants.
func addSettings(cmd *cobra.Command, keep func(app.Setting) bool) *settingFlags {
	f := &settingFlags{given: map[string]string{}}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.file, "config", "c", os.Getenv("HONGYAN_CONFIG"), "YAML file with settings (HONGYAN_CONFIG)")
	for _, s := range app.Settings() {
		if keep(s) {
			flags.Var(&settingFlag{setting: s, to: f.given}, s.Flag, s.Usage)
		}
	}
	return f
}

func everySetting(app.Setting) bool { return true }

// load reads the configuration from all its sources.
func (f *settingFlags) load(cmd *cobra.Command) (app.Config, error) {
	return app.Load(app.Source{
		File: f.file, Environ: os.Environ(), Flags: f.given,
		Warn: func(text string) { _, _ = fmt.Fprintln(cmd.ErrOrStderr(), "hongyan: warning:", text) },
	})
}

// settingFlag is the flag of one setting.
type settingFlag struct {
	setting app.Setting
	to      map[string]string
}

var _ pflag.Value = (*settingFlag)(nil)

// Set checks the value and keeps it.
func (f *settingFlag) Set(text string) error {
	if err := f.setting.Set(text); err != nil {
		return err
	}
	f.to[f.setting.Flag] = text
	return nil
}

// String is the default, for --help.
func (f *settingFlag) String() string {
	if f == nil || f.setting.Flag == "" { // pflag asks a zero value for what no default looks like
		return ""
	}
	return f.setting.String()
}

// Type names the kind of value in --help.
func (f *settingFlag) Type() string { return f.setting.Kind() }

// suggestFlag adds the nearest flag to the complaint about an unknown one.
func suggestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	slices.Sort(known)
	name := strings.TrimLeft(unknown.GetSpecifiedName(), "-")
	if near := app.Nearest(name, known); near != "" {
		return fmt.Errorf("unknown flag --%s: did you mean --%s?", name, near)
	}
	return err
}
