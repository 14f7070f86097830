// Package password hashes and checks passwords with argon2id.
//
// A hash is a PHC string and carries its parameters, so that they can change: NeedsRehash tells when a hash is
// older than the configuration. Hashing costs memory and a core on purpose; how many run at once and how
// many wait is bounded, since anybody can ask for a log-in.
package password
