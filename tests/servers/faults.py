"""What can go wrong with an answer, by name.

    hub.fault(match="*.safetensors", origin="cdn", kind="fin", at="middle", nth=1, times=1)

Which answers: `match` is a shell pattern for the file's path in its repository or for the path of
the URL (or a function of the request); origin "hub" or "cdn"; endpoint "info", "tree",
"paths-info", "refs", "resolve", "resolve-cache", "cdn"; method. Of these, counted from 1, the `nth`
and those that follow it, `times` in all (1; None: from then on for ever).

Where in the file: `at` is "head" (byte 0), "middle", "end" (the last byte), or an offset, negative
ones from the end. It counts in the file, so that of many ranges the one with that byte is hit (and
only those with it are counted); of="body" counts in the answer's body instead. at="before" breaks
off where the answer's head would begin.

  fin, rst          the connection ends ahead of the byte `at`
  stall             silence there for `seconds` (3600), then the rest
  drip              from there on one byte every `seconds` (1)
  short, long       `count` (1) bytes are missing or too many there, Content-Length agrees
  flip              the byte has its lowest bit flipped
  content_range     Content-Range is `shift` (1) off, or is `value`, or is absent (value=None)
  ignore_range      200 and the whole file
  status            `status`, with `code`, `message` (X-Error-...), `headers`, `body`
  429               wait="ratelimit", "retry-after", "date" or None says so for `seconds` (1)
  expired           403 with S3's XML
  redirect          to `location`, with `status` (302)
  redirect_loop     to itself; grow=True: to an ever new URL
  html              200 with a page of HTML
  garbage           the first half of the JSON, Content-Length agrees
  edit              the JSON as edit(it) leaves or returns it
  headers           `set` replaces headers; None removes one
  no_commit         no X-Repo-Commit
  no_sha            info without the commit
  delay             the answer comes `seconds` (1) late
  tree_loop         the next page is this page
  tree_elsewhere    the next page is on another origin, `url` or the CDN
  tree_twice        the page lists `path` (or its own first file) once more
  tree_size, tree_oid, tree_sha256
                    the tree says `value` of `path` (the first file that has such a thing)
A function as kind gets request and response and returns a response, its own or that one.
"""
import email.utils
import fnmatch
import threading
import time

from wire import Response

PAGE = (b"<!doctype html>\n<html><head><title>Sign in</title></head>"
        b"<body>Sign in to the network</body></html>\n")
EXPIRED = (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
           b"<Message>Request has expired</Message><RequestId>0</RequestId></Error>")
POSITIONAL = {"fin", "rst", "stall", "drip", "short", "long", "flip"}


class Fault:
    def __init__(self, kind, match=None, nth=1, times=1, at="head", of="file", origin=None,
                 endpoint=None, method=None, **options):
        if not callable(kind) and str(kind) not in KINDS and str(kind) not in POSITIONAL:
            raise ValueError(f"no such kind of fault: {kind}")
        if of not in ("file", "body"):
            raise ValueError(f"no such thing to count in: {of}")
        self.kind = kind if callable(kind) else str(kind)
        self.match, self.nth, self.times, self.at, self.of = match, nth, times, at, of
        self.origin, self.endpoint, self.method = origin, endpoint, method
        self.options = options
        self.lock = threading.Lock()
        # How many answers matched, and how many of them were broken.
        self.seen = self.hits = 0

    @property
    def name(self):
        return self.kind if isinstance(self.kind, str) else "function"

    def wants(self, request, response):
        if (self.origin not in (None, request.origin)
                or self.endpoint not in (None, request.endpoint)
                or self.method not in (None, request.method)):
            return False
        if callable(self.match):
            if not self.match(request):
                return False
        elif self.match is not None and not (
                fnmatch.fnmatchcase(request.file or "", self.match)
                or fnmatch.fnmatchcase(request.path, self.match)):
            return False
        return self.reaches(request, response)

    def reaches(self, request, response):
        """Can this answer be broken in this way?"""
        if self.kind in POSITIONAL and self.at != "before":
            position = self.position(response)
            return (response.content is not None and response.status in (200, 206)
                    and request.method == "GET" and response.start <= position < response.end)
        if self.kind in ("content_range", "ignore_range"):
            return response.status == 206
        if self.name in ("garbage", "edit", "no_sha") or self.name.startswith("tree_"):
            return response.json is not None
        return True

    def position(self, response):
        """The offset in the content that `at` means for this answer."""
        start, end = (response.start, response.end)
        if self.of == "file":
            start, end = 0, response.content.size if response.content else 0
        if isinstance(self.at, int):
            return (start if self.at >= 0 else end) + self.at
        return {"head": start, "middle": start + (end - start) // 2, "end": end - 1}[self.at]

    def due(self):
        with self.lock:
            self.seen += 1
            if self.seen < self.nth or (self.times is not None and self.hits >= self.times):
                return False
            self.hits += 1
            return True

    def apply(self, request, response):
        request.faults.append(self.name)
        if callable(self.kind):
            return self.kind(request, response)
        if self.kind in POSITIONAL:
            if self.at == "before":
                response.instead = [self.ending()]
            else:
                self.break_body(response, self.position(response))
            return response
        return KINDS[self.kind](request, response, **self.options) or response

    def ending(self):
        if self.kind == "stall":
            return "stall", self.options.get("seconds", 3600)
        return (self.kind,)

    def break_body(self, response, at):
        start, end, count = response.start, response.end, self.options.get("count", 1)
        plan = [("content", start, at)]
        if self.kind in ("fin", "rst"):
            plan += [self.ending()]
        elif self.kind == "stall":
            plan += [self.ending(), ("content", at, end)]
        elif self.kind == "drip":
            plan += [("drip", at, end, self.options.get("seconds", 1))]
        elif self.kind == "flip":
            wrong = bytes([response.content.read(at, at + 1)[0] ^ 1])
            plan += [("bytes", wrong), ("content", at + 1, end)]
        elif self.kind == "short":
            at = max(start, min(at, end - count))
            plan = [("content", start, at), ("content", min(end, at + count), end)]
            response.length = max(0, end - start - count)
        else:
            plan += [("bytes", b"\xa5" * count), ("content", at, end)]
            response.length = end - start + count
        response.plan = [step for step in plan if step[0] != "content" or step[1] < step[2]]


def content_range(_request, response, shift=1, **value):
    if "value" in value:
        response.headers["Content-Range"] = value["value"]
    else:
        first, last = response.start + shift, response.end - 1 + shift
        response.headers["Content-Range"] = f"bytes {first}-{last}/{response.content.size}"


def ignore_range(_request, response):
    response.status, response.start, response.end = 200, 0, response.content.size
    response.headers["Content-Range"] = None


def status(_request, _response, status=503, code=None, message=None, headers=None, body=b""):
    return Response(status, {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})},
                    text=body)


def too_many(_request, _response, wait="ratelimit", seconds=1):
    headers = {
        "ratelimit": {"RateLimit": f'"resolvers";r=0;t={seconds}',
                      "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300'},
        "retry-after": {"Retry-After": str(seconds)},
        "date": {"Retry-After": email.utils.formatdate(time.time() + seconds, usegmt=True)},
        None: {}}[wait]
    return Response(429, headers, text=b'{"error":"Too many requests"}')


def expired(_request, _response):
    return Response(403, {"Content-Type": "application/xml"}, text=EXPIRED)


def redirect(_request, _response, location="/", status=302):
    return Response(status, {"Location": location}, text=b"Found")


def redirect_loop(request, _response, status=302, grow=False):
    target = request.target
    if grow:
        target += ("&" if "?" in target else "?") + f"hop={request.number}"
    return Response(status, {"Location": target}, text=b"Found")


def html(_request, _response):
    return Response(200, {"Content-Type": "text/html; charset=utf-8"}, text=PAGE)


def garbage(_request, response):
    response.render()
    response.text = response.text[:len(response.text) // 2]


def edit(_request, response, edit=None):
    changed = edit(response.json)
    if changed is not None:
        response.json = changed


def headers(_request, response, set=None):
    response.headers.update(set)


def no_commit(_request, response):
    response.headers["X-Repo-Commit"] = None


def no_sha(_request, response):
    response.json.pop("sha", None)


def delay(_request, response, seconds=1):
    response.delay = seconds


def tree_loop(request, response):
    response.headers["Link"] = f'<{response.origins["hub"]}{request.target}>; rel="next"'


def tree_elsewhere(request, response, url=None):
    response.headers["Link"] = f'<{url or response.origins["cdn"] + request.target}>; rel="next"'


def entry(response, path, wanted):
    for item in response.json:
        if item["path"] == path or (path is None and wanted(item)):
            return item
    raise KeyError(f"no such entry on this page: {path}")


def is_file(item):
    return item["type"] == "file"


def tree_twice(_request, response, path=None):
    copy = {**entry(response, None, is_file)}
    response.json.append({**copy, "path": path or copy["path"]})


def tree_size(_request, response, path=None, value=1):
    found = entry(response, path, is_file)
    found["size"] = value
    if "lfs" in found:
        found["lfs"]["size"] = value


def tree_oid(_request, response, path=None, value="0" * 40):
    entry(response, path, lambda item: is_file(item) and "lfs" not in item)["oid"] = value


def tree_sha256(_request, response, path=None, value="0" * 64):
    entry(response, path, lambda item: "lfs" in item)["lfs"]["oid"] = value


KINDS = {
    "content_range": content_range, "ignore_range": ignore_range, "status": status, "429": too_many,
    "expired": expired, "redirect": redirect, "redirect_loop": redirect_loop, "html": html,
    "garbage": garbage, "edit": edit, "headers": headers, "no_commit": no_commit, "no_sha": no_sha,
    "delay": delay, "tree_loop": tree_loop, "tree_elsewhere": tree_elsewhere,
    "tree_twice": tree_twice, "tree_size": tree_size, "tree_oid": tree_oid,
    "tree_sha256": tree_sha256,
}


def apply_all(faults, request, response):
    """What becomes of an answer; every fault that wants it has its turn, in their order."""
    for fault in faults:
        if fault.wants(request, response) and fault.due():
            response = fault.apply(request, response)
    return response
