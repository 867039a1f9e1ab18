"""An HTTP proxy in front of an S3 server that counts the calls and breaks the one it is told to.

    with S3Proxy(server.endpoint) as proxy:        # clients use proxy.endpoint
        proxy.fail("slowdown", operation="UploadPart", nth=2)
        proxy.fail("reset", when="after", nth=5)
        proxy.fail("call", call=child.kill, nth=7) # the client dies at its 7th call
        ...
        proxy.calls, proxy.count("PutObject"), proxy.clear()

Heads and bodies pass as they are, Host and all, so signatures stay good. Bodies are never held.

Which calls: `operation` (as S3's API names it: PutObject, UploadPart, ListObjectsV2, ...; None:
any), `key` (a shell pattern), then the `nth` such call and those after it, `times` in all (1; None: for
ever). When: "before" the server sees the call (the default), "during" its body (`at` bytes of it
have passed), "after" the server has done it and its answer was thrown away, or in the "answer"
(`at` bytes of its body have passed). What:

  reset, fin       the connection ends
  stall            nothing for `seconds` (3600) or until the client leaves; then the connection ends
  status           `status` with `code` as an S3 error; short names for some: see ERRORS
  complete_error   200 with an error in the body, as CompleteMultipartUpload can do
  flip             the byte `at` of the body has a bit flipped (during, answer)
  call             call() is called, then the connection ends
Only in the answer, where `at` is also "head", "middle" or "end" (its last byte):
  drip             from there on one byte every `seconds`
  short, long      a byte is missing or too many there, Content-Length agrees
  content_range    Content-Range is `shift` (1) off; shift=None: absent
  whole            200 with content(key) in place of a range
"""
import fnmatch
import re
import select
import socket
import threading
import urllib.parse

from wire import COPY, Gone, Listener, Reader, finish, parse_head, prepare, reset, wait

ERRORS = {"slowdown": (503, "SlowDown"), "internal": (500, "InternalError"),
          "forbidden": (403, "AccessDenied"), "unavailable": (503, "ServiceUnavailable"),
          "skewed": (403, "RequestTimeTooSkewed"), "expired": (400, "ExpiredToken"),
          "timeout": (400, "RequestTimeout"), "bad_digest": (400, "BadDigest")}
EDITS = {"short", "long", "content_range", "whole"}
KINDS = {"reset", "drip", *EDITS, "fin", "stall", "status", "complete_error", "flip", "call", *ERRORS}
WHENS = ("before", "during", "after", "answer")
# (method, in the query, copied from elsewhere) of calls on an object; the first that fits.
OBJECT_CALLS = (
    ("POST", "uploads", "CreateMultipartUpload"), ("POST", "uploadId", "CompleteMultipartUpload"),
    ("PUT", "partNumber", "UploadPart"), ("DELETE", "uploadId", "AbortMultipartUpload"),
    ("GET", "uploadId", "ListParts"), ("GET", "tagging", "GetObjectTagging"),
    ("PUT", "tagging", "PutObjectTagging"), ("GET", "attributes", "GetObjectAttributes"),
    ("HEAD", "", "HeadObject"), ("GET", "", "GetObject"), ("PUT", "", "PutObject"),
    ("DELETE", "", "DeleteObject"))
BUCKET_CALLS = (
    ("GET", "uploads", "ListMultipartUploads"), ("GET", "location", "GetBucketLocation"),
    ("GET", "list-type", "ListObjectsV2"), ("GET", "versions", "ListObjectVersions"),
    ("POST", "delete", "DeleteObjects"), ("HEAD", "", "HeadBucket"), ("PUT", "", "CreateBucket"),
    ("DELETE", "", "DeleteBucket"), ("GET", "", "ListObjects"))


class Call:
    """A call of the client, and what became of it."""

    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers
        path, _, query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        host = headers.get("host", "").partition(":")[0]
        parts = path.removeprefix("/").split("/", 1)
        if not (host == "localhost" or re.fullmatch(r"[\d.]+", host)):
            parts = [host.partition(".")[0], path.removeprefix("/")]
        self.bucket, self.key = parts[0], urllib.parse.unquote(parts[1] if len(parts) > 1 else "")
        self.operation = self.name()
        self.number = self.connection = self.status = self.fault = None
        self.sent = self.received = 0

    def name(self):
        if not self.bucket:
            return "ListBuckets" if self.method == "GET" else f"STS {self.method}"
        for method, parameter, name in OBJECT_CALLS if self.key else BUCKET_CALLS:
            if method == self.method and (not parameter or parameter in self.query):
                copied = "x-amz-copy-source" in self.headers
                return {"PutObject": "CopyObject",
                        "UploadPart": "UploadPartCopy"}.get(name, name) if copied else name
        return f"{self.method} {'?'.join(['', *self.query])}"

    def __repr__(self):
        return (f"<{self.number} {self.operation} {self.bucket}/{self.key} -> {self.status}"
                f"{', ' + self.fault if self.fault else ''}>")


class Failure:
    def __init__(self, kind, when="before", operation=None, key=None, nth=1, times=1, at=0,
                 call=None, status=500, code="InternalError", seconds=3600, shift=1, content=None):
        if kind not in KINDS or when not in WHENS:
            raise ValueError(f"no such failure: {kind}, {when}")
        if when != "answer" and (kind == "drip" or kind in EDITS or isinstance(at, str)):
            raise ValueError("there is no answer to change")
        if kind == "flip" and when not in ("during", "answer"):
            raise ValueError("there is no byte to flip")
        self.kind, self.when, self.operation, self.key = kind, when, operation, key
        self.nth, self.times, self.at = nth, times, at
        self.call, self.seconds, self.shift, self.content = call, seconds, shift, content
        self.status, self.code = ERRORS.get(kind, (status, code))
        self.seen = self.hits = 0

    def place(self, length):
        """The byte that `at` means in a body of this length."""
        return {"head": 0, "middle": (length or 0) // 2, "end": max(0, (length or 1) - 1)}.get(
            self.at, self.at)

    def due(self, call):
        if self.operation not in (None, call.operation) or (
                self.key is not None and not fnmatch.fnmatchcase(call.key, self.key)):
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


class Message:
    """A head that was read, and how its body is framed."""

    def __init__(self, head, bodyless=False):
        self.raw = head + b"\r\n\r\n"
        self.words, self.headers = parse_head(head)
        self.chunked = "chunked" in self.headers.get("transfer-encoding", "") and not bodyless
        length = self.headers.get("content-length")
        # None: up to the end of the connection.
        self.length = 0 if bodyless else int(length) if length is not None else None

    def set(self, name, value):
        """Another value for a header of the head that is passed on; None removes it."""
        lines = self.raw[:-4].split(b"\r\n")
        lines = [line for line in lines if not line.lower().startswith(name.encode() + b":")]
        if value is not None:
            lines.append(f"{name}: {value}".encode())
        self.raw = b"\r\n".join(lines) + b"\r\n\r\n"


def pump(reader, length, sink):
    """Passes so many bytes (None: all there are) to sink(); returns their number."""
    done = 0
    while length is None or done < length:
        piece = reader.some(COPY if length is None else min(COPY, length - done))
        if not piece:
            if length is None:
                break
            raise Gone
        sink(piece)
        done += len(piece)
    return done


def pump_body(reader, message, sink):
    if not message.chunked:
        return pump(reader, message.length, sink)
    done = 0
    while True:
        line = reader.line()
        sink(line)
        size = int(line.split(b";")[0], 16)
        if not size:
            break
        done += pump(reader, size, sink)
        sink(reader.line())
    while True:
        line = reader.line()
        sink(line)
        if not line.strip():
            return done


class Fuse:
    """A sink in front of another one that acts when `at` bytes have passed."""

    def __init__(self, sink, failure, act, length=None):
        self.sink, self.failure, self.act = sink, failure, act
        self.left = failure.place(length)

    def __call__(self, piece):
        if self.left is None or len(piece) <= self.left:
            self.left = self.left and self.left - len(piece)
            self.sink(piece)
            return
        before, rest = piece[:self.left], piece[self.left:]
        self.left = None
        if before:
            self.sink(before)
        if self.failure.kind == "flip":
            rest = bytes([rest[0] ^ 1]) + rest[1:]
        elif self.failure.kind == "short":
            rest = rest[1:]
        elif self.failure.kind == "long":
            rest = b"\xa5" + rest
        else:
            self.act()
        self.sink(rest)


class Drip:
    """A sink in front of another one that gets slow when `at` bytes have passed."""

    def __init__(self, sink, failure, length, client):
        self.sink, self.seconds, self.client = sink, failure.seconds, client
        self.left = failure.place(length)

    def __call__(self, piece):
        quick, slow = piece[:self.left], piece[self.left:]
        self.left = max(0, self.left - len(piece))
        if quick:
            self.sink(quick)
        for byte in slow:
            wait(self.client, self.seconds)
            self.sink(bytes([byte]))


class S3Proxy(Listener):
    def __init__(self, endpoint, port=0):
        parts = urllib.parse.urlsplit(endpoint)
        self.server = parts.hostname, parts.port
        self.calls, self.failures = [], []
        self.calls_lock = threading.Lock()
        super().__init__("s3", None, port)
        self.endpoint = self.url

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()
        if self.errors and kind is None:
            raise AssertionError("the proxy failed:\n" + "\n".join(self.errors))

    def fail(self, kind, **how):
        failure = Failure(kind, **how)
        self.failures = [*self.failures, failure]
        return failure

    def heal(self):
        self.failures = []

    def count(self, operation=None):
        return sum(operation in (None, call.operation) for call in list(self.calls))

    def clear(self):
        self.calls = []

    def converse(self, sock, number):
        Conversation(self, sock, number).run()

    def begin(self, call):
        """Gives the call its number, and the failure that is due, if any."""
        with self.calls_lock:
            self.calls.append(call)
            call.number = len(self.calls)
            due = [failure for failure in self.failures if failure.due(call)]
        if due:
            call.fault = f"{due[0].kind} {due[0].when}"
        return due[0] if due else None


class Conversation:
    """One connection of a client and the one to the server that belongs to it."""

    def __init__(self, proxy, sock, number):
        self.proxy, self.client, self.number = proxy, sock, number
        self.from_client = Reader(sock)
        self.server = self.from_server = None

    def run(self):
        try:
            while (head := self.from_client.head()) is not None:
                request = Message(head)
                if request.length is None and not request.chunked:
                    request.length = 0
                call = Call(*request.words[:2], request.headers)
                call.connection = self.number
                self.serve(request, call)
        finally:
            if self.server is not None:
                self.server.close()

    def connect(self):
        """The server's side, opened anew if the server has closed it in the meantime."""
        if self.server is not None:
            poller = select.poll()
            poller.register(self.server, select.POLLIN | select.POLLRDHUP)
            if not poller.poll(0):
                return
            self.server.close()
        self.server = socket.create_connection(self.proxy.server)
        self.server.settimeout(None)
        prepare(self.server)
        self.from_server = Reader(self.server)

    def serve(self, request, call):
        failure = self.proxy.begin(call)
        when = failure.when if failure else None
        if when == "before":
            self.fail_before(request, call, failure)
            return
        self.connect()
        sink = self.server.sendall
        if when == "during":
            sink = Fuse(sink, failure, lambda: self.act(failure, both=True))
        response = self.forward(request, call, sink)
        if when == "after":
            pump_body(self.from_server, response, lambda piece: None)
            self.answer(call, failure)
            return
        sink = self.client.sendall
        if failure and failure.kind in EDITS and response.length:
            self.edit(call, response, failure)
        sink(response.raw)
        if failure and failure.kind == "drip":
            sink = Drip(sink, failure, response.length, self.client)
        elif when == "answer" and failure.kind != "content_range":
            sink = Fuse(sink, failure, lambda: self.act(failure, both=True), response.length)
        call.received = pump_body(self.from_server, response, sink)
        if response.length is None and not response.chunked:
            raise Gone

    def edit(self, call, response, failure):
        """Changes the head of an answer to what its body will be."""
        told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("content-range", ""))
        if failure.kind == "whole":
            pump_body(self.from_server, response, lambda piece: None)
            body = failure.content(call.key)
            response.set("content-range", None)
            response.set("content-length", len(body))
            response.raw = b"HTTP/1.1 200 OK" + response.raw[response.raw.index(b"\r\n"):]
            self.client.sendall(response.raw + body)
            call.status = 200
            finish(self.client)
            raise Gone
        if failure.kind != "content_range":
            response.set("content-length", response.length + (-1 if failure.kind == "short" else 1))
        elif told:
            first, last, size = map(int, told.groups())
            response.set("content-range", None if failure.shift is None else
                         f"bytes {first + failure.shift}-{last + failure.shift}/{size}")

    def forward(self, request, call, sink):
        """Sends the request on; returns the head of the final answer."""
        self.server.sendall(request.raw)
        waits = request.headers.get("expect", "").lower() == "100-continue"
        if not waits:
            call.sent = pump_body(self.from_client, request, sink)
        while True:
            head = self.from_server.head()
            if head is None:
                raise Gone
            status = head.split(b" ")[1]
            response = Message(head, call.method == "HEAD" or status in (b"100", b"204", b"304"))
            call.status = int(response.words[1])
            if call.status != 100:
                break
            if waits:
                self.client.sendall(response.raw)
                call.sent = pump_body(self.from_client, request, sink)
                waits = False
        if waits:
            # The body that was not asked for may come or not: nothing can follow it.
            self.client.sendall(response.raw)
            pump_body(self.from_server, response, self.client.sendall)
            raise Gone
        return response

    def fail_before(self, request, call, failure):
        if failure.kind in ERRORS or failure.kind in ("status", "complete_error"):
            if "expect" in request.headers:
                self.answer(call, failure)
                finish(self.client)
                raise Gone
            pump_body(self.from_client, request, lambda piece: None)
        self.answer(call, failure)

    def answer(self, call, failure):
        """The failure in place of an answer."""
        if failure.kind not in ERRORS and failure.kind not in ("status", "complete_error"):
            self.act(failure)
        status = 200 if failure.kind == "complete_error" else failure.status
        call.status = status
        text = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{failure.code}</Code>'
                f"<Message>told to fail</Message><RequestId>{call.number}</RequestId>"
                "</Error>").encode()
        head = (f"HTTP/1.1 {status} Told\r\nContent-Type: application/xml\r\n"
                f"Content-Length: {len(text)}\r\nx-amz-request-id: {call.number}\r\n\r\n").encode()
        self.client.sendall(head if call.method == "HEAD" else head + text)

    def act(self, failure, both=False):
        """Ends the connection in the way that was asked for."""
        if both:
            self.server.close()
        if failure.kind == "stall":
            wait(self.client, failure.seconds)
        elif failure.kind == "call":
            failure.call()
        elif failure.kind == "fin":
            finish(self.client)
        else:
            reset(self.client)
        raise Gone
