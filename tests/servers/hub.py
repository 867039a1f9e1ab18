#!/usr/bin/env python3
"""A Hugging Face Hub for tests, with a CDN on an origin of its own. Needs nothing but Python.

In a test:

    with HubServer() as hub:                       # hub.url, hub.cdn_url
        repo = hub.model("org/name", {"config.json": b"{}", "w.safetensors": lfs(b"...")})
        hub.dataset("org/data", {...}, private=True)
        hub.token("hf_reader", read=["org/data"])  # what private and gated repositories it may read
        hub.rename("old/name", "org/name")
        hub.fault(match="*.safetensors", origin="cdn", kind="fin", at="middle")   # see faults.py
        hub.after(3, lambda: repo.move("main", sha))    # runs before the third answer leaves
        ...
        hub.requests, hub.count(origin="cdn"), hub.clear()

Files are bytes, text, a pathlib.Path, Synthetic(size), or lfs(...) / plain(...) of these (repo.py).
Settings, as arguments or attributes: page_size, signed_ttl, xet, cdn_limit, cdn_head (are HEADs
answered there), redirect_metadata (does the 307 of a plain file carry X-Linked-...), repo_code
(does the 401 for an unknown repository carry its X-Error-Code), latency (seconds before answers).
limits(api=, resolvers=, pages=, window=) counts requests and answers 429; expire_urls() makes all
signed URLs old; tls=ssl.SSLContext serves the Hub over https (cdn_tls= the CDN).
hub.accepted() and hub.peak() count connections of an origin. A mistake inside the server fails the
`with`. What a request has: see Request in wire.py.

As a program, which prints its URL and runs until SIGTERM:

    hub.py --root DIR [--port N] [--cdn-port N] [--token T] [--limit api=500] [--log FILE]
           [--synthetic ORG/NAME:PATH:SIZE[:SHA256]] [--zeros the same] [--latency SECONDS]

DIR holds models/ORG/NAME/... and datasets/ORG/NAME/...; put it on tmpfs for speed. Over HTTP a
program can be asked and changed: GET /-/requests (counts, as JSON), POST /-/clear, POST /-/fault
(the arguments of fault() as JSON), POST /-/expire; these are not recorded.
"""
import argparse
import collections
import json
import pathlib
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
if __name__ == "__main__":
    sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from api import Api, Cdn, json_response
from content import Synthetic
from faults import Fault, apply_all
from repo import File, Repo, lfs, plain
from wire import Listener, Response

__all__ = ["File", "HubServer", "Repo", "Synthetic", "lfs", "plain"]


class Limits:
    """Requests that are left, by caller and bucket, in fixed windows."""

    def __init__(self, quotas, window):
        self.quotas, self.window = quotas, window
        self.lock = threading.Lock()
        self.used = {}

    def take(self, caller, bucket):
        """(within the quota, the headers that tell of it)."""
        quota = self.quotas.get(bucket)
        if quota is None:
            return True, {}
        now = time.monotonic()
        with self.lock:
            begin, used = self.used.get((caller, bucket), (now, 0))
            if now - begin >= self.window:
                begin, used = now, 0
            used += 1
            self.used[caller, bucket] = begin, used
        reset = max(0, -int((now - begin - self.window) // 1))
        return used <= quota, {
            "RateLimit": f'"{bucket}";r={max(0, quota - used)};t={reset}',
            "RateLimit-Policy": f'"fixed window";"{bucket}";q={quota};w={int(self.window)}'}


def bucket_of(path):
    if path.startswith("/api/resolve-cache/") or "/resolve/" in path:
        return "resolvers"
    return "api" if path.startswith("/api/") else "pages"


class HubServer:
    def __init__(self, port=0, cdn_port=0, tls=None, cdn_tls=None, page_size=1000, signed_ttl=3600,
                 xet=True, cdn_limit=50 * 10**9, cdn_head=False, redirect_metadata=False,
                 repo_code=True, latency=0):
        self.page_size, self.signed_ttl, self.xet = page_size, signed_ttl, xet
        self.cdn_limit, self.cdn_head = cdn_limit, cdn_head
        self.redirect_metadata, self.repo_code = redirect_metadata, repo_code
        self.latency = latency
        self.repos, self.renames, self.tokens = {}, {}, {}
        self.faults, self.requests = [], []
        self.log = None
        self.lock = threading.Lock()
        self.rates = Limits({}, 300)
        self.api, self.cdn = Api(self), Cdn(self)
        self.listeners = {"hub": Listener("hub", self.answer_hub, port, tls),
                          "cdn": Listener("cdn", self.answer_cdn, cdn_port, cdn_tls)}
        for listener in self.listeners.values():
            listener.done = self.done
        self.origins = {name: listener.url for name, listener in self.listeners.items()}
        self.url, self.cdn_url = self.origins["hub"], self.origins["cdn"]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()
        errors = [error for listener in self.listeners.values() for error in listener.errors]
        if errors and kind is None:
            raise AssertionError("the Hub server failed:\n" + "\n".join(errors))

    def close(self):
        for listener in self.listeners.values():
            listener.close()

    # What there is.

    def add(self, repo, files=None):
        self.repos[repo.kind, repo.id] = repo
        if files is not None:
            repo.commit(files)
        return repo

    def model(self, name, files=None, **flags):
        return self.add(Repo("model", name, **flags), files)

    def dataset(self, name, files=None, **flags):
        return self.add(Repo("dataset", name, **flags), files)

    def rename(self, old, new, kind="model"):
        """Requests for `old` are sent on to `new`, which may be renamed in turn."""
        self.renames[kind, old] = new

    def token(self, token, read=()):
        self.tokens[token] = set(read)
        return token

    def load(self, root):
        """Every repository below root/models and root/datasets."""
        for folder in sorted(pathlib.Path(root).glob("*/*/*")):
            kind = {"models": "model", "datasets": "dataset"}.get(folder.parts[-3])
            if kind and folder.is_dir():
                self.add(Repo(kind, "/".join(folder.parts[-2:]))).load(folder)

    # How it behaves.

    def fault(self, kind, **how):
        fault = Fault(kind, **how)
        self.faults = [*self.faults, fault]
        return fault

    def after(self, count, function, **match):
        """Runs function() when the count-th (matching) answer is made, before it leaves."""
        def run(_request, response):
            function()
            return response
        return self.fault(run, nth=count, **{"origin": "hub", **match})

    def heal(self):
        self.faults = []

    def limits(self, window=300, **quotas):
        self.rates = Limits(quotas, window)

    def expire_urls(self):
        self.cdn.expire_urls()

    # What happened.

    def select(self, **wanted):
        """The requests whose attributes have these values: origin=, method=, endpoint=, ..."""
        return [request for request in list(self.requests)
                if all(getattr(request, name) == value for name, value in wanted.items())]

    def count(self, **wanted):
        return len(self.select(**wanted))

    def clear(self):
        self.requests = []

    def accepted(self, origin="hub"):
        return self.listeners[origin].accepted

    def peak(self, origin="hub"):
        return self.listeners[origin].peak

    def summary(self):
        requests = list(self.requests)
        names = ("origin", "endpoint", "status")
        count = {name: collections.Counter(str(getattr(r, name)) for r in requests)
                 for name in names}
        return {"requests": len(requests), "sent": sum(r.sent for r in requests), **count,
                "connections": {name: self.accepted(name) for name in self.listeners},
                "peak": {name: self.peak(name) for name in self.listeners}}

    # The handlers of the two origins.

    def record(self, request):
        with self.lock:
            self.requests.append(request)
            request.number = len(self.requests)

    def complete(self, request, response, headers):
        response.headers.update(headers)
        response.origins = self.origins
        response.delay = self.latency
        if self.faults:
            response = apply_all(self.faults, request, response)
        request.status = response.status
        return response

    def done(self, request):
        """Called when the answer is out, or as far out as it will get."""
        if self.log is not None and request.number:
            print(json.dumps(request.as_dict()), file=self.log, flush=True)

    def answer_hub(self, request):
        if request.path.startswith("/-/"):
            return self.control(request)
        self.record(request)
        request.bucket = bucket_of(request.path)
        within, headers = self.rates.take(request.header("authorization"), request.bucket)
        if within:
            response = self.api.answer(request)
        else:
            response = Response(429, {"Content-Type": "application/json"},
                                text=b'{"error":"You have reached your rate limit."}')
        headers["X-Request-Id"] = f"Root=1-{request.number:08x}"
        return self.complete(request, response, headers)

    def answer_cdn(self, request):
        self.record(request)
        return self.complete(request, self.cdn.answer(request), {})

    def control(self, request):
        request.number = 0
        if request.path == "/-/clear":
            self.clear()
        elif request.path == "/-/expire":
            self.expire_urls()
        elif request.path == "/-/fault":
            self.fault(**json.loads(request.body))
        elif request.path != "/-/requests":
            return Response(404, text=b"")
        return json_response(self.summary())


def add_synthetic(hub, text, fill="pattern"):
    name, path, size, *sha256 = text.split(":")
    repo = hub.repos.get(("model", name)) or hub.model(name)
    source = Synthetic(int(size), seed=path, fill=fill)
    repo.commit({path: lfs(source, sha256=sha256[0] if sha256 else None)})


def main():
    parser = argparse.ArgumentParser(description="A Hugging Face Hub for tests and benchmarks.")
    parser.add_argument("--root", help="folder with models/ORG/NAME and datasets/ORG/NAME")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cdn-port", type=int, default=0)
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0)
    parser.add_argument("--token", action="append", default=[], metavar="T")
    parser.add_argument("--limit", action="append", default=[], metavar="BUCKET=N")
    parser.add_argument("--window", type=int, default=300)
    parser.add_argument("--synthetic", action="append", default=[],
                        metavar="ORG/NAME:PATH:SIZE[:SHA256]")
    parser.add_argument("--zeros", action="append", default=[],
                        metavar="ORG/NAME:PATH:SIZE[:SHA256]")
    parser.add_argument("--no-xet", action="store_true")
    parser.add_argument("--log", type=argparse.FileType("a"), help="one JSON object a request")
    options = parser.parse_args()
    # Ahead of the threads, which inherit it: the signals are for sigwait() alone.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    hub = HubServer(options.port, options.cdn_port, page_size=options.page_size,
                    latency=options.latency, xet=not options.no_xet)
    hub.log = options.log
    if options.root:
        hub.load(options.root)
    for text in options.synthetic:
        add_synthetic(hub, text)
    for text in options.zeros:
        add_synthetic(hub, text, "zeros")
    for token in options.token:
        hub.token(token, read=[name for _, name in hub.repos])
    quotas = dict(limit.split("=") for limit in options.limit)
    hub.limits(options.window, **{name: int(value) for name, value in quotas.items()})
    print(hub.url, flush=True)
    signal.sigwait((signal.SIGTERM, signal.SIGINT))
    hub.close()


if __name__ == "__main__":
    main()
