package app

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
