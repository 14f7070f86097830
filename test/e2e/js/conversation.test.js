// Two people talk through an unchanged matrix-js-sdk: everything they see comes through its sync loop.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import "./shim.js";
import * as sdk from "matrix-js-sdk";
import { bodies, eventually, login, register, start, until } from "./client.js";
import { Server } from "./server.js";

let server, alice, bob, roomId;

before(async () => {
    server = await Server.start();
});

after(async () => {
    alice?.stopClient();
    bob?.stopClient();
    await server?.remove();
});

test("two users register and their clients start", async () => {
    alice = await start(await register(server.url, "alice"));
    bob = await start(await register(server.url, "bob"));
    assert.equal(alice.getUserId(), "@alice:localhost");
    assert.ok(alice.pushRules?.global?.underride?.length > 0, "the default push rules are there");
});

test("a room is created, bob is invited and joins", async () => {
    const invited = until(bob, sdk.RoomEvent.MyMembership, (_room, m) => m === "invite", "the invite");
    ({ room_id: roomId } = await alice.createRoom({ name: "Wild geese", topic: "letters", preset: "private_chat" }));
    await alice.invite(roomId, bob.getUserId());
    const [room] = await invited;
    assert.equal(room.roomId, roomId);
    assert.equal(room.name, "Wild geese");
    const joined = until(bob, sdk.RoomEvent.MyMembership, (_room, m) => m === "join", "the join");
    await bob.joinRoom(roomId);
    await joined;
    await eventually(() => alice.getRoom(roomId)?.getMember(bob.getUserId())?.membership === "join", "alice sees bob join");
    await eventually(() => bob.getRoom(roomId)?.currentState.getStateEvents("m.room.topic", "")?.getContent().topic === "letters", "bob knows the topic");
});

test("messages arrive in both directions, in order, once", async () => {
    const said = [];
    for (let i = 0; i < 10; i++) {
        const [from, text] = i % 2 ? [bob, `bob ${i}`] : [alice, `alice ${i}`];
        await from.sendTextMessage(roomId, text);
        said.push(text);
    }
    for (const client of [alice, bob]) {
        await eventually(() => bodies(client, roomId).length >= said.length, "all messages");
        assert.deepEqual(bodies(client, roomId), said);
    }
});

test("a local echo is matched with its event by the transaction id", async () => {
    await eventually(() => alice.getRoom(roomId).getPendingEvents().length === 0, "no echo is left over");
    const mine = alice.getRoom(roomId).getLiveTimeline().getEvents().filter((e) => e.getSender() === alice.getUserId());
    assert.ok(mine.every((e) => e.getId().startsWith("$")), "every own event has its real id");
});

test("an edit, a reaction and a redaction are seen", async () => {
    const { event_id: original } = await alice.sendTextMessage(roomId, "a tpyo");
    await alice.sendEvent(roomId, "m.room.message", {
        msgtype: "m.text",
        body: "* a typo",
        "m.new_content": { msgtype: "m.text", body: "a typo" },
        "m.relates_to": { rel_type: "m.replace", event_id: original },
    });
    const { event_id: reaction } = await bob.sendEvent(roomId, "m.reaction", {
        "m.relates_to": { rel_type: "m.annotation", event_id: original, key: "👍" },
    });
    const room = bob.getRoom(roomId);
    await eventually(() => room.findEventById(original)?.getContent().body === "a typo", "bob sees the edit");
    await eventually(() => alice.getRoom(roomId).findEventById(reaction), "alice sees the reaction");
    const { event_id: doomed } = await alice.sendTextMessage(roomId, "not for you");
    await eventually(() => room.findEventById(doomed), "bob sees the message before it goes");
    await alice.redactEvent(roomId, doomed, undefined, { reason: "mistake" });
    await eventually(() => room.findEventById(doomed)?.isRedacted(), "bob sees the redaction");
    const again = await bob.fetchRoomEvent(roomId, doomed);
    assert.deepEqual(again.content, {});
    assert.equal(again.unsigned.redacted_because.content.reason, "mistake");
});

test("typing and receipts are seen", async () => {
    const typing = until(bob, sdk.RoomMemberEvent.Typing, (_e, m) => m.userId === alice.getUserId() && m.typing, "typing");
    await alice.sendTyping(roomId, true, 20_000);
    await typing;
    const quiet = until(bob, sdk.RoomMemberEvent.Typing, (_e, m) => m.userId === alice.getUserId() && !m.typing, "typing ends");
    await alice.sendTyping(roomId, false, 0);
    await quiet;
    const last = bob.getRoom(roomId).getLiveTimeline().getEvents().at(-1);
    await bob.sendReadReceipt(last);
    await eventually(() => alice.getRoom(roomId).hasUserReadEvent(bob.getUserId(), last.getId()), "alice sees that bob has read");
});

test("profiles follow into the room", async () => {
    await alice.setDisplayName("Alice of the Lake");
    await eventually(() => bob.getRoom(roomId).getMember(alice.getUserId())?.name === "Alice of the Lake", "bob sees the new name");
});

test("account data, tags and push rules come back by sync", async () => {
    await alice.setAccountData("org.hongyan.test", { lake: "Poyang" });
    await eventually(() => alice.getAccountData("org.hongyan.test")?.getContent().lake === "Poyang", "account data");
    await alice.setRoomTag(roomId, "m.favourite", { order: 0.5 });
    await eventually(() => alice.getRoom(roomId).tags?.["m.favourite"]?.order === 0.5, "the tag");
    await alice.addPushRule("global", "content", "geese", { pattern: "geese", actions: ["notify"] });
    await eventually(() => alice.pushRules.global.content?.some((r) => r.rule_id === "geese"), "the push rule");
});

test("history is paged back to the creation of the room", async () => {
    for (let i = 0; i < 60; i++) await alice.sendTextMessage(roomId, `page ${i}`);
    const fresh = await start(await login(server.url, "bob"), { initialSyncLimit: 5, pendingEventOrdering: "detached" });
    try {
        const room = fresh.getRoom(roomId);
        const timeline = room.getLiveTimeline();
        assert.ok(timeline.getEvents().length < 30, "the first sync brings only the end");
        while (await fresh.paginateEventTimeline(timeline, { backwards: true, limit: 20 }));
        const events = timeline.getEvents();
        assert.equal(events[0].getType(), "m.room.create");
        const ids = events.map((e) => e.getId());
        assert.equal(new Set(ids).size, ids.length, "no event came twice");
        const pages = bodies(fresh, roomId).filter((b) => b.startsWith("page "));
        assert.deepEqual(pages, Array.from({ length: 60 }, (_, i) => `page ${i}`));
    } finally {
        fresh.stopClient();
        await fresh.logout(true);
    }
});

test("the server restarts in the middle and nothing is lost", async () => {
    const said = [];
    // Sends as an application does: what could not be sent is sent again, under the same transaction id.
    const say = async (text) => {
        let sending = alice.sendTextMessage(roomId, text);
        for (;;) {
            try {
                return await sending;
            } catch (e) {
                const room = alice.getRoom(roomId);
                const unsent = room.getPendingEvents().find((p) => p.status === sdk.EventStatus.NOT_SENT);
                if (!unsent) throw e;
                await new Promise((r) => setTimeout(r, 50));
                sending = alice.resendEvent(unsent, room);
            }
        }
    };
    const speak = async (from, to) => {
        for (let i = from; i < to; i++) {
            await say(`through the restart ${i}`);
            said.push(`through the restart ${i}`);
        }
    };
    const talking = speak(0, 60);
    await eventually(() => said.length > 5, "the talk has begun");
    const { code } = await server.down();
    assert.equal(code, 0, `the server stops cleanly:\n${server.log}`);
    await server.up();
    await talking;
    for (const client of [alice, bob]) {
        const heard = () => bodies(client, roomId).filter((b) => b.startsWith("through the restart"));
        await eventually(() => new Set(heard()).size >= said.length, "everything said through the restart", 60_000);
        assert.deepEqual(heard(), said);
    }
});

test("whoever left sees nothing new, and a kick is seen", async () => {
    await bob.leave(roomId);
    await eventually(() => bob.getRoom(roomId)?.getMyMembership() === "leave", "bob has left");
    const { event_id: secret } = await alice.sendTextMessage(roomId, "now that bob is gone");
    await assert.rejects(bob.fetchRoomEvent(roomId, secret), (e) => e.httpStatus === 404);
    await assert.rejects(bob.sendTextMessage(roomId, "still here?"), (e) => e.httpStatus === 403);
});

test("a logged out token is refused at once", async () => {
    const other = await login(server.url, "alice");
    await other.whoami();
    await other.logout(true);
    await assert.rejects(other.whoami(), (e) => e.errcode === "M_UNKNOWN_TOKEN");
    await alice.whoami();
});
