// Package keys is the service that keeps what encryption between devices needs: device keys, one-time and fallback keys,
// cross-signing keys and their signatures, key backups, and messages from device to device. It understands none of what
// is encrypted.
//
// It owns a database with two logs. "keys" is sharded by user id: messages to devices, and that the counts of a
// device's keys have changed. "device_list" has one shard and one entry a user: whose devices or cross-signing keys changed, and when
// last. It asks identity for the devices that users have and for user-interactive authentication, and follows identity's
// log: what belonged to a device goes with it. Of room it asks who shares an encrypted room, for /keys/changes.
//
// # Invariants
//
//   - No one-time key is handed out twice, whoever is asked: it is deleted in the transaction that tells of it.
//   - A key and the entry that tells of its change are one transaction.
//   - What is stored for a device belongs to that device and to no other that has its id before or after: see device.go.
//   - What a client can make grow is bounded: see Config.
//   - A message to a device that was answered is in the device's queue, once, and after what its sender had answered before. It stays
//     there until it is acknowledged, its device is gone, or the queue is full: see todevice_bound.go. A repeat writes what is missing.
package keys
