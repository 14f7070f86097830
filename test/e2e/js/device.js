// Devices with the encryption of the SDK, and what people do with them.
import assert from "node:assert/strict";
import "fake-indexeddb/auto";
import "./shim.js";
import * as sdk from "matrix-js-sdk";
import { CryptoEvent, decodeRecoveryKey, VerificationPhase, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import { connect, eventually, passwordOf, scrolled, start, until } from "./client.js";
import { Network } from "./network.js";

// The emoji must have come to both within this time, whatever is killed meanwhile.
const patience = 30_000;

export class Device {
    static #count = 0;
    client = null;
    // What could not be decrypted when it came, and why: by id of event. A key never comes after the message that needs it, so
    // whoever was meant to read a message is never here with it.
    unreadable = new Map();
    #network = new Network();
    #name = `device ${++Device.#count}`; // of its databases
    #secrets = new Map(); // keys of secret storage, by id
    #recovery = null;

    // open registers or logs in: it is given the options of the client.
    static async open(open) {
        const device = new Device();
        await device.#begin(await open(device.#options()));
        return device;
    }

    get userId() {
        return this.client.getUserId();
    }
    get id() {
        return this.client.getDeviceId();
    }
    get crypto() {
        return this.client.getCrypto();
    }

    #options() {
        return {
            fetchFn: this.#network.fetch,
            store: new sdk.IndexedDBStore({ indexedDB, dbName: this.#name }),
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => {
                    for (const [id, key] of this.#secrets) if (id in keys) return [id, key];
                    return this.#recovery ? [Object.keys(keys)[0], decodeRecoveryKey(this.#recovery)] : null;
                },
                cacheSecretStorageKey: (id, _info, key) => this.#secrets.set(id, key),
            },
        };
    }

    async #begin(client) {
        this.client = client;
        await client.store.startup();
        await client.initRustCrypto({ cryptoDatabasePrefix: this.#name });
        const look = (e) => e.isDecryptionFailure() && this.unreadable.set(e.getId(), e.decryptionFailureReason);
        client.on(sdk.RoomEvent.Timeline, (e) => {
            look(e); // it may have been tried already
            e.on(sdk.MatrixEventEvent.Decrypted, look);
        });
        await start(client);
    }

    // Switched off, a device keeps what it knows, and goes on from there.
    async off() {
        await this.client.store.save(true);
        this.crash();
    }

    // After a crash it has all keys, but goes on from where the SDK last saved its place in the sync, as it does every five
    // minutes.
    crash() {
        this.client.stopClient();
    }

    async on() {
        const c = this.client;
        const account = { user_id: c.getUserId(), device_id: c.getDeviceId(), access_token: c.getAccessToken() };
        await this.#begin(connect(c.baseUrl, account, this.#options()));
    }

    async offline() {
        this.#network.away();
        await eventually(() => this.client.getSyncState() !== sdk.SyncState.Syncing, "the device sees that it is offline");
    }

    // The device goes offline before it gets the answer to a sync that has messages from other devices: it did not acknowledge
    // them. What is returned tells whether that has happened.
    losesMessages() {
        return this.#network.loses((sync) => sync.to_device?.events?.length > 0);
    }

    async online() {
        this.#network.back();
        const ready = until(this.client, sdk.ClientEvent.Sync, (state) => state === sdk.SyncState.Syncing, "the sync goes on");
        this.client.retryImmediately();
        await ready;
    }

    // Cross-signing, secret storage behind a recovery key, which is returned, and a key backup: what a client sets up first.
    async setUp(passphrase) {
        await this.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: this.authenticated });
        let recovery;
        await this.crypto.bootstrapSecretStorage({
            createSecretStorageKey: async () => (recovery = await this.crypto.createRecoveryKeyFromPassphrase(passphrase)),
            setupNewKeyBackup: true,
        });
        return recovery.encodedPrivateKey;
    }

    // What a client does with the recovery key that a person typed.
    async recover(recoveryKey) {
        this.#recovery = recoveryKey;
        assert.ok(await this.crypto.userHasCrossSigningKeys(), "there is an identity whose secrets are unlocked");
        await this.crypto.bootstrapCrossSigning({});
        await this.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
        await this.crypto.checkKeyBackupAndEnable();
        return this.crypto.restoreKeyBackup();
    }

    // Makes a request with the password when the server asks for one.
    authenticated = async (request) => {
        try {
            return await request(null);
        } catch (e) {
            if (e.httpStatus !== 401 || !e.data?.flows) throw e;
            return request(this.#password(e.data.session));
        }
    };

    remove = (deviceId) => this.authenticated((auth) => this.client.deleteDevice(deviceId, auth ?? undefined));

    #password(session) {
        const name = this.userId.slice(1).split(":")[0];
        return { type: "m.login.password", identifier: { type: "m.id.user", user: name }, password: passwordOf(name), session };
    }

    // The devices that it knows of a user, and their names.
    async devicesOf(userId) {
        const known = (await this.crypto.getUserDeviceInfo([userId])).get(userId) ?? new Map();
        return new Map([...known].map(([id, device]) => [id, device.displayName]));
    }

    // Every message of the room as the device reads it, null where it cannot, by event.
    async reads(roomId) {
        const encrypted = (await scrolled(this.client, roomId)).filter((e) => e.isEncrypted() && e.getWireType() === "m.room.encrypted");
        await Promise.all(encrypted.map((e) => e.getDecryptionPromise()));
        const messages = encrypted.filter((e) => !e.isRedacted() && ["m.text", "m.bad.encrypted"].includes(e.getContent().msgtype));
        return new Map(messages.map((e) => [e.getId(), e.isDecryptionFailure() ? null : e.getContent().body]));
    }
}

// Two people, or one with two devices, compare emoji. request sends the request from the first device.
export async function compare(first, second, request) {
    const received = until(second.client, CryptoEvent.VerificationRequestReceived, () => true, "the request", patience);
    const mine = await request();
    const [theirs] = await received;
    await theirs.accept();
    await eventually(() => mine.phase === VerificationPhase.Ready, "the request is accepted", patience);
    const verifier = await mine.startVerification("m.sas.v1");
    await eventually(() => theirs.verifier, "the comparison begins", patience);
    const shown = [verifier, theirs.verifier].map(emoji);
    const done = [verifier.verify(), theirs.verifier.verify()];
    const [here, there] = await Promise.all(shown);
    assert.equal(here.sas.emoji.length, 7);
    assert.deepEqual(here.sas.emoji, there.sas.emoji);
    await Promise.all([here.confirm(), there.confirm()]);
    await Promise.all(done);
    await eventually(() => [mine, theirs].every((r) => r.phase === VerificationPhase.Done), "both are done", patience);
}

async function emoji(verifier) {
    const [sas] = await until(verifier, VerifierEvent.ShowSas, () => true, "the emoji", patience);
    return sas;
}
