package store

import "hongyan/platform/eventlog"

// UseNonce takes a nonce of shared-secret registration. It conflicts when it was used before.
func UseNonce(nonce string, expiresMs int64) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `INSERT INTO used_nonce (nonce, expires_ms) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING`,
		Args: []any{nonce, expiresMs}, Want: 1,
	}
}
