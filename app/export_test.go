package app

import "context"

// Replace replaces what a service runs.
func (a *App) Replace(service string, run func(context.Context) error) {
	for _, u := range a.b.units {
		if u.name == service {
			u.run = run
		}
	}
}

// StaleUsages are usages of settings that do not exist.
func StaleUsages() []string {
	known := map[string]bool{}
	for _, s := range Settings() {
		known[s.Key] = true
	}
	var stale []string
	for key := range usage {
		if !known[key] {
			stale = append(stale, key)
		}
	}
	return stale
}
