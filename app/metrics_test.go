package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/app"
	"hongyan/platform/bus/nats"
	"hongyan/test/pgtest"
)

// metric is what is known of a metric without its values.
type metric struct {
	name, help string
	labels     []string
}

// catalog is a registry that lists what is registered with it.
type catalog struct {
	*prometheus.Registry
	mu      sync.Mutex
	metrics map[string]*metric
}

var described = regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]*)",.* constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)

func (c *catalog) Register(collector prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 1000)
	collector.Describe(descs)
	close(descs)
	c.mu.Lock()
	defer c.mu.Unlock()
	for desc := range descs {
		parts := described.FindStringSubmatch(desc.String())
		m := c.metrics[parts[1]]
		if m == nil {
			m = &metric{name: parts[1], help: parts[2]}
			c.metrics[m.name] = m
		}
		for label := range strings.SplitSeq(parts[3]+","+parts[4], ",") {
			name, _, _ := strings.Cut(label, "=")
			if name != "" && !slices.Contains(m.labels, name) {
				m.labels = append(m.labels, name)
			}
		}
	}
	return c.Registry.Register(collector)
}

func (c *catalog) MustRegister(collectors ...prometheus.Collector) {
	for _, collector := range collectors {
		if err := c.Register(collector); err != nil {
			panic(err)
		}
	}
}

// allMetrics are those of a process with everything, which runs long enough to follow its logs, of one among many, and of a
// node of the registry.
func allMetrics(t *testing.T) map[string]*metric {
	t.Helper()
	all := map[string]*metric{}
	alone := &catalog{Registry: prometheus.NewRegistry(), metrics: all}
	cert, key := certificate(t)
	startWith(t, alone, alone, map[string]string{
		"data-dir": t.TempDir(), "gateway-tls-cert": cert, "gateway-tls-key": key,
	}).stop()

	cfg, err := app.Load(app.Source{Flags: map[string]string{
		"data-dir": t.TempDir(), "target": "gateway,room", "database": pgtest.Start(t),
		"cluster-registry": "etcd", "cluster-endpoints": "127.0.0.1:9", "cluster-bus": "nats://127.0.0.1:9",
	}})
	require.NoError(t, err)
	among := &catalog{Registry: prometheus.NewRegistry(), metrics: all}
	a, err := app.New(t.Context(), cfg, app.Options{Version: "test", Metrics: among, Gatherer: among})
	require.NoError(t, err)
	require.NoError(t, a.Close())

	bus, err := nats.StartServer(nats.ServerConfig{Host: "127.0.0.1", Port: -1})
	require.NoError(t, err)
	defer bus.Close()
	require.NoError(t, (&catalog{Registry: prometheus.NewRegistry(), metrics: all}).Register(bus.Collector()))
	return all
}

// certificate makes a certificate and returns its files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return cert, key
}

// TestTheDocumentationNamesEveryMetric compares docs/metrics.md with what is registered.
func TestTheDocumentationNamesEveryMetric(t *testing.T) {
	var want strings.Builder
	section := ""
	all := allMetrics(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		own, ok := strings.CutPrefix(name, "hongyan_")
		if !ok {
			continue // of Go and of the process
		}
		m := all[name]
		require.NotEmpty(t, m.help, name)
		if first, _, _ := strings.Cut(own, "_"); first != section {
			section = first
			fmt.Fprintf(&want, "\n## %s\n\n| metric | labels | what it is |\n| --- | --- | --- |\n", section)
		}
		slices.Sort(m.labels)
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", name, strings.Join(m.labels, ", "), strings.ReplaceAll(m.help, "|", "\\|"))
	}
	name := filepath.Join("..", "docs", "metrics.md")
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	const mark = "<!-- metrics -->\n"
	head, have, ok := strings.Cut(string(raw), mark)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(head+mark+want.String()), 0o600))
		return
	}
	require.Equal(t, want.String(), have, "go test ./app -run Documentation -update writes the list anew")
}
