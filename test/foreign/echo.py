#!/usr/bin/env python3
"""A service in another language behind Hongyan's gateway, with nothing but Python's standard library.

It serves two routes, registers itself with them in etcd over etcd's JSON gateway, keeps its lease alive, registers again
whenever etcd has lost it, and leaves in order when it is told to stop.
"""

import argparse
import base64
import datetime
import http.server
import json
import signal
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid

TTL = 3  # seconds without a heartbeat until etcd drops the record
ROUTES = [
    {"method": "GET", "path": "/_echo/v1/whoami/{word}", "key": "@user"},
    {"method": "POST", "path": "/_echo/v1/say", "auth": "none", "max_body": 4096, "idempotent": True},
]


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Registration:
    """One record in etcd, under one lease."""

    def __init__(self, endpoint, prefix, record):
        self.endpoint = endpoint.rstrip("/")
        self.record = record
        self.key = f"{prefix}/instances/{record['service']}/{record['boot_id']}"
        self.lease = None
        self.lock = threading.Lock()
        self.stopped = threading.Event()

    def call(self, path, body):
        request = urllib.request.Request(
            self.endpoint + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=2) as answer:
            return json.loads(answer.readline())  # keepalive answers a stream of lines

    def put(self):
        with self.lock:
            if self.lease is None:
                self.lease = self.call("/v3/lease/grant", {"TTL": TTL})["ID"]
            self.call("/v3/kv/put", {"key": b64(self.key), "value": b64(json.dumps(self.record)), "lease": self.lease})

    def beat(self):
        """Keep the lease and see that the record is there; whatever is missing is made again."""
        if self.lease is not None:
            answer = self.call("/v3/lease/keepalive", {"ID": self.lease})
            if int(answer.get("result", {}).get("TTL", 0)) <= 0:
                self.lease = None
        if self.lease is None or not self.call("/v3/kv/range", {"key": b64(self.key), "count_only": True}).get("count"):
            self.put()
            print("registered", self.key, flush=True)

    def run(self):
        while not self.stopped.is_set():
            try:
                self.beat()
            except Exception as error:  # whatever is wrong with etcd, it may be right the next time
                print("etcd:", error, file=sys.stderr, flush=True)
                self.lease = None
            self.stopped.wait(TTL / 3)

    def leave(self, meanwhile):
        """Say that nothing new is taken, wait until everybody has heard, and take the record away."""
        self.record["state"] = "draining"
        try:
            self.put()
            meanwhile()
            self.call("/v3/lease/revoke", {"ID": self.lease})
        except Exception as error:  # the lease ends by itself
            print("etcd:", error, file=sys.stderr, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    draining = threading.Event()

    def answer(self, status, body, **headers):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def body(self):
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def serve(self):
        body = self.body()
        path = self.path.partition("?")[0]
        if path == "/healthz":
            return self.answer(200, {"status": "ok"})
        if self.draining.is_set():  # nobody has looked at it: the gateway may send it elsewhere
            return self.answer(503, {"errcode": "M_UNKNOWN", "error": "Stopping."}, X_Hongyan_Refused="1")
        segments = [urllib.parse.unquote(s) for s in path.split("/")]
        who = {
            "user_id": self.headers.get("X-Hongyan-User", ""),
            "device_id": self.headers.get("X-Hongyan-Device", ""),
            "request_id": self.headers.get("X-Hongyan-Request-Id", ""),
            "authorization": self.headers.get("Authorization", ""),
        }
        if self.command == "GET" and segments[:-1] == ["", "_echo", "v1", "whoami"]:
            return self.answer(200, {"word": segments[-1], **who})
        if self.command == "POST" and path == "/_echo/v1/say":
            key = self.headers.get("X-Hongyan-Idempotency-Key", "")
            return self.answer(200, {"said": body.decode(), "idempotency_key": key, **who})
        return self.answer(404, {"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request."})

    do_GET = do_POST = serve

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--etcd", default="http://127.0.0.1:2379", help="URL of etcd")
    parser.add_argument("--prefix", default="/hongyan", help="what the keys of the deployment begin with")
    parser.add_argument("--name", default="echo", help="name of the service")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, and that others use")
    args = parser.parse_args()

    server = Server((args.host, 0), Handler)
    registration = Registration(args.etcd, args.prefix, {
        "service": args.name, "boot_id": uuid.uuid4().hex, "http": f"{args.host}:{server.server_port}", "version": "1",
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(), "state": "ready", "routes": ROUTES,
    })
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    beats = threading.Thread(target=registration.run)
    beats.start()
    stop.wait()

    registration.stopped.set()
    beats.join()
    registration.leave(lambda: time.sleep(1))  # what comes from gateways that have not heard yet is served
    Handler.draining.set()
    server.shutdown()


if __name__ == "__main__":
    main()
