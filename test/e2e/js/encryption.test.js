// People with several devices talk in an encrypted room, through the encryption of matrix-js-sdk: every message is read by
// every device that is meant to, at once when it comes, and by no other. Where there are many processes, those behind the
// gateways are killed all the while. Nobody repeats anything that the SDK does not repeat by itself, but log-ins.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { eventually, history, login, register, say } from "./client.js";
import { compare, Device } from "./device.js";
import { quiet, restart, struck, unrest, url } from "./server.js";

// A device of each name, by what it is called here; ada and ben have two from the beginning.
const devices = {};
const recovery = {};
const said = new Map(); // bodies of messages by event
let roomId;

after(async () => {
    for (const d of Object.values(devices)) d.crash();
    await quiet();
});

// Says something and remembers it.
async function tell(device, text) {
    const { event_id: id } = await say(device.client, roomId, text);
    said.set(id, text);
    return id;
}

async function tellInTurn(count, topic, speakers) {
    const ids = [];
    for (let i = 0; i < count; i++) ids.push(await tell(speakers[i % speakers.length], `${topic} ${i}`));
    return ids;
}

// The device comes to read these messages, none of which it failed to decrypt when it came.
async function readsAll(device, who, ids = [...said.keys()]) {
    let heard;
    const missing = () => ids.filter((id) => typeof heard.get(id) !== "string");
    const named = (some) => some.map((id) => [said.get(id), device.unreadable.get(id)]);
    await eventually(
        async () => (heard = await device.reads(roomId)) && missing().length === 0,
        () => `${who} reads everything, but not ${JSON.stringify(named(missing()))}`,
        30_000,
    );
    for (const id of ids) assert.equal(heard.get(id), said.get(id), `what ${who} reads`);
    const late = ids.filter((id) => device.unreadable.has(id));
    assert.deepEqual(named(late), [], `${who} got the keys no later than the messages`);
}

// Every one of these devices knows that the user has, or has no longer, a device.
const noticed = (watchers, userId, deviceId, there = true) =>
    Promise.all(
        watchers.map((w) =>
            eventually(
                async () => (await w.devicesOf(userId)).has(deviceId) === there,
                `${w.id} notices ${there ? "the new" : "the end of the"} device ${deviceId} of ${userId}`,
                30_000,
            ),
        ),
    );

const inRoom = (watchers, userId, membership) =>
    Promise.all(
        watchers.map((w) =>
            eventually(
                () => w.client.getRoom(roomId)?.getMember(userId)?.membership === membership,
                `${w.id} sees ${membership} of ${userId}`,
                30_000,
            ),
        ),
    );

const verified = async (device, userId, deviceId) => (await device.crypto.getDeviceVerificationStatus(userId, deviceId))?.crossSigningVerified;

test("two users set up cross-signing, secret storage and key backup", async () => {
    devices.adaDesk = await Device.open((o) => register(url(0), "ada", o));
    devices.benDesk = await Device.open((o) => register(url(1), "ben", o));
    await unrest();
    recovery.ada = await devices.adaDesk.setUp("seven geese over Poyang lake");
    recovery.ben = await devices.benDesk.setUp();
    for (const device of [devices.adaDesk, devices.benDesk]) {
        assert.ok(await device.crypto.isCrossSigningReady(), "cross-signing is ready");
        await eventually(() => device.crypto.isSecretStorageReady(), "secret storage is ready");
        assert.equal(await device.crypto.getActiveSessionBackupVersion(), (await device.crypto.getKeyBackupInfo()).version);
        assert.ok(await verified(device, device.userId, device.id), "the device is signed by its owner");
    }
});

test("a second device of each is verified by emoji, and is told the secrets", async () => {
    devices.adaPhone = await Device.open((o) => login(url(1), "ada", o));
    devices.benPhone = await Device.open((o) => login(url(2), "ben", o));
    const { adaDesk, adaPhone, benDesk, benPhone } = devices;
    await noticed([adaDesk], adaPhone.userId, adaPhone.id);
    await noticed([benDesk], benPhone.userId, benPhone.id);
    await compare(adaPhone, adaDesk, () => adaPhone.crypto.requestOwnUserVerification());
    await compare(benDesk, benPhone, () => benDesk.crypto.requestDeviceVerification(benPhone.userId, benPhone.id));
    for (const [old, young] of [[adaDesk, adaPhone], [benDesk, benPhone]]) {
        for (const device of [old, young]) {
            await eventually(() => verified(device, young.userId, young.id), "the new device is verified");
        }
        await eventually(async () => {
            const { privateKeysCachedLocally: own } = await young.crypto.getCrossSigningStatus();
            return own.masterKey && own.selfSigningKey && own.userSigningKey;
        }, "the new device gets the keys of cross-signing");
        await eventually(async () => (await young.crypto.getActiveSessionBackupVersion()) !== null, "the new device backs up too");
    }
});

test("the two users verify each other by emoji, which all their devices learn", async () => {
    const { adaDesk, adaPhone, benDesk, benPhone } = devices;
    ({ room_id: roomId } = await adaDesk.client.createRoom({
        name: "Letters",
        preset: "private_chat",
        invite: [benDesk.userId],
        initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2", rotation_period_msgs: 7 } }],
    }));
    await eventually(() => benDesk.client.getRoom(roomId)?.getMyMembership() === "invite", "the invite");
    await benDesk.client.joinRoom(roomId);
    await inRoom(Object.values(devices), benDesk.userId, "join");
    for (const here of [adaDesk, adaPhone]) for (const there of [benDesk, benPhone]) {
        await noticed([here], there.userId, there.id);
        await noticed([there], here.userId, here.id);
    }
    await eventually(() => adaDesk.crypto.userHasCrossSigningKeys(benDesk.userId), "the keys of ben");
    await compare(adaDesk, benPhone, () => adaDesk.crypto.requestVerificationDM(benDesk.userId, roomId));
    for (const [mine, other] of [[[adaDesk, adaPhone], [benDesk, benPhone]], [[benDesk, benPhone], [adaDesk, adaPhone]]]) {
        for (const device of mine) {
            await eventually(
                async () => (await device.crypto.getUserVerificationStatus(other[0].userId)).isCrossSigningVerified(),
                `${device.userId} has verified ${other[0].userId} on ${device.id}`,
                30_000,
            );
            for (const theirs of other) assert.ok(await verified(device, theirs.userId, theirs.id), "their devices are verified with them");
        }
    }
});

test("they talk, and every device reads everything at once", async () => {
    const all = Object.values(devices);
    for (let i = 0; i < 40 || !(await struck()); i++) await tell(all[i % all.length], `talk ${i}`);
    for (const [who, device] of Object.entries(devices)) await readsAll(device, who);
});

test("a device reads what was said while it was offline, and what it lost on the way", async () => {
    const { benPhone, ...others } = devices;
    await benPhone.offline();
    await tellInTurn(40, "offline", Object.values(others));
    await benPhone.online();
    await readsAll(benPhone, "benPhone");
    const lost = benPhone.losesMessages();
    await tellInTurn(30, "lost", Object.values(others)); // each of them begins at least one new session
    await eventually(lost, "the answer is lost");
    await tellInTurn(10, "after the loss", Object.values(others));
    await benPhone.online();
    for (const [who, device] of Object.entries(devices)) await readsAll(device, who);
});

test("a device that was off reads what was said meanwhile, and knows who else came", async () => {
    const { adaPhone, benPhone, adaDesk, benDesk } = devices;
    await adaPhone.off();
    benPhone.crash();
    const watch = (devices.benWatch = await Device.open((o) => login(url(0), "ben", o)));
    await noticed([adaDesk, benDesk], watch.userId, watch.id);
    const its = await tellInTurn(30, "off", [adaDesk, benDesk, watch]);
    for (const device of [adaPhone, benPhone]) {
        await device.on();
        await noticed([device], watch.userId, watch.id);
        its.push(await tell(device, "here again"));
    }
    await readsAll(watch, "benWatch", its);
    await watch.client.logout(true);
    watch.crash();
    delete devices.benWatch;
    await noticed([adaPhone, benPhone, adaDesk, benDesk], watch.userId, watch.id, false);
    for (const [who, device] of Object.entries(devices)) await readsAll(device, who);
});

test("a third user reads from the invite until the leave and after coming back, and nothing between", async () => {
    const circle = Object.values(devices);
    const { adaDesk } = devices;
    const cyd = (devices.cyd = await Device.open((o) => register(url(2), "cyd", o)));
    const join = async () => {
        // The SDK's invite() would hand over the keys of the history besides, in a file, for which the server needs media.
        await adaDesk.client.sendStateEvent(roomId, "m.room.member", { membership: "invite" }, cyd.userId);
        await eventually(() => cyd.client.getRoom(roomId)?.getMyMembership() === "invite", "the invite");
        await cyd.client.joinRoom(roomId);
        await inRoom([...circle, cyd], cyd.userId, "join");
        await noticed(circle, cyd.userId, cyd.id);
        for (const d of circle) await noticed([cyd], d.userId, d.id);
    };
    await join();
    const hers = await tellInTurn(20, "with cyd", [...circle, cyd]);
    await readsAll(cyd, "cyd", hers);
    await cyd.client.leave(roomId);
    await inRoom(circle, cyd.userId, "leave");
    const between = await tellInTurn(12, "without cyd", circle);
    await join();
    hers.push(...(await tellInTurn(20, "with cyd again", [...circle, cyd])));
    await readsAll(cyd, "cyd", hers);
    const heard = await cyd.reads(roomId);
    for (const id of between) assert.equal(heard.get(id), null, "what was said without her comes to her, but nobody gave her the key");
    assert.deepEqual(between.filter((id) => !cyd.unreadable.has(id)), [], "what she could not read is noted");
    for (const d of circle) await readsAll(d, d.id);
});

test("a device that logs in is seen without a restart, gets keys, and is seen no more when it is gone", async () => {
    const circle = Object.values(devices);
    const { adaDesk, benDesk } = devices;
    for (const end of ["logs out", "is deleted by another"]) {
        const tablet = (devices.tablet = await Device.open((o) => login(url(0), "ben", o)));
        await noticed(circle, tablet.userId, tablet.id);
        await benDesk.client.setDeviceDetails(tablet.id, { display_name: `the tablet that ${end}` });
        await eventually(async () => (await adaDesk.devicesOf(tablet.userId)).get(tablet.id) === `the tablet that ${end}`, "ada sees the new name of the tablet");
        const its = await tellInTurn(12, `until the tablet ${end}`, [...circle, tablet]);
        await readsAll(tablet, "tablet", its);
        if (end === "logs out") await tablet.client.logout(true);
        else await benDesk.remove(tablet.id);
        tablet.crash();
        delete devices.tablet;
        await noticed(circle, tablet.userId, tablet.id, false);
        await assert.rejects(tablet.client.whoami(), (e) => e.errcode === "M_UNKNOWN_TOKEN");
        const there = await adaDesk.client.downloadKeysForUsers([tablet.userId]);
        assert.ok(!(tablet.id in there.device_keys[tablet.userId]));
        await tellInTurn(6, `after the tablet ${end}`, circle);
    }
});

test("a new identity needs the password, and everybody sees that it is another", async () => {
    const { cyd, adaDesk } = devices;
    await cyd.setUp();
    const keys = async (d) => (await d.crypto.getUserCrossSigningKeys(cyd.userId))?.master_key.keys;
    const first = await keys(cyd);
    await eventually(async () => JSON.stringify(await keys(adaDesk)) === JSON.stringify(first), "ada sees the identity of cyd");
    const unasked = (request) => request(null);
    await assert.rejects(cyd.crypto.bootstrapCrossSigning({ setupNewCrossSigning: true, authUploadDeviceSigningKeys: unasked }), (e) => e.httpStatus === 401);
    await cyd.crypto.bootstrapCrossSigning({ setupNewCrossSigning: true, authUploadDeviceSigningKeys: cyd.authenticated });
    const second = await keys(cyd);
    assert.notDeepEqual(second, first);
    await eventually(async () => JSON.stringify(await keys(adaDesk)) === JSON.stringify(second), "ada sees the new identity");
});

test("every process is killed in the middle and every message is read", async () => {
    await quiet();
    let ended = false;
    const speak = async (device) => {
        for (let i = 0; !ended || i < 10; i++) await tell(device, `killed ${device.id} ${i}`);
    };
    const talking = Promise.all(Object.values(devices).map(speak));
    try {
        await restart("SIGKILL");
    } finally {
        ended = true;
    }
    await talking;
    await unrest();
    const { cyd, ...circle } = devices;
    for (const [who, device] of Object.entries(circle)) await readsAll(device, who);
    await readsAll(cyd, "cyd", [...said].filter(([, text]) => text.startsWith("killed")).map(([id]) => id));
});

test("a third device unlocks the secrets with the recovery key and reads everything from the backup", async () => {
    const { adaDesk, adaPhone, benDesk, benPhone } = devices;
    const keys = (await adaDesk.crypto.exportRoomKeys()).length;
    await eventually(async () => (await backedUp(adaDesk)) >= keys, "everything is backed up", 60_000);
    const third = (devices.adaTablet = await Device.open((o) => login(url(2), "ada", o)));
    const { total, imported } = await third.recover(recovery.ada);
    assert.equal(imported, total);
    assert.ok(total >= keys);
    await eventually(async () => (await third.crypto.getCrossSigningStatus()).privateKeysCachedLocally.userSigningKey, "the keys of cross-signing");
    for (const d of [adaDesk, adaPhone, benDesk, benPhone]) await eventually(() => verified(d, third.userId, third.id), `${d.id} trusts the third device`, 30_000);
    assert.ok(third.unreadable.size > 0, "it read nothing before");
    third.unreadable.clear();
    await readsAll(third, "the third device");
});

async function backedUp(device) {
    const version = await device.crypto.getActiveSessionBackupVersion();
    return (await device.client.http.authedRequest("GET", `/room_keys/version/${version}`)).count;
}

test("in the end every device has read everything that was said to it", async () => {
    const { cyd, ...circle } = devices;
    await tellInTurn(Object.keys(devices).length * 2, "farewell", Object.values(devices));
    assert.deepEqual(await history(cyd.client, roomId, (e) => e.content.msgtype !== "m.key.verification.request"), [], "nothing was said in the clear");
    for (const [who, device] of Object.entries(circle)) await readsAll(device, who);
});
