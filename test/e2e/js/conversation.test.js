// Two people talk through an unchanged matrix-js-sdk: everything they see comes through its sync loop. Where there are many
// processes, each talks through another gateway, and those behind the gateways are killed all the while: a client must not
// notice, so nothing is repeated here but log-ins, which the gateway never repeats, and what the SDK repeats by itself.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import "./shim.js";
import * as sdk from "matrix-js-sdk";
import { bodies, connect, eventually, history, login, pause, register, say, start, told, until } from "./client.js";
import { allUrls, quiet, restart, struck, unrest, url } from "./server.js";

let alice, bob, roomId;

after(async () => {
    alice?.stopClient();
    bob?.stopClient();
    await quiet();
});

// What was refused blocks what is sent after it, until it is dropped.
function dropRefused(client) {
    const refused = client.getRoom(roomId).getPendingEvents().filter((e) => e.status === sdk.EventStatus.NOT_SENT);
    refused.forEach((e) => client.cancelPendingEvent(e));
}

test("two users register and their clients start", async () => {
    alice = await start(await register(url(0), "alice"));
    bob = await start(await register(url(1), "bob"));
    await unrest();
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
    for (let i = 0; i < 10 || !(await struck()); i++) {
        const [from, text] = i % 2 ? [bob, `bob ${i}`] : [alice, `alice ${i}`];
        await from.sendTextMessage(roomId, text);
        said.push(text);
    }
    for (const client of [alice, bob]) {
        let heard;
        await eventually(async () => (heard = await told(client, roomId)).length >= said.length, "all messages");
        assert.deepEqual(heard, said);
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

test("a reaction is made once, and what relates to an event is listed", async () => {
    const { event_id: root } = await alice.sendTextMessage(roomId, "three geese");
    const react = (client, key) =>
        client.sendEvent(roomId, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id: root, key } });
    const { event_id: thumb } = await react(bob, "👍");
    await assert.rejects(react(bob, "👍"), (e) => e.httpStatus === 400 && e.errcode === "M_DUPLICATE_ANNOTATION");
    dropRefused(bob);
    const { event_id: goose } = await react(bob, "🪿");
    const { event_id: edit } = await alice.sendEvent(roomId, "m.room.message", {
        msgtype: "m.text",
        body: "* four geese",
        "m.new_content": { msgtype: "m.text", body: "four geese" },
        "m.relates_to": { rel_type: "m.replace", event_id: root },
    });
    const reactions = await bob.relations(roomId, root, "m.annotation", "m.reaction");
    assert.deepEqual(reactions.events.map((e) => e.getId()), [goose, thumb]);
    assert.equal(reactions.originalEvent.getId(), root);
    const all = await bob.fetchRelations(roomId, root, null, null, { dir: "f", limit: 2 });
    assert.deepEqual(all.chunk.map((e) => e.event_id), [thumb, goose]);
    const rest = await bob.fetchRelations(roomId, root, null, null, { dir: "f", from: all.next_batch });
    assert.deepEqual(rest.chunk.map((e) => e.event_id), [edit]);
    const event = await bob.fetchRoomEvent(roomId, root);
    assert.equal(event.content.body, "three geese");
    assert.equal(event.unsigned["m.relations"]["m.replace"].event_id, edit);
});

test("a thread is found by who comes later, without those who are ignored", async () => {
    const { event_id: root } = await alice.sendTextMessage(roomId, "shall we fly?");
    const reply = (client, body) =>
        client.sendEvent(roomId, "m.room.message", {
            msgtype: "m.text",
            body,
            "m.relates_to": { rel_type: "m.thread", event_id: root, is_falling_back: true, "m.in_reply_to": { event_id: root } },
        });
    await reply(bob, "tomorrow");
    const { event_id: last } = await reply(alice, "today");
    await assert.rejects(
        alice.sendEvent(roomId, "m.room.message", { body: "nested", "m.relates_to": { rel_type: "m.thread", event_id: last } }),
        (e) => e.httpStatus === 400 && e.errcode === "M_UNKNOWN",
    );
    dropRefused(alice);
    const fresh = await start(await login(url(2), "bob"), { initialSyncLimit: 3, threadSupport: true });
    try {
        const room = fresh.getRoom(roomId);
        await room.createThreadsTimelineSets();
        await room.fetchRoomThreads();
        const thread = room.getThread(root);
        assert.ok(thread, "the thread is known");
        // The SDK counts replies of its timeline and those that it is told of twice until it has put them together.
        await eventually(() => thread.length === 2, () => `2 replies, not ${thread.length}`);
        await eventually(() => thread.replyToEvent?.getId() === last, "the last reply");
        assert.ok(thread.hasCurrentUserParticipated);
        const list = await fresh.createThreadListMessagesRequest(roomId, null, 10, "b", "my");
        assert.equal(list.chunk[0].event_id, root);
        assert.equal(list.chunk[0].unsigned["m.relations"]["m.thread"].count, 2);

        await fresh.setIgnoredUsers([alice.getUserId()]);
        const mine = await fresh.fetchRelations(roomId, root, "m.thread", null, { dir: "f" });
        assert.deepEqual(mine.chunk.map((e) => e.content.body), ["tomorrow"]);
        await assert.rejects(fresh.fetchRoomEvent(roomId, root), { httpStatus: 404, errcode: "M_NOT_FOUND" });
        const without = await fresh.createThreadListMessagesRequest(roomId, null, 10, "b", "all");
        assert.equal(without.chunk[0].unsigned["m.relations"]["m.thread"].count, 1);
        assert.deepEqual(without.chunk[0].content, {}, "the root shows nothing of who is ignored");
        await fresh.setIgnoredUsers([]);
    } finally {
        fresh.stopClient();
        await fresh.logout(true);
    }
});

test("typing and receipts are seen", async () => {
    // A client tells that it types again and again; what a sync node that was killed knew of it is gone.
    for (const typing of [true, false]) {
        const seen = () => bob.getRoom(roomId).getMember(alice.getUserId()).typing === typing;
        await eventually(async () => {
            await alice.sendTyping(roomId, typing, 20_000);
            await pause(100);
            return seen();
        }, typing ? "typing" : "typing ends");
    }
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
    const fresh = await start(await login(url(2), "bob"), { initialSyncLimit: 5, pendingEventOrdering: "detached" });
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

for (const signal of ["SIGTERM", "SIGKILL"]) {
    test(`every process ends in the middle by ${signal} and nothing is lost`, async () => {
        await quiet();
        const topic = `through ${signal}`;
        let ended = false;
        // Each says the next thing when the last was acknowledged.
        const speak = async (client, name) => {
            const said = [];
            while (!ended || said.length < 30) {
                const text = `${topic} ${name} ${said.length}`;
                await say(client, roomId, text);
                said.push(text);
                await pause(30);
            }
            return said;
        };
        const talking = Promise.all([speak(alice, "alice"), speak(bob, "bob")]);
        try {
            await restart(signal);
        } finally {
            ended = true;
        }
        const [byAlice, byBob] = await talking;
        const about = (all) => all.filter((body) => body.startsWith(topic));
        const fresh = await start(await login(url(2), "alice"));
        try {
            const order = about(await history(fresh, roomId));
            assert.deepEqual(order.filter((body) => body.includes(" alice ")), byAlice);
            assert.deepEqual(order.filter((body) => body.includes(" bob ")), byBob);
            assert.equal(order.length, byAlice.length + byBob.length);
            for (const client of [alice, bob]) {
                let heard;
                await eventually(async () => (heard = about(await told(client, roomId))).length >= order.length, "everything said", 60_000);
                assert.deepEqual(heard, order);
            }
        } finally {
            fresh.stopClient();
        }
        await unrest();
    });
}

test("whoever left sees nothing new, and a kick is seen", async () => {
    await bob.leave(roomId);
    await eventually(() => bob.getRoom(roomId)?.getMyMembership() === "leave", "bob has left");
    const { event_id: secret } = await alice.sendTextMessage(roomId, "now that bob is gone");
    await assert.rejects(bob.fetchRoomEvent(roomId, secret), (e) => e.httpStatus === 404);
    await assert.rejects(bob.sendTextMessage(roomId, "still here?"), (e) => e.httpStatus === 403);
});

test("a logged out token is refused at once", async () => {
    const other = await login(url(1), "alice");
    const everywhere = allUrls.map((baseUrl) =>
        connect(baseUrl, { user_id: other.getUserId(), device_id: other.getDeviceId(), access_token: other.getAccessToken() }),
    );
    for (const client of everywhere) await client.whoami(); // now every gateway knows the token
    await other.logout(true);
    for (const client of everywhere) await assert.rejects(client.whoami(), (e) => e.errcode === "M_UNKNOWN_TOKEN");
    await alice.whoami();
});
