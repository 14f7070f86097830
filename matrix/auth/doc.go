// Package auth holds the authorisation rules of room versions 6 to 12 (rooms/v6 to rooms/v12,
// "Authorisation rules"): which events a room's state allows, and which events of the state an
// event names as its reason.
//
// The rules read a State, which a room's cache keeps parsed: authorising a message costs two map
// look-ups. Refusals are M_FORBIDDEN and say what is missing. Signatures are not checked here but
// when an event arrives from outside.
//
// These are own rules rather than gomatrixserverlib's, which parses the state again for every
// event; the tests hold them to its answers.
package auth
