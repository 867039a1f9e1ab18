"""hfcache-refresh sync: what it brings, what it leaves, what it costs. A real S3 server, a Hub."""
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from refresh import (REFRESH, Bucket, check_bucket, check_model, environment, index_lines, refresh,
                     start)
from servers import HubServer, Minio, S3Proxy, Versitygw, lfs, memory_folder

MIB = 1 << 20


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with Versitygw(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


@pytest.fixture(params=["s3", "file"])
def bucket(request, tmp_path):
    if request.param == "file":
        return Bucket(f"file://{tmp_path}/bucket")
    server = request.getfixturevalue("s3")
    name = "b" + hashlib.sha1(request.node.name.encode()).hexdigest()[:20]
    return Bucket(server.make_bucket(name), server)


@pytest.fixture
def sync(hub, s3, bucket):
    """Runs sync into the bucket."""
    def run(*args, **env):
        return refresh("sync", *args, "--to", bucket.url, env=environment(hub, s3, **env))
    return run


FILES = {"config.json": b'{"a": 1}', "model.safetensors": noise(3 * MIB, 1),
         "sub dir/tokenizer+%#é.json": b"{}", "empty.txt": b""}
SHARDS = {f"model-{i:05}-of-00002.safetensors": noise(18 * MIB + i, 10 + i) for i in (1, 2)}


def test_a_model_a_revision_and_a_dataset(hub, sync, bucket):
    repo = hub.model("org/name", FILES)
    repo.tag("v1")
    second = {**FILES, "config.json": b'{"a": 2}'}
    repo.commit({"config.json": b'{"a": 2}'})
    hub.model("bare", {"config.json": b"{}"})
    hub.dataset("org/data", {"a.parquet": noise(5000), "README.md": b"hello"})
    done = sync("org/name", "org/name@v1", "bare")
    assert done.rc == 0, done
    objects = bucket.objects()
    check_bucket(objects, {"org/name": second, "bare": {"config.json": b"{}"}})
    check_model(objects, "org/name", FILES, "v1")
    assert objects["hub/models--org--name/refs/main"].decode() == repo.head
    assert not any("/blobs/" in key or key.startswith("hub/.") for key in objects)


def test_models_txt(hub, sync, bucket, tmp_path):
    hub.model("org/a", {"config.json": b"{}", "w.bin": noise(100), "w.safetensors": noise(99),
                        "onnx/m.onnx": noise(10), "tokenizer.model": noise(5)})
    hub.dataset("org/d", {"x/a.parquet": noise(50), "README.md": b"x"})
    models = tmp_path / "models.txt"
    models.write_text("# list\norg/a allow=*.json allow=*.safetensors # the rest is copies\n"
                      "org/d kind=dataset ignore=*.md\n")
    assert sync("--models", models).rc == 0
    check_bucket(bucket.objects(), {
        "org/a": {"config.json": b"{}", "w.safetensors": noise(99)},
        "datasets/org/d": {"x/a.parquet": noise(50)}})
    models.write_text("org/a config-only\n")
    assert sync("--models", models).rc == 0
    objects = bucket.objects()
    check_bucket(objects, ["org/a"])
    assert f"hub/models--org--a/snapshots/{hub.repos['model', 'org/a'].head}/tokenizer.model" in objects


def test_nothing_to_do_costs_next_to_nothing(hub, s3, sync, bucket):
    hub.model("org/name", FILES)
    hub.model("org/other", {f"f{i}.json": b"%d" % i for i in range(40)})
    assert sync("org/name", "org/other").rc == 0
    before = bucket.objects()
    hub.clear()
    seen = len(s3.requests())
    done = sync("org/name", "org/other")
    used = len(s3.requests()) - seen
    assert done.rc == 0, done
    assert bucket.objects() == before
    assert len(hub.requests) <= 4
    if bucket.root is None:
        assert used <= 10, s3.requests()[-used:]


def test_what_is_there_is_not_sent_again(hub, s3, sync, bucket):
    """A new revision costs its new content; the same content elsewhere is copied."""
    big = noise(2 * MIB, 5)
    repo = hub.model("org/name", {"a.bin": big, "same.txt": b"text"})
    assert sync("org/name").rc == 0
    repo.commit({"b.bin": big, "new.txt": b"new"}, remove=["a.bin"])
    hub.model("org/twin", {"w.bin": lfs(big), "w2.bin": lfs(big)})
    hub.clear()
    done = sync("org/name", "org/twin")
    assert done.rc == 0, done
    check_bucket(bucket.objects(), {
        "org/name": {"b.bin": big, "same.txt": b"text", "new.txt": b"new"},
        "org/twin": {"w.bin": big, "w2.bin": big}})
    assert hub.count(origin="cdn") == 0
    resolved = [r.path for r in hub.requests if "/resolve/" in r.path]
    assert len(resolved) == 1 and resolved[0].endswith("new.txt")


def test_large_files_go_up_in_parts(hub, s3, sync, bucket):
    hub.model("org/big", SHARDS)
    done = sync("org/big")
    assert done.rc == 0, done
    check_bucket(bucket.objects(), {"org/big": SHARDS})
    assert not bucket.uploads()
    if bucket.root is None:
        key = next(k for k in bucket.keys() if k.endswith("1-of-00002.safetensors"))
        head = s3.head(bucket.name, key)
        body = SHARDS["model-00001-of-00002.safetensors"]
        assert head["x-amz-meta-hfcache-sha256"] == hashlib.sha256(body).hexdigest()
        assert "-" in head["etag"]


def test_a_file_with_more_blocks_than_parts(hub, s3, tmp_path):
    """Several blocks a part, which are sent as they come. Each part is synced to disk, so memory is
    the place for it."""
    content = noise(1024 * 10001 + 17)
    hub.model("org/huge", {"w.bin": lfs(content)})
    with tempfile.TemporaryDirectory(dir=memory_folder() or tmp_path) as root:
        urls = [f"file://{root}/one", f"file://{root}/two"]
        done = refresh("sync", "org/huge", "--to", urls[0], "--to", urls[1], "--block-size", 1024,
                       env=environment(hub, s3))
        assert done.rc == 0, done
        for url in urls:
            bucket = Bucket(url)
            check_bucket(bucket.objects(), {"org/huge": {"w.bin": content}})
            assert not bucket.uploads()


def test_the_index_says_what_is_there(hub, s3, sync, bucket):
    hub.model("org/name", FILES)
    assert sync("org/name").rc == 0
    objects = bucket.objects()
    lines = index_lines(objects)
    listed = {words[-1] for words in lines if words[0] in ("object", "ref")}
    assert listed == {key for key in objects if not key.startswith(".hfcache/")}
    assert [w for w in lines if w[0] == "snapshot"]


def test_an_index_that_is_broken_or_gone_is_made_anew(hub, s3, sync, bucket):
    hub.model("org/name", FILES)
    assert sync("org/name").rc == 0
    good = bucket.objects()[".hfcache/index"]
    for bad in (b"junk\n", good[:-10], b""):
        if bucket.root:
            (bucket.root / ".hfcache/index").write_bytes(bad)
        else:
            s3.put(bucket.name, ".hfcache/index", bad)
        hub.clear()
        done = sync("org/name")
        assert done.rc == 0 and "index" in done.err, done
        assert hub.count(origin="cdn") == 0, "the objects' own metadata tell what they are"
        check_bucket(bucket.objects(), {"org/name": FILES})


def test_objects_that_were_damaged_or_deleted_come_back(hub, s3, sync, bucket):
    repo = hub.model("org/name", FILES)
    assert sync("org/name").rc == 0
    key = f"hub/models--org--name/snapshots/{repo.head}/model.safetensors"
    for bad in (noise(3 * MIB, 77), b"short", None):
        if bucket.root:
            (bucket.root / key).unlink()
            if bad is not None:
                (bucket.root / key).write_bytes(bad)
        elif bad is None:
            s3.client.call("DELETE", bucket.name, key)
        else:
            s3.put(bucket.name, key, bad)
        done = sync("org/name")
        assert done.rc == 0, done
        check_bucket(bucket.objects(), {"org/name": FILES})


def test_old_snapshots_stay_until_pruned(hub, sync, bucket):
    repo = hub.model("org/name", FILES)
    first = repo.head
    assert sync("org/name").rc == 0
    repo.tag("keep", first)
    second = repo.commit({"config.json": b"2"})
    third = repo.commit({"config.json": b"3"})
    assert third != second
    repo.move("main", second)
    assert sync("org/name").rc == 0
    repo.move("main", third)
    assert sync("org/name", "org/name@keep").rc == 0
    have = {key.split("/")[3] for key in bucket.keys() if "/snapshots/" in key}
    assert have == {first, second, third}
    done = sync("org/name", "--prune")
    assert done.rc == 0, done
    have = {key.split("/")[3] for key in bucket.keys() if "/snapshots/" in key}
    assert have == {first, third}
    check_bucket(bucket.objects(), ["org/name"])


def test_a_dry_run_changes_nothing(hub, sync, bucket):
    hub.model("org/name", FILES)
    if bucket.root:
        bucket.root.mkdir()
    done = sync("org/name", "--dry-run")
    assert done.rc == 0, done
    assert "model.safetensors" in done.out and not bucket.keys()
    assert hub.count(origin="cdn") == 0


def test_the_report(hub, sync, bucket, tmp_path):
    repo = hub.model("org/name", FILES)
    report, prom = tmp_path / "r.json", tmp_path / "r.prom"
    done = sync("org/name", "org/missing", "--report", report, "--report", prom)
    assert done.rc == 1, done
    told = json.loads(report.read_text())
    models = {m["model"]: m for m in told["models"]}
    assert models["org/name"]["commit"] == repo.head
    assert models["org/name"]["targets"][0]["outcome"] == "published"
    assert models["org/name"]["targets"][0]["files"]["stored"] == len(FILES)
    assert models["org/missing"]["error"]
    assert "hfcache_refresh_" in prom.read_text()


def test_many_small_files(hub, s3, sync, bucket):
    files = {f"d{i % 7}/f{i}.json": b'{"n": %d}' % i for i in range(300)}
    hub.model("org/small", files)
    seen = len(s3.requests())
    done = sync("org/small")
    assert done.rc == 0, done
    hub_requests = len(hub.requests)
    if bucket.root is None:
        assert len(s3.requests()) - seen <= 320
    assert hub_requests <= 610
    check_bucket(bucket.objects(), {"org/small": files})


def test_the_hubs_odd_answers(hub, sync, bucket):
    """Pages, a rename, a private repository with a token, names that need care."""
    hub.page_size = 3
    files = {"a b.json": b"1", "100%.json": b"2", "q?x.json": b"3", "h#h.json": b"4",
             "plus+.json": b"5", "emoji-\U0001F917.json": b"6", "nfc-\u00e9.json": b"7",
             "nfd-e\u0301.json": b"8", "deep/er/and/deeper.json": b"9", "CASE.json": b"a",
             "case.json": b"b", "quote\"'.json": b"c", "back\\slash.json": b"d"}
    hub.model("new/name", files)
    hub.rename("old/name", "new/name")
    hub.model("org/private", {"config.json": b"{}"}, private=True)
    hub.token("hf_secret_token", read=["org/private"])
    done = sync("old/name", "org/private", HF_TOKEN="hf_secret_token")
    assert done.rc == 0, done
    check_bucket(bucket.objects(), {"old/name": files, "org/private": {"config.json": b"{}"}})
    assert "hf_secret_token" not in done.out + done.err
    for request in hub.requests:
        if request.origin == "cdn":
            assert request.header("authorization") is None


def test_several_buckets_from_one_download(hub, s3, tmp_path):
    hub.model("org/name", {**FILES, **SHARDS})
    urls = [s3.make_bucket("several-one"), s3.make_bucket("several-two"),
            f"file://{tmp_path}/three"]
    args = [word for url in urls for word in ("--to", url)]
    done = refresh("sync", "org/name", *args, env=environment(hub, s3))
    assert done.rc == 0, done
    for url in urls:
        check_bucket(Bucket(url, s3).objects(), {"org/name": {**FILES, **SHARDS}})
    cdn = sum(r.sent for r in hub.select(origin="cdn"))
    lfs_bytes = sum(len(body) for path, body in {**FILES, **SHARDS}.items()
                    if path.endswith(".safetensors"))
    assert cdn == lfs_bytes


def test_a_bucket_that_fails_holds_up_nobody(hub, s3, tmp_path):
    hub.model("org/name", FILES)
    good = s3.make_bucket("good-one")
    done = refresh("sync", "org/name", "--to", "s3://no-such-bucket-here", "--to", good,
                   env=environment(hub, s3))
    assert done.rc == 1 and "no-such-bucket-here" in done.err, done
    check_bucket(Bucket(good, s3).objects(), {"org/name": FILES})


def test_a_prefix(hub, s3):
    hub.model("org/name", FILES)
    url = s3.make_bucket("prefixed") + "/some/where"
    assert refresh("sync", "org/name", "--to", url, env=environment(hub, s3)).rc == 0
    objects = s3.objects("prefixed")
    assert all(key.startswith("some/where/") for key in objects)
    check_bucket({key.removeprefix("some/where/"): data for key, data in objects.items()},
                 {"org/name": FILES})


def test_another_server(hub, tmp_path):
    """MinIO: full checksums, and its own ideas of some answers."""
    with Minio(tmp_path) as minio:
        hub.model("org/name", {**FILES, **SHARDS})
        bucket = Bucket(minio.make_bucket("models"), minio)
        for _ in range(2):
            done = refresh("sync", "org/name", "--to", bucket.url, env=environment(hub, minio))
            assert done.rc == 0, done
        check_bucket(bucket.objects(), {"org/name": {**FILES, **SHARDS}})


def test_web_identity_from_a_real_sts(hub, tmp_path):
    with Minio(tmp_path, oidc=True) as minio:
        hub.model("org/name", FILES)
        bucket = Bucket(minio.make_bucket("models"), minio)
        env = environment(hub, minio.irsa_env(tmp_path / "token"))
        assert "AWS_SECRET_ACCESS_KEY" not in env
        done = refresh("sync", "org/name", "--to", bucket.url, env=env)
        assert done.rc == 0, done
        check_bucket(bucket.objects(), {"org/name": FILES})


def test_wrong_credentials_are_named(hub, s3):
    hub.model("org/name", FILES)
    url = s3.make_bucket("refused")
    done = refresh("sync", "org/name", "--to", url,
                   env=environment(hub, {**s3.env, "AWS_SECRET_ACCESS_KEY": "not-the-secret"}))
    assert done.rc == 1 and "environment" in done.err and "not-the-secret" not in done.err, done
    env = environment(hub, {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_REGION": s3.region})
    done = refresh("sync", "org/name", "--to", url, env=env)
    assert done.rc == 1 and "AWS_ACCESS_KEY_ID" in done.err, done


def test_clusters(hub, s3, tmp_path):
    clusters = tmp_path / "clusters.yaml"
    clusters.write_text("clusters:\n"
                        "  one:\n    region: us-east-1\n    cluster_name: one\n    modules: [hf-cache]\n"
                        "  two:\n    region: us-east-1\n    cluster_name: two\n    modules: [arc]\n")
    hub.model("org/name", FILES)
    for name in ("one", "two"):
        s3.make_bucket(f"pytorch-hf-model-cache-{name}")
    env = environment(hub, s3, CLUSTERS_YAML=clusters)
    done = refresh("sync", "org/name", "--all-clusters", env=env)
    assert done.rc == 0, done
    check_bucket(s3.objects("pytorch-hf-model-cache-one"), {"org/name": FILES})
    assert not s3.keys("pytorch-hf-model-cache-two")
    done = refresh("sync", "org/name", "--cluster", "two", env=env)
    assert done.rc == 0 and "hf-cache" in done.err, done
    done = refresh("sync", "org/name", "--cluster", "three", env=env)
    assert done.rc == 1 and "three" in done.err, done


def test_findings_in_models_txt_come_all_at_once(hub, sync, tmp_path):
    models = tmp_path / "models.txt"
    models.write_text("org/a\norg/a\n\n  bad//id\norg/b nonsense=1\n")
    done = sync("--models", models)
    assert done.rc == 1
    for place in (":2:1:", ":4:3:", ":5:7:"):
        assert f"{models}{place} error:" in done.err, done
    models.write_text("# nothing\n\n")
    done = sync("--models", models)
    assert done.rc == 0 and "nothing to do" in done.err


def test_the_ceiling_of_memory(hub, s3):
    """64 MiB is for everything: the process, and what its sockets may hold."""
    hub.model("org/big", {f"w{i}.safetensors": noise(20 * MIB, i) for i in range(8)})
    url = s3.make_bucket("ceiling")
    env = environment(hub, s3)
    code = ("import resource, subprocess, sys\n"
            "rc = subprocess.run(sys.argv[1:]).returncode\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\nsys.exit(rc)")
    done = subprocess.run([sys.executable, "-c", code, REFRESH, "sync", "org/big", "--to", url,
                           "--quiet"], env=env, capture_output=True, text=True, timeout=200,
                          check=False)
    assert done.returncode == 0, done.stderr
    if os.environ.get("HFCACHE_SANITIZED"):
        pytest.skip("the sanitizers' own memory is not counted")
    assert int(done.stdout.split()[-1]) * 1024 <= 64 * MIB, done.stdout


def test_pruning_spares_what_is_on_its_way(hub, sync, bucket):
    """Files of a revision that is still being brought have no ref yet."""
    repo = hub.model("org/name", FILES)
    repo.tag("v1")
    slow = noise(2 * MIB, 9)
    repo.commit({"slow.bin": slow, "config.json": b"old"}, branch="dev")
    repo.commit({"config.json": b"new"})
    hub.fault("delay", match="slow.bin", seconds=2)
    done = sync("org/name@dev", "org/name", "org/name@v1", "--prune")
    assert done.rc == 0, done
    objects = bucket.objects()
    check_bucket(objects, {"org/name": {**FILES, "config.json": b"new"}})
    check_model(objects, "org/name", {"slow.bin": slow, "config.json": b"old"}, "dev")
    check_model(objects, "org/name", FILES, "v1")


def test_uploads_of_others_stay(hub, s3):
    hub.model("org/big", SHARDS)
    url = s3.make_bucket("shared-with-others")
    theirs = ["backup/unrelated.tar", "hub/models--some--other/snapshots/x/w.bin"]
    for key in theirs:
        s3.client.call("POST", "shared-with-others", key, query={"uploads": ""})
    done = refresh("sync", "org/big", "--to", url, env=environment(hub, s3))
    assert done.rc == 0, done
    assert sorted(s3.uploads("shared-with-others")) == theirs


def test_an_upload_that_vanishes_is_begun_anew(hub, s3):
    hub.model("org/big", SHARDS)
    hub.model("org/name", FILES)
    url = s3.make_bucket("vanishing")
    with S3Proxy(s3.endpoint) as proxy:
        proxy.fail("status", operation="UploadPart", nth=3, status=404, code="NoSuchUpload")
        done = refresh("sync", "org/big", "org/name", "--to", url,
                       env=environment(hub, s3.env_for(proxy.endpoint)))
        assert done.rc == 0, done
    check_bucket(s3.objects("vanishing"), {"org/big": SHARDS, "org/name": FILES})
    assert not s3.uploads("vanishing")


def test_a_stream_that_was_killed_uses_its_parts(hub, s3, tmp_path):
    content = noise(1024 * 10001 + 17, 3)
    hub.model("org/huge", {"w.bin": lfs(content)})
    with tempfile.TemporaryDirectory(dir=memory_folder() or tmp_path) as root:
        args = ("sync", "org/huge", "--to", f"file://{root}/one", "--block-size", 1024, "-v")
        child = start(*args, env=environment(hub, s3))
        uploads = Path(root, "one/.hfcache-uploads")
        while len(list(uploads.glob("up-*/part-*"))) < 300:
            assert child.poll() is None
            time.sleep(0.05)
        child.kill()
        child.wait()
        done = refresh(*args, env=environment(hub, s3))
        assert done.rc == 0 and "other bytes" not in done.err and "once more" not in done.err, done
        check_bucket(Bucket(f"file://{root}/one").objects(), {"org/huge": {"w.bin": content}})
        assert not list(uploads.glob("up-*"))


def test_wrong_bytes_that_a_server_reports_are_not_believed_later(hub, s3):
    """The answer of a PUT has another checksum: that object must not pass for a good one."""
    hub.model("org/name", FILES)
    url = s3.make_bucket("poisoned")
    with S3Proxy(s3.endpoint) as proxy:
        proxy.fail("status", operation="PutObject", key="*/model.safetensors", times=None,
                   status=400, code="BadDigest")
        done = refresh("sync", "org/name", "--to", url,
                       env=environment(hub, s3.env_for(proxy.endpoint)))
        assert done.rc == 1, done
    check_bucket(s3.objects("poisoned"))
    assert refresh("sync", "org/name", "--to", url, env=environment(hub, s3)).rc == 0
    check_bucket(s3.objects("poisoned"), {"org/name": FILES})
