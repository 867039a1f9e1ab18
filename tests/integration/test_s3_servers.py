"""The S3 servers, the STS and the proxy that the tests of hfcache-refresh rely on."""
import http.client
import ssl
import xml.etree.ElementTree

import pytest
from servers import S3, Minio, S3Error, S3Proxy, Versitygw

KEY = "dir/a b+c%#\u00fc.txt"
DATA = bytes(range(256)) * 4096


@pytest.fixture(scope="module", params=[Versitygw, Minio])
def server(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("s3")) as running:
        running.make_bucket("bucket")
        yield running


@pytest.fixture
def proxy(server):
    with S3Proxy(server.endpoint) as running:
        yield running


@pytest.fixture
def client(server, proxy):
    return S3(proxy.endpoint, server.access_key, server.secret_key, server.region)


def start_upload(client, key):
    body = client.call("POST", "bucket", key, query={"uploads": ""})[1]
    return next(element.text for element in xml.etree.ElementTree.fromstring(body)
                if element.tag.endswith("UploadId"))


def complete(client, key, upload, etag):
    body = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
            "</CompleteMultipartUpload>").encode()
    return client.call("POST", "bucket", key, query={"uploadId": upload}, body=body)[1]


def test_objects_keep_keys_bytes_and_metadata(server):
    server.put("bucket", KEY, b"text", sha256="abc")
    assert server.keys("bucket")[KEY] == 4
    assert server.objects("bucket", "dir/") == {KEY: b"text"}
    assert server.head("bucket", KEY)["x-amz-meta-sha256"] == "abc"
    assert server.env["AWS_ENDPOINT_URL"] == server.endpoint


def test_listings_of_many_pages(server):
    server.make_bucket("many")
    for number in range(7):
        server.put("many", f"k{number}", b"")
    pages = list(server.client.pages("many", {"list-type": 2, "max-keys": 3}, "continuation-token",
                                     "NextContinuationToken"))
    assert [len(list(page.iter("Contents"))) for page in pages] == [3, 3, 1]


def test_signatures_are_checked(server):
    for wrong in (S3(server.endpoint, server.access_key, "wrong", server.region),
                  S3(server.endpoint, "nobody", server.secret_key, server.region)):
        with pytest.raises(S3Error) as refused:
            wrong.call("GET", "bucket", query={"list-type": 2})
        assert refused.value.status in (403, 404)  # Versitygw: no such user


def test_unfinished_uploads_are_listed(server):
    upload = start_upload(server.client, "left")
    assert server.uploads("bucket", "left") == ["left"]
    server.client.call("DELETE", "bucket", "left", query={"uploadId": upload})
    assert server.uploads("bucket", "left") == []


def test_data_outlive_a_restart(server):
    server.put("bucket", "kept", b"1")
    server.stop()
    with pytest.raises(OSError):
        server.get("bucket", "kept")
    server.start()
    assert server.get("bucket", "kept") == b"1"


def test_access_log(tmp_path):
    with Versitygw(tmp_path) as server:
        server.make_bucket("bucket")
        server.put("bucket", KEY, b"1")
        with pytest.raises(S3Error):
            server.get("bucket", "none")
        assert server.requests() == [("CreateBucket", "", 200), ("PutObject", KEY, 200),
                                     ("GetObject", "none", 404)]


def test_https(tmp_path):
    with Versitygw(tmp_path, tls=True) as server:
        server.make_bucket("bucket")
        server.put("bucket", KEY, b"1")
        assert server.endpoint.startswith("https://") and server.env["AWS_CA_BUNDLE"]
        assert server.objects("bucket") == {KEY: b"1"}
        with pytest.raises(ssl.SSLError):
            S3(server.endpoint, server.access_key, server.secret_key, server.region).call("GET")


def test_virtual_hosts(tmp_path):
    with Versitygw(tmp_path, virtual=True) as server:
        server.make_bucket("bucket")
        client = S3(server.endpoint, server.access_key, server.secret_key, server.region)
        client.host = f"bucket.localhost:{server.port}"
        headers = client.signed("PUT", "/key", "", {}, "UNSIGNED-PAYLOAD")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("PUT", "/key", b"1", headers)
        assert connection.getresponse().status == 200
        connection.close()
        assert server.objects("bucket") == {"key": b"1"}


# The STS.

@pytest.fixture(scope="module")
def sts(tmp_path_factory):
    with Minio(tmp_path_factory.mktemp("sts"), oidc=True) as running:
        running.make_bucket("bucket")
        yield running


def test_a_token_becomes_credentials(sts):
    got = sts.assume(sts.web_token())
    client = S3(sts.endpoint, got["AccessKeyId"], got["SecretAccessKey"], sts.region,
                got["SessionToken"])
    client.call("PUT", "bucket", "mine", body=b"1")
    assert sts.get("bucket", "mine") == b"1"
    client.session_token = None
    with pytest.raises(S3Error):
        client.call("GET", "bucket", "mine")


@pytest.mark.parametrize("wrong", ["expired", "forged", "audience", "role"])
def test_tokens_that_are_refused(sts, wrong):
    token, changes = sts.web_token(), {}
    if wrong == "expired":
        token = sts.web_token(expires_in=-60)
    elif wrong == "forged":
        token = token[:-8] + "AAAAAAAA"
    elif wrong == "audience":
        token = sts.provider.token("somebody else")
    else:
        changes = {"RoleArn": "arn:minio:iam:us-east-1::role/none"}
    with pytest.raises(S3Error) as refused:
        sts.assume(token, **changes)
    assert refused.value.status in (400, 403)


def test_the_environment_of_a_pod(sts, tmp_path):
    env = sts.irsa_env(tmp_path / "token")
    assert sts.assume((tmp_path / "token").read_text(), RoleArn=env["AWS_ROLE_ARN"])["AccessKeyId"]
    assert "AWS_ACCESS_KEY_ID" not in env


# The proxy.

def test_calls_pass_and_are_named(proxy, client):
    upload = start_upload(client, "multi")
    etag = client.call("PUT", "bucket", "multi", query={"uploadId": upload, "partNumber": 1},
                       body=DATA)[0]["etag"]
    client.call("GET", "bucket", "multi", query={"uploadId": upload})
    complete(client, "multi", upload, etag)
    client.call("PUT", "bucket", "copy", headers={"x-amz-copy-source": "/bucket/multi"})
    assert client.call("GET", "bucket", "copy", headers={"range": "bytes=1-3"})[1] == DATA[1:4]
    client.call("HEAD", "bucket", "copy")
    client.call("GET", "bucket", query={"list-type": 2})
    client.call("DELETE", "bucket", "copy")
    assert [call.operation for call in proxy.calls] == [
        "CreateMultipartUpload", "UploadPart", "ListParts", "CompleteMultipartUpload", "CopyObject",
        "GetObject", "HeadObject", "ListObjectsV2", "DeleteObject"]
    assert proxy.calls[1].sent == len(DATA) and proxy.calls[5].received == 3
    assert proxy.count() == 9 and proxy.count("UploadPart") == 1


def test_errors_in_place_of_an_answer(server, proxy, client):
    proxy.fail("slowdown", operation="PutObject", nth=2)
    proxy.fail("status", when="after", operation="PutObject", nth=3)
    proxy.fail("forbidden", operation="PutObject", key="k[5-9]", times=None)
    outcomes = []
    for number in range(1, 7):
        try:
            client.call("PUT", "bucket", f"k{number}", body=DATA)
            outcomes.append(200)
        except S3Error as error:
            outcomes.append((error.status, error.code))
    assert outcomes == [200, (503, "SlowDown"), (500, "InternalError"), 200, (403, "AccessDenied"),
                        (403, "AccessDenied")]
    stored = server.keys("bucket", "k")
    assert {"k1", "k3", "k4"} <= stored.keys() and not {"k2", "k5", "k6"} & stored.keys()


def test_an_error_with_status_200(server, proxy, client):
    upload = start_upload(client, "said-ok")
    etag = client.call("PUT", "bucket", "said-ok", query={"uploadId": upload, "partNumber": 1},
                       body=DATA)[0]["etag"]
    proxy.fail("complete_error", operation="CompleteMultipartUpload")
    assert b"<Error><Code>InternalError</Code>" in complete(client, "said-ok", upload, etag)
    assert "said-ok" not in server.keys("bucket")
    complete(client, "said-ok", upload, etag)
    assert server.get("bucket", "said-ok") == DATA


@pytest.mark.parametrize("kind", ["reset", "fin"])
@pytest.mark.parametrize("when, stored", [("before", False), ("during", False), ("after", True)])
def test_calls_that_break(server, proxy, client, kind, when, stored):
    key = f"broken-{kind}-{when}"
    proxy.fail(kind, when=when, at=100)
    with pytest.raises(OSError if kind == "reset" else (OSError, http.client.HTTPException)):
        client.call("PUT", "bucket", key, body=DATA)
    assert (key in server.keys("bucket")) == stored
    client.call("PUT", "bucket", key, body=DATA)


def test_answers_that_break(server, proxy, client):
    server.put("bucket", "whole", DATA)
    proxy.fail("fin", when="answer", at=1000)
    proxy.fail("flip", when="answer", at=1000, nth=2)
    with pytest.raises(http.client.IncompleteRead) as cut:
        client.call("GET", "bucket", "whole")
    assert cut.value.partial == DATA[:1000]
    assert client.call("GET", "bucket", "whole")[1] == \
        DATA[:1000] + bytes([DATA[1000] ^ 1]) + DATA[1001:]
    assert client.call("GET", "bucket", "whole")[1] == DATA


def test_a_flipped_byte_on_the_way_up_is_noticed(proxy, client):
    proxy.fail("flip", when="during", at=len(DATA) - 1)
    with pytest.raises(S3Error) as refused:
        client.call("PUT", "bucket", "flipped", body=DATA)
    assert refused.value.status == 400


def test_a_function_at_the_nth_call(server, proxy, client):
    seen = []

    def look():
        seen.append(len(server.keys("bucket", "nth")))

    proxy.fail("call", call=look, nth=2)
    proxy.fail("call", call=look, nth=3, when="after")
    client.call("PUT", "bucket", "nth1", body=b"1")
    for number in (2, 3):
        with pytest.raises((OSError, http.client.HTTPException)):
            client.call("PUT", "bucket", f"nth{number}", body=b"1")
    assert seen == [1, 2]


def test_a_stall(proxy, client):
    proxy.fail("stall", seconds=0.05)
    with pytest.raises((OSError, http.client.HTTPException)):
        client.call("GET", "bucket", "whole")


def test_connections_are_kept(server, proxy, client):
    """Also across failures that are answers."""
    proxy.fail("internal", nth=2)
    proxy.fail("internal", nth=3, when="after")
    connection = http.client.HTTPConnection(client.host, timeout=10)
    statuses = []
    for number in range(5):
        path = f"/bucket/again{number}"
        headers = client.signed("PUT", path, "", {}, "UNSIGNED-PAYLOAD")
        connection.request("PUT", path, DATA, headers)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [200, 500, 500, 200, 200]
    assert {call.connection for call in proxy.calls} == {proxy.calls[0].connection}
    assert sorted(server.keys("bucket", "again")) == ["again0", "again2", "again3", "again4"]


def test_expect_100_continue(server, proxy, client):
    """curl asks for leave before it sends a large body; the server's word goes through."""
    for failure, status in ((None, b"200"), ("slowdown", b"503")):
        if failure:
            proxy.fail(failure)
        body = DATA
        headers = client.signed("PUT", "/bucket/expected", "", {}, "UNSIGNED-PAYLOAD")
        connection = http.client.HTTPConnection(client.host, timeout=10)
        connection.putrequest("PUT", "/bucket/expected", skip_host=True)
        headers.update({"content-length": len(body), "expect": "100-continue"})
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.sock.recv(1000)
        if failure is None:
            assert answer.startswith(b"HTTP/1.1 100 ")
            connection.sock.sendall(body)
            answer = connection.sock.recv(1000)
        assert answer.split(b" ")[1] == status
        connection.close()
    assert server.get("bucket", "expected") == DATA
