"""hfcache-refresh sync into a bucket that fails: for every call that a run makes, in many ways.

Right result or clear failure, and never anything wrong in the bucket; a run without the fault then
brings everything to where an undisturbed run brings it, and the one after it finds nothing to do.
"""
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from refresh import Bucket, check_bucket, environment, refresh
from servers import HubServer, S3Proxy, Versitygw
from workload import AFTER, INDEX, TOKEN, Workload

OPERATIONS = ["PutObject", "GetObject", "ListObjectsV2", "ListMultipartUploads", "HeadObject",
              "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "ListParts",
              "AbortMultipartUpload", "CopyObject", "DeleteObject"]
# Failures after which the run still has to succeed, all of them, then those that may end it.
PASSING = [("slowdown", {}), ("internal", {"when": "after"}),
           ("timeout", {}), ("reset", {"when": "after"}), ("bad_digest", {}),
           ("complete_error", {"when": "after"}), ("reset", {"when": "during", "at": 10}),
           ("fin", {"when": "answer", "at": 10}), ("flip", {"when": "during", "at": 20})]
ENDING = [("forbidden", {}), ("skewed", {"times": None}),
          ("expired", {"times": None}), ("status", {"status": 400, "code": "InvalidRequest"}),
          ("complete_error", {}),
          ("flip", {"when": "answer", "at": 30}), ("internal", {"times": None, "when": "after"})]
# The answer to a HEAD has no body, so a 400 says nothing of what may pass.
NO_CODE = {("HeadObject", "timeout"), ("HeadObject", "bad_digest")}
# Nobody hears of a deletion that fails: the next run finds what is left.
UNHEARD = {"DeleteObject", "AbortMultipartUpload"}
SECRETS = re.compile(r"Signature=|X-Amz-|hfcachetest-secret|" + TOKEN)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with Versitygw(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def work(s3, tmp_path_factory):
    with Workload(s3, tmp_path_factory.mktemp("work")) as workload:
        yield workload


def test_the_workload_makes_all_calls(work):
    """So that no operation is missing below."""
    place = work.place()
    with S3Proxy(work.s3.endpoint) as proxy:
        assert work.run(place, endpoint=proxy.endpoint).rc == 0
        made = {call.operation for call in proxy.calls}
    work.converged(place)
    assert made - {"DeleteObjects"} == set(OPERATIONS)


def disturbed(work, operation, kind, how):
    """None, or what went wrong."""
    place = work.place()
    report = work.tmp_path / f"{place.name}.json"
    with S3Proxy(work.s3.endpoint) as proxy:
        failure = proxy.fail(kind, operation=operation, **how)
        done = work.run(place, "--report", report, "--verbose", endpoint=proxy.endpoint)
        hit = failure.hits
    work.check(place)
    text = report.read_text()
    assert not SECRETS.search(done.out + done.err + text), done
    assert done.rc in (0, 1), done
    assert hit, "the run did not make the call"
    if (kind, how) in PASSING and (operation, kind) not in NO_CODE:
        assert done.rc == 0, done
    if done.rc == 1:
        assert place.name in done.err and re.search("^failed  ", done.err, re.M), done
        assert json.loads(text)["status"] == "failed"
        done = work.run(place)
        assert done.rc == 0, done
    elif operation in UNHEARD:
        done = work.run(place)
        assert done.rc == 0, done
    work.converged(place)
    if kind in ("slowdown", "forbidden"):
        with S3Proxy(work.s3.endpoint) as proxy:
            done = work.run(place, endpoint=proxy.endpoint)
            assert done.rc == 0 and "nothing stored" in done.err, done
            assert proxy.count() <= 8, proxy.calls


@pytest.mark.parametrize("operation", OPERATIONS)
def test_faults(work, operation):
    cases = PASSING + ENDING
    with ThreadPoolExecutor(8) as pool:
        jobs = [(kind, how, pool.submit(disturbed, work, operation, kind, how))
                for kind, how in cases]
    wrong = [f"{kind} {how}: {job.exception()!r}" for kind, how, job in jobs if job.exception()]
    assert not wrong, "\n\n".join(wrong)


def test_a_later_call_fails(work):
    """The fault hits in the middle of things rather than first."""
    def case(operation, nth, kind, when):
        disturbed(work, operation, kind, {"nth": nth, "when": when})
    with ThreadPoolExecutor(8) as pool:
        jobs = {(operation, nth, kind, when): pool.submit(case, operation, nth, kind, when)
                for operation, nth in (("PutObject", 3), ("PutObject", 6), ("PutObject", 9),
                                       ("UploadPart", 2), ("CompleteMultipartUpload", 2))
                for kind, when in (("forbidden", "before"), ("reset", "after"))}
    wrong = [f"{name}: {job.exception()!r}" for name, job in jobs.items() if job.exception()]
    assert not wrong, "\n\n".join(wrong)


def test_everything_is_slow_down(work):
    """A bucket that is throttled for good fails in the end, and nothing is asked of it for ever."""
    place = work.place()
    with S3Proxy(work.s3.endpoint) as proxy:
        proxy.fail("slowdown", times=None)
        done = work.run(place, endpoint=proxy.endpoint)
        assert done.rc == 1 and place.url in done.err and "SlowDown" in done.err, done
        assert proxy.count() < 20
    work.check(place)


def test_a_bucket_behind_a_failing_proxy_holds_up_nobody(work, tmp_path):
    """Two buckets of one run: the one breaks in the middle, the other gets all, in one download."""
    with HubServer() as hub, S3Proxy(work.s3.endpoint) as proxy:
        for name, files in AFTER.items():
            hub.model(name, files)
        for kind, operation in (("forbidden", "PutObject"), ("reset", "UploadPart"),
                                ("forbidden", "CreateMultipartUpload"),
                                ("internal", "CompleteMultipartUpload")):
            bad, good = work.empty(), Bucket(f"file://{tmp_path}/{kind}-{operation}")
            proxy.heal()
            proxy.fail(kind, operation=operation, key="hub/*", nth=2, times=None)
            done = refresh("sync", *AFTER, "--to", bad.url, "--to", good.url,
                           env=environment(hub, work.s3.env_for(proxy.endpoint)))
            assert done.rc == 1 and bad.url in done.err, done
            check_bucket(good.objects(), AFTER)
            assert not good.uploads()
            work.check(bad)
            done = refresh("sync", *AFTER, "--to", bad.url, "--to", good.url,
                           env=environment(hub, work.s3))
            assert done.rc == 0, done
            check_bucket(work.state(bad), AFTER)
            assert not bad.uploads()


def test_a_wrong_body_is_never_taken_for_right(work):
    """The index and refs that are read through a proxy which changes a byte at many places."""
    place = work.place()
    assert work.run(place).rc == 0
    size = len(work.state(place)[INDEX])
    with S3Proxy(work.s3.endpoint) as proxy:
        for at in range(0, size, size // 8):
            proxy.heal()
            proxy.fail("flip", when="answer", at=at, operation="GetObject", key=INDEX)
            done = work.run(place, endpoint=proxy.endpoint)
            assert done.rc == 0 and "index" in done.err, done
            work.converged(place)
