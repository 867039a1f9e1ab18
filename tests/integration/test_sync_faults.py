"""hfcache-refresh sync against a Hub that misbehaves: what is published is right or nothing is.

Each fault is put in the way of one model or of all of them. Whatever happens: no ref names anything
incomplete, no upload stays, the message names model and cause, no credential is shown, and a run
without the fault brings the rest. Faults of the bucket are in test_sync_s3_faults.py.
"""
import json
import os
import random
import re
import threading

import pytest

from refresh import Bucket, check_bucket, check_model, environment, folder, refresh
from servers import HubServer, Versitygw, free_port, lfs, plain

MIB = 1 << 20
TOKEN = "hf_secretOfTheTests"
# What a signed URL has and a message must not.
SECRETS = re.compile(r"Signature=|Key-Pair-Id|Policy=|X-Amz-|X-Serial|" + TOKEN)


def noise(size, seed):
    return random.Random(seed).randbytes(size)


# Three blocks, one block, no block of its own, and not LFS.
BIG = {"big.safetensors": noise(11 * MIB + 77, 1), "config.json": b'{"big": 1}'}
ONE = {"one.safetensors": noise(2 * MIB + 3, 2), "config.json": b'{"one": 1}'}
SMALL = {"small.safetensors": noise(70_001, 3), "config.json": b'{"small": 1}'}
PLAIN = {"plain.txt": noise(30_001, 4), "config.json": b'{"plain": 1}'}
MODELS = {"org/big": BIG, "org/one": ONE, "org/small": SMALL, "org/plain": PLAIN}
WEIGHTS = {name: next(iter(files)) for name, files in MODELS.items()}
OTHER = {"config.json": b'{"other": 1}', "w.safetensors": noise(9_000, 5)}
PLACES = ["head", "middle", "end"]


class World:
    """A Hub with the models, a bucket, and runs between them that are looked at."""

    def __init__(self, hub, s3, tmp_path, number):
        self.hub, self.s3, self.tmp_path = hub, s3, tmp_path
        self.bucket = Bucket(s3.make_bucket(f"faults-{number}"), s3)
        self.token = TOKEN
        hub.token(TOKEN)
        for name, files in MODELS.items():
            hub.model(name, files)
        hub.model("org/other", OTHER)

    def sync(self, *models, **env):
        """Runs; whatever happens, nothing wrong is in the bucket, and no secret is shown."""
        report = self.tmp_path / "report.json"
        if self.token:
            env.setdefault("HF_TOKEN", self.token)
        done = refresh("sync", *models, "--to", self.bucket.url, "--verbose", "--report", report,
                       env=environment(self.hub, self.s3, **env))
        text = report.read_text()
        assert not SECRETS.search(done.out + done.err + text), done
        done.report = json.loads(text)
        self.objects = self.bucket.objects()
        check_bucket(self.objects)
        assert not self.bucket.uploads()
        assert ".hfcache/lock" not in self.objects
        for request in self.hub.select(origin="cdn"):
            assert request.header("authorization") is None
        return done

    def good(self, *models, **env):
        done = self.sync(*models, **env)
        assert done.rc == 0, done
        for name in models:
            check_model(self.objects, name, MODELS.get(name, OTHER))
        return done

    def failed(self, done, model, *words):
        """The model has failed, says why, and is not there; org/other is."""
        assert done.rc == 1, done
        line = next((line for line in done.err.splitlines()
                     if line.startswith(f"failed  {model}@")), None)
        assert line is not None, done
        for word in words:
            assert re.search(word, line), f"{word!r} is not in {line!r}\n{done}"
        assert not any(key.startswith(f"hub/{folder(model)}/refs/") for key in self.objects)
        check_model(self.objects, "org/other", OTHER)

    def without(self, model, path):
        assert not any(key.startswith(f"hub/{folder(model)}/") and key.endswith("/" + path)
                       for key in self.objects)

    def heals(self, *models):
        """Afterwards all is well again: the next run brings what is missing, and no more."""
        self.hub.heal()
        self.good(*models, "org/other")
        before = self.objects
        self.hub.clear()
        self.good(*models, "org/other")
        assert self.objects == before and self.hub.count(origin="cdn") == 0


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with Versitygw(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


NUMBERS = iter(range(1 << 30))


@pytest.fixture
def world(hub, s3, tmp_path):
    return World(hub, s3, tmp_path, next(NUMBERS))


# Bytes that break off, go slowly, are too few, too many or wrong.

BROKEN = {"fin": {}, "rst": {}, "stall": {"seconds": 0.3}, "short": {}, "long": {}, "flip": {}}


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("kind", BROKEN)
def test_once_broken_is_fetched_again(world, kind, at):
    faults = [world.hub.fault(kind, match=path, at=at, **BROKEN[kind])
              for path in WEIGHTS.values()]
    world.good(*MODELS, "org/other")
    assert all(fault.hits == 1 for fault in faults)


@pytest.mark.parametrize("kind", ["fin", "rst"])
def test_ended_ahead_of_the_answer(world, kind):
    faults = [world.hub.fault(kind, match=path, at="before", times=2) for path in WEIGHTS.values()]
    world.good(*MODELS)
    assert all(fault.hits == 2 for fault in faults)


def test_broken_at_many_places_of_one_file(world):
    """Each time it goes on where it was: no more than one block is fetched twice in all."""
    size = len(BIG["big.safetensors"])
    for i in range(1, 20):
        world.hub.fault("rst" if i % 2 else "fin", match="big.safetensors", at=i * size // 20)
    world.good("org/big")
    sent = sum(r.sent for r in world.hub.select(origin="cdn"))
    assert sent < size + 5 * MIB


def test_a_trickle_at_the_end(world):
    for path in WEIGHTS.values():
        world.hub.fault("drip", match=path, at=-5, seconds=0.2)
    world.good(*MODELS)


@pytest.mark.skipif(not os.environ.get("HFCACHE_TEST_SLOW"), reason="HFCACHE_TEST_SLOW=1: minutes")
@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("kind", ["stall", "drip"])
def test_silence_and_trickles_end(world, kind, at):
    """After 60 s without a byte, or with less than 1 kB/s, the connection is given up."""
    for path in WEIGHTS.values():
        world.hub.fault(kind, match=path, at=at)
    world.good(*MODELS)


@pytest.mark.parametrize("at", PLACES)
def test_bytes_that_are_always_wrong_never_become_an_object(world, at):
    for path in WEIGHTS.values():
        world.hub.fault("flip", match=path, at=at, times=None)
    done = world.sync(*MODELS, "org/other")
    for model, path in WEIGHTS.items():
        word = "git's SHA-1" if model == "org/plain" else "SHA-256"
        world.failed(done, model, "wrong bytes from the Hub", word)
        world.without(model, path)
        assert any(f["model"] == model and f["path"] == path for f in done.report["failures"])
    assert len(done.report["failures"]) == len(MODELS)
    world.heals(*MODELS)


@pytest.mark.parametrize("kind", ["fin", "short", "long"])
def test_files_that_never_come_whole_fail_their_models(world, kind):
    """Each at another place, as each costs all tries there are."""
    for i, path in enumerate(WEIGHTS.values()):
        world.hub.fault(kind, match=path, at=PLACES[(i + len(kind)) % 3], times=None)
    done = world.sync(*MODELS, "org/other")
    for model, path in WEIGHTS.items():
        world.failed(done, model)
        world.without(model, path)
    world.hub.heal()
    world.good(*MODELS)


# Answers that are none.

ONCE = {
    "content_range": [{"shift": 1}, {"shift": -1}, {"value": None}, {"value": "bytes */5"},
                      {"value": "bytes 0-99999999999999999999/5"}, {"value": "junk"}],
    "ignore_range": [{}],
    "status": [{"status": s} for s in (408, 500, 502, 503, 504)],
    "expired": [{}],
}


@pytest.mark.parametrize("kind,how", [(k, h) for k, all_ in ONCE.items() for h in all_], ids=str)
def test_an_odd_answer_to_a_download(world, kind, how):
    """Once at the head, once at the end of each large file."""
    large = [name for name in MODELS if name != "org/plain"]
    for model in large:
        for byte in (0, -1):
            at = byte % len(MODELS[model][WEIGHTS[model]])
            world.hub.fault(kind, origin="cdn", match=covering(WEIGHTS[model], at), **how)
    world.good(*large)


def covering(path, at):
    """Ranges with that byte."""
    def match(request):
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", request.header("range")).groups()
        return request.file == path and int(first) <= at <= int(last)
    return match


def test_a_burst_of_5xx_everywhere(world):
    for endpoint in ("info", "tree", "resolve", "resolve-cache", "cdn"):
        world.hub.fault("status", endpoint=endpoint, status=503, times=3)
    world.good(*MODELS)


def test_5xx_for_ever(world):
    world.hub.fault("status", match="one.safetensors", status=503, times=None)
    world.hub.fault("status", endpoint="tree", match="*org/small*", status=502, times=None)
    world.hub.fault("status", endpoint="info", match="*org/plain*", status=500, times=None)
    done = world.sync(*MODELS, "org/other")
    world.failed(done, "org/one", "503", "tried 6 times")
    world.failed(done, "org/small", "502")
    world.failed(done, "org/plain", "500")
    check_model(world.objects, "org/big", BIG)
    world.heals(*MODELS)


def test_urls_that_expire(world):
    """In the middle of a file, again and again, and for ever."""
    world.hub.after(2, world.hub.expire_urls, origin="cdn")
    world.good("org/big")
    assert world.hub.count(status=403) >= 1
    world.hub.fault("expired", match="one.safetensors", origin="cdn", times=3)
    world.hub.fault("expired", match="small.safetensors", origin="cdn", times=None)
    done = world.sync("org/one", "org/small", "org/other")
    world.failed(done, "org/small", "refuses the address", "403")
    check_model(world.objects, "org/one", ONE)
    world.heals("org/one", "org/small")


@pytest.mark.parametrize("grow", [False, True])
@pytest.mark.parametrize("endpoint", ["info", "tree", "resolve", "resolve-cache", "cdn"])
def test_redirect_loops(world, endpoint, grow):
    model = "org/plain" if endpoint == "resolve-cache" else "org/one"
    names = {f"*{model}*", WEIGHTS[model]}
    for name in names:
        world.hub.fault("redirect_loop", endpoint=endpoint, match=name, grow=grow, times=None)
    done = world.sync(model, "org/other")
    world.failed(done, model, "redirect")
    assert len(world.hub.requests) < 150
    world.heals(model)


def test_redirects_that_lead_nowhere(world):
    for model, location in (("org/big", ""), ("org/one", "http://"), ("org/small", "ftp://x/y"),
                            ("org/plain", "file:///etc/passwd")):
        world.hub.fault("redirect", match=WEIGHTS[model], location=location, times=None)
    done = world.sync(*MODELS, "org/other")
    for model, path in WEIGHTS.items():
        world.failed(done, model)
        world.without(model, path)
    world.heals(*MODELS)


def test_a_redirect_takes_no_token_along(world):
    """To the CDN's origin, for the API as well."""
    world.hub.fault("redirect", endpoint="info", match="*org/one*", times=None,
                    location=world.hub.cdn_url + "/elsewhere")
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one")
    assert world.hub.count(origin="cdn", path="/elsewhere") >= 1


@pytest.mark.parametrize("kind", ["html", "garbage"])
@pytest.mark.parametrize("endpoint", ["info", "tree"])
def test_what_is_not_the_hubs_json(world, kind, endpoint):
    world.hub.fault(kind, endpoint=endpoint, match="*org/one*", times=None)
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one", "HTML" if kind == "html" else "not the Hub's JSON")
    world.heals("org/one")


def test_html_in_place_of_files(world):
    """As a hotel's network has it: 200, and not a word of the Hub's."""
    for model in MODELS:
        world.hub.fault("html", match=WEIGHTS[model], times=None)
    done = world.sync(*MODELS, "org/other")
    for model, path in WEIGHTS.items():
        world.failed(done, model)
        world.without(model, path)
    world.heals(*MODELS)


# Rate limits.

@pytest.mark.parametrize("wait", ["ratelimit", "retry-after", "date", None])
def test_429(world, wait):
    world.hub.fault("429", endpoint="info", match="*org/one*", wait=wait)
    world.hub.fault("429", match="one.safetensors", endpoint="resolve", wait=wait)
    world.hub.fault("429", match="plain.txt", endpoint="resolve", wait=wait)
    world.hub.fault("429", match="one.safetensors", origin="cdn", wait=wait)
    done = world.good("org/one", "org/plain", "org/other")
    assert "rate limit of the Hub: waiting" in done.err


def test_a_rate_limit_is_seen_ahead_of_time(world):
    """The Hub says what is left: nothing is sent that it would refuse."""
    world.hub.limits(window=1, api=7, resolvers=8)
    world.good(*MODELS, "org/other")
    assert world.hub.count(status=429) == 0
    assert world.hub.count(bucket="api") > 7 and world.hub.count(bucket="resolvers") > 8


def test_a_good_answer_that_says_nothing_is_left(world):
    world.hub.fault("headers", endpoint="info", set={"RateLimit": '"api";r=0;t=1'})
    done = world.good("org/one", "org/other")
    assert "holding requests back" in done.err


# Listings that lie.

def test_a_listing_that_goes_round(world):
    world.hub.page_size = 1
    world.hub.fault("tree_loop", endpoint="tree", match="*org/one*", times=None)
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one", "round in circles|comes twice")
    world.heals("org/one")


@pytest.mark.parametrize("url", [None, "http://127.0.0.1.example.com/x", "//localhost:1/x"])
def test_a_listing_that_goes_on_elsewhere(world, url):
    world.hub.fault("tree_elsewhere", endpoint="tree", match="*org/one*", times=None, url=url)
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one", "on another server: refused")
    assert not [r for r in world.hub.select(origin="cdn") if "/tree/" in r.path]
    world.heals("org/one")


@pytest.mark.parametrize("kind,model,how,word", [
    ("tree_twice", "org/one", {}, "comes twice"),
    ("tree_twice", "org/one", {"path": "config.json/x"}, "file and a directory"),
    ("tree_size", "org/one", {"path": "one.safetensors"}, "size"),
    ("tree_size", "org/big", {"path": "big.safetensors", "value": 12 * MIB}, "size"),
    ("tree_size", "org/big", {"path": "big.safetensors", "value": 1}, "size"),
    ("tree_size", "org/one", {"path": "one.safetensors", "value": 1 << 62}, "size"),
    ("tree_size", "org/one", {"path": "one.safetensors", "value": -1}, "size"),
    ("tree_size", "org/plain", {"path": "plain.txt"}, "length|size|bytes"),
    ("tree_size", "org/plain", {"path": "plain.txt", "value": 0}, "SHA-1"),
    ("tree_size", "org/plain", {"path": "plain.txt", "value": 40_000}, "length|size|bytes"),
    ("tree_sha256", "org/big", {}, "hash|SHA-256"),
    ("tree_sha256", "org/one", {"value": "f" * 63}, "SHA-256"),
    ("tree_oid", "org/plain", {"path": "plain.txt"}, "hash|SHA-1"),
    ("tree_oid", "org/plain", {"path": "plain.txt", "value": "x" * 40}, "git id"),
], ids=str)
def test_a_listing_that_lies(world, kind, model, how, word):
    world.hub.fault(kind, endpoint="tree", match=f"*{model}*", times=None, **how)
    done = world.sync(model, "org/other")
    world.failed(done, model, word)
    world.heals(model)


def test_an_lfs_size_that_lies_even_in_the_headers(world):
    """All headers agree with the lie; only the bytes don't."""
    data = ONE["one.safetensors"]
    for name, says in (("more", len(data) + 1), ("less", len(data) - 1)):
        world.hub.model(f"org/{name}", {"w.safetensors": lfs(data, size=says)})
    world.hub.model("org/sha", {"w.safetensors": lfs(data, sha256="0" * 64)})
    world.hub.model("org/git", {"w.txt": plain(b"text", oid="1" * 40)})
    done = world.sync("org/more", "org/less", "org/sha", "org/git", "org/other")
    for name in ("more", "less", "sha", "git"):
        world.failed(done, f"org/{name}")
        world.without(f"org/{name}", "w.safetensors")
        world.without(f"org/{name}", "w.txt")


HOSTILE = {
    "..": "\\.\\.", "../x": "\\.\\.", "a/../../../x": "\\.\\.", "a/..": "\\.\\.", "./x": '"\\."',
    "/etc/x": "absolute", "a//b": "empty", "a/": "empty", "": "no name", "nul\0x": "NUL",
    "x" * 1100: "too long", "d/" * 600 + "x": "too long", "\ud800": "UTF-8|JSON",
}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:12]))
def test_hostile_names(world, name):
    """Refused, never repaired: and nothing of the repository is touched."""
    def edit(tree):
        entry = next(item for item in tree if item["path"] == "config.json")
        tree.append({**entry, "path": name})
    world.hub.fault("edit", endpoint="tree", match="*org/one*", edit=edit, times=None)
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one", HOSTILE[name])
    assert not any(key.startswith(f"hub/{folder('org/one')}/") for key in world.objects)
    world.heals("org/one")


def test_a_hostile_name_of_the_repository(world):
    world.hub.fault("edit", endpoint="info", match="*org/one*", times=None,
                    edit=lambda info: {**info, "id": "../../etc"})
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one", "name")


def test_hostile_texts_are_shown_harmless(world):
    """No control characters in messages, whoever sends them."""
    def edit(tree):
        tree.append({**tree[0], "path": "\x1b[2J\x07\u202eevil/../x"})
    world.hub.fault("edit", endpoint="tree", match="*org/one*", edit=edit, times=None)
    world.hub.fault("status", endpoint="info", match="*org/small*", status=418, times=None,
                    message="\x1b]0;evil\x07")
    done = world.sync("org/one", "org/small", "org/other")
    world.failed(done, "org/one")
    world.failed(done, "org/small", "418")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", done.err + done.out), done


# Commits that change.

@pytest.mark.parametrize("answer", range(1, 9))
def test_main_moves_during_the_run(world, answer):
    """What is published is one of the two commits, all of it; the next run brings the other."""
    repo = world.hub.model("org/moving", {"a.json": b"1", "b.json": b"1", "w.safetensors": b"11"})
    first = repo.head
    second = repo.commit({"a.json": b"2", "b.json": b"2", "w.safetensors": b"22"})
    repo.move("main", first)
    world.hub.after(answer, lambda: repo.move("main", second))
    done = world.sync("org/moving")
    assert done.rc == 0, done
    text = {first: b"1", second: b"2"}[
        world.objects["hub/models--org--moving/refs/main"].decode()]
    files = {"a.json": text, "b.json": text, "w.safetensors": 2 * text}
    check_model(world.objects, "org/moving", files)
    repo.move("main", second)
    assert world.sync("org/moving").rc == 0
    check_model(world.objects, "org/moving",
                {"a.json": b"2", "b.json": b"2", "w.safetensors": b"22"})


def test_a_commit_that_is_gone(world):
    """Force-pushed away between the first answer and the second."""
    repo = world.hub.repos["model", "org/one"]
    old, kept = repo.head, repo.commits
    new = repo.commit({"config.json": b"new"})

    def push():
        repo.commits = {new: repo.commits[new]}
    repo.move("main", old)
    world.hub.after(1, push, match="*org/one*")
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one", "no such revision")
    repo.commits = {**kept, **repo.commits}


def test_another_commit_than_the_one_that_was_asked_for(world):
    for path in ("one.safetensors", "plain.txt"):
        world.hub.fault("headers", match=path, origin="hub", times=None,
                        set={"X-Repo-Commit": "0" * 40})
    done = world.sync("org/one", "org/plain", "org/other")
    for model in ("org/one", "org/plain"):
        world.failed(done, model, "another commit")
    world.heals("org/one", "org/plain")


def test_an_info_that_names_a_commit_which_is_not_there(world):
    world.hub.fault("edit", endpoint="info", match="*org/one*", times=None,
                    edit=lambda info: {**info, "sha": "0" * 40})
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one", "revision")
    world.heals("org/one")


@pytest.mark.parametrize("kind,endpoint,word", [("no_sha", "info", "names no commit"),
                                                ("no_commit", "resolve", "names no commit")])
def test_answers_without_a_commit(world, kind, endpoint, word):
    world.hub.fault(kind, endpoint=endpoint, times=None,
                    match=lambda request: "org/one" in request.path)
    done = world.sync("org/one", "org/other")
    world.failed(done, "org/one", word)
    world.heals("org/one")


# Repositories that one may not have, each with its own words.

@pytest.mark.parametrize("token", [True, False])
def test_repositories_that_are_refused(world, token):
    hub = world.hub
    world.token = TOKEN if token else None
    hub.model("org/gated", {"config.json": b"{}", "w.safetensors": b"w"}, gated=True)
    hub.model("org/private", {"config.json": b"{}"}, private=True)
    hub.model("org/disabled", {"config.json": b"{}"}, disabled=True)
    hub.dataset("org/data", {"a.parquet": b"a"})
    words = {"org/gated@main": "gated.*ask for it" if token else "gated.*HF_TOKEN",
             "org/private@main": "private and the token has no right" if token
             else "private: then set HF_TOKEN",
             "org/missing@main": "no such repository", "org/disabled@main": "disabled",
             "org/one@nowhere": "no such revision", "org/data@main": "no such repository",
             f"org/one@{'7' * 40}": "no such revision"}
    done = world.sync(*words, "org/other")
    assert done.rc == 1
    for name, word in words.items():
        assert re.search(f"^failed  {name}\\b.*: .*{word}", done.err, re.M), (name, done)
    check_model(world.objects, "org/other", OTHER)
    refs = {key for key in world.objects if "/refs/" in key}
    assert refs == {"hub/models--org--other/refs/main"}


def test_with_a_right_token_they_are_there(world):
    world.hub.model("org/gated", OTHER, gated=True)
    world.hub.model("org/private", OTHER, private=True)
    world.hub.token(TOKEN, read=["org/gated", "org/private"])
    world.good("org/gated", "org/private")


def test_a_wrong_token(world):
    world.token = "hf_wrongOne"
    done = world.sync("org/one")
    assert done.rc == 1 and "refuses the token" in done.err and "hf_wrongOne" not in done.err, done


def test_a_hub_that_is_not_there(world):
    done = world.sync("org/one", HF_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert done.rc == 1 and "org/one" in done.err, done
    assert not [key for key in world.objects if key.startswith("hub/")]


def test_many_faults_at_once(world):
    """A bad day: everything breaks now and then; all of it comes through."""
    rand = random.Random(7)
    for kind in ("fin", "rst", "flip", "short", "long"):
        for path in WEIGHTS.values():
            size = len(next(f[path] for f in MODELS.values() if path in f))
            world.hub.fault(kind, match=path, at=rand.randrange(size), nth=rand.randint(1, 3))
    for i in range(6):
        world.hub.fault("status", status=500 + i % 5 if i % 5 != 1 else 503, nth=5 * i + 2)
    done = world.sync(*MODELS, "org/other")
    if done.rc == 1:
        assert done.report["failures"], "only files may fail by this"
        done = world.heals(*MODELS) or world.good(*MODELS)
    for name, files in MODELS.items():
        check_model(world.objects, name, files)


# Several buckets.

def test_a_name_that_one_bucket_cannot_hold(world):
    """255 bytes a segment are a directory's limit: that model fails, the others go on."""
    long = {"config.json": b"{}", "n" * 300 + ".txt": b"long"}
    world.hub.model("org/long", long)
    place = Bucket(f"file://{world.tmp_path}/place")
    done = refresh("sync", "org/long", "org/other", "--to", world.bucket.url, "--to", place.url,
                   env=environment(world.hub, world.s3))
    assert done.rc == 1 and "org/long" in done.err, done
    for bucket in (world.bucket, place):
        check_bucket(bucket.objects(), {"org/other": OTHER})
        assert not any("org--long/refs" in key for key in bucket.keys())


def test_a_hub_that_is_slow_to_answer_one_model_holds_nobody_up(world):
    """The others are published while one file stalls."""
    release = threading.Event()

    def hold(_request, response):
        release.wait(30)
        return response
    world.hub.fault(hold, match="one.safetensors", origin="cdn", times=None)
    box = {}
    thread = threading.Thread(target=lambda: box.update(done=world.sync("org/one", "org/other")))
    thread.start()
    try:
        while thread.is_alive() and not world.s3.keys(world.bucket.name,
                                                      "hub/models--org--other/refs/"):
            pass
        there = bool(world.s3.keys(world.bucket.name, "hub/models--org--other/refs/"))
        assert there and not world.s3.keys(world.bucket.name, "hub/models--org--one/refs/")
    finally:
        release.set()
        thread.join()
    assert box["done"].rc == 0
