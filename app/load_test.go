package app_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/app"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "hongyan.yaml")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestNothingNeedsToBeConfigured(t *testing.T) {
	cfg, err := app.Load(app.Source{})
	require.NoError(t, err)
	require.Equal(t, "localhost", cfg.ServerName)
	require.Equal(t, "./data", cfg.DataDir)
	require.Equal(t, "localhost:8008", cfg.Listen)
	require.Equal(t, "open", cfg.Registration)
	require.Equal(t, "open", cfg.Identity.Registration)
	require.Equal(t, "http://localhost:8008", cfg.Gateway.PublicURL)
	require.True(t, cfg.RateLimits)
}

func TestFlagsBeatTheEnvironmentWhichBeatsTheFile(t *testing.T) {
	file := writeFile(t, "server_name: file.example\nlisten: :1\nlog:\n  level: error\ngateway:\n  trusted_proxies: [10.0.0.0/8]\n")
	src := app.Source{
		File:    file,
		Environ: []string{"HONGYAN_LISTEN=:2", "HONGYAN_LOG_LEVEL=debug", "PATH=/bin", "HONGYAN_RATE_LIMITS=off", "HONGYAN_CONFIG=x"},
		Flags:   map[string]string{"listen": ":3", "drain-timeout": "7s", "gateway-limits-account-room-per-second": "0.25"},
	}
	cfg, err := app.Load(src)
	require.NoError(t, err)
	require.Equal(t, "file.example", cfg.ServerName)
	require.Equal(t, ":3", cfg.Listen)
	require.Equal(t, "debug", cfg.Log.Level)
	require.Equal(t, 7*time.Second, cfg.DrainTimeout)
	require.InDelta(t, 0.25, cfg.Gateway.Limits.Account.Room.PerSecond, 0)
	require.Equal(t, []string{"10.0.0.0/8"}, cfg.Gateway.TrustedProxies)
	require.False(t, cfg.RateLimits)
}

func TestEverySettingHasAFlagAnEnvironmentVariableAndAUsage(t *testing.T) {
	flags, envs := map[string]bool{}, map[string]bool{}
	for _, s := range app.Settings() {
		require.NotEmpty(t, s.Usage, s.Key)
		require.False(t, flags[s.Flag], s.Flag)
		require.False(t, envs[s.Env], s.Env)
		flags[s.Flag], envs[s.Env] = true, true
	}
	for _, flag := range []string{
		"data-dir", "listen", "server-name", "target", "registration", "registration-shared-secret", "rate-limits", "log-level",
	} {
		require.True(t, flags[flag], flag)
	}
	require.True(t, envs["HONGYAN_REGISTRATION_SHARED_SECRET"])
}

func TestUsagesAreOfSettings(t *testing.T) {
	require.Empty(t, app.StaleUsages())
}

// TestEverySettingCanBeSet writes each default back, by each of the three ways.
func TestEverySettingCanBeSet(t *testing.T) {
	want, err := app.Load(app.Source{})
	require.NoError(t, err)
	src := app.Source{Flags: map[string]string{}}
	for _, s := range app.Settings() {
		switch s.Key { // these have defaults that follow from others
		case "registration", "gateway.public_url":
			continue
		}
		src.Flags[s.Flag] = s.String()
		src.Environ = append(src.Environ, s.Env+"="+s.String())
	}
	got, err := app.Load(app.Source{Flags: src.Flags})
	require.NoError(t, err)
	wantText, err := want.YAML()
	require.NoError(t, err)
	gotText, err := got.YAML()
	require.NoError(t, err)
	require.Equal(t, string(wantText), string(gotText))
	got, err = app.Load(app.Source{Environ: src.Environ})
	require.NoError(t, err)
	gotText, err = got.YAML()
	require.NoError(t, err)
	require.Equal(t, string(wantText), string(gotText))
	again, err := app.Load(app.Source{File: writeFile(t, string(wantText))})
	require.NoError(t, err, "what is printed can be read")
	gotText, err = again.YAML()
	require.NoError(t, err)
	require.Equal(t, string(wantText), string(gotText))
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		name, file string
		flags      map[string]string
		want       string
	}{
		{"an unknown key", "regstration: open\n", nil, `line 1: unknown key "regstration": did you mean "registration"?`},
		{"a flag's name in the file", "log_level: debug\n", nil, `did you mean "log.level"?`},
		{"a nested key", "gateway:\n  limits:\n    acount: {}\n", nil, `line 3: unknown key "gateway.limits.acount": did you mean "gateway.limits.account"?`},
		{"a key like none", "qqqqqqqq: 1\n", nil, `unknown key "qqqqqqqq"`},
		{"a key within a list", "identity:\n  terms:\n  - {id: a, version: b, langages: {}}\n", nil, "langages"},
		{"a hoisted key", "identity:\n  registration: open\n", nil, `did you mean "registration"?`},
		{"a key twice", "listen: :1\nlisten: :2\n", nil, "already defined"},
		{"no mapping", "gateway: 3\n", nil, `want key: value lines below "gateway"`},
		{"no YAML", "a: [\n", nil, "yaml"},
		{"two documents", "listen: :1\n---\nlisten: :2\n", nil, "one YAML document"},
		{"a wrong type", "drain_timeout: soon\n", nil, `line 1: drain_timeout: want a duration such as 5s or 2m, not "soon"`},
		{"a duration without a unit", "listen: :1\ndrain_timeout: 5\n", nil, `line 2: drain_timeout: want a duration such as 5s or 2m, not "5"`},
		{"no number", "gateway: {limits: {bad_tokens: {per_second: lots}}}\n", nil, `gateway.limits.bad_tokens.per_second: want a number, not "lots"`},
		{"no whole number", "room: {shards: 1.5}\n", nil, `room.shards: want a whole number, not "1.5"`},
		{"neither on nor off", "rate_limits: maybe\n", nil, `rate_limits: want on or off, not "maybe"`},
		{"a list for a text", "listen: [a, b]\n", nil, "listen: want text, not a list"},
		{"a section for a text", "listen: {port: 1}\n", nil, "listen: want text, not key: value lines"},
		{"a text for a list", "gateway: {trusted_proxies: 10.0.0.0/8}\n", nil, `gateway.trusted_proxies: want a list such as [a, b], not "10.0.0.0/8"`},
		{"a text for a map", "databases: sqlite\n", nil, `databases: want name: value lines, not "sqlite"`},
		{"a list in a list", "identity: {terms: [{id: [a]}]}\n", nil, "identity.terms: line 1: a list is not wanted here"},
		{"a list", "- listen: :1\n", nil, "line 1: want key: value lines, such as listen: localhost:8008, not a list"},
		{"a word", "hello\n", nil, `line 1: want key: value lines, such as listen: localhost:8008, not "hello"`},
		{"a port that does not exist", "listen: localhost:99999\n", nil, `listen "localhost:99999": want host:port or :port, with a port from 0 to 65535`},
		{"no port", "listen: \"localhost:\"\n", nil, "with a port from 0 to 65535"},
		{"an admin port that does not exist", "admin_listen: localhost:-1\n", nil, `admin_listen "localhost:-1"`},
		{"one port for both", "admin_listen: localhost:8008\n", nil, `admin_listen "localhost:8008": is taken by listen`},
		{"one port for both, by another name", "admin_listen: 127.0.0.1:8008\n", nil, "is taken by listen"},
		{"one port for both, everywhere", "listen: :8008\nadmin_listen: 10.0.0.1:8008\nadmin_open: on\n", nil, "is taken by listen"},
		{"no URL", "gateway: {public_url: nope}\n", nil, `gateway: public_url "nope": want a URL such as https://chat.example.org`},
		{"no user id", "gateway: {support: {matrix_id: foo}}\n", nil, `gateway: support: matrix_id "foo": want a user id`},
		{"no email address", "gateway: {support: {email: foo}}\n", nil, `email "foo": want an address`},
		{"no page", "gateway: {support: {page: foo}}\n", nil, `page "foo": want a URL`},
		{"a slow look-up of tokens", "gateway: {auth: {timeout: 5s}}\n", nil, "gateway: auth: timeout 5s: want more than 0 and at most 2s"},
		{"a database URL that is none", "database: \"postgres://h:port/x\"\n", nil, "database: cannot be read as a PostgreSQL URL"},
		{"a service's database URL that is none", "databases: {room: \"mysql://x\"}\n", nil, "databases: room: want postgres://… or sqlite:PATH"},
		{"a wrong flag", "", map[string]string{"drain-timeout": "soon"}, `--drain-timeout: want a duration such as 5s or 2m, not "soon"`},
		{"a flag's fraction", "", map[string]string{"room-shards": "1.5"}, `--room-shards: want a whole number, not "1.5"`},
		{"an empty flag", "", map[string]string{"room-shards": ""}, `--room-shards: want a whole number, not ""`},
		{"a wrong word", "registration: opne\n", nil, `registration "opne": want open, token or closed: did you mean "open"?`},
		{"a wrong address", "listen: nowhere\n", nil, `listen "nowhere": want host:port`},
		{"an admin port for others", "admin_listen: :9008\n", nil, "other machines reach it: set admin_token"},
		{"a wrong admin address", "admin_listen: nowhere\n", nil, `admin_listen "nowhere"`},
		{"a wrong server name", "server_name: \"a b\"\n", nil, `server_name "a b"`},
		{"no data directory", "data_dir: \"\"\n", nil, "data_dir"},
		{"an unknown target", "target: [gatway]\n", nil, `target "gatway": no such target: did you mean "gateway"?`},
		{"services apart", "target: [gateway]\n", nil, "would be missing"},
		{"half a certificate", "gateway: {tls_cert: a.pem}\n", nil, "want both or none"},
		{"a service's own check", "gateway: {auth: {cache_for: 3s}}\n", nil, "gateway: auth: cache_for 3s: want 0 to 2s"},
		{"another check", "room: {default_version: \"99\"}\n", nil, "room: default_version"},
		{"no database URL", "database: mysql://x\n", nil, "want postgres://"},
		{"a database of nobody", "databases: {rooom: \"sqlite:x\"}\n", nil, `"rooom" has no database: did you mean "room"?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := app.Load(app.Source{File: writeFile(t, tt.file), Flags: tt.flags})
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := app.Load(app.Source{File: "/nowhere.yaml"})
	require.ErrorContains(t, err, "/nowhere.yaml")
}

func TestMistakesAreToldInTheWordsOfTheFile(t *testing.T) {
	for _, text := range []string{
		"drain_timeout: 5\n", "identity:\n  terms:\n  - {id: a, langages: {}}\n", "identity:\n  terms:\n  - {id: [a]}\n", "databases: {room: [a]}\n",
	} {
		_, err := app.Load(app.Source{File: writeFile(t, text)})
		require.Error(t, err)
		require.NotRegexp(t, `!!|unmarshal|time\.Duration|identity\.[A-Z]|app\.[A-Z]`, err.Error())
	}
}

func TestPortsThatDoNotMeet(t *testing.T) {
	for _, addresses := range [][2]string{
		{"localhost:8008", "localhost:9008"}, {"10.0.0.1:80", "10.0.0.2:80"}, {"127.0.0.1:0", "127.0.0.1:0"}, {"10.0.0.1:80", "localhost:80"},
	} {
		_, err := app.Load(app.Source{Flags: map[string]string{"listen": addresses[0], "admin-listen": addresses[1], "admin-open": "on"}})
		require.NoError(t, err, addresses)
	}
}

// TestCheckLooksAtFiles and leaves everything as it is.
func TestCheckLooksAtFiles(t *testing.T) {
	dir := t.TempDir()
	cfg, err := app.Load(app.Source{Flags: map[string]string{"data-dir": filepath.Join(dir, "made", "on", "start")}})
	require.NoError(t, err)
	require.NoError(t, app.Check(cfg))
	missing := cfg
	missing.Gateway.TLSCert, missing.Gateway.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.ErrorContains(t, app.Check(missing), "gateway.tls_cert and gateway.tls_key: TLS certificate: stat "+missing.Gateway.TLSCert)
	_, err = app.New(t.Context(), missing, app.Options{})
	require.ErrorContains(t, err, "gateway.tls_cert", "before anything is made")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)

	name := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(name, []byte("nonsense"), 0o600))
	for _, path := range []string{"/proc/foo", name, filepath.Join(name, "below")} {
		bad := cfg
		bad.DataDir = path
		require.ErrorContains(t, app.Check(bad), "data_dir "+path)
	}
	require.NoError(t, os.Rename(name, filepath.Join(dir, "signing.key")))
	cfg.DataDir = dir
	require.ErrorContains(t, app.Check(cfg), "signing.key")
}

func TestRegistrationIsClosedWithASharedRegistryUnlessSaid(t *testing.T) {
	for said, want := range map[string]string{"": "closed", "open": "open"} {
		flags := map[string]string{
			"listen": "localhost:8008", "target": "identity", "database": "postgres://localhost/x",
			"cluster-registry": "etcd", "cluster-endpoints": "localhost:2379", "cluster-bus": "nats://localhost:4222",
		}
		if said != "" {
			flags["registration"] = said
		}
		cfg, err := app.Load(app.Source{Flags: flags})
		require.NoError(t, err)
		require.Equal(t, want, cfg.Identity.Registration)
	}
}

func TestTheHelpListsTheTargets(t *testing.T) {
	for _, s := range app.Settings() {
		if s.Key == "target" {
			for service := range app.Routes() {
				require.Contains(t, s.Usage, service)
			}
		}
	}
}

func TestUnknownEnvironmentVariablesAreTold(t *testing.T) {
	var warnings []string
	_, err := app.Load(app.Source{
		Environ: []string{"HONGYAN_LISTN=:1", "HONGYAN_SERVICE_HOST=10.0.0.1"},
		Warn:    func(s string) { warnings = append(warnings, s) },
	})
	require.NoError(t, err)
	require.Len(t, warnings, 2)
	require.Equal(t, `unknown environment variable HONGYAN_LISTN: did you mean "HONGYAN_LISTEN"?`, warnings[0])
}

func TestRegistrationIsOpenOnlyOnLoopbackUnlessSaid(t *testing.T) {
	tests := []struct{ listen, said, want string }{
		{"localhost:8008", "", "open"},
		{"127.0.0.1:8008", "", "open"},
		{"127.1.2.3:8008", "", "open"},
		{"[::1]:8008", "", "open"},
		{":8008", "", "closed"},
		{"0.0.0.0:8008", "", "closed"},
		{"192.168.1.1:8008", "", "closed"},
		{"chat.example.org:8008", "", "closed"},
		{":8008", "open", "open"},
		{"localhost:8008", "token", "token"},
		{"localhost:8008", "closed", "closed"},
	}
	for _, tt := range tests {
		flags := map[string]string{"listen": tt.listen}
		if tt.said != "" {
			flags["registration"] = tt.said
		}
		cfg, err := app.Load(app.Source{Flags: flags})
		require.NoError(t, err)
		require.Equal(t, tt.want, cfg.Registration, tt.listen)
		require.Equal(t, tt.want, cfg.Identity.Registration)
	}
}

func TestPublicURL(t *testing.T) {
	tests := []struct {
		flags map[string]string
		want  string
	}{
		{map[string]string{"listen": "127.0.0.1:80"}, "http://127.0.0.1:80"},
		{map[string]string{"listen": ":8008", "server-name": "chat.example.org"}, "https://chat.example.org"},
		{map[string]string{"gateway-public-url": "https://m.example.org/"}, "https://m.example.org"},
	}
	for _, tt := range tests {
		cfg, err := app.Load(app.Source{Flags: tt.flags})
		require.NoError(t, err)
		require.Equal(t, tt.want, cfg.Gateway.PublicURL)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	cfg, err := app.Load(app.Source{Flags: map[string]string{
		"registration-shared-secret":   "hush-1",
		"identity-registration-tokens": "hush-2,hush-3",
		"database":                     "postgres://me:hush-4@db/hongyan?sslmode=disable",
		"databases":                    "room=postgres://me:hush-5@db/room",
		"cluster-bus":                  "nats://hush-6:hush-7@a:4222,nats://hush-8@b:4222",
	}})
	require.NoError(t, err)
	require.Equal(t, "hush-1", cfg.Identity.RegistrationSharedSecret.Reveal())
	text, err := cfg.YAML()
	require.NoError(t, err)
	require.NotContains(t, string(text), "hush")
	require.Contains(t, string(text), "postgres://me:xxxxx@db/hongyan")
	require.Contains(t, string(text), "nats://xxxxx@a:4222")
	require.Equal(t, "nats://hush-8@b:4222", string(cfg.Cluster.Bus[1]))
}

func TestExampleConfiguration(t *testing.T) {
	example := filepath.Join("..", "hongyan.example.yaml")
	_, err := app.Load(app.Source{File: example})
	require.NoError(t, err)
	// What is commented out is right too.
	raw, err := os.ReadFile(example)
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(raw)) {
		lines = append(lines, strings.Replace(line, "#:", "", 1))
	}
	_, err = app.Load(app.Source{File: writeFile(t, strings.Join(lines, ""))})
	require.NoError(t, err)
}

var update = flag.Bool("update", false, "write the table of docs/configuration.md anew")

// TestTheDocumentationNamesEverySetting compares the table of docs/configuration.md with the settings.
func TestTheDocumentationNamesEverySetting(t *testing.T) {
	name := filepath.Join("..", "docs", "configuration.md")
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	const begin, end = "<!-- settings -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(string(raw), begin)
	require.True(t, ok)
	_, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	var table strings.Builder
	table.WriteString("| key | default | what it is for |\n| --- | --- | --- |\n")
	for _, s := range app.Settings() {
		value := s.String()
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", s.Key, value, s.Usage)
	}
	want := head + begin + table.String() + end + tail
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(want), 0o644))
		return
	}
	have := strings.Split(string(raw), "\n")
	for i, line := range strings.Split(want, "\n") {
		require.Less(t, i, len(have))
		require.Equal(t, line, have[i], "go test ./app -run Documentation -update writes the table anew")
	}
	require.Equal(t, strings.Count(want, "\n")+1, len(have))
}
