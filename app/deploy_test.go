package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// TestDashboardsAndAlertsAskForMetricsThatExist reads each query and compares its metrics and labels with those that are
// registered.
func TestDashboardsAndAlertsAskForMetricsThatExist(t *testing.T) {
	all := allMetrics(t)
	labels := []string{"le", "quantile", "job", "instance", "services"}
	for _, m := range all {
		labels = append(labels, m.labels...)
	}
	asked := map[string]bool{}
	for name, queries := range map[string][]string{
		"grafana/hongyan.json": dashboardQueries(t), "prometheus/rules.yaml": ruleQueries(t),
	} {
		require.Greater(t, len(queries), 10, name)
		for _, query := range queries {
			require.NoError(t, checkQuery(query, all, labels, asked), "%s: %s", name, query)
		}
	}
	for _, subsystem := range []string{"bus", "eventlog", "gateway", "hop", "identity", "keys", "registry", "room", "rpc", "social", "sqldb", "sync"} {
		require.True(t, slices.ContainsFunc(namesIn(asked), func(name string) bool {
			return strings.HasPrefix(name, "hongyan_"+subsystem+"_")
		}), "nobody looks at %s", subsystem)
	}
	// The check itself can fail.
	for _, wrong := range []string{
		"hongyan_nothing_total", "rate(hongyan_gateway_requests_total[5m]", `hongyan_ready{nothing="1"}`,
		"sum by (nothing) (hongyan_ready)", "hongyan_ready_bucket", "up > hongyan_gateway_request_seconds",
	} {
		require.Error(t, checkQuery(wrong, all, labels, map[string]bool{}), wrong)
	}
}

// TestFailuresOfOthersAreNoErrors keeps a page of which no preview can be made, a 502, out of what wakes people up.
func TestFailuresOfOthersAreNoErrors(t *testing.T) {
	n := 0
	for _, query := range append(dashboardQueries(t), ruleQueries(t)...) {
		if strings.Contains(query, `hongyan_gateway_requests_total{status=~"5..`) {
			require.Contains(t, query, `{status=~"5..",status!="502"}`)
			n++
		}
	}
	require.Equal(t, 2, n, "the alert and the panel")
}

func namesIn(m map[string]bool) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

var (
	metricName = regexp.MustCompile(`\b(?:hongyan|go|process)_[a-z0-9_]+\b|\bup\b|\betcd_server_has_leader\b`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping   = regexp.MustCompile(`\b(?:by|on)\s*\(([a-z_, ]*)\)`)
)

// checkQuery says what is wrong with a query, as far as one can tell without Prometheus.
func checkQuery(query string, all map[string]*metric, labels []string, asked map[string]bool) error {
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(query, pair[:1]) != strings.Count(query, pair[1:]) {
			return errors.New("brackets do not match")
		}
	}
	var used []string
	for _, m := range matcher.FindAllStringSubmatch(query, -1) {
		used = append(used, m[1])
	}
	for _, m := range grouping.FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			used = append(used, strings.TrimSpace(label))
		}
	}
	for _, label := range used {
		if !slices.Contains(labels, label) {
			return errors.New("no metric has the label " + label)
		}
	}
	bare := grouping.ReplaceAllString(regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(query, ""), "")
	names := metricName.FindAllString(bare, -1)
	if len(names) == 0 {
		return errors.New("it asks for nothing")
	}
	for _, name := range names {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		isTimes := strings.HasSuffix(base, "_seconds") && !strings.HasSuffix(base, "_expiry_seconds") && base != "go_gc_duration_seconds" ||
			strings.HasPrefix(base, "hongyan_") && (strings.Contains(base, "_batch_") || strings.Contains(base, "_to_device_queue_"))
		switch {
		case name == "up" || name == "etcd_server_has_leader":
		case all[base] == nil && all[name] == nil:
			return errors.New("there is no metric " + name)
		case isTimes != (base != name) && all[name] == nil, isTimes && base == name:
			return errors.New(name + " is no histogram, or a part of one is wanted")
		default:
			asked[base] = true
		}
	}
	return nil
}

func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	raw, err := os.ReadFile("../deploy/grafana/hongyan.json")
	require.NoError(t, err)
	var dashboard struct {
		Title  string
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }
		}
	}
	require.NoError(t, json.Unmarshal(raw, &dashboard))
	require.Equal(t, "Hongyan", dashboard.Title)
	ids := map[int]bool{}
	for _, panel := range dashboard.Panels {
		require.False(t, ids[panel.ID], "two panels have the id %d", panel.ID)
		ids[panel.ID] = true
		require.NotEmpty(t, panel.Title)
		require.LessOrEqual(t, panel.GridPos.X+panel.GridPos.W, 24, panel.Title)
		require.Equal(t, panel.Type != "row", len(panel.Targets) > 0, panel.Title)
		for _, target := range panel.Targets {
			queries = append(queries, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	return queries
}

func ruleQueries(t *testing.T) (queries []string) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	raw, err := os.ReadFile("../deploy/prometheus/rules.yaml")
	require.NoError(t, err)
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	require.NoError(t, dec.Decode(&file))
	for _, rule := range file.Groups[0].Rules {
		require.Regexp(t, `^Hongyan[A-Za-z]+$`, rule.Alert)
		require.Regexp(t, `^\d+[mh]$`, rule.For)
		require.Contains(t, []string{"info", "warning", "critical"}, rule.Labels["severity"])
		require.NotEmpty(t, rule.Annotations["summary"])
		require.NotEmpty(t, rule.Annotations["description"])
		queries = append(queries, rule.Expr)
	}
	return queries
}

func TestOtherFilesForDeploymentAreYAML(t *testing.T) {
	prometheus := documents(t, "prometheus")["prometheus.yaml"][0]
	require.Equal(t, []any{"rules.yaml"}, prometheus["rule_files"])
	jobs := map[string]bool{}
	for _, job := range prometheus["scrape_configs"].([]any) {
		jobs[job.(map[string]any)["job_name"].(string)] = true
	}
	for _, query := range ruleQueries(t) {
		for _, m := range regexp.MustCompile(`job="([^"]+)"`).FindAllStringSubmatch(query, -1) {
			require.True(t, jobs[m[1]], query)
		}
	}
}
