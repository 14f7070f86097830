// Two people find their ways into rooms through an unchanged matrix-js-sdk: they knock, join by being in another room, and
// follow a room to its next version. Where there are many processes, those behind the gateways are killed all the while.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import "./shim.js";
import * as sdk from "matrix-js-sdk";
import { bodies, eventually, register, start } from "./client.js";
import { bind, identityServer, identityToken, quiet, struck, unrest, url } from "./server.js";

let ann, ben;

after(async () => {
    ann?.stopClient();
    ben?.stopClient();
    await quiet();
});

const membership = (client, roomId) => client.getRoom(roomId)?.getMyMembership();
const becomes = (client, roomId, what) =>
    eventually(() => membership(client, roomId) === what, () => `${what}, not ${membership(client, roomId)}`);
const memberOf = (client, roomId, user) => client.getRoom(roomId)?.getMember(user.getUserId());

function room(client, joinRules, options = {}) {
    return client.createRoom({
        preset: "private_chat",
        initial_state: [{ type: "m.room.join_rules", state_key: "", content: joinRules }],
        ...options,
    });
}

test("two users register and their clients start", async () => {
    ann = await start(
        await register(url(0), "ann", {
            idBaseUrl: `https://${identityServer}`,
            identityServer: { getAccessToken: async () => identityToken },
        }),
    );
    ben = await start(await register(url(1), "bill"));
    await unrest();
});

test("a knock is shown, withdrawn, denied and accepted, over and over", async () => {
    async function knocked() {
        const { room_id: door } = await room(ann, { join_rule: "knock" }, { name: "Behind the door" });
        assert.equal((await ben.knockRoom(door, { reason: "please" })).room_id, door);
        await becomes(ben, door, "knock");
        assert.equal(ben.getRoom(door).name, "Behind the door");
        await eventually(() => memberOf(ann, door, ben)?.membership === "knock", "ann hears the knock");
        assert.equal(memberOf(ann, door, ben).events.member.getContent().reason, "please");
        return door;
    }
    let door;
    for (let i = 0; i < 2 || !(await struck()); i++) {
        door = await knocked();
        await ben.leave(door);
        await becomes(ben, door, "leave");

        door = await knocked();
        await ann.kick(door, ben.getUserId(), "not now");
        await becomes(ben, door, "leave");

        door = await knocked();
        await ann.invite(door, ben.getUserId());
        await becomes(ben, door, "invite");
        await ben.joinRoom(door);
        await becomes(ben, door, "join");
    }
    await ann.sendTextMessage(door, "come in");
    await eventually(() => bodies(ben, door).includes("come in"), "ben is in the room");
});

test("who is banned cannot knock", async () => {
    const { room_id: door } = await room(ann, { join_rule: "knock" });
    await ann.ban(door, ben.getUserId());
    await assert.rejects(ben.knockRoom(door), { httpStatus: 403, errcode: "M_FORBIDDEN" });
    await assert.rejects(ben.knockRoom("!nothing:localhost"), { httpStatus: 404, errcode: "M_NOT_FOUND" });
});

test("members of one room join another one", async () => {
    const { room_id: lobby } = await ann.createRoom({ preset: "public_chat" });
    const { room_id: inner } = await room(ann, {
        join_rule: "restricted",
        allow: [{ type: "m.room_membership", room_id: lobby }],
    });
    await assert.rejects(ben.joinRoom(inner), { httpStatus: 403, errcode: "M_FORBIDDEN" });
    await ben.joinRoom(lobby);
    await ben.joinRoom(inner);
    await becomes(ben, inner, "join");
    await eventually(() => memberOf(ann, inner, ben)?.membership === "join", "ann sees ben");
    assert.equal(
        memberOf(ann, inner, ben).events.member.getContent().join_authorised_via_users_server,
        ann.getUserId(),
    );
});

test("who takes no invites gets none", async () => {
    const { room_id: roomId } = await ann.createRoom({ preset: "private_chat" });
    await ben.setAccountData("m.invite_permission_config", { default_action: "block" });
    await assert.rejects(ann.invite(roomId, ben.getUserId()), { httpStatus: 403, errcode: "M_INVITE_BLOCKED" });
    await ben.setAccountData("m.invite_permission_config", {});
    await ann.invite(roomId, ben.getUserId());
    await becomes(ben, roomId, "invite");
});

test("somebody is invited by an address", async () => {
    const { room_id: roomId } = await ann.createRoom({ preset: "private_chat" });
    await ann.inviteByEmail(roomId, "ben@example.org");
    const pending = () => ann.getRoom(roomId)?.currentState.getStateEvents("m.room.third_party_invite") ?? [];
    await eventually(() => pending().length === 1, "ann sees that somebody is invited");
    assert.equal(pending()[0].getContent().display_name, "b...@e...");
    await bind(ben.getUserId());
    await becomes(ben, roomId, "invite");
    await ben.joinRoom(roomId);
    await eventually(() => memberOf(ann, roomId, ben)?.membership === "join", "ann sees ben");
});

test("a room is upgraded, and its people follow", async () => {
    const { room_id: old } = await ann.createRoom({ preset: "public_chat", name: "Geese", room_version: "10" });
    await ben.joinRoom(old);
    await becomes(ben, old, "join");
    await ben.setRoomTag(old, "u.geese", { order: 0.25 });
    const { replacement_room: next } = await ann.upgradeRoom(old, "12");
    await eventually(
        () => ben.getRoom(old).currentState.getStateEvents("m.room.tombstone", "")?.getContent().replacement_room === next,
        "ben sees where the room went",
    );
    await assert.rejects(ben.sendTextMessage(old, "anybody here?"), { httpStatus: 403 });
    await ben.joinRoom(next);
    await becomes(ben, next, "join");
    await eventually(() => ben.getRoom(next).name === "Geese", "it has the same name");
    assert.equal(ben.getRoom(next).findPredecessor()?.roomId, old);
    assert.equal(ben.getRoom(next).getVersion(), "12");
    await eventually(() => ben.getRoom(next).tags["u.geese"]?.order === 0.25, "ben's tag comes along");
    await ben.sendTextMessage(next, "here we are");
    await eventually(() => bodies(ann, next).includes("here we are"), "it goes on");
});

test("rooms of every version can be talked in", async () => {
    const { "m.room_versions": versions } = await ann.getCapabilities();
    assert.equal(versions.default, "12");
    assert.equal(Object.keys(versions.available).length, 12);
    for (const version of Object.keys(versions.available)) {
        const { room_id: roomId } = await ann.createRoom({ preset: "public_chat", room_version: version });
        await ben.joinRoom(roomId);
        const { event_id: said } = await ben.sendTextMessage(roomId, `version ${version}`);
        await eventually(() => ann.getRoom(roomId)?.findEventById(said), `ann hears it in version ${version}`);
        await ann.redactEvent(roomId, said);
        await eventually(() => ben.getRoom(roomId)?.findEventById(said)?.isRedacted(), `ben sees it go in version ${version}`);
        assert.deepEqual((await ben.fetchRoomEvent(roomId, said)).content, {});
    }
});
