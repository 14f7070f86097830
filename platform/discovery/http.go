package discovery

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/registry"
)

// Path is where Handler answers.
const Path = "/discovery/http_sd"

// Group is an element of the answer: addresses that share labels.
type Group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Handler answers GET /discovery/http_sd: the addresses of all services' ready instances, each with the labels service,
// boot_id, version, zone and state. Query parameters narrow it down or ask for others:
//
//   - service: of this service only.
//   - port: http (the default), grpc, or admin for the listeners that monitoring reads. A process has one of those: its
//     label service names all of its services, separated by commas.
//   - state: starting, ready (the default), draining or all.
func Handler(directory *registry.Directory) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) {
		groups, err := groupsFor(directory, r)
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		httpx.WriteJSON(w, http.StatusOK, groups)
	})
	return mux
}

func groupsFor(directory *registry.Directory, r *http.Request) ([]Group, error) {
	query := r.URL.Query()
	var address func(registry.Instance) string
	port := cmp.Or(query.Get("port"), "http")
	switch port {
	case "http":
		address = func(i registry.Instance) string { return i.HTTP }
	case "grpc":
		address = func(i registry.Instance) string { return i.GRPC }
	case "admin":
		address = func(i registry.Instance) string { return i.Admin }
	default:
		return nil, matrix.NewError(matrix.CodeInvalidParam, "port is http, grpc or admin.")
	}
	state := registry.State(cmp.Or(query.Get("state"), string(registry.Ready)))
	switch state {
	case registry.Starting, registry.Ready, registry.Draining, "all":
	default:
		return nil, matrix.NewError(matrix.CodeInvalidParam, "state is starting, ready, draining or all.")
	}
	services := directory.Services()
	if only := query.Get("service"); only != "" {
		services = []string{only}
	}
	var list []registry.Instance
	for _, service := range services {
		for _, i := range directory.All(service) {
			if address(i) != "" && (state == "all" || i.State == state) {
				list = append(list, i)
			}
		}
	}
	if port == "admin" {
		list = perProcess(list)
	}
	groups := make([]Group, 0, len(list))
	for _, i := range list {
		groups = append(groups, Group{Targets: []string{address(i)}, Labels: labels(i)})
	}
	return groups, nil
}

func labels(i registry.Instance) map[string]string {
	return map[string]string{
		"service": i.Service, "boot_id": i.BootID, "version": i.Version, "zone": i.Zone, "state": string(i.State),
	}
}

// perProcess makes one instance of those that share an admin listener. Their states may differ for a moment: the first
// one's counts.
func perProcess(list []registry.Instance) []registry.Instance {
	byProcess := map[string][]registry.Instance{}
	for _, i := range list {
		key := i.BootID + " " + i.Admin
		byProcess[key] = append(byProcess[key], i)
	}
	merged := make([]registry.Instance, 0, len(byProcess))
	for _, services := range byProcess {
		one := services[0]
		names := make([]string, len(services))
		for n, i := range services {
			names[n] = i.Service
		}
		one.Service = strings.Join(names, ",")
		merged = append(merged, one)
	}
	slices.SortFunc(merged, registry.Compare)
	return merged
}
