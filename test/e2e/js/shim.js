// matrix-js-sdk wants Node 22; on Node 20 this is all that it misses.
Promise.withResolvers ??= function () {
    let resolve, reject;
    const promise = new this((res, rej) => {
        resolve = res;
        reject = rej;
    });
    return { promise, resolve, reject };
};
