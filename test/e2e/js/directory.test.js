// Somebody looks for rooms: in the directory, by summaries, through a space, in a room's past and by looking into it. Where there
// are many processes, those behind the gateways are killed meanwhile.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import "./shim.js";
import * as sdk from "matrix-js-sdk";
import { pause, register, start } from "./client.js";
import { quiet, struck, unrest, url } from "./server.js";

let dora, emil, space, ponds;

after(async () => {
    emil?.stopPeeking();
    emil?.stopClient();
    await quiet();
});

const open = { type: "m.room.history_visibility", state_key: "", content: { history_visibility: "world_readable" } };

test("rooms are made and put into the directory, in a space", async () => {
    dora = await register(url(0), "dora");
    emil = await start(await register(url(1), "emil"));
    await unrest();
    ({ room_id: space } = await dora.createRoom({
        name: "Lakes",
        topic: "where geese rest",
        preset: "public_chat",
        visibility: "public",
        room_alias_name: "lakes",
        creation_content: { type: "m.space" },
    }));
    ponds = [];
    for (const name of ["Poyang", "Dongting", "Qinghai"]) {
        const { room_id } = await dora.createRoom({ name, preset: "public_chat", visibility: "public", initial_state: [open] });
        ponds.push(room_id);
        await dora.sendStateEvent(space, "m.space.child", { via: ["localhost"], order: name }, room_id);
    }
    const { room_id: hidden } = await dora.createRoom({ name: "Hidden", preset: "private_chat" });
    await dora.sendStateEvent(space, "m.space.child", { via: ["localhost"] }, hidden);
    await emil.joinRoom(ponds[1]);
});

test("the directory lists, pages and searches them", async () => {
    const seen = [];
    for (let i = 0; i < 5 || !(await struck()); i++) {
        seen.length = 0;
        for (let since; ; ) {
            const page = await emil.publicRooms({ limit: 1, since });
            seen.push(...page.chunk.map((room) => room.room_id));
            if (!(since = page.next_batch)) break;
        }
        assert.equal(seen.length, 4);
        await pause(50);
    }
    assert.equal(seen[0], ponds[1], "the largest comes first");
    assert.deepEqual(new Set(seen), new Set([space, ...ponds]));
    const found = await emil.publicRooms({ filter: { generic_search_term: "GEESE", room_types: ["m.space"] } });
    assert.deepEqual(found.chunk.map((room) => room.name), ["Lakes"]);
    assert.equal(found.chunk[0].canonical_alias, "#lakes:localhost");
    const rooms = await emil.publicRooms({ filter: { room_types: [null] } });
    assert.equal(rooms.chunk.length, 3);
});

test("a summary tells of a room before it is joined", async () => {
    const summary = await emil.getRoomSummary("#lakes:localhost");
    assert.equal(summary.room_id, space);
    assert.equal(summary.room_type, "m.space");
    assert.equal(summary.num_joined_members, 1);
    assert.equal((await emil.getRoomSummary(ponds[1])).membership, "join");
    await assert.rejects(emil.getRoomSummary("#nowhere:localhost"), (e) => e.errcode === "M_NOT_FOUND");
});

test("the hierarchy of the space is walked, page by page", async () => {
    const walked = [];
    for (let from; ; ) {
        const page = await emil.getRoomHierarchy(space, 2, 3, false, from);
        walked.push(...page.rooms);
        if (!(from = page.next_batch)) break;
    }
    assert.deepEqual(walked.map((room) => room.name), ["Lakes", "Dongting", "Poyang", "Qinghai"]);
    assert.equal(walked[0].children_state.length, 4);
    await assert.rejects(emil.getRoomHierarchy("!nowhere:localhost"), (e) => e.errcode === "M_FORBIDDEN");
});

test("an event is found by its time", async () => {
    const { event_id: wanted } = await dora.sendTextMessage(ponds[0], "now");
    const { origin_server_ts: when } = await dora.fetchRoomEvent(ponds[0], wanted);
    await pause(5);
    await dora.sendTextMessage(ponds[0], "later");
    assert.equal((await emil.timestampToEvent(ponds[0], when, sdk.Direction.Backward)).event_id, wanted);
    assert.equal((await emil.timestampToEvent(ponds[0], when, sdk.Direction.Forward)).origin_server_ts, when);
    await assert.rejects(emil.timestampToEvent(ponds[0], 1, sdk.Direction.Backward), (e) => e.errcode === "M_NOT_FOUND");
    await assert.rejects(emil.timestampToEvent(space, when, sdk.Direction.Backward), (e) => e.errcode === "M_FORBIDDEN");
});

test("a room that everybody may read is looked into", async () => {
    const room = await emil.peekInRoom(ponds[0], 5);
    assert.equal(room.name, "Poyang");
    const bodies = room.getLiveTimeline().getEvents().map((e) => e.getContent().body);
    assert.deepEqual(bodies.slice(-2), ["now", "later"]);
    // Its news come as they are said. Those before the SDK's first question, which has no token, it does not ask for.
    const seen = () => room.getLiveTimeline().getEvents().map((e) => e.getContent().body);
    const said = [];
    do {
        said.push(`live ${said.length}`);
        await dora.sendTextMessage(ponds[0], said.at(-1));
        await pause(100);
    } while (!seen().includes(said.at(-1)) && said.length < 200);
    said.push("and then");
    await dora.sendTextMessage(ponds[0], said.at(-1));
    for (let i = 0; i < 400 && !seen().includes("and then"); i++) await pause(100);
    const live = seen().slice(bodies.length);
    assert.ok(live.length > 1, "something came");
    assert.deepEqual(live, said.slice(-live.length), "each once, in order, without a gap");
    emil.stopPeeking();
    await assert.rejects(emil.peekInRoom(space), (e) => e.errcode === "M_FORBIDDEN");
});

test("people are found by what they are called", async () => {
    const wilma = await register(url(0), "wilhelmina-of-the-lakes");
    const search = async (who, term) => (await who.searchUserDirectory({ term, limit: 5 })).results;
    // An instance that was just killed may be the one that takes names in: another one does so within seconds.
    const found = async (who, term, want) => {
        for (let left = 100; ; left--) {
            const names = (await search(who, term)).map((user) => user.user_id);
            if (names.join() === want.join() || left === 0) return assert.deepEqual(names, want, term);
            await pause(100);
        }
    };
    await wilma.setDisplayName("Wilhelmina van der Meer");
    await found(emil, "wilhelmina", []); // nobody knows her
    await wilma.joinRoom(ponds[2]);
    await found(emil, "WILHELMINA", [wilma.getUserId()]);
    await found(emil, "meer der", [wilma.getUserId()]);
    await found(emil, wilma.getUserId(), [wilma.getUserId()]);
    await wilma.setDisplayName("鸿雁来宾");
    await found(emil, "雁来", [wilma.getUserId()]);
    await found(emil, "meer", []);
    const [user] = await search(emil, "来宾");
    assert.equal(user.display_name, "鸿雁来宾");
    const page = await emil.searchUserDirectory({ term: "@", limit: 1 });
    assert.equal(page.results.length, 1);
    assert.equal(page.limited, true);
    await wilma.leave(ponds[2]);
    await found(emil, "来宾", []);
    await assert.rejects(emil.searchUserDirectory({ term: "a", limit: -1 }), (e) => e.errcode === "M_INVALID_PARAM");
});
