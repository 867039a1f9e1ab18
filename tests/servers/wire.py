"""HTTP/1.1 over sockets: reads requests, writes responses, and breaks them at a given byte.

A Listener is one origin (a port). It gives each connection a thread, which reads one Request after
the other, asks the handler for its Response and sends that. The body of a response goes out as a
list of steps, its plan; faults.py changes the plan, so that every fault is an ordinary list:

    ("content", a, b)     these bytes of the content (sendfile where it has a descriptor)
    ("bytes", data)       other bytes
    ("drip", a, b, s)     bytes of the content, one every s seconds
    ("stall", s)          nothing for s seconds, or until the client leaves
    ("fin",), ("rst",)    the end of the connection
"""
import collections
import fcntl
import http
import itertools
import json
import os
import select
import socket
import struct
import termios
import threading
import time
import traceback
import urllib.parse

HEAD_LIMIT = 64 << 10
BODY_LIMIT = 16 << 20
COPY = 256 << 10
SMALL = 16 << 10
SEND_LIMIT = 1 << 30
# No peer of a test is silent for that long unless something hangs.
SILENCE = 300
REASONS = {status.value: status.phrase for status in http.HTTPStatus}


class Request:
    """A request as it came, and what became of it."""

    __slots__ = ("number", "origin", "connection", "method", "target", "path", "query", "headers",
                 "body", "time", "endpoint", "repo", "file", "bucket", "status", "sent", "faults")

    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers
        self.path, _, query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True)) if query else {}
        self.body = b""
        self.number = self.origin = self.connection = None
        self.endpoint = self.repo = self.file = self.bucket = self.status = None
        self.faults = []
        self.sent = 0
        self.time = time.time()

    def header(self, name, default=None):
        return self.headers.get(name.lower(), default)

    def as_dict(self):
        record = {name: getattr(self, name) for name in self.__slots__ if name != "body"}
        return {**record, "body": len(self.body)}

    def __repr__(self):
        return (f"<{self.number} {self.origin} {self.method} {self.target} "
                f"{self.header('range', '')} -> {self.status}, {self.sent} bytes>")


class Response:
    """Status, headers, and as body the bytes [start, end) of a content, or `text`."""

    def __init__(self, status=200, headers=None, content=None, text=None):
        self.status = status
        self.headers = headers or {}
        self.content = content
        self.start, self.end = 0, content.size if content else 0
        self.text = text
        # A JSON body, not yet turned into text, so that faults can change it.
        self.json = None
        self.chunked = False
        # The URLs of the origins by name, for what has to be absolute.
        self.origins = {}
        # What faults set: another plan for the body, another Content-Length, steps in place of
        # everything, a pause ahead of everything.
        self.plan = None
        self.length = None
        self.instead = None
        self.delay = 0

    def render(self):
        if self.json is not None:
            self.text = json.dumps(self.json, separators=(",", ":")).encode()
            self.json = None

    def whole(self):
        """The step for the body; head and body of a small one leave in one packet."""
        if self.end - self.start <= SMALL:
            return "bytes", self.content.read(self.start, self.end)
        return "content", self.start, self.end

    def finish(self):
        self.render()
        if self.plan is None:
            self.plan = []
            if self.text:
                self.plan.append(("bytes", self.text))
            elif self.start < self.end:
                self.plan.append(self.whole())
        if self.chunked:
            self.headers["Transfer-Encoding"] = "chunked"
            self.plan = [("bytes", b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.text), self.text))]
        else:
            if self.length is None:
                self.length = self.end - self.start if self.text is None else len(self.text)
            self.headers.setdefault("Content-Length", self.length)

    def head(self):
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


class Gone(Exception):
    """The client has left, or this side has ended the connection."""


class Malformed(Exception):
    pass


def parse_head(head):
    """(first line's three words, headers with lower-case names)."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) < 3:
        raise Malformed(lines[0])
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed(line)
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return words, headers


class Reader:
    """What a socket sends, by heads and bodies."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def fill(self):
        piece = self.sock.recv(COPY)
        self.buffer += piece
        return len(piece)

    def head(self):
        """Everything up to the blank line; None if the peer has closed ahead of it."""
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > HEAD_LIMIT:
                raise Malformed("endless head")
            if not self.fill():
                return None
        head = bytes(self.buffer[:end])
        del self.buffer[:end + 4]
        return head

    def line(self):
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > HEAD_LIMIT or not self.fill():
                raise Malformed("no line")
        line = bytes(self.buffer[:end + 1])
        del self.buffer[:end + 1]
        return line

    def some(self, most):
        """At most so many bytes, as soon as there are any; b"" at the end."""
        if not self.buffer:
            return self.sock.recv(min(most, COPY))
        piece = bytes(self.buffer[:most])
        del self.buffer[:most]
        return piece

    def exactly(self, length):
        while len(self.buffer) < length:
            if not self.fill():
                raise Gone
        piece = bytes(self.buffer[:length])
        del self.buffer[:length]
        return piece

    def chunks(self):
        pieces = []
        while size := int(self.line().split(b";")[0], 16):
            pieces.append(self.exactly(size))
            self.line()
        while self.line().strip():
            pass
        return b"".join(pieces)


def prepare(sock):
    """Options of every accepted socket; a hung peer must not keep a thread for ever."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    silence = struct.pack("ll", SILENCE, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, silence)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, silence)


def wait(sock, seconds):
    """Waits so long, or until the peer has left, which raises Gone."""
    poller = select.poll()
    poller.register(sock, select.POLLRDHUP)
    if poller.poll(seconds * 1000):
        raise Gone


def flush(sock):
    """What MSG_MORE has held back must not wait any longer."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def reset(sock):
    """Ends with RST, but not ahead of the bytes that were to come first."""
    flush(sock)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]:
            break
        time.sleep(0.001)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def finish(sock):
    """Ends with FIN. close(2) would make that an RST if the peer has sent what nobody read."""
    sock.shutdown(socket.SHUT_WR)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
    while sock.recv(COPY):
        pass


class Sender:
    """Sends responses on one connection."""

    def __init__(self, sock):
        self.sock = sock
        self.plain = isinstance(sock, socket.socket) and not hasattr(sock, "cipher")
        self.sent = 0

    def send(self, request, response):
        """The whole response; request.sent counts the bytes of its body."""
        self.sent = 0
        try:
            if response.delay:
                wait(self.sock, response.delay)
            self.send_all(request, response)
        finally:
            request.sent = self.sent

    def send_all(self, request, response):
        for step in response.instead or ():
            self.step(step, response.content)
        if response.instead:
            raise Gone
        response.finish()
        head, plan = response.head(), response.plan
        bodyless = request.method == "HEAD" or response.status in (204, 304)
        if bodyless or not plan:
            self.sock.sendall(head)
        elif plan[0][0] == "bytes":
            self.sock.sendall(head + plan[0][1])
            self.sent += len(plan[0][1])
            plan = plan[1:]
        elif self.plain:
            self.sock.sendall(head, socket.MSG_MORE)
        else:
            self.sock.sendall(head)
        for step in () if bodyless else plan:
            self.step(step, response.content)

    def step(self, step, content):
        kind, *args = step
        if kind == "content":
            self.send_content(content, *args)
        elif kind == "bytes":
            self.sock.sendall(args[0])
            self.sent += len(args[0])
        elif kind == "drip":
            start, end, interval = args
            for offset in range(start, end):
                self.send_content(content, offset, offset + 1)
                wait(self.sock, interval)
        elif kind == "stall":
            flush(self.sock)
            wait(self.sock, args[0])
        elif kind == "fin":
            finish(self.sock)
            raise Gone
        elif kind == "rst":
            reset(self.sock)
            raise Gone
        else:
            raise ValueError(f"no such step: {kind}")

    def send_content(self, content, start, end):
        while start < end:
            span = content.span(start, end) if self.plain else None
            if span is None:
                piece = content.read(start, min(end, start + COPY))
                self.sock.sendall(piece)
                done = len(piece)
            else:
                done = os.sendfile(self.sock.fileno(), span[0], span[1], min(span[2], SEND_LIMIT))
            if not done:
                raise Gone
            start += done
            self.sent += done


class Listener:
    """One origin. handler(request) -> Response is called in the thread of the connection."""

    numbers = itertools.count(1)

    def __init__(self, name, handler, port=0, tls=None):
        self.name, self.handler, self.tls = name, handler, tls
        self.done = lambda request: None
        self.sock = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self.sock.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.lock = threading.Lock()
        self.connections = {}
        self.accepted = self.peak = 0
        self.errors = collections.deque(maxlen=20)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            number = next(self.numbers)
            thread = threading.Thread(target=self.serve, args=(sock, number), daemon=True)
            with self.lock:
                self.connections[number] = sock, thread
                self.accepted += 1
                self.peak = max(self.peak, len(self.connections))
                # Within the lock: close() joins whatever is in the list.
                thread.start()

    def serve(self, sock, number):
        try:
            prepare(sock)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self.connections[number] = sock, threading.current_thread()
            self.converse(sock, number)
        except (OSError, Gone, Malformed):
            pass
        except Exception:  # pylint: disable=broad-exception-caught
            self.errors.append(traceback.format_exc())
        finally:
            with self.lock:
                self.connections.pop(number)
            sock.close()

    def converse(self, sock, number):
        reader, sender = Reader(sock), Sender(sock)
        while (head := reader.head()) is not None:
            (method, target, version), headers = parse_head(head)
            request = Request(method, target, headers)
            request.origin, request.connection = self.name, number
            if headers.get("expect", "").lower() == "100-continue":
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if "chunked" in headers.get("transfer-encoding", ""):
                request.body = reader.chunks()
            elif (length := int(headers.get("content-length", 0))) > BODY_LIMIT:
                raise Malformed("body too long")
            elif length:
                request.body = reader.exactly(length)
            response = self.handler(request)
            try:
                sender.send(request, response)
            finally:
                self.done(request)
            if version == "HTTP/1.0" or headers.get("connection", "").lower() == "close":
                finish(sock)
                return

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        with self.lock:
            open_now = list(self.connections.values())
        for sock, _ in open_now:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for _, thread in open_now:
            thread.join(10)
