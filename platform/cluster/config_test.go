package cluster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"hongyan/platform/cluster"
)

func TestConfig(t *testing.T) {
	shared := func(change func(*cluster.Config)) cluster.Config {
		c := cluster.Default()
		c.Registry, c.Endpoints, c.Bus = cluster.Etcd, []string{"localhost:2379"}, []cluster.BusURL{"nats://localhost:4222"}
		change(&c)
		return c
	}
	require.NoError(t, cluster.Default().Validate())
	for name, tt := range map[string]struct {
		change func(*cluster.Config)
		want   string // "" for nothing wrong
	}{
		"loopback":            {func(*cluster.Config) {}, ""},
		"zookeeper":           {func(c *cluster.Config) { c.Registry = cluster.ZooKeeper }, ""},
		"unknown registry":    {func(c *cluster.Config) { c.Registry = "consul" }, "want memory, etcd or zookeeper"},
		"no endpoints":        {func(c *cluster.Config) { c.Endpoints = nil }, "endpoints"},
		"user in endpoints":   {func(c *cluster.Config) { c.Endpoints = []string{"https://root:" + secret + "@localhost:2379"} }, "cluster.username"},
		"user in the bus":     {func(c *cluster.Config) { c.Bus = []cluster.BusURL{"nats://me:" + secret + "@localhost:4222"} }, ""},
		"no bus":              {func(c *cluster.Config) { c.Bus = nil }, "bus"},
		"no prefix":           {func(c *cluster.Config) { c.Prefix = "" }, "prefix"},
		"everybody's address": {func(c *cluster.Config) { c.Listen = "0.0.0.0:9000" }, "cluster.secret"},
		"any address":         {func(c *cluster.Config) { c.Listen = ":9000" }, "cluster.secret"},
		"with a secret":       {func(c *cluster.Config) { c.Listen, c.Secret = ":9000", secret }, ""},
		"with a short secret": {func(c *cluster.Config) { c.Listen, c.Secret = ":9000", "0123456789012345678901234567890" }, "at least 32"},
		"IPv6 loopback":       {func(c *cluster.Config) { c.Listen = "[::1]:0" }, ""},
		"bad port":            {func(c *cluster.Config) { c.Listen = "localhost:http" }, "port"},
		"no port":             {func(c *cluster.Config) { c.Listen = "localhost" }, "host:port"},
		"bad advertise":       {func(c *cluster.Config) { c.Advertise = "http://me" }, "advertise"},
		"half the files":      {func(c *cluster.Config) { c.TLSCA = "ca.pem" }, "all or none"},
		"secret and files": {func(c *cluster.Config) {
			c.TLSCA, c.TLSCert, c.TLSKey, c.Secret = "ca", "cert", "key", secret
		}, "one of them"},
		"weightless": {func(c *cluster.Config) { c.Weight = 0 }, "weight"},
	} {
		t.Run(name, func(t *testing.T) {
			err := shared(tt.change).Validate()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.False(t, strings.Contains(err.Error(), secret), "no secret in messages")
		})
	}
}

// What is printed of a bus has no credentials, whatever its form.
func TestBusURL(t *testing.T) {
	for url, want := range map[cluster.BusURL]string{
		"nats://localhost:4222": "nats://localhost:4222", "localhost:4222": "localhost:4222", "": "",
		"nats://me:" + secret + "@a:1": "nats://xxxxx@a:1", "tls://" + secret + "@a": "tls://xxxxx@a",
		"me:" + secret + "@a:1": "xxxxx@a:1", "nats://me:p@" + secret + "@a:1": "nats://xxxxx@a:1",
	} {
		require.Equal(t, want, url.String())
		require.Equal(t, `"`+want+`"`, fmt.Sprintf("%#v", url))
		text, err := yaml.Marshal([]cluster.BusURL{url})
		require.NoError(t, err)
		var list []string
		require.NoError(t, yaml.Unmarshal(text, &list))
		require.Equal(t, []string{want}, list)
	}
}
