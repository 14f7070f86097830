// Package filter is what clients let through in /sync, /messages, /context and search
// (client-server API, "Filtering"). Parse checks a filter's shape and ids and prepares it; a
// Filter does not change afterwards and may be shared.
//
// A list that is absent lets everything through; one that is present and empty, nothing. Unknown
// keys are ignored, null counts as absent.
package filter
