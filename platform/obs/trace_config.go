package obs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// TraceConfig says where traces of requests go.
type TraceConfig struct {
	// Endpoint is the collector of OTLP, host:port; empty for no traces.
	Endpoint string `yaml:"endpoint"`
	// Protocol is grpc or http.
	Protocol string `yaml:"protocol"`
	// SampleRatio is the share of requests that are traced, from 0 to 1.
	SampleRatio float64 `yaml:"sample_ratio"`
	// Headers are sent with every export, such as a token of the collector's.
	Headers map[string]Secret `yaml:"headers"`
	// Insecure sends without TLS to other machines too; to this machine there is none anyway.
	Insecure bool `yaml:"insecure"`
	// TrustIncoming continues the traces that clients or a proxy in front name in traceparent. Whoever sends that header
	// then decides what is traced.
	TrustIncoming bool `yaml:"trust_incoming"`
}

// Protocols of OTLP.
const (
	traceGRPC = "grpc"
	traceHTTP = "http"
)

// DefaultTraceConfig traces nothing, and a tenth of all requests once there is an endpoint.
func DefaultTraceConfig() TraceConfig { return TraceConfig{Protocol: traceGRPC, SampleRatio: 0.1} }

// Validate says what is wrong with c.
func (c TraceConfig) Validate() error {
	if c.Protocol != traceGRPC && c.Protocol != traceHTTP {
		return fmt.Errorf("protocol %q: want grpc or http", c.Protocol)
	}
	if !(c.SampleRatio >= 0 && c.SampleRatio <= 1) { // as NaN is neither
		return errors.New("sample_ratio: want a number from 0 to 1")
	}
	for name, value := range c.Headers {
		if name == "" || strings.ContainsAny(name, " \r\n:") || strings.ContainsAny(value.Reveal(), "\r\n") {
			return fmt.Errorf("headers: %q cannot be sent", name)
		}
	}
	if c.Endpoint == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Endpoint); err != nil || strings.Contains(c.Endpoint, "/") {
		return fmt.Errorf("endpoint %q: want host:port, such as localhost:4317", redactURL(c.Endpoint))
	}
	return nil
}

// redactURL hides the user's part of what should have been host:port.
func redactURL(s string) string {
	if u, err := url.Parse(s); err == nil && u.User != nil {
		return u.Redacted()
	}
	return s
}

// plain tells whether the collector is spoken to without TLS.
func (c TraceConfig) plain() bool {
	host, _, err := net.SplitHostPort(c.Endpoint)
	if err != nil {
		return c.Insecure
	}
	address, err := netip.ParseAddr(host)
	return c.Insecure || host == "localhost" || err == nil && address.IsLoopback()
}

func (c TraceConfig) headers() map[string]string {
	headers := make(map[string]string, len(c.Headers))
	for name, value := range c.Headers {
		headers[strings.ToLower(name)] = value.Reveal()
	}
	return headers
}
