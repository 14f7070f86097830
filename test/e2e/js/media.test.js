// Two people send each other a picture through an unchanged matrix-js-sdk, each through another gateway where there are several, and see
// previews of a web page, while the processes behind them are killed. An upload is never repeated by the gateway: the person does that.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { deflateSync } from "node:zlib";
import "./shim.js";
import { register } from "./client.js";
import { quiet, struck, unrest, url } from "./server.js";

let alice, bob;

// Another site, which has one page with a picture.
const site = createServer((asked, answer) => {
    if (asked.url === "/goose.png") return answer.setHeader("Content-Type", "image/png").end(picture());
    answer.setHeader("Content-Type", "text/html; charset=utf-8");
    answer.end(`<title>no</title><meta property="og:title" content="鸿雁"><meta property="og:image" content="/goose.png">`);
});

after(() => {
    site.close();
    return quiet();
});

// A black picture of 200 × 100.
function picture() {
    const chunk = (type, data) => {
        const body = Buffer.concat([Buffer.from(type), data]);
        const ends = Buffer.alloc(8);
        ends.writeUInt32BE(data.length, 0);
        ends.writeUInt32BE(crc(body), 4);
        return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
    };
    const head = Buffer.from([0, 0, 0, 200, 0, 0, 0, 100, 8, 0, 0, 0, 0]);
    const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    return Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", deflateSync(Buffer.alloc(100 * 201))), chunk("IEND", Buffer.alloc(0))]);
}

function crc(bytes) {
    let c = ~0;
    for (const b of bytes) {
        c ^= b;
        for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    }
    return ~c >>> 0;
}

async function uploaded(content, options) {
    for (let attempt = 1; ; attempt++) {
        try {
            return (await alice.uploadContent(content, options)).content_uri;
        } catch (e) {
            if (![502, 503].includes(e.httpStatus) || attempt === 20) throw e;
        }
    }
}

// What bob downloads, with his access token.
async function downloaded(uri, ...size) {
    const address = bob.mxcUrlToHttp(uri, ...size, ...Array(5 - size.length).fill(undefined), true);
    assert.match(address, /\/_matrix\/client\/v1\/media\//);
    assert.equal((await fetch(address)).status, 401);
    const answer = await fetch(address, { headers: { Authorization: `Bearer ${bob.getAccessToken()}` } });
    assert.equal(answer.status, 200);
    return { type: answer.headers.get("Content-Type"), name: answer.headers.get("Content-Disposition"), content: Buffer.from(await answer.arrayBuffer()) };
}

test("two users register", async () => {
    alice = await register(url(0), "media-alice");
    bob = await register(url(1), "media-bob");
    await unrest();
    assert.ok((await alice.getMediaConfig(true))["m.upload.size"] > 0);
});

test("pictures come back whole, and small", async () => {
    const content = picture();
    for (let i = 0; i < 5 || !(await struck()); i++) {
        const uri = await uploaded(content, { name: `goose ${i}.png`, type: "image/png" });
        const whole = await downloaded(uri);
        assert.deepEqual(whole.content, content);
        assert.equal(whole.type, "image/png");
        assert.equal(whole.name, `inline; filename="goose ${i}.png"`);
        const small = await downloaded(uri, 32, 32, "crop");
        assert.equal(small.type, "image/jpeg");
    }
});

test("a web page has a preview, with a picture to download", async () => {
    await new Promise((listening) => site.listen(0, "127.0.0.1", listening));
    const page = `http://127.0.0.1:${site.address().port}/page`;
    const seen = await alice.getUrlPreview(page, Date.now());
    const uri = seen["og:image"];
    assert.match(uri, /^mxc:\/\//);
    assert.deepEqual(seen, {
        "og:title": "鸿雁", "og:image": uri, "og:image:type": "image/png", "og:image:width": 200, "og:image:height": 100,
        "matrix:image:size": picture().length,
    });
    assert.deepEqual((await downloaded(uri)).content, picture());
    assert.deepEqual(await bob.getUrlPreview(page, Date.now()), seen);
    await assert.rejects(alice.getUrlPreview("http://127.0.0.2/", Date.now()), { errcode: "M_FORBIDDEN" });
});
