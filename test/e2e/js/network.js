// What lies between a device and the server, as far as a test disturbs it. It is given to the SDK in place of fetch.
export class Network {
    #gone = null; // aborts what is under way when the network goes
    #loses = null; // tells which answer of /sync is lost

    constructor() {
        this.fetch = (resource, options) => this.#fetch(resource, options);
        this.back();
    }

    // Everything under way breaks off, and nothing more gets through.
    away() {
        this.#gone.abort();
    }

    back() {
        this.#gone = new AbortController();
    }

    // The network goes when the server has answered a /sync that fits, before the device has the answer. What is returned tells
    // whether that has happened.
    loses(fits) {
        this.#loses = fits;
        return () => this.#loses !== fits;
    }

    async #fetch(resource, options = {}) {
        const gone = this.#gone.signal;
        if (gone.aborted) throw new TypeError("the network is away");
        const signal = options.signal ? AbortSignal.any([options.signal, gone]) : gone;
        try {
            const answer = await fetch(resource, { ...options, signal });
            if (this.#loses && answer.ok && new URL(resource).pathname.endsWith("/sync")) await this.#lose(answer.clone());
            return answer;
        } catch (e) {
            throw gone.aborted ? new TypeError("the network went away", { cause: e }) : e;
        }
    }

    async #lose(answer) {
        const content = await answer.json();
        if (!this.#loses?.(content)) return;
        this.#loses = null;
        this.away();
        throw new TypeError("the answer was lost");
    }
}
