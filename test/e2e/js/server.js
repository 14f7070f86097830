// Starts the real binary on a free port of loopback with a data directory of its own, stops and restarts it.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const binary = resolve(process.env.TEST_HONGYAN_BIN ?? join(here, "../../../bin/hongyan"));

function freePort() {
    return new Promise((done, fail) => {
        const s = createServer();
        s.on("error", fail);
        s.listen(0, "127.0.0.1", () => {
            const { port } = s.address();
            s.close(() => done(port));
        });
    });
}

export class Server {
    static async start() {
        const server = new Server();
        server.dir = mkdtempSync(join(tmpdir(), "hongyan-e2e-"));
        server.port = await freePort();
        server.url = `http://127.0.0.1:${server.port}`;
        await server.up();
        return server;
    }

    async up() {
        this.log = "";
        this.process = spawn(
            binary,
            ["serve", "--data-dir", this.dir, "--listen", `127.0.0.1:${this.port}`, "--rate-limits", "off"],
            { stdio: ["ignore", "pipe", "pipe"] },
        );
        const keep = (chunk) => (this.log = (this.log + chunk).slice(-20000));
        this.process.stdout.on("data", keep);
        this.process.stderr.on("data", keep);
        this.exited = new Promise((done) => this.process.on("exit", (code, signal) => done({ code, signal })));
        this.process.on("error", (e) => keep(String(e)));
        for (const end = Date.now() + 30_000; ; ) {
            const answer = await fetch(`${this.url}/_matrix/client/versions`).catch(() => undefined);
            if (answer?.ok) return;
            if (this.process.exitCode !== null || Date.now() > end) {
                throw new Error(`the server did not start:\n${this.log}`);
            }
            await new Promise((r) => setTimeout(r, 50));
        }
    }

    // Stops the process with a signal and answers how it ended.
    async down(signal = "SIGTERM") {
        this.process.kill(signal);
        return await this.exited;
    }

    async remove() {
        await this.down("SIGKILL");
        rmSync(this.dir, { recursive: true, force: true });
    }
}
