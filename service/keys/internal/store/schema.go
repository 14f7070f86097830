package store

import "hongyan/platform/eventlog"

// The side tables that appends to the log of the users write to: indices into UserSchema's Tables.
const (
	tableOneTimeKey = iota
	tableFallbackKey
	tableUploadedKey
)

// The side tables that appends to the device-list log write to: indices into DeviceListSchema's Tables.
const (
	tableDeviceKey = iota
	tableCrossSigningKey
	tableSignature
)

func column(name string, t eventlog.ColumnType) eventlog.Column {
	return eventlog.Column{Name: name, Type: t}
}

// UserSchema declares the log of the users.
func UserSchema() eventlog.Schema {
	const i, t, b = eventlog.Int, eventlog.Text, eventlog.Bytes
	return eventlog.Schema{
		Name: UserLog,
		Tables: []eventlog.Table{
			tableOneTimeKey: {Name: "one_time_key", Key: []string{"user_id", "device_id", "algorithm", "key_id"},
				Columns: []eventlog.Column{
					column("user_id", t), column("device_id", t), column("algorithm", t), column("key_id", t), column("ordinal", i),
					column("json", b),
				}},
			tableFallbackKey: {Name: "fallback_key", Key: []string{"user_id", "device_id", "algorithm"},
				Update: []string{"key_id", "json", "used"}, Columns: []eventlog.Column{
					column("user_id", t), column("device_id", t), column("algorithm", t), column("key_id", t), column("json", b),
					column("used", eventlog.Bool),
				}},
			tableUploadedKey: {Name: "uploaded_key", Key: []string{"user_id", "device_id", "algorithm", "key_id"},
				Columns: []eventlog.Column{
					column("user_id", t), column("device_id", t), column("algorithm", t), column("key_id", t), column("ordinal", i),
					column("hash", t),
				}},
		},
	}
}

// DeviceListSchema declares the log of changed device lists.
func DeviceListSchema() eventlog.Schema {
	const t, b = eventlog.Text, eventlog.Bytes
	return eventlog.Schema{
		Name: DeviceListLog, Shards: 1,
		Tables: []eventlog.Table{
			tableDeviceKey: {Name: "device_key", Key: []string{"user_id", "device_id"}, Update: []string{"json"},
				Columns: []eventlog.Column{column("user_id", t), column("device_id", t), column("json", b)}},
			tableCrossSigningKey: {Name: "cross_signing_key", Key: []string{"user_id", "usage"},
				Update: []string{"public_key", "json"}, Columns: []eventlog.Column{
					column("user_id", t), column("usage", t), column("public_key", t), column("json", b),
				}},
			tableSignature: {Name: "key_signature", Key: []string{"user_id", "key_id", "signer", "signer_key"},
				Update: []string{"signature"}, Columns: []eventlog.Column{
					column("user_id", t), column("key_id", t), column("signer", t), column("signer_key", t), column("signature", t),
				}},
		},
	}
}
