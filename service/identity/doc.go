// Package identity is the service that owns accounts: users and their names, passwords, devices, access and refresh
// tokens, sessions of user-interactive authentication, registration, and profiles.
//
// It has a database of its own and a log, "identity", sharded by user id, whose entries are UserEvent of
// hongyan/api/identity. Others follow the log: room writes a changed profile into member events and takes deactivated
// users out of their rooms; keys, sync and push drop what belonged to removed devices. It calls nobody but the
// gateways, to make them forget what they know of tokens.
//
// # Invariants
//
//   - A change of an account is one transaction: all its rows and its log entries, or nothing. Every change first
//     compares and swaps the account's version (see change.go), so what was checked still holds when it is written.
//   - The name of an account is never given again, also not after deactivation.
//   - Tokens are 256 random bits and stored as SHA-256; passwords are stored as argon2id. Neither is ever logged.
//   - An access token that ended, by whatever way, is let through nowhere once the request that ended it was answered: the
//     gateways have confirmed by then that they forgot it, or their 2 s are over. (One that a refresh has replaced ends
//     within these 2 s of the first use of the new one: nobody waits for that.)
//   - An account that does not exist costs as much and answers the same as a wrong password.
//   - What a client can make grow is bounded: auth sessions, login tokens, devices, pairs of tokens a device, profiles; entries of
//     profiles and devices replace each other in the log.
//
// # Choices that the specification leaves open
//
// A new account's display name is its local part, as with the other homeservers (Config.DefaultDisplayName). Access
// tokens of clients without refresh tokens do not expire; those of others live 5 minutes. Profiles are public. An
// empty display name or avatar URL removes the field. Custom fields may not hold floats, which no other part of
// Matrix takes either. A deactivated user's profile stays, unless erasure was asked for. Where an
// account has as many devices as Config.MaxDevices, a log-in ends the one that was not seen for longest.
//
// The password of a deactivated account is forgotten, so that nobody can prove to be its user any more: a log-in is
// answered as one with a wrong password, M_FORBIDDEN, which tells strangers nothing. A refresh that is repeated before
// the new pair of tokens was used answers the same pair.
//
// # Guessing passwords
//
// Failed checks are counted by account and address (IPv6: /64), and, with a higher limit, by account alone. The latter
// does not hold for an address at which a device of the account was seen last. User-interactive auth of a session has a
// counter of its own. So strangers may guess no faster than these limits, and lock nobody out who is at home.
//
// The counters are in the database, where all instances see them: a check reads them, a failed one writes. An instance lets as many
// checks run at once as may still fail, and does not know of those that run in others, so that guesses that come at once
// to N instances may be N times as many; the next ones are waited for N times as long.
package identity
