package app_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKubernetesManifests(t *testing.T) {
	docs := documents(t, "kubernetes")
	byKind := map[string]map[string]map[string]any{}
	for file, list := range docs {
		for _, doc := range list {
			kind, meta := doc["kind"].(string), doc["metadata"].(map[string]any)
			require.NotEmpty(t, doc["apiVersion"], file)
			if kind != "Namespace" {
				require.Equal(t, "hongyan", meta["namespace"], file)
			}
			if byKind[kind] == nil {
				byKind[kind] = map[string]map[string]any{}
			}
			name := meta["name"].(string)
			require.Nil(t, byKind[kind][name], "%s %s twice", kind, name)
			byKind[kind][name] = doc
		}
	}
	require.NotContains(t, byKind["Secret"]["hongyan"]["stringData"], "HONGYAN_DATABASE", "all pods have it")
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		for name, doc := range byKind[kind] {
			checkWorkload(t, name, doc, byKind)
			require.NotNil(t, byKind["PodDisruptionBudget"][name], name)
		}
	}
	require.Len(t, byKind["Deployment"], 7)
	for name, doc := range byKind["HorizontalPodAutoscaler"] {
		require.NotNil(t, byKind["Deployment"][name], name)
		require.NotContains(t, byKind["Deployment"][name]["spec"], "replicas", "the autoscaler sets them")
		require.Equal(t, name, doc["spec"].(map[string]any)["scaleTargetRef"].(map[string]any)["name"])
	}
	require.Len(t, byKind["NetworkPolicy"], 4)
}

// environment returns the variables of a container.
func environment(t *testing.T, container map[string]any, byKind map[string]map[string]map[string]any) map[string]string {
	t.Helper()
	env := map[string]string{"HONGYAN_DATA_DIR": "/data"} // the image's
	for _, item := range container["envFrom"].([]any) {
		for source, ref := range item.(map[string]any) {
			kind, data := "ConfigMap", "data"
			if source == "secretRef" {
				kind, data = "Secret", "stringData"
			}
			from := byKind[kind][ref.(map[string]any)["name"].(string)]
			require.NotNil(t, from, ref)
			for name, value := range from[data].(map[string]any) {
				require.Empty(t, env[name], "%s twice", name)
				if env[name] = value.(string); env[name] == "" {
					env[name] = filled
				}
			}
		}
	}
	if list, ok := container["env"].([]any); ok {
		for _, item := range list {
			variable := item.(map[string]any)
			value, ok := variable["value"].(string)
			if !ok {
				value = "10.1.2.3" // the pod's own
			}
			env[variable["name"].(string)] = value
		}
	}
	delete(env, "POD_NAME")
	return env
}

// monitored tells whether a network policy lets the namespace of monitoring get to a port of a workload's pods.
func monitored(policies map[string]map[string]any, pods map[string]any, port int) bool {
	for _, policy := range policies {
		spec := policy["spec"].(map[string]any)
		selector, ok := spec["podSelector"].(map[string]any)["matchLabels"].(map[string]any)
		if rules, _ := spec["ingress"].([]any); ok {
			for label, value := range selector {
				ok = ok && pods[label] == value
			}
			for _, item := range rules {
				rule := item.(map[string]any)
				from, _ := rule["from"].([]any)
				ports := rule["ports"].([]any)
				if ok && slices.ContainsFunc(from, func(peer any) bool { return peer.(map[string]any)["namespaceSelector"] != nil }) &&
					slices.ContainsFunc(ports, func(p any) bool { return p.(map[string]any)["port"] == port }) {
					return true
				}
			}
		}
	}
	return false
}

// checkWorkload checks a Deployment or a StatefulSet.
func checkWorkload(t *testing.T, name string, doc map[string]any, byKind map[string]map[string]map[string]any) {
	t.Helper()
	spec := doc["spec"].(map[string]any)
	template := spec["template"].(map[string]any)
	require.Equal(t, spec["selector"].(map[string]any)["matchLabels"], template["metadata"].(map[string]any)["labels"], name)
	pod := template["spec"].(map[string]any)
	container := pod["containers"].([]any)[0].(map[string]any)
	env := environment(t, container, byKind)
	process := strings.TrimPrefix(name, "hongyan-")
	servesOnly(t, process, env)
	args := texts(t, container["args"])
	cfg := checkCommand(t, args, env)
	ports := map[string]int{}
	for _, item := range container["ports"].([]any) {
		port := item.(map[string]any)
		ports[port["name"].(string)] = port["containerPort"].(int)
	}
	labels := template["metadata"].(map[string]any)["labels"].(map[string]any)
	require.True(t, monitored(byKind["NetworkPolicy"], labels, ports["admin"]), "%s cannot be scraped", name)
	for probe, path := range map[string]string{"readinessProbe": "/readyz", "livenessProbe": "/healthz"} {
		get := container[probe].(map[string]any)["httpGet"]
		require.Equal(t, map[string]any{"path": path, "port": "admin"}, get, "%s: %s", name, probe)
	}
	if cfg.ServerName == "" {
		require.Equal(t, "registry", process)
		requireOpenAdmin(t, args)
		return
	}
	require.Equal(t, process, cfg.ProcessName())
	grace := pod["terminationGracePeriodSeconds"].(int)
	hook := container["lifecycle"].(map[string]any)["preStop"].(map[string]any)["sleep"].(map[string]any)["seconds"].(int)
	require.Greater(t, float64(grace-hook), (cfg.DrainTimeout+cfg.DrainSpread).Seconds()+3, name)
}
