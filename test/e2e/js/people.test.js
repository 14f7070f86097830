// People meet through an unchanged matrix-js-sdk: they see which rooms they share, get power and lose it, ignore and report each
// other, and somebody looks in who has no account. Where there are many processes, those behind the gateways are killed meanwhile.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import "./shim.js";
import * as sdk from "matrix-js-sdk";
import { bodies, connect, eventually, register, start } from "./client.js";
import { quiet, struck, unrest, url } from "./server.js";

let fay, gil, roomId;

after(async () => {
    fay?.stopClient();
    gil?.stopClient();
    await quiet();
});

const levelOf = (client, room, user) => client.getRoom(room)?.getMember(user.getUserId())?.powerLevel;
const textsOf = (chunk) => chunk.map((e) => e.content.body).filter(Boolean);

test("two users share rooms", async () => {
    fay = await start(await register(url(0), "fay"));
    gil = await start(await register(url(1), "gil"));
    await unrest();
    ({ room_id: roomId } = await fay.createRoom({ preset: "public_chat", name: "The pond" }));
    await gil.joinRoom(roomId);
    const { room_id: second } = await gil.createRoom({ preset: "public_chat" });
    await fay.joinRoom(second);
    await fay.createRoom({ preset: "private_chat" });
    for (let i = 0; i < 20 || !(await struck()); i++) {
        const shared = await fay._unstable_getSharedRooms(gil.getUserId());
        assert.deepEqual(new Set(shared), new Set([roomId, second]));
    }
    await fay.leave(second);
    await fay.forget(second);
    assert.deepEqual(await fay._unstable_getSharedRooms(gil.getUserId()), [roomId]);
    await assert.rejects(fay.roomState(second), { httpStatus: 403 });
});

test("somebody gets power, uses it, and loses it", async () => {
    await eventually(() => fay.getRoom(roomId)?.getMember(gil.getUserId()), "fay sees gil");
    await assert.rejects(gil.setRoomTopic(roomId, "mine"), { httpStatus: 403, errcode: "M_FORBIDDEN" });
    await fay.setPowerLevel(roomId, gil.getUserId(), 50);
    await eventually(() => levelOf(gil, roomId, gil) === 50, "gil is told");
    await gil.setRoomTopic(roomId, "ours");
    await assert.rejects(gil.setPowerLevel(roomId, gil.getUserId(), 100), { httpStatus: 403 });
    await fay.setPowerLevel(roomId, gil.getUserId(), 0);
    await eventually(() => levelOf(gil, roomId, gil) === 0, "gil is told");
    await assert.rejects(gil.setRoomTopic(roomId, "mine"), { httpStatus: 403 });
});

test("a sticker is sent", async () => {
    const { event_id: id } = await fay.sendStickerMessage(roomId, "mxc://localhost/goose", { mimetype: "image/png" }, "a goose");
    await eventually(() => gil.getRoom(roomId)?.findEventById(id)?.getType() === "m.sticker", "gil sees it");
});

test("who is ignored vanishes from history, and comes back", async () => {
    const { event_id: his } = await gil.sendTextMessage(roomId, "from gil");
    const { event_id: hers } = await fay.sendTextMessage(roomId, "from fay");
    const history = async () => textsOf((await fay.createMessagesRequest(roomId, null, 20, sdk.Direction.Backward)).chunk);
    assert.ok((await history()).includes("from gil"));
    await fay.setIgnoredUsers([gil.getUserId()]);
    const without = await history();
    assert.ok(without.includes("from fay") && !without.includes("from gil"));
    await assert.rejects(fay.fetchRoomEvent(roomId, his), { httpStatus: 404 });
    const timeline = await fay.getEventTimeline(fay.getRoom(roomId).getUnfilteredTimelineSet(), hers);
    assert.ok(timeline.getEvents().some((e) => e.getId() === hers));
    await fay.setIgnoredUsers([]);
    assert.ok((await history()).includes("from gil"));
});

test("events are reported", async () => {
    const { event_id: id } = await gil.sendTextMessage(roomId, "spam, spam");
    await fay.reportEvent(roomId, id, -100, "spam");
    await fay.reportRoom(roomId, "all of it");
    await assert.rejects(fay.reportEvent(roomId, "$nowhere", -100, "spam"), { httpStatus: 404, errcode: "M_NOT_FOUND" });
});

test("there is a server for calls", async () => {
    const { uris, username, password, ttl } = await fay.turnServer();
    assert.deepEqual(uris, ["turn:127.0.0.1:3478?transport=udp"]);
    assert.match(username, /^\d+:@fay:localhost$/);
    assert.ok(password && ttl > 0);
});

test("a guest looks in, joins what is open, and no more", async () => {
    const anonymous = sdk.createClient({ baseUrl: url(0) });
    const guest = connect(url(0), await anonymous.registerGuest());
    guest.setGuest(true);
    const open = { history_visibility: "world_readable" };
    await fay.sendStateEvent(roomId, "m.room.history_visibility", open, "");
    await fay.sendTextMessage(roomId, "for everybody");
    const room = await guest.peekInRoom(roomId, 5);
    guest.stopPeeking();
    assert.ok(room.getLiveTimeline().getEvents().some((e) => e.getContent().body === "for everybody"));
    await assert.rejects(guest.joinRoom(roomId), { httpStatus: 403, errcode: "M_GUEST_ACCESS_FORBIDDEN" });
    await assert.rejects(guest.createRoom({}), { httpStatus: 403, errcode: "M_GUEST_ACCESS_FORBIDDEN" });
    await fay.setGuestAccess(roomId, { allowJoin: true });
    await guest.joinRoom(roomId);
    await guest.sendTextMessage(roomId, "hello from nobody");
    await eventually(() => bodies(fay, roomId).includes("hello from nobody"), "fay hears the guest");
    await fay.sendStateEvent(roomId, "m.room.guest_access", { guest_access: "forbidden" }, "");
    await eventually(
        () => fay.getRoom(roomId).getMember(guest.getUserId())?.membership === "leave",
        "the guest has to leave",
    );
    guest.stopClient();
});
