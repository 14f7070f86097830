package keys

import (
	"time"

	"hongyan/platform/eventlog"
	"hongyan/platform/once"
)

// keepTxns is how long transaction ids of messages to devices are remembered: they outlive the messages, and the log forgets them.
const keepTxns = 3 * 24 * time.Hour

// scopeToDevice is what scopes of transactions of messages to devices begin with. Then follow the sender and its device.
const scopeToDevice = "to_device"

// txn is what a request sends to one user, which happens once.
func (q *toDevice) txn(recipient string) eventlog.Txn {
	return eventlog.Txn{Scope: once.Scope(scopeToDevice, q.UserID, q.DeviceID, q.typ, recipient), ID: q.txnID, Keep: keepTxns}
}
