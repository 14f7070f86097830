//go:build goolm

package e2e_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/crypto/signatures"
	"maunium.net/go/mautrix/crypto/ssss"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// storage opens a user's secret storage.
func (d *device) storage(t *testing.T, recoveryKey string) *ssss.Key {
	t.Helper()
	keyID, data, err := d.mach.SSSS.GetDefaultKeyData(t.Context())
	require.NoError(t, err)
	key, err := data.VerifyRecoveryKey(keyID, recoveryKey)
	require.NoError(t, err)
	return key
}

// backUp makes a backup of all keys that the device has, whose own key lies in the secret storage, and returns how many they are.
func (d *device) backUp(t *testing.T, recoveryKey string) (count int) {
	t.Helper()
	d.turn.Lock()
	defer d.turn.Unlock()
	ctx := t.Context()
	key, err := backup.NewMegolmBackupKey()
	require.NoError(t, err)
	require.NoError(t, d.mach.SSSS.SetEncryptedAccountData(ctx, event.AccountDataMegolmBackupKey, key.Bytes(), d.storage(t, recoveryKey)))

	auth := backup.MegolmAuthData{PublicKey: id.Ed25519(signatureBase64(key.PublicKey().Bytes()))}
	signature, err := d.mach.CrossSigningKeys.MasterKey.SignJSON(auth)
	require.NoError(t, err)
	master := d.mach.CrossSigningKeys.MasterKey.PublicKey().String()
	auth.Signatures = signatures.NewSingleSignature(d.UserID, id.KeyAlgorithmEd25519, master, signature)
	made, err := d.CreateKeyBackupVersion(ctx, &mautrix.ReqRoomKeysVersionCreate[backup.MegolmAuthData]{
		Algorithm: id.KeyBackupAlgorithmMegolmBackupV1, AuthData: auth,
	})
	require.NoError(t, err)

	sessions, err := d.mach.CryptoStore.GetAllGroupSessions(ctx).AsList()
	require.NoError(t, err)
	body := mautrix.ReqKeyBackup{Rooms: map[id.RoomID]mautrix.ReqRoomKeyBackup{}}
	for _, s := range sessions {
		first := s.Internal.FirstKnownIndex()
		exported, err := s.Internal.Export(first)
		require.NoError(t, err)
		sealed, err := backup.EncryptSessionData(key, backup.MegolmSessionData{
			Algorithm: id.AlgorithmMegolmV1, SenderClaimedKeys: backup.SenderClaimedKeys{Ed25519: s.SigningKey},
			SenderKey: s.SenderKey, SessionKey: string(exported), ForwardingKeyChain: []string{},
		})
		require.NoError(t, err)
		raw, err := json.Marshal(sealed)
		require.NoError(t, err)
		if body.Rooms[s.RoomID].Sessions == nil {
			body.Rooms[s.RoomID] = mautrix.ReqRoomKeyBackup{Sessions: map[id.SessionID]mautrix.ReqKeyBackupData{}}
		}
		body.Rooms[s.RoomID].Sessions[s.ID()] = mautrix.ReqKeyBackupData{
			FirstMessageIndex: int(first), IsVerified: true, SessionData: raw,
		}
	}
	stored, err := d.PutKeysInBackup(ctx, made.Version, &body)
	require.NoError(t, err)
	require.Equal(t, len(sessions), stored.Count)
	return len(sessions)
}

// restore verifies the device with the key of the secret storage and fills it from the backup.
func (d *device) restore(t *testing.T, recoveryKey string, count int) {
	t.Helper()
	d.turn.Lock()
	defer d.turn.Unlock()
	ctx := t.Context()
	require.NoError(t, d.mach.VerifyWithRecoveryKey(ctx, recoveryKey))
	raw, err := d.mach.SSSS.GetDecryptedAccountData(ctx, event.AccountDataMegolmBackupKey, d.storage(t, recoveryKey))
	require.NoError(t, err)
	key, err := backup.MegolmBackupKeyFromBytes(raw)
	require.NoError(t, err)
	version, err := d.mach.DownloadAndStoreLatestKeyBackup(ctx, key)
	require.NoError(t, err)
	latest, err := d.GetKeyBackupLatestVersion(ctx)
	require.NoError(t, err)
	require.Equal(t, latest.Version, version)
	require.Equal(t, count, latest.Count)
}

// readBack reads a room's history and decrypts what stands there: the texts, in order.
func (d *device) readBack(t *testing.T, room id.RoomID) (texts map[id.EventID]string) {
	t.Helper()
	d.turn.Lock()
	defer d.turn.Unlock()
	texts = map[id.EventID]string{}
	for _, e := range encrypted(t, d, room) {
		plain, err := d.mach.DecryptMegolmEvent(t.Context(), e)
		require.NoError(t, err, "%s reads %s", d.name, e.ID)
		texts[e.ID] = plain.Content.AsMessage().Body
	}
	return texts
}

// encrypted are the encrypted messages of a room, from its beginning to its end.
func encrypted(t *testing.T, d *device, room id.RoomID) (all []*event.Event) {
	t.Helper()
	for from := ""; ; {
		page, err := d.Messages(t.Context(), room, from, "", mautrix.DirectionForward, nil, 50)
		require.NoError(t, err)
		for _, e := range page.Chunk {
			if e.Type == event.EventEncrypted {
				require.NoError(t, e.Content.ParseRaw(e.Type))
				all = append(all, e)
			}
		}
		if from = page.End; from == "" {
			return all
		}
	}
}
