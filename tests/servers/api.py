"""The Hub's endpoints, and the CDN's: what a request is answered if nothing goes wrong.

Api.answer(request) is called by hub.py for the Hub's origin, Cdn.answer(request) for the CDN's.
Both note in the request what it was about: endpoint, repo, file. The state (repositories, tokens,
settings) belongs to the HubServer.
"""
import base64
import functools
import gzip
import hashlib
import hmac
import json
import re
import time
import urllib.parse

from repo import text_type
from wire import Response

PLURALS = {"model": "models", "dataset": "datasets", "space": "spaces"}
KINDS = {plural: kind for kind, plural in PLURALS.items()}
VERBS = {"revision", "tree", "paths-info", "refs", "xet-read-token", "resolve"}
SHA = re.compile(r"[0-9a-f]{40}")
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
REDIRECTED = {307: "Temporary Redirect", 302: "Found"}
EXPAND_PAGE = 50


class Refused(Exception):
    """An error of the Hub's, by its headers."""

    def __init__(self, status, code=None, message=None, commit=None):
        super().__init__(message)
        self.status, self.code, self.message, self.commit = status, code, message, commit

    def response(self):
        message = self.message and self.message.encode("ascii", "replace").decode()
        return Response(self.status, {
            "Content-Type": "application/json; charset=utf-8", "X-Error-Code": self.code,
            "X-Error-Message": message, "X-Repo-Commit": self.commit,
        }, text=json.dumps({"error": self.message}).encode())


def json_response(value, headers=None):
    response = Response(200, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})
    response.json = value
    return response


def redirect(status, location, headers=None):
    text = f"{REDIRECTED[status]}. Redirecting to {location}".encode()
    return Response(status, {"Location": location, "Content-Type": "text/plain; charset=utf-8",
                             **(headers or {})}, text=text)


def quoted(path):
    """Each segment encoded once, the slashes kept."""
    return urllib.parse.quote(path, safe="/")


def true(value):
    return str(value).lower() in ("true", "1")


def wanted_range(request, size):
    """(start, end) of a Range header with one range, None without, ValueError beyond the end."""
    match = RANGE.fullmatch(request.header("range", ""))
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= size:
        raise ValueError
    return (start, end) if start < end else None


def same_etag(header, etag):
    return header is not None and any(
        tag.strip().removeprefix("W/") in (etag, "*") for tag in header.split(","))


def bytes_of(request, content, etag, headers):
    """200, 206, 304 or 416 for a content."""
    headers = {"ETag": etag, "Accept-Ranges": "bytes", **headers}
    if same_etag(request.header("if-none-match"), etag):
        return Response(304, {**headers, "Content-Length": None})
    try:
        part = wanted_range(request, content.size)
    except ValueError:
        return Response(416, {**headers, "Content-Range": f"bytes */{content.size}"}, text=b"")
    if part is None or request.header("if-range", etag) != etag:
        return Response(200, headers, content)
    headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{content.size}"
    response = Response(206, headers, content)
    response.start, response.end = part
    return response


def zipped(content, headers):
    """A text as the Hub sends it to who accepts gzip: no length, a weak ETag."""
    response = Response(200, {**headers, "ETag": "W/" + headers["ETag"], "Content-Encoding": "gzip",
                              "Vary": "Accept-Encoding"},
                        text=gzip.compress(content.read(0, content.size), mtime=0))
    response.chunked = True
    return response


def split_name(segments):
    """(id, rest) of the segments behind /api/models/; an id has one part or two."""
    for count in (1, 2):
        if len(segments) > count and segments[count] in VERBS:
            return "/".join(segments[:count]), segments[count:]
    return "/".join(segments), []


class Api:
    def __init__(self, hub):
        self.hub = hub

    def answer(self, request):
        raw = request.path.removeprefix("/").split("/")
        segments = [urllib.parse.unquote(segment) for segment in raw]
        try:
            if segments[0] == "api":
                return self.api(request, segments[1:])
            return self.page(request, segments)
        except Refused as refused:
            return refused.response()

    # Who may see what.

    def user(self, request):
        """The set of ids that the token may read, None for nobody."""
        header = request.header("authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or token not in self.hub.tokens:
            raise Refused(401, None, "Invalid credentials in Authorization header")
        return self.hub.tokens[token]

    def find(self, request, kind, name):
        """The repository, if the caller may know of it."""
        may_read = self.user(request)
        repo = self.hub.repos.get((kind, name))
        if repo is None or (repo.private and name not in (may_read or ())):
            if may_read is not None:
                raise Refused(404, "RepoNotFound", "Repository not found")
            raise Refused(401, "RepoNotFound" if self.hub.repo_code else None,
                          "Invalid username or password.")
        request.repo = repo.id
        if repo.disabled:
            raise Refused(403, None, "Access to this resource is disabled.")
        return repo

    def check_gate(self, request, repo):
        """Gating protects the bytes alone."""
        may_read = self.user(request)
        if repo.gated and repo.id not in (may_read or ()):
            raise Refused(401 if may_read is None else 403, "GatedRepo",
                          f"Access to {PLURALS[repo.kind][:-1]} {repo.id} is restricted.")

    @staticmethod
    def commit(repo, revision):
        found = repo.find(revision)
        if found is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def renamed(self, request, kind, name, first):
        """A redirect to the new name, if there is one; `first` is the name's place in the path."""
        new = self.hub.renames.get((kind, name))
        if new is None:
            return None
        path, mark, query = request.target.partition("?")
        parts = path.split("/")
        parts[first:first + 1 + name.count("/")] = quoted(new).split("/")
        return redirect(307, "/".join(parts) + mark + query)

    # /api

    def api(self, request, segments):
        if segments[:1] == ["whoami-v2"]:
            request.endpoint = "whoami"
            if self.user(request) is None:
                raise Refused(401, None, "Invalid username or password.")
            return json_response({"type": "user", "name": "tester", "orgs": [], "auth": {}})
        if segments[:1] == ["resolve-cache"] and len(segments) > 3 and segments[1] in KINDS:
            return self.resolve_cache(request, KINDS[segments[1]], segments[2:])
        if len(segments) < 2 or segments[0] not in KINDS:
            request.endpoint = "unknown"
            raise Refused(404, None, "Sorry, we can't find the page you are looking for.")
        kind = KINDS[segments[0]]
        name, rest = split_name(segments[1:])
        verb = rest[0] if rest else "info"
        request.endpoint = "info" if verb == "revision" else verb
        moved = self.renamed(request, kind, name, 3)
        if moved is not None:
            return moved
        repo = self.find(request, kind, name)
        handler = {"info": self.info, "revision": self.info, "tree": self.tree,
                   "paths-info": self.paths_info, "refs": self.refs,
                   "xet-read-token": self.xet_token}.get(verb)
        if handler is None:
            raise Refused(404, None, "Not found")
        return handler(request, repo, rest[1:])

    def info(self, request, repo, rest):
        commit = self.commit(repo, rest[0] if rest else "main")
        blobs = true(request.query.get("blobs"))
        siblings = []
        for path, file in sorted(commit.files.items()):
            siblings.append({"rfilename": path})
            if blobs:
                siblings[-1].update(size=file.size, blobId=file.oid)
                if file.lfs:
                    siblings[-1]["lfs"] = {"sha256": file.sha256, "size": file.size,
                                           "pointerSize": len(file.pointer)}
        value = {"_id": commit.sha[:24], "id": repo.id, "author": repo.id.split("/")[0],
                 "sha": commit.sha, "private": repo.private, "gated": repo.gated,
                 "disabled": repo.disabled, "lastModified": commit.date,
                 "createdAt": "2024-01-01T00:00:00.000Z", "downloads": 7, "likes": 1, "tags": [],
                 "siblings": siblings, "usedStorage": sum(f.size for f in commit.files.values())}
        if repo.kind == "model":
            value.update(modelId=repo.id, spaces=[])
        return json_response(value)

    def entry(self, commit, path, file, expand):
        if file is None:
            oid = hashlib.sha1(f"tree {commit.sha} {path!r}".encode()).hexdigest()
            value = {"type": "directory", "oid": oid, "size": 0, "path": path}
        else:
            value = {"type": "file", "oid": file.oid, "size": file.size}
            if file.lfs:
                value["lfs"] = {"oid": file.sha256, "size": file.size,
                                "pointerSize": len(file.pointer)}
                if self.hub.xet:
                    value["xetHash"] = file.xet
            value["path"] = path
        if expand:
            value["lastCommit"] = {"id": commit.sha, "title": commit.title, "date": commit.date}
            if file is not None:
                value["securityFileStatus"] = {"status": "safe", "avScan": None,
                                               "pickleImportScan": None}
        return value

    def tree(self, request, repo, rest):
        commit = self.commit(repo, rest[0] if rest else "main")
        folder = "/".join(rest[1:]).strip("/")
        expand = true(request.query.get("expand", ""))
        found = commit.below(folder, true(request.query.get("recursive", "")))
        if found is None:
            raise Refused(404, "EntryNotFound", f"{folder} does not exist", commit.sha)
        most = min(self.hub.page_size, EXPAND_PAGE) if expand else self.hub.page_size
        limit = request.query.get("limit", "")
        most = min(most, int(limit)) if limit.isdigit() and int(limit) else most
        start = self.after(request.query.get("cursor"), found)
        page = found[start:start + most]
        headers = {}
        if start + most < len(found):
            cursor = base64.urlsafe_b64encode(json.dumps(page[-1][0]).encode()).decode()
            query = urllib.parse.urlencode({**request.query, "cursor": cursor})
            headers["Link"] = f'<{self.hub.url}{request.path}?{query}>; rel="next"'
        entries = [self.entry(commit, path, file, expand) for path, file in page]
        return json_response(entries, headers)

    @staticmethod
    def after(cursor, entries):
        """The index behind the entry that the cursor names."""
        if cursor is None:
            return 0
        try:
            last = json.loads(base64.urlsafe_b64decode(cursor))
            return next(i for i, entry in enumerate(entries) if entry[0] == last) + 1
        except (ValueError, StopIteration):
            raise Refused(400, None, "Invalid cursor") from None

    def paths_info(self, request, repo, rest):
        commit = self.commit(repo, rest[0] if rest else "main")
        if "json" in request.header("content-type", ""):
            asked = json.loads(request.body)
            paths, expand = asked.get("paths", []), asked.get("expand", False)
        else:
            form = urllib.parse.parse_qs(request.body.decode())
            paths, expand = form.get("paths", []), form.get("expand", [""])[0]
        paths = [paths] if isinstance(paths, str) else paths
        entries = dict(commit.tree)
        return json_response([self.entry(commit, path, entries[path], true(expand))
                              for path in paths if path in entries])

    def refs(self, request, repo, _rest):
        value = {"branches": [], "converts": [], "tags": []}
        lists = {"heads": "branches", "convert": "converts", "tags": "tags"}
        if true(request.query.get("include_prs", "")):
            value["pullRequests"] = []
            lists["pr"] = "pullRequests"
        for ref, sha in sorted(repo.refs.items()):
            _, where, name = ref.split("/", 2)
            if where in lists:
                value[lists[where]].append({"name": name if where != "pr" else ref, "ref": ref,
                                            "targetCommit": sha})
        return json_response(value)

    def xet_token(self, _request, _repo, _rest):
        raise Refused(404, None, "There is no xet storage here: set HF_HUB_DISABLE_XET=1")

    # /{id}/resolve

    def page(self, request, segments):
        kind, start = "model", 0
        if segments[0] in ("datasets", "spaces"):
            kind, start = KINDS[segments[0]], 1
        for count in (1, 2):
            at = start + count
            if segments[at:at + 1] == ["resolve"] and len(segments) > at + 2:
                name = "/".join(segments[start:at])
                return self.resolve(request, kind, name, segments[at + 1:])
        request.endpoint = "page"
        if segments == [""]:
            return Response(200, {"Content-Type": "text/html; charset=utf-8"},
                            text=b"<!doctype html><title>Hub</title>")
        return Response(404, {"Content-Type": "text/html; charset=utf-8"},
                        text=b"<!doctype html><title>404</title>")

    def resolve(self, request, kind, name, rest):
        request.endpoint = "resolve"
        moved = self.renamed(request, kind, name, 1 if kind == "model" else 2)
        if moved is not None:
            return moved
        repo = self.find(request, kind, name)
        request.file = path = "/".join(rest[1:])
        self.check_gate(request, repo)
        commit = self.commit(repo, rest[0])
        file = self.file(commit, path)
        if file.lfs:
            return self.to_cdn(request, repo, commit, path, file)
        if file.content.size == 0 or repo.private or repo.gated:
            return self.direct(request, commit, path, file)
        where = f"/api/resolve-cache/{PLURALS[kind]}/{quoted(name)}/{commit.sha}/{quoted(path)}"
        query = urllib.parse.urlencode({request.path: "", "etag": f'"{file.oid}"'})
        return redirect(307, f"{where}?{query}", self.plain_metadata(commit, file))

    @staticmethod
    def file(commit, path):
        if path not in commit.files:
            raise Refused(404, "EntryNotFound", "Entry not found", commit.sha)
        return commit.files[path]

    def plain_metadata(self, commit, file):
        if not self.hub.redirect_metadata:
            return {}
        return {"X-Repo-Commit": commit.sha, "X-Linked-Size": file.size,
                "X-Linked-ETag": f'"{file.etag}"'}

    def resolve_cache(self, request, kind, rest):
        request.endpoint = "resolve-cache"
        at = next((i for i, part in enumerate(rest[:3]) if i and SHA.fullmatch(part)), None)
        if at is None:
            raise Refused(404, "RevisionNotFound", "No commit in the URL")
        repo = self.find(request, kind, "/".join(rest[:at]))
        request.file = path = "/".join(rest[at + 1:])
        commit = self.commit(repo, rest[at])
        return self.direct(request, commit, path, self.file(commit, path))

    @staticmethod
    def direct(request, commit, path, file):
        kind = text_type(path)
        headers = {"X-Repo-Commit": commit.sha, "Content-Type": kind or "application/octet-stream",
                   "Content-Disposition": disposition(path)}
        etag = f'"{file.etag}"'
        accepted = request.header("accept-encoding", "")
        if kind and "gzip" in accepted and not request.header("range") and file.content.size \
                and not same_etag(request.header("if-none-match"), etag):
            return zipped(file.content, {"ETag": etag, **headers})
        return bytes_of(request, file.content, etag, headers)

    def to_cdn(self, request, repo, commit, path, file):
        headers = {"X-Repo-Commit": commit.sha, "X-Linked-Size": file.size,
                   "X-Linked-ETag": f'"{file.sha256}"', "Accept-Ranges": "bytes",
                   "Content-Disposition": disposition(path)}
        if same_etag(request.header("if-none-match"), headers["X-Linked-ETag"]):
            return Response(304, {**headers, "Content-Length": None})
        if self.hub.xet:
            token = f"{self.hub.url}/api/{PLURALS[repo.kind]}/{repo.id}/xet-read-token/{commit.sha}"
            headers.update({"X-Xet-Hash": file.xet, "Link": f'<{token}>; rel="xet-auth"'})
        return redirect(302, self.hub.cdn.sign(repo, path, file), headers)


def disposition(path):
    name = path.rpartition("/")[2]
    ascii_name = re.sub(r"[^ -~]|[\"\\]", "_", name)
    return f"inline; filename*=UTF-8''{urllib.parse.quote(name)}; filename=\"{ascii_name}\";"


def xml_error(status, code, message):
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>' \
           f"<Message>{message}</Message><RequestId>0</RequestId></Error>"
    return Response(status, {"Content-Type": "application/xml", "Server": "AmazonS3"},
                    text=text.encode())


class Cdn:
    """The storage behind signed URLs."""

    def __init__(self, hub):
        self.hub = hub
        self.secret = hashlib.sha256(str(time.time_ns()).encode()).digest()
        # What has a URL, by the key in it.
        self.objects = {}
        self.serial = self.expired = 0

    def signature(self, method_path):
        return hmac.new(self.secret, method_path.encode(), hashlib.sha256).hexdigest()

    def sign(self, repo, path, file):
        """A URL for GET, good for `signed_ttl` seconds or until expire_urls()."""
        key = object_key(path, file.number)
        self.objects[key] = repo.id, path, file
        with self.hub.lock:
            self.serial += 1
            serial = self.serial
        where = f"/repos/{key[:2]}/{key[2:4]}/{key}"
        expires = int(time.time() + self.hub.signed_ttl)
        query = urllib.parse.urlencode({"response-content-disposition": disposition(path),
                                        "Expires": expires, "X-Serial": serial})
        signature = self.signature(f"{where}?{expires}.{serial}")
        return f"{self.hub.cdn_url}{where}?{query}&Signature={signature}&Key-Pair-Id=K1"

    def expire_urls(self):
        self.expired = self.serial

    def refusal(self, request):
        query = request.query
        serial, expires = query.get("X-Serial", ""), query.get("Expires", "")
        signature = self.signature(f"{request.path}?{expires}.{serial}")
        if request.header("authorization") is not None:
            return xml_error(400, "InvalidArgument",
                             "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
                             "parameter, Signature query string parameter or the Authorization "
                             "header should be specified")
        if not hmac.compare_digest(signature, query.get("Signature", "")):
            return xml_error(403, "SignatureDoesNotMatch", "The signature does not match")
        if int(serial) <= self.expired or time.time() > int(expires):
            return xml_error(403, "AccessDenied", "Request has expired")
        if request.method != "GET" and not self.hub.cdn_head:
            return xml_error(403, "AccessDenied", "Access Denied")
        return None

    def answer(self, request):
        request.endpoint = "cdn"
        found = self.objects.get(request.path.rpartition("/")[2])
        if found is None:
            return xml_error(404, "NoSuchKey", "The specified key does not exist.")
        request.repo, request.file, file = found
        refusal = self.refusal(request)
        if refusal is not None:
            return refusal
        if file.content.size > self.hub.cdn_limit and not request.header("range"):
            return Response(400, {"Content-Type": "text/html"}, text=(
                b"<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n"
                b"<center><h1>400 Bad Request</h1></center>\r\n</body>\r\n</html>\r\n"))
        etag = f'"{hashlib.md5(file.etag.encode()).hexdigest()}-2"'
        return bytes_of(request, file.content, etag, {
            "Content-Type": "binary/octet-stream", "Last-Modified": "Thu, 02 Jan 2025 03:04:05 GMT",
            "Content-Disposition": request.query.get("response-content-disposition")})


@functools.lru_cache(maxsize=4096)
def object_key(path, number):
    return hashlib.sha256(f"{number} {path!r}".encode()).hexdigest()
