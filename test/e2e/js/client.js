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

// Parts of the SDK that are given no logger use the common one.
logger.setLevel(logger.levels?.SILENT ?? 5, false);

// Registers an account as any client does: asks for the flows first, then completes the stage.
export async function register(baseUrl, username) {
    const anonymous = sdk.createClient({ baseUrl, logger: silent });
    const password = `secret of ${username}`;
    let session;
    try {
        await anonymous.registerRequest({ username, password });
        throw new Error("registration asked for no authentication");
    } catch (e) {
        if (e.httpStatus !== 401) throw e;
        session = e.data.session;
    }
    const a = await anonymous.registerRequest({ username, password, auth: { type: "m.login.dummy", session } });
    return connect(baseUrl, a);
}

export async function login(baseUrl, username) {
    const anonymous = sdk.createClient({ baseUrl, logger: silent });
    const a = await anonymous.loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: username },
        password: `secret of ${username}`,
    });
    return connect(baseUrl, a);
}

function connect(baseUrl, a) {
    return sdk.createClient({
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
        if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
        await new Promise((r) => setTimeout(r, 20));
    }
}

export function bodies(client, roomId) {
    return client
        .getRoom(roomId)
        .getLiveTimeline()
        .getEvents()
        .filter((e) => e.getType() === "m.room.message" && !e.isRedacted())
        .map((e) => e.getContent().body);
}
