// What is tested is started by sdk_test.go, one process or many; this is the way to it.
const steer = process.env.TEST_STEER;
const urls = process.env.TEST_URLS?.split(",");
if (!steer || !urls) throw new Error('"make test-js" (or "npm test") starts what is tested; this file alone has nobody to talk to');

async function ask(method, path) {
    const answer = await fetch(`${steer}${path}`, { method });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${text}`);
    return text;
}

// Where clients connect: the load balancer, if there is one, and every gateway. The n-th person takes the n-th by turns.
export const allUrls = urls;
export const url = (n) => urls[n % urls.length];

// Kills processes behind the gateways, one after the other, until quiet is called; none where there is only one.
export const unrest = () => ask("POST", "/unrest");
// Tells whether each of them was killed at least once.
export const struck = async () => (await ask("GET", "/unrest")) === "true";
export const quiet = () => ask("DELETE", "/unrest");

// Ends every process in turn with a signal and starts it again; fails if one did not end well.
export const restart = (signal) => ask("POST", `/restart/${signal}`);

// An identity server that the servers trust, by host and port, and what its callers show.
export const identityServer = process.env.TEST_IDENTITY;
export const identityToken = "secret";
// Has it tell that a user has bound the address that was invited last.
export const bind = (user) => ask("POST", `/bind/${encodeURIComponent(user)}`);

// Every answer that a client reads is shown to sdk_test.go, which compares it with the specification.
const { fetch: plain } = globalThis;
globalThis.fetch = async (resource, options) => {
    const answer = await plain(resource, options);
    const { pathname } = new URL(resource.url ?? resource);
    if (!pathname.startsWith("/_matrix/")) return answer;
    const method = options?.method ?? resource.method ?? "GET";
    const shown = answer.clone();
    shown
        .text()
        .then((body) => {
            const type = answer.headers.get("content-type") ?? "";
            const seen = { method, path: pathname, status: answer.status, type, body };
            return plain(`${steer}/answer`, { method: "POST", body: JSON.stringify(seen) });
        })
        .catch(() => {}); // it broke off: whoever reads it notices
    return answer;
};
