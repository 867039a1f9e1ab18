#!/usr/bin/env python3
"""An S3 server that keeps next to nothing: sizes and checksums of what it was sent, and the bodies
of small objects. So a file of any size can be published on a machine that has no room for it.

    sinkserver.py [--keep BYTES]     prints its URL and runs until SIGTERM

Every bucket exists. It knows the requests of an upload (PUT, multipart), GET and HEAD of objects,
listings (without paging), and deletes. Signatures are not checked, and the bytes of parts are not
even read out of the kernel: MSG_TRUNC throws them away there. aws-chunked bodies are followed chunk
by chunk to their trailer. An object that was not kept can't be read back: 500.
GET /-/stats: {"requests": n, "operations": {name: n}, "objects": [sizes]}.
"""
import argparse
import base64
import collections
import hashlib
import json
import signal
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

KEEP = 1 << 20
PIECE = 1 << 20
REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 404: "Not Found",
           409: "Conflict", 412: "Precondition Failed", 500: "Internal Server Error"}
STAMP = "2025-01-02T03:04:05.000Z"


class Object:
    def __init__(self, size, body, etag, headers, checksum):
        self.size, self.body, self.etag, self.checksum = size, body, etag, checksum
        self.meta = {name: value for name, value in headers.items()
                     if name.startswith("x-amz-meta-") or name == "content-type"}


class State:
    def __init__(self):
        self.lock = threading.Lock()
        self.objects, self.uploads = {}, {}
        self.operations = collections.Counter()


class Body:
    """A request's body, by its framing: read() takes what is kept, drop() throws away."""

    def __init__(self, handler, headers):
        self.handler = handler
        self.length = int(headers.get("content-length", 0))
        self.chunked = "aws-chunked" in headers.get("content-encoding", "") or \
            headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        self.size = int(headers.get("x-amz-decoded-content-length", self.length))
        self.trailer = {}

    def take(self, keep):
        """The bytes if they are to be kept, else None."""
        found = []
        if not self.chunked:
            self.piece(self.length, keep, found)
            return b"".join(found) if keep else None
        while (n := int(self.handler.line().split(b";")[0], 16)) > 0:
            self.piece(n, keep, found)
            self.handler.line()
        while line := self.handler.line():
            name, _, value = line.decode().partition(":")
            self.trailer[name.strip().lower()] = value.strip()
        return b"".join(found) if keep else None

    def piece(self, n, keep, found):
        if keep:
            found.append(self.handler.exactly(n))
        else:
            self.handler.discard(n)


class Handler(socketserver.BaseRequestHandler):
    """One connection. Lines are read from a buffer of our own, so that what is behind the head is
    still in the kernel or known to be in the buffer."""

    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.scratch = memoryview(bytearray(PIECE))

    def more(self):
        got = self.request.recv(4096)
        if not got:
            raise EOFError
        self.buffer += got

    def line(self):
        while b"\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def exactly(self, n):
        while len(self.buffer) < n:
            self.more()
        found, self.buffer = self.buffer[:n], self.buffer[n:]
        return found

    def discard(self, n):
        here = min(n, len(self.buffer))
        self.buffer = self.buffer[here:]
        n -= here
        while n > 0:
            got = self.request.recv_into(self.scratch, min(n, PIECE), socket.MSG_TRUNC)
            if got == 0:
                raise EOFError
            n -= got

    def handle(self):
        try:
            while True:
                self.one()
        except (EOFError, ConnectionError):
            pass

    def one(self):
        method, target, _ = self.line().decode().split(" ")
        headers = {}
        while line := self.line().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        path, _, query = target.partition("?")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        if path == "/-/stats":
            self.answer(200, {}, self.stats())
            return
        _, bucket, *key = path.split("/", 2)
        name = (bucket, urllib.parse.unquote(key[0]) if key else "")
        body = Body(self, headers)
        operation = operation_of(method, name[1], query, headers)
        with STATE.lock:
            STATE.operations[operation] += 1
        status, extra, text = getattr(self, operation)(name, query, headers, body)
        self.answer(status, extra, text, method == "HEAD")

    def answer(self, status, headers, text=b"", head=False):
        headers = {"Content-Length": len(text), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.request.sendall(f"HTTP/1.1 {status} {REASONS[status]}\r\n{lines}\r\n".encode() +
                             (b"" if head else text))

    def stats(self):
        return json.dumps({"requests": sum(STATE.operations.values()),
                           "operations": STATE.operations,
                           "objects": sorted(o.size for o in STATE.objects.values())}).encode()

    # The operations, by S3's names: (status, headers, body).

    def PutObject(self, name, _query, headers, body):
        data = body.take(body.size <= KEEP)
        told = checksum_of(headers, body)
        etag = hashlib.md5(data or b"%d" % body.size).hexdigest()
        with STATE.lock:
            old = STATE.objects.get(name)
            if headers.get("if-none-match") == "*" and old or \
                    "if-match" in headers and (not old or headers["if-match"].strip('"') != old.etag):
                return 412, {}, error("PreconditionFailed")
            STATE.objects[name] = Object(body.size, data, etag, headers, told)
        return 200, {"ETag": f'"{etag}"', **checksum_header(told)}, b""

    def CreateMultipartUpload(self, name, _query, headers, body):
        body.take(True)
        upload = f"upload{time.monotonic_ns()}"
        with STATE.lock:
            STATE.uploads[upload] = (name, headers, {})
        return 200, {"x-amz-checksum-algorithm": "SHA256"}, xml(
            "InitiateMultipartUploadResult",
            f"<Bucket>{name[0]}</Bucket><Key>{escape(name[1])}</Key><UploadId>{upload}</UploadId>")

    def UploadPart(self, _name, query, headers, body):
        body.take(False)
        told = checksum_of(headers, body)
        number = int(query["partNumber"])
        etag = hashlib.md5(f"{told} {number}".encode()).hexdigest()
        with STATE.lock:
            if query["uploadId"] not in STATE.uploads:
                return 404, {}, error("NoSuchUpload")
            STATE.uploads[query["uploadId"]][2][number] = (body.size, etag, told)
        return 200, {"ETag": f'"{etag}"', **checksum_header(told)}, b""

    def CompleteMultipartUpload(self, name, query, _headers, body):
        body.take(True)
        with STATE.lock:
            _, headers, parts = STATE.uploads.pop(query["uploadId"])
            size = sum(part[0] for part in parts.values())
            digests = b"".join(base64.b64decode(parts[n][2]) for n in sorted(parts))
            told = base64.b64encode(hashlib.sha256(digests).digest()).decode()
            told = f"{told}-{len(parts)}"
            etag = f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"
            STATE.objects[name] = Object(size, None, etag, headers, told)
        return 200, {}, xml("CompleteMultipartUploadResult",
                            f'<ETag>"{etag}"</ETag><ChecksumSHA256>{told}</ChecksumSHA256>')

    def AbortMultipartUpload(self, _name, query, _headers, _body):
        with STATE.lock:
            STATE.uploads.pop(query["uploadId"], None)
        return 204, {}, b""

    def ListParts(self, _name, query, _headers, _body):
        with STATE.lock:
            parts = dict(STATE.uploads[query["uploadId"]][2])
        return 200, {}, xml("ListPartsResult", "<IsTruncated>false</IsTruncated>" + "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>\"{etag}\"</ETag><Size>{size}</Size>"
            f"<ChecksumSHA256>{told}</ChecksumSHA256></Part>"
            for n, (size, etag, told) in sorted(parts.items())))

    def ListMultipartUploads(self, name, query, _headers, _body):
        prefix = query.get("prefix", "")
        with STATE.lock:
            found = [(n[1], upload) for upload, (n, _, _) in STATE.uploads.items()
                     if n[0] == name[0] and n[1].startswith(prefix)]
        return 200, {}, xml("ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>" + "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
            f"<Initiated>{STAMP}</Initiated></Upload>" for key, upload in sorted(found)))

    def ListObjects(self, name, query, _headers, _body):
        prefix = query.get("prefix", "")
        with STATE.lock:
            found = sorted((n[1], o) for n, o in STATE.objects.items()
                           if n[0] == name[0] and n[1].startswith(prefix))
        return 200, {}, xml("ListBucketResult", "<IsTruncated>false</IsTruncated>"
                            f"<KeyCount>{len(found)}</KeyCount>" + "".join(
                                f"<Contents><Key>{escape(key)}</Key><Size>{o.size}</Size>"
                                f"<LastModified>{STAMP}</LastModified><ETag>\"{o.etag}\"</ETag>"
                                "</Contents>" for key, o in found))

    def GetObject(self, name, _query, headers, _body):
        with STATE.lock:
            found = STATE.objects.get(name)
        if found is None:
            return 404, {}, error("NoSuchKey")
        if found.body is None:
            return 500, {}, error("InternalError")
        told = {"ETag": f'"{found.etag}"', "Last-Modified": "Thu, 02 Jan 2025 03:04:05 GMT",
                **found.meta, **checksum_header(found.checksum)}
        if "range" not in headers:
            return 200, told, found.body
        start, end = headers["range"].removeprefix("bytes=").split("-")
        end = min(int(end or found.size - 1), found.size - 1)
        told["Content-Range"] = f"bytes {start}-{end}/{found.size}"
        return 206, told, found.body[int(start):end + 1]

    def HeadObject(self, name, _query, _headers, _body):
        with STATE.lock:
            found = STATE.objects.get(name)
        if found is None:
            return 404, {}, b""
        return 200, {"ETag": f'"{found.etag}"', "Content-Length": found.size, **found.meta,
                     "Last-Modified": "Thu, 02 Jan 2025 03:04:05 GMT",
                     **checksum_header(found.checksum)}, b""

    def DeleteObject(self, name, _query, _headers, _body):
        with STATE.lock:
            STATE.objects.pop(name, None)
        return 204, {}, b""

    def HeadBucket(self, _name, _query, _headers, _body):
        return 200, {}, b""

    def Unknown(self, _name, _query, _headers, body):
        body.take(False)
        return 500, {}, error("NotImplemented")


def operation_of(method, key, query, _headers):
    if not key:
        return {"HEAD": "HeadBucket", "GET": "ListMultipartUploads" if "uploads" in query
                else "ListObjects"}.get(method, "Unknown")
    if "uploadId" in query:
        return {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "GET": "ListParts",
                "DELETE": "AbortMultipartUpload"}.get(method, "Unknown")
    return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject",
            "POST": "CreateMultipartUpload" if "uploads" in query else "Unknown"}.get(method,
                                                                                       "Unknown")


def checksum_of(headers, body):
    return headers.get("x-amz-checksum-sha256") or body.trailer.get("x-amz-checksum-sha256", "")


def checksum_header(told):
    return {"x-amz-checksum-sha256": told} if told else {}


def xml(root, inner):
    return f'<?xml version="1.0" encoding="UTF-8"?><{root}>{inner}</{root}>'.encode()


def error(code):
    return xml("Error", f"<Code>{code}</Code><Message>{code}</Message>")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


STATE = State()


def main():
    global KEEP  # pylint: disable=global-statement
    parser = argparse.ArgumentParser(description="An S3 server that keeps next to nothing.")
    parser.add_argument("--keep", type=int, default=KEEP, help="bodies up to this size")
    KEEP = parser.parse_args().keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(("127.0.0.1", 0), Handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
