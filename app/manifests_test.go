package app_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"hongyan/app"
	"hongyan/app/cli"
)

// documents returns the YAML documents of a folder of deploy, by file.
func documents(t *testing.T, folder string) map[string][]map[string]any {
	t.Helper()
	all := map[string][]map[string]any{}
	root := filepath.Join("..", "deploy", folder)
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for dec := yaml.NewDecoder(bytes.NewReader(raw)); ; {
			var document map[string]any
			if err := dec.Decode(&document); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			all[filepath.Base(path)] = append(all[filepath.Base(path)], document)
		}
	}))
	require.NotEmpty(t, all)
	return all
}

// filled is what stands for a value that a file leaves to fill in.
var filled = strings.Repeat("0123456789abcdef", 4)

// assignments returns the variables of a file of deploy with a line NAME=VALUE for each.
func assignments(t *testing.T, path string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "deploy", path))
	require.NoError(t, err)
	env := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			if value == "" {
				value = filled
			}
			env[name] = value
		}
	}
	require.NotEmpty(t, env, path)
	return env
}

// servesOnly checks that a process has what it needs, and no credentials of a database but its own: a role and a
// database called hongyan_SERVICE. That a service has its own is checked where it is loaded.
func servesOnly(t *testing.T, process string, env map[string]string) {
	t.Helper()
	require.NotEmpty(t, env["HONGYAN_CLUSTER_SECRET"], process)
	require.NotEmpty(t, env["HONGYAN_CLUSTER_BUS_TOKEN"], process)
	for name, value := range env {
		switch {
		case name == "HONGYAN_DATABASE":
			require.Regexp(t, `^postgres://hongyan_`+process+`:[A-Za-z0-9]+@[a-z.]+/hongyan_`+process+`$`, value, process)
		case strings.Contains(value, "postgres://"), strings.Contains(name, "PASSWORD"), name == "DATABASES":
			require.Fail(t, "credentials", "%s has %s", process, name)
		}
	}
}

// checkCommand loads what `hongyan` would make of a command and its environment: an unknown flag or variable, or a value
// that is refused, fails.
func checkCommand(t *testing.T, args []string, env map[string]string) app.Config {
	t.Helper()
	root := cli.Root("test")
	cmd, rest, err := root.Find(args)
	require.NoError(t, err, args)
	require.NotEqual(t, root, cmd, args)
	require.NoError(t, cmd.ParseFlags(rest), args)
	require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), args)
	if cmd.Name() != "serve" {
		return app.Config{}
	}
	src := app.Source{Flags: map[string]string{}, Warn: func(text string) { require.Fail(t, text) }}
	for name, value := range env {
		if strings.HasPrefix(name, "HONGYAN_") {
			src.Environ = append(src.Environ, name+"="+value)
		}
	}
	for _, s := range app.Settings() {
		if flag := cmd.Flags().Lookup(s.Flag); flag != nil && flag.Changed {
			src.Flags[s.Flag] = flag.Value.String()
		}
	}
	cfg, err := app.Load(src)
	require.NoError(t, err, args)
	return cfg
}

func texts(t *testing.T, list any) (out []string) {
	t.Helper()
	for _, item := range list.([]any) {
		out = append(out, item.(string))
	}
	return out
}

// interpolated replaces the variables of compose files.
func interpolated(t *testing.T, text string, variables map[string]string) string {
	t.Helper()
	return regexp.MustCompile(`\$\{([A-Z_]+)(:[-?][^}]*)?\}`).ReplaceAllStringFunc(text, func(variable string) string {
		name, _, _ := strings.Cut(strings.Trim(variable, "${}"), ":")
		require.NotEmpty(t, variables[name], "nobody fills in %s", name)
		return variables[name]
	})
}

func TestComposeFiles(t *testing.T) {
	variables := assignments(t, "compose/cluster.env.example")
	started := 0
	for file, docs := range documents(t, "compose") {
		for name, item := range docs[0]["services"].(map[string]any) {
			service := item.(map[string]any)
			require.NotContains(t, service, "env_file", "each container has its own variables only")
			env := map[string]string{}
			if set, ok := service["environment"].(map[string]any); ok {
				for name, value := range set {
					env[name] = interpolated(t, value.(string), variables)
				}
			}
			if service["image"] != "hongyan" {
				require.Empty(t, env["HONGYAN_CLUSTER_SECRET"], name)
				continue
			}
			started++
			if file == "cluster.yaml" {
				servesOnly(t, name, env)
			}
			command, probe := texts(t, service["command"]), texts(t, service["healthcheck"].(map[string]any)["test"])
			require.Equal(t, []string{"CMD", "hongyan"}, probe[:2])
			checkCommand(t, probe[2:], nil)
			cfg := checkCommand(t, command, env)
			if cfg.ServerName == "" {
				require.Equal(t, "registry", name)
				requireOpenAdmin(t, command)
				continue
			}
			require.Equal(t, "chat.example.org", cfg.ServerName, "%s: %s", file, name)
			require.Equal(t, "30s", service["stop_grace_period"], "longer than drain_timeout")
			require.Less(t, cfg.DrainTimeout.Seconds(), 30.0)
		}
	}
	require.Equal(t, 9, started)
}

// requireOpenAdmin checks that monitoring and probes reach a registry, which listens to its own machine by default.
func requireOpenAdmin(t *testing.T, command []string) {
	t.Helper()
	cmd, rest, err := cli.Root("test").Find(command)
	require.NoError(t, err)
	require.NoError(t, cmd.ParseFlags(rest))
	require.Equal(t, "0.0.0.0:9007", cmd.Flags().Lookup("admin-listen").Value.String())
	require.Equal(t, "true", cmd.Flags().Lookup("admin-open").Value.String(), "else it does not start")
}

// TestSystemdUnits loads what the units start, with the files that they read.
func TestSystemdUnits(t *testing.T) {
	files := map[string]map[string]string{
		"/etc/hongyan/cluster.env": assignments(t, "systemd/cluster.env.example"),
		"/etc/hongyan/room.env":    assignments(t, "systemd/room.env.example"),
	}
	commands := 0
	for _, file := range []string{"hongyan.service", "systemd/hongyan@.service", "systemd/hongyan-registry.service"} {
		raw, err := os.ReadFile(filepath.Join("..", "deploy", file))
		require.NoError(t, err)
		for _, target := range []string{"gateway", "room"} {
			unit := strings.NewReplacer("%i", target, "%S", "/var/lib").Replace(string(raw))
			shared := map[string]string{ // what hongyan.yaml says
				"HONGYAN_CLUSTER_REGISTRY": "etcd", "HONGYAN_CLUSTER_ENDPOINTS": "localhost:2379", "HONGYAN_CLUSTER_BUS": "nats://localhost:4222",
			}
			env := map[string]string{}
			for line := range strings.Lines(unit) {
				line = strings.TrimSpace(line)
				if path, ok := strings.CutPrefix(line, "EnvironmentFile=-"); ok {
					maps.Copy(env, files[path])
				}
				command, ok := strings.CutPrefix(line, "ExecStart=/usr/local/bin/hongyan ")
				if !ok {
					continue
				}
				commands++
				switch file {
				case "hongyan.service":
					require.Empty(t, env)
					shared = map[string]string{}
				case "systemd/hongyan@.service":
					servesOnly(t, target, env)
				default:
					servesOnly(t, "registry", env)
				}
				maps.Copy(shared, env)
				checkCommand(t, strings.Fields(command), shared)
			}
		}
	}
	require.Equal(t, 6, commands)
}
