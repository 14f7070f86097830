package obs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"
	"go.yaml.in/yaml/v3"

	"hongyan/platform/obs"
	"hongyan/platform/obs/obstest"
)

// The test binary plays a server for TestSignals.
func TestMain(m *testing.M) {
	if os.Getenv("OBS_TEST_SERVER") != "" {
		server()
		return
	}
	obstest.Main(m)
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

func TestLogging(t *testing.T) {
	var out buffer
	require.NoError(t, obs.Setup(obs.LogConfig{Level: "info", Format: "json"}, &out))
	ctx := obs.WithRequestID(t.Context(), "req1")
	logx.WithContext(ctx).Infow("hello", logx.Field("n", 1))
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(out.take()), &line))
	require.Equal(t, "hello", line["content"])
	require.Equal(t, "req1", line["request_id"])
	logx.Debug("quiet")
	require.Empty(t, out.take())
	obs.SetLevel("debug")
	logx.Debug("loud")
	require.Contains(t, out.take(), "loud")
	obs.SetLevel("off")
	logx.Error("nothing")
	require.Empty(t, out.take())
	obs.SetLevel("error")
	logx.Info("nothing")
	logx.Error("something")
	require.Contains(t, out.take(), "something")
	obs.SetLevel("info")
	logx.Stat("CPU: 1m")
	require.Empty(t, out.take(), "go-zero's statistics are off")
	logx.Errorf("GET /sync?access_token=syt_abc&since=1: %v", errors.New("Authorization: Bearer syt_def"))
	got := out.take()
	require.NotContains(t, got, "syt_")
	require.Contains(t, got, "since=1")
}

func TestLogConfig(t *testing.T) {
	require.NoError(t, obs.DefaultLogConfig().Validate())
	require.Error(t, obs.LogConfig{Level: "loud", Format: "json"}.Validate())
	require.Error(t, obs.LogConfig{Level: "info", Format: "xml"}.Validate())
	require.Error(t, obs.Setup(obs.LogConfig{}, io.Discard))
}

func TestSecret(t *testing.T) {
	const s = obs.Secret("hunter2")
	type config struct {
		Token obs.Secret `json:"token" yaml:"token"`
	}
	asJSON, err := json.Marshal(config{s})
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(config{s})
	require.NoError(t, err)
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %v %q %x", s, s, s, s), fmt.Sprintf("%#v %+v", config{s}, config{s}),
		string(asJSON), string(asYAML),
	} {
		require.NotContains(t, text, "hunter2")
		require.NotContains(t, text, "68756e74657232")
	}
	require.Equal(t, "hunter2", s.Reveal())
	require.Empty(t, obs.Secret("").String())
	var read config
	require.NoError(t, yaml.Unmarshal([]byte("token: hunter2"), &read))
	require.Equal(t, s, read.Token)
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"access_token=abc&since=1":                     "access_token=[redacted]&since=1",
		"a?ACCESS_TOKEN=abc":                           "a?ACCESS_TOKEN=[redacted]",
		`{"password":"hunter2","user":"a"}`:            `{"password":"[redacted]","user":"a"}`,
		`{"refresh_token" : "abc"}`:                    `{"refresh_token" : "[redacted]"}`,
		`"{\"access_token\":\"abc\"}"`:                 `"{\"access_token\":\"[redacted]\"}"`,
		"Authorization: Bearer abc.def-1=":             "Authorization: Bearer [redacted]",
		"no secrets here: token, password and bearers": "no secrets here: token, password and bearers",
		"loginToken=abc&x=1":                           "loginToken=[redacted]&x=1",
		`{"token":"abc","login_token":"def"}`:          `{"token":"[redacted]","login_token":"[redacted]"}`,
		"url=https%3A%2F%2Fa%3Ftoken%3Dabc":            "url=https%3A%2F%2Fa%3Ftoken%3D[redacted]",
		"redirectUrl=https%3A%2F%2Fa%3FloginToken%3Da": "redirectUrl=https%3A%2F%2Fa%3FloginToken%3D[redacted]",
		`{"client_secret":"a","new_password":"b"}`:     `{"client_secret":"[redacted]","new_password":"[redacted]"}`,
		`{"registration_shared_secret": "a"}`:          `{"registration_shared_secret": "[redacted]"}`,
		`{"passphrase":"a","signing_key":"b"}`:         `{"passphrase":"[redacted]","signing_key":"[redacted]"}`,
		`{"errcode":"M_UNKNOWN_TOKEN","error":"No."}`:  `{"errcode":"M_UNKNOWN_TOKEN","error":"No."}`,
		"sync_token=s1_2&one_time_key=k":               "sync_token=s1_2&one_time_key=k",
	} {
		require.Equal(t, want, obs.Redact(in))
	}
	u, err := url.Parse("https://a.b/_matrix/client/v3/sync?since=1&access_token=abc")
	require.NoError(t, err)
	require.Equal(t, "/_matrix/client/v3/sync?since=1&access_token=[redacted]", obs.RedactURL(u))
	for in, want := range map[string]string{
		"/auth/m.login.terms/fallback/web?session=SECRET123&a=b": "/auth/m.login.terms/fallback/web?session=[redacted]&a=b",
		"/m.login.registration_token/validity?token=SECRET123":   "/m.login.registration_token/validity?token=[redacted]",
		"/login?loginToken=abc":                                  "/login?loginToken=[redacted]",
		"/x?a=1&acc%65ss_token=abc&b=2":                          "/x?a=1&acc%65ss_token=[redacted]&b=2",
		"/x?aCCess_toKen=abc":                                    "/x?aCCess_toKen=[redacted]",
		"/x?%zz_token=abc&client_secret=s&sid=1":                 "/x?%zz_token=abc&client_secret=[redacted]&sid=1",
		"/x?refresh_token=a+b%20c":                               "/x?refresh_token=[redacted]",
		"/x?token=a&token=b":                                     "/x?token=[redacted]&token=[redacted]",
		"/messages?from=t1&to=t2&dir=b":                          "/messages?from=t1&to=t2&dir=b",
		// Who reads what is nobody's business, also where the address was not escaped.
		"/_matrix/client/v1/media/preview_url?url=https%3A%2F%2Fa%2Fb&ts=1": "/_matrix/client/v1/media/preview_url?[redacted]",
		"/_matrix/media/v3/preview_url?ts=1;url=https://a/?b=c&d=page":      "/_matrix/media/v3/preview_url?[redacted]",
		"/_matrix/media/r0/preview%5furl/?%75rl=https://a":                  "/_matrix/media/r0/preview%5furl/?[redacted]",
		"/_matrix/media/v3/preview_url":                                     "/_matrix/media/v3/preview_url",
		"/_matrix/media/v3/config?url=x":                                    "/_matrix/media/v3/config?url=x",
		"/x?":                                                               "/x",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		require.Equal(t, want, obs.RedactURL(u))
	}
	require.Equal(t, "/a%2Fb", obs.RedactURL(&url.URL{Path: "/a/b", RawPath: "/a%2Fb"}))
}

func TestRequestID(t *testing.T) {
	require.Empty(t, obs.RequestID(t.Context()))
	require.Equal(t, t.Context(), obs.WithRequestID(t.Context(), ""))
	require.Equal(t, "r", obs.RequestID(obs.WithRequestID(t.Context(), "r")))
}

func TestRegister(t *testing.T) {
	reg := prometheus.NewRegistry()
	opts := prometheus.CounterOpts{Name: "a_total", Help: "A."}
	one := obs.Register(reg, prometheus.NewCounter(opts))
	two := obs.Register(reg, prometheus.NewCounter(opts))
	require.Same(t, one, two)
	require.Panics(t, func() { obs.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Name: "a_total", Help: "Other."})) })
	require.NotNil(t, obs.Register(nil, prometheus.NewCounter(opts)))
}

func TestHealth(t *testing.T) {
	var h obs.Health
	handler := obs.AdminHandler(&h, prometheus.NewRegistry())
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	status, _ := get("/healthz")
	require.Equal(t, 200, status)
	status, _ = get("/readyz")
	require.Equal(t, 503, status, "not before it says so")
	h.SetReady(true)
	status, _ = get("/readyz")
	require.Equal(t, 200, status)
	broken := errors.New("no database")
	h.Check("room", func() error { return broken })
	status, text := get("/readyz")
	require.Equal(t, 503, status)
	require.JSONEq(t, `{"status":"not ready","parts":{"room":"no database"}}`, text)
	broken = nil
	status, _ = get("/readyz")
	require.Equal(t, 200, status)
	h.SetReady(false)
	status, _ = get("/readyz")
	require.Equal(t, 503, status)
	status, _ = get("/metrics")
	require.Equal(t, 200, status)
	status, _ = get("/else")
	require.Equal(t, 404, status)
}

// server waits for SIGTERM and then drains for longer than go-zero would let it (5.5 s).
func server() {
	if err := obs.Setup(obs.LogConfig{Level: "info", Format: "plain"}, os.Stderr); err != nil {
		panic(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	_, _ = os.Stdout.WriteString("ready\n")
	<-signals
	signal.Stop(signals) // as a server does, so that a second SIGTERM ends it at once
	<-time.After(7 * time.Second)
	_, _ = os.Stdout.WriteString("drained\n")
}

// go-zero kills a process 5.5 s after SIGTERM; after Setup it does not.
func TestSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 7 s")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "OBS_TEST_SERVER=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ready := make([]byte, len("ready\n"))
	_, err = io.ReadFull(out, ready)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	require.Equal(t, "drained", strings.TrimSpace(string(rest)))
}

func TestQuiet(t *testing.T) {
	var out buffer
	require.NoError(t, obs.Setup(obs.LogConfig{Level: "debug", Format: "json"}, &out))
	obs.Quiet()
	logx.Error("nothing")
	logx.Stat("CPU: 1m")
	require.Empty(t, out.take())
	require.NoError(t, obs.Setup(obs.LogConfig{Level: "debug", Format: "json"}, &out))
	logx.Debug("something")
	require.Contains(t, out.take(), "something", "a server logs all the same")
}

// TestPlainLogsAreTame writes what clients send so that it is neither another line nor an order to a terminal.
func TestPlainLogsAreTame(t *testing.T) {
	var out bytes.Buffer
	w := obs.Scrubber(&out)
	for in, want := range map[string]string{
		"12:00 info ok\n":                      "12:00 info ok\n",
		"12:00 info room !a\n2026 FAKE line\n": "12:00 info room !a\n\t2026 FAKE line\n",
		"red \x1b[31m and \u009b\r":            `red \x1b[31m and \x9b\x0d`,
		"tab\tand 鸿雁":                          "tab\tand 鸿雁",
	} {
		out.Reset()
		_, err := io.WriteString(w, in)
		require.NoError(t, err)
		require.Equal(t, want, out.String())
	}
}
