"""The real parts that the tests of hfcache-refresh talk to, as context managers.

    with HubServer() as hub: ...              a Hub and its CDN (tests/servers/hub.py)
    with Versitygw(tmp) as s3: ...            an S3 server that checks signatures
                                              (tls=True: https; virtual=True: virtual hosts)
    with Minio(tmp) as s3: ...                another one
    with Minio(tmp, oidc=True) as s3: ...     with an STS: s3.role_arn, s3.irsa_env(token_file),
                                              s3.web_token(path, **claims), s3.assume(token)
    with S3Proxy(s3.endpoint) as proxy: ...   faults in front of one (tests/servers/s3proxy.py)

Both S3 servers have:
  endpoint, access_key, secret_key, region
  env                     AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION;
                          env_for(proxy.endpoint) for use through a proxy
  client                  class S3, which signs on its own; raises S3Error (status, code, body)
  make_bucket(name)       -> "s3://name"
  put(bucket, key, bytes, **metadata), get(bucket, key)
  keys(bucket, prefix)    -> {key: size};  objects(bucket, prefix) -> {key: bytes}
  head(bucket, key)       -> headers, lower-case (etag, x-amz-meta-..., x-amz-checksum-sha256)
  uploads(bucket, prefix) -> keys of unfinished multiparts (MinIO: of exactly the key `prefix`)
  stop(), start()         to be gone for a while, the data kept
Versitygw alone: requests() -> [(operation, key, status)] of its access log.

A server whose program is missing skips the test with the reason that tools/deps.sh has left. Data
lie on tmpfs where there is one. Every server listens on 127.0.0.1 and a free port, and answers when
the `with` begins.
"""
import base64
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
TOOLS = REPO / "build/tools"
sys.path.insert(0, str(REPO / "tests/servers"))

# pylint: disable=wrong-import-position,unused-import
from hub import File, HubServer, Repo, Synthetic, lfs, plain  # noqa: E402
from oidc import OidcProvider  # noqa: E402
from s3proxy import S3Proxy  # noqa: E402

START_SECONDS = 30
EMPTY = hashlib.sha256(b"").hexdigest()


def program(name):
    """The path of a tool, or a skip that says why it isn't there."""
    path = TOOLS / name
    if not path.exists():
        reason = TOOLS / f"{name}.reason"
        why = reason.read_text().strip() if reason.exists() else "make deps"
        pytest.skip(f"no {name}: {why}")
    return path


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def memory_folder():
    """Where servers keep their data: tmpfs if it has room."""
    shm = Path("/dev/shm")
    return shm if shm.is_dir() and os.access(shm, os.W_OK) and \
        shutil.disk_usage(shm).free > 1 << 30 else None


def certificate(folder):
    """(certificate, key) for 127.0.0.1 and localhost, as files for TLS servers and clients."""
    cert, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.localhost"],
                   check=True, capture_output=True)
    return cert, key


def quoted(text, safe="/"):
    return urllib.parse.quote(text, safe="-_.~" + safe)


class S3Error(Exception):
    def __init__(self, status, body):
        self.status, self.body = status, body
        self.code = body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()
        super().__init__(f"{status} {self.code}")


class S3:
    """A client with a SigV4 of its own, so that a mistake in ours isn't made twice."""

    def __init__(self, endpoint, access_key, secret_key, region, session_token=None, ca=None):
        self.host = urllib.parse.urlsplit(endpoint).netloc
        self.tls = ssl.create_default_context(cafile=ca) if endpoint.startswith("https:") else None
        self.access_key, self.secret_key, self.region = access_key, secret_key, region
        self.session_token = session_token

    def signed(self, method, path, query, headers, payload_hash):
        now = time.gmtime()
        stamp, day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
        headers = {"host": self.host, "x-amz-date": stamp, "x-amz-content-sha256": payload_hash,
                   **headers}
        if self.session_token:
            headers["x-amz-security-token"] = self.session_token
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, path, query,
                               *(f"{name}:{headers[name]}" for name in sorted(headers)),
                               "", names, payload_hash])
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret_key).encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, "
                                    f"SignedHeaders={names}, Signature={signature}")
        return headers

    def connect(self):
        if self.tls:
            return http.client.HTTPSConnection(self.host, timeout=60, context=self.tls)
        return http.client.HTTPConnection(self.host, timeout=60)

    def call(self, method, bucket="", key="", query=None, body=b"", headers=None):
        """(headers with lower-case names, body); S3Error if the status is not 2xx."""
        path = "/" + "/".join(quoted(part) for part in (bucket, key) if part)
        query = "&".join(f"{quoted(name, '')}={quoted(str(value), '')}"
                         for name, value in sorted((query or {}).items()))
        signed = self.signed(method, path, query, headers or {}, hashlib.sha256(body).hexdigest())
        connection = self.connect()
        try:
            connection.request(method, path + (f"?{query}" if query else ""), body or None, signed)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status // 100 != 2:
            raise S3Error(answer.status, data)
        return {name.lower(): value for name, value in answer.getheaders()}, data

    def pages(self, bucket, query, marker, next_marker):
        """The XML documents of a listing that goes on."""
        query = dict(query)
        while True:
            root = xml.etree.ElementTree.fromstring(self.call("GET", bucket, query=query)[1])
            for element in root.iter():
                element.tag = element.tag.rpartition("}")[2]
            yield root
            if root.findtext("IsTruncated") != "true":
                return
            query[marker] = root.findtext(next_marker)


class S3Server:
    """What both servers have in common: a process, a folder, credentials, and questions."""

    access_key, secret_key, region = "hfcachetest", "hfcachetest-secret", "us-east-1"

    def __init__(self, tmpdir=None):
        self.tmpdir = Path(tmpdir) if tmpdir else None
        self.folder = self.process = None
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.client = S3(self.endpoint, self.access_key, self.secret_key, self.region)

    def command(self):
        """(arguments, environment)"""
        raise NotImplementedError

    def __enter__(self):
        memory = memory_folder()
        self.folder = Path(tempfile.mkdtemp(prefix="hfcache-s3-", dir=memory or self.tmpdir))
        self.folder.chmod(0o711)  # clients of other users read the certificate
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        argv, env = self.command()
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **env}
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=output, cwd=self.folder, env=env)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "output").read_text(errors="replace")
                pytest.fail(f"{argv[0]} does not answer:\n{text[-3000:]}")
            time.sleep(0.02)

    def answers(self):
        """Is everything there that a test may ask for?"""
        try:
            self.client.call("GET")
            return True
        except (OSError, http.client.HTTPException, S3Error):
            return False

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def env_for(self, endpoint):
        return {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_REGION": self.region}

    @property
    def env(self):
        return self.env_for(self.endpoint)

    def make_bucket(self, name):
        self.client.call("PUT", name)
        return f"s3://{name}"

    def put(self, bucket, key, body, **metadata):
        headers = {f"x-amz-meta-{name}": value for name, value in metadata.items()}
        self.client.call("PUT", bucket, key, body=body, headers=headers)

    def get(self, bucket, key):
        return self.client.call("GET", bucket, key)[1]

    def head(self, bucket, key):
        return self.client.call("HEAD", bucket, key,
                                headers={"x-amz-checksum-mode": "ENABLED"})[0]

    def keys(self, bucket, prefix=""):
        pages = self.client.pages(bucket, {"list-type": 2, "prefix": prefix,
                                           "encoding-type": "url"},
                                  "continuation-token", "NextContinuationToken")
        found = {}
        for page in pages:
            # Versitygw takes the parameter, but does not encode; its answer says so.
            encoded = page.findtext("EncodingType") == "url"
            for item in page.iter("Contents"):
                key = item.findtext("Key")
                key = urllib.parse.unquote_plus(key) if encoded else key
                found[key] = int(item.findtext("Size"))
        return found

    def objects(self, bucket, prefix=""):
        return {key: self.get(bucket, key) for key in self.keys(bucket, prefix)}

    def uploads(self, bucket, prefix=""):
        root = next(self.client.pages(bucket, {"uploads": "", "prefix": prefix}, "key-marker",
                                      "NextKeyMarker"))
        return [item.findtext("Key") for item in root.iter("Upload")]


class Versitygw(S3Server):
    """With tls=True over https (env has AWS_CA_BUNDLE); with virtual=True also as
    BUCKET.localhost:PORT, which curl takes for this machine."""

    def __init__(self, tmpdir=None, tls=False, virtual=False):
        super().__init__(tmpdir)
        self.tls, self.virtual = tls, virtual
        # Lines of the log that don't count.
        self.silent = 0
        self.certificate = None

    def secure(self):
        self.certificate = certificate(self.folder)
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.client = S3(self.endpoint, self.access_key, self.secret_key, self.region,
                         ca=self.certificate[0])

    def env_for(self, endpoint):
        bundle = {"AWS_CA_BUNDLE": str(self.certificate[0])} if self.certificate else {}
        return {**super().env_for(endpoint), **bundle}

    def command(self):
        if self.tls and not self.certificate:
            self.secure()
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        argv = [program("versitygw"), "--port", f"127.0.0.1:{self.port}", "--region", self.region,
                "--quiet", "--keep-alive", "--access-log", self.folder / "access.log"]
        if self.certificate:
            argv += ["--cert", self.certificate[0], "--key", self.certificate[1]]
        if self.virtual:
            argv += ["--virtual-domain", f"localhost:{self.port}"]
        argv.append("posix")
        if not self.has_xattrs(data):
            (self.folder / "sidecar").mkdir(exist_ok=True)
            argv += ["--sidecar", self.folder / "sidecar"]
        return [*argv, data], {"ROOT_ACCESS_KEY": self.access_key,
                               "ROOT_SECRET_KEY": self.secret_key}

    def __enter__(self):
        super().__enter__()
        # Without the calls that found out whether it is there.
        self.silent = len(self.log_lines())
        return self

    @staticmethod
    def has_xattrs(folder):
        try:
            os.setxattr(folder, "user.test", b"1")
            os.removexattr(folder, "user.test")
            return True
        except OSError:
            return False

    def log_lines(self):
        log = self.folder / "access.log"
        return log.read_text(errors="replace").splitlines() if log.exists() else []

    def requests(self):
        """(operation, key, status) of every call so far."""
        found = []
        for line in self.log_lines()[self.silent:]:
            words = line.split(" ")
            # owner bucket [time zone] address caller id operation key "target" status ...; the
            # target has no spaces, but the key may have some.
            if len(words) > 11 and words[2].startswith("["):
                at = next((i for i in range(9, len(words)) if words[i].startswith("/")), None)
                if at is not None and words[at + 1].isdigit():
                    key = " ".join(words[8:at])
                    found.append((words[7].removeprefix("s3_"), "" if key == "-" else key,
                                  int(words[at + 1])))
        return found


class Minio(S3Server):
    """With oidc=True it trusts an OpenID provider, and its STS gives credentials for tokens."""

    audience = "sts.amazonaws.com"

    def __init__(self, tmpdir=None, oidc=False):
        super().__init__(tmpdir)
        self.provider = OidcProvider() if oidc else None
        digest = base64.urlsafe_b64encode(hashlib.sha1(self.audience.encode()).digest())
        self.role_arn = f"arn:minio:iam:{self.region}::role/{digest.decode().rstrip('=')}"

    def __exit__(self, *error):
        super().__exit__(*error)
        if self.provider:
            self.provider.close()

    def command(self):
        (self.folder / "data").mkdir(exist_ok=True)
        argv = [program("minio"), "--quiet", "--config-dir", self.folder / "config", "server",
                "--address", f"127.0.0.1:{self.port}", "--console-address",
                f"127.0.0.1:{free_port()}", self.folder / "data"]
        env = {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key,
               "MINIO_SITE_REGION": self.region, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}
        if self.provider:
            env.update({"MINIO_IDENTITY_OPENID_CONFIG_URL": self.provider.config_url,
                        "MINIO_IDENTITY_OPENID_CLIENT_ID": self.audience,
                        "MINIO_IDENTITY_OPENID_ROLE_POLICY": "readwrite"})
        return argv, env

    def answers(self):
        """MinIO says that it is ready long before it knows its roles."""
        if not super().answers():
            return False
        try:
            return self.provider is None or bool(self.assume(self.web_token()))
        except S3Error:
            return False

    def assume(self, token, **changes):
        """The credentials that the STS gives for a token: AccessKeyId, SecretAccessKey, ..."""
        form = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15",
                "RoleArn": self.role_arn, "RoleSessionName": "test", "WebIdentityToken": token,
                **changes}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/", urllib.parse.urlencode(form),
                               {"Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise S3Error(answer.status, data)
        root = xml.etree.ElementTree.fromstring(data)
        return {element.tag.rpartition("}")[2]: element.text for element in root.iter()}

    def web_token(self, path=None, **claims):
        """A token for AssumeRoleWithWebIdentity, written to a file if a path is given."""
        token = self.provider.token(self.audience, **claims)
        if path is not None:
            Path(path).write_text(token)
        return token

    def irsa_env(self, token_file):
        """What a pod with a role gets in place of keys."""
        self.web_token(token_file)
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": self.region,
                "AWS_ROLE_ARN": self.role_arn, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
                "AWS_ROLE_SESSION_NAME": "hfcache-test"}
