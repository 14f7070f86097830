// What the tests need around matrix-js-sdk, which itself is unchanged.
import "./shim.js";
import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

const silent = {
    trace() {},
    debug() {},
    info() {},
    warn() {},
    error() {},
    getChild() {
        return silent;
    },
};

// Parts of the SDK that are given no logger use the common one, or a child of it.
logger.getChild = () => silent;
logger.setLevel(logger.levels?.SILENT ?? 5, false);

export const passwordOf = (username) => `secret of ${username}`;

// Registers an account as any client does: asks for the flows first, then completes the stage.
export async function register(baseUrl, username, options) {
    const anonymous = sdk.createClient({ baseUrl, logger: silent });
    const password = passwordOf(username);
    let session;
    try {
        await anonymous.registerRequest({ username, password });
        throw new Error("registration asked for no authentication");
    } catch (e) {
        if (e.httpStatus !== 401) throw e;
        session = e.data.session;
    }
    const a = await anonymous.registerRequest({ username, password, auth: { type: "m.login.dummy", session } });
    return connect(baseUrl, a, options);
}

// A log-in that was under way when the process that had it was killed is not repeated by the gateway, but by the person.
export async function login(baseUrl, username, options) {
    const anonymous = sdk.createClient({ baseUrl, logger: silent });
    for (let attempt = 1; ; attempt++) {
        try {
            const a = await anonymous.loginRequest({
                type: "m.login.password",
                identifier: { type: "m.id.user", user: username },
                password: passwordOf(username),
            });
            return connect(baseUrl, a, options);
        } catch (e) {
            if (![502, 503].includes(e.httpStatus) || attempt === 5) throw e;
        }
    }
}

export function connect(baseUrl, a, options) {
    return sdk.createClient({
        ...options,
        baseUrl,
        userId: a.user_id,
        deviceId: a.device_id,
        accessToken: a.access_token,
        logger: silent,
        timelineSupport: true,
    });
}

// Starts the sync loop and waits until the first sync is in.
export async function start(client, options = { initialSyncLimit: 20, pendingEventOrdering: "detached" }) {
    const ready = until(client, sdk.ClientEvent.Sync, (state) => state === "PREPARED", "the first sync");
    await client.startClient(options);
    await ready;
    return client;
}

// Waits for an event of the SDK that fits.
export function until(emitter, event, fits, what, ms = 20_000) {
    return new Promise((done, fail) => {
        const timer = setTimeout(() => {
            emitter.off(event, listener);
            fail(new Error(`${what} did not come within ${ms} ms`));
        }, ms);
        function listener(...args) {
            if (!fits(...args)) return;
            clearTimeout(timer);
            emitter.off(event, listener);
            done(args);
        }
        emitter.on(event, listener);
    });
}

// Waits until a condition on what the client knows holds, looking whenever it learns something.
export async function eventually(condition, what, ms = 20_000) {
    for (const end = Date.now() + ms; ; ) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > end) throw new Error(`${typeof what === "function" ? what() : what}: not within ${ms} ms`);
        await pause(20);
    }
}

const isMessage = (e) => e.getType() === "m.room.message" && !e.isRedacted();

export function bodies(client, roomId) {
    return client
        .getRoom(roomId)
        .getLiveTimeline()
        .getEvents()
        .filter(isMessage)
        .map((e) => e.getContent().body);
}

// What a person sees who scrolls up to the beginning of the room. After a gap in the sync (a limited timeline) the SDK
// begins another timeline, and joins it with the one before when paging comes upon it.
export async function scrolled(client, roomId) {
    const live = client.getRoom(roomId).getLiveTimeline();
    for (;;) {
        let first = live;
        const events = [...live.getEvents()];
        for (let t; (t = first.getNeighbouringTimeline(sdk.EventTimeline.BACKWARDS)); first = t) events.unshift(...t.getEvents());
        if (events[0]?.getType() === "m.room.create" || !(await client.paginateEventTimeline(first, { backwards: true, limit: 50 }))) {
            return events;
        }
    }
}

// The messages among it.
export const told = async (client, roomId) => (await scrolled(client, roomId)).filter(isMessage).map((e) => e.getContent().body);

// Says something, and says it again under the same transaction id when its gateway went away meanwhile, as an application does.
export async function say(client, roomId, text) {
    let sending = client.sendTextMessage(roomId, text);
    for (;;) {
        try {
            return await sending;
        } catch (e) {
            const room = client.getRoom(roomId);
            const unsent = room.getPendingEvents().find((p) => p.status === sdk.EventStatus.NOT_SENT);
            if (!unsent) throw e;
            await pause(50);
            sending = client.resendEvent(unsent, room);
        }
    }
}

// What the server tells who pages from the beginning of the room to its end, of messages that fit.
export async function history(client, roomId, fits = () => true) {
    const all = [];
    const message = (e) => e.type === "m.room.message" && e.content.body !== undefined && fits(e);
    for (let from = null; ; ) {
        const page = await client.createMessagesRequest(roomId, from, 100, sdk.Direction.Forward);
        all.push(...page.chunk.filter(message).map((e) => e.content.body));
        if (!page.end) return all;
        from = page.end;
    }
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
