"""The command line of hfcache-mount, as far as nothing has to be mounted: help, usage, --config, the commands that
ask a worker (keeper and worker are threads of the test), and starts of `run` that fail before it mounts."""
import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest

from mount import MOUNT, NOBODY, REPO, placed
from refresh import CLEAN

COMMANDS = ["run", "keep", "serve", "status", "warm", "drop", "scrub"]
WAIT = 60
KEEPER_PID, WORKER_PID = 4711, 4712


def run(*args, env=None, cwd=None, **more):
    done = subprocess.run([MOUNT, *map(str, args)], env={**CLEAN, **(env or {})}, cwd=cwd, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=WAIT, check=False, **more)
    assert done.returncode >= 0, f"killed by signal {-done.returncode}: {done.stderr[-2000:]}"
    return done


# Help and usage.

def test_the_commands_are_listed():
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    assert re.findall(r"^  (\w+) ", done.stdout, re.M) == COMMANDS
    assert run("help").stdout == run("-h").stdout == done.stdout
    assert run().returncode == 2 and run().stderr == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself(command):
    done = run(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"Usage: hfcache-mount {command} ") and "Exit status: 0" in done.stdout
    assert run("help", command).stdout == done.stdout
    assert run(command, "--version").stdout == run("--version").stdout
    assert run(command, "--usage").stdout.startswith(f"Usage: hfcache-mount {command} ")


def test_the_version():
    assert run("--version").stdout == f"hfcache-mount {(REPO / 'VERSION').read_text().strip()}\n"


def test_an_unknown_command():
    done = run("mount\x1b")
    assert done.returncode == 2 and done.stderr.startswith("hfcache-mount: there is no command 'mount\\x1b'\n")
    assert run("help", "nothing").returncode == 2


def test_output_that_cannot_be_written():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([MOUNT, "--help"], env=CLEAN, stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=WAIT, check=False)
    assert done.returncode == 1 and "cannot write the output" in done.stderr


@pytest.mark.parametrize("args,message", [
    (["run"], "MOUNTPOINT is missing"),
    (["run", "/m"], "--store URL is missing"),
    (["run", "/m", "--store", "s3://b"], "--cache DIR is missing"),
    (["run", "/m", "/n"], "'/n': there is one mount point, and it is '/m'"),
    (["run", ""], "must not be empty"),
    (["run", "--store", "http://b/c"], "--store: 'http://b/c' is no store: expected s3://BUCKET"),
    (["run", "--cache-size", "0"], "--cache-size: '0' is no size of a cache"),
    (["run", "--cache-size", "120%"], "--cache-size: '120%' is not a share from 1% to 100%"),
    (["run", "--memory", "much"], "--memory: 'much' is no amount of bytes"),
    (["run", "--read-timeout", "0"], "--read-timeout: '0' is not a number from 1 to 86400"),
    (["run", "--listen", "nowhere"], "--listen: 'nowhere' is no address"),
    (["run", "--user", "0:0"], "--user: the worker must not be root"),
    (["run", "--without", "luck"], "--without: 'luck' is no feature"),
    (["run", "--log", "xml"], "--log: 'xml' is no format"),
    (["run", "--standby"], "unrecognized option '--standby'"),
    (["run", "--mem", "64Mi"], "unrecognized option '--mem'"),
    (["keep"], "MOUNTPOINT is missing"),
    (["keep", "--store", "s3://b", "/m"], "unrecognized option '--store'"),
    (["serve"], "--store URL is missing"),
    (["serve", "--store", "s3://b", "--cache", "/c"], "--socket PATH is missing"),
    (["serve", "--store", "s3://b", "--cache", "/c", "--socket", "/s", "/m"], "the keeper has the mount point"),
    (["status", "x"], "Too many arguments"),
    (["status", "--nonsense"], "unrecognized option '--nonsense'"),
    (["warm"], "which models?"),
    (["warm", "a/b/c"], "'a/b/c' is no model: expected ORG/NAME or datasets/ORG/NAME"),
    (["warm", "org/name@main"], "leave out the revision"),
    (["warm", *["o/m"] * 1001], "more than 1000 models"),
    (["drop"], "which models?"),
    (["drop", "../x"], "is no model"),
    (["scrub", "x"], "Too many arguments")])
def test_wrong_usage(args, message):
    done = run(*args)
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith(f"hfcache-mount {args[0]}: ") and message in done.stderr


def test_a_name_that_is_no_text():
    done = subprocess.run([MOUNT, "warm", b"org/\xff"], env=CLEAN, capture_output=True, timeout=WAIT, check=False)
    assert done.returncode == 2 and b"it is not in UTF-8" in done.stderr


# --config.

def test_a_config_file_is_read(tmp_path):
    config = tmp_path / "c"
    # Not every path of a mount point leaves room for a socket's name after it.
    config.write_text(f"# here\nstore = file://{tmp_path}\ncache = {tmp_path}/no/where  # there\nunmount = true\n"
                      f"socket = {tmp_path}/s\n")
    done = run("run", "--config", config, tmp_path)
    assert done.returncode == 1 and f"the cache {tmp_path}/no/where" in done.stderr
    done = run("run", "--config", config, "--cache", f"{tmp_path}/some/where", tmp_path)
    assert done.returncode == 1 and f"the cache {tmp_path}/some/where" in done.stderr


def test_all_that_is_wrong_with_a_config_file_is_told(tmp_path):
    config = tmp_path / "c"
    config.write_text("store = s3://b\nfoo = 1\nlog = xml\n\n  --memory = 1\ncache\nread-timeout = 5\n"
                      "read-timeout = 6\n")
    done = run("run", "--config", config, "/m")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines() == [
        f"hfcache-mount: {config}:2:1: 'foo' is no option",
        f"hfcache-mount: {config}:3:7: log: 'xml' is no format: expected text or json",
        f"hfcache-mount: {config}:5:3: --memory: write it without dashes",
        f"hfcache-mount: {config}:6:6: expected NAME = VALUE",
        f"hfcache-mount: {config}:8:1: read-timeout: it stands in line 7 already"]


def test_a_config_file_that_is_not_there(tmp_path):
    done = run("keep", "--config", tmp_path / "none", "/m")
    assert done.returncode == 2 and f"--config: {tmp_path}/none: No such file or directory" in done.stderr


# Starts that end before anything is mounted.

@pytest.fixture(name="place")
def place_fixture():
    with placed("cli") as top:
        (top / "mnt").mkdir()
        (top / "store").mkdir()
        yield top


def start(place, *args, store=None, cache=None, mountpoint=None, **env):
    env = {"HOME": "/nonexistent", "HFCACHE_RUNTIME_DIR": str(place / "run"), **env}
    return run("run", "--store", store or f"file://{place}/store", "--cache", cache or place / "cache", *args,
               mountpoint or place / "mnt", env=env)


def test_a_mount_point_that_is_not_there(place):
    done = start(place, mountpoint=place / "none")
    assert done.returncode == 1 and f"the mount point {place}/none is not there: mkdir it first" in done.stderr
    done = run("keep", place / "none")
    assert done.returncode == 1 and "mkdir it first" in done.stderr


def test_a_mount_point_that_is_a_file(place):
    (place / "file").write_text("")
    done = start(place, mountpoint=place / "file")
    assert done.returncode == 1 and "Not a directory" in done.stderr


def test_a_cache_with_something_in_it(place):
    (place / "cache").mkdir()
    (place / "cache/thesis.tex").write_text("")
    done = start(place)
    assert done.returncode == 1 and f"the cache {place}/cache: it has something else in it" in done.stderr
    assert os.listdir(place / "cache") == ["thesis.tex"]


def test_a_cache_in_the_mount(place):
    done = start(place, cache=place / "mnt/cache")
    assert done.returncode == 1 and "is below the mount point" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_cache_of_somebody_else(place):
    (place / "cache").mkdir()
    os.chown(place / "cache", 12345, 12345)
    done = start(place)
    assert done.returncode == 1 and f"chown -R {NOBODY}:{NOBODY}" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_cache_that_the_worker_cannot_reach(place):
    (place / "deep").mkdir(mode=0o700)
    done = start(place, cache=place / "deep/cache")
    assert done.returncode == 1 and f"{place}/deep/cache, as uid {NOBODY}" in done.stderr


def test_a_store_that_is_not_there(place):
    done = start(place, store=f"file://{place}/none")
    assert done.returncode == 1 and f"--store: reading {place}/none" in done.stderr
    done = start(place, store="file://relative")
    assert done.returncode == 1 and "file:///DIR" in done.stderr
    done = start(place, store=f"file://{place}/mnt/x")
    assert done.returncode == 1 and "is below the mount point" in done.stderr


def test_settings_of_aws_that_are_wrong(place):
    done = start(place, store="s3://bucket", AWS_PROFILE="nobody")
    assert done.returncode == 1 and "nobody" in done.stderr
    done = start(place, store="s3://bucket", AWS_ENDPOINT_URL="ftp://x")
    assert done.returncode == 1 and "endpoint" in done.stderr


def test_too_little_memory(place):
    done = start(place, "--memory", "10Mi")
    assert done.returncode == 1
    assert re.search(r"--memory: 10 MiB of memory are too little: give at least \d+ MiB", done.stderr)


# A keeper and a worker that say what a test wants.

class Worker(threading.Thread):
    """Listens at a socket as a keeper does; answers commands with lines, the last of which gets "end"."""
    FRAME = struct.Struct("=IHHIiQQq64s" + "iiIIQQQQQQ64s256s")
    MAGIC, VERSION = 0x68664C31, 1
    STATUS, STATE, CONTROL, CONNECTED = 12, 13, 14, 15

    def __init__(self, path, lines=(), serves=True, state=0, hang=False):
        super().__init__(daemon=True)
        self.path, self.lines, self.serves, self.state, self.hang = path, lines, serves, state, hang
        self.commands, self.left = [], threading.Event()
        self.asked = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(8)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(WAIT)
        os.unlink(self.path)

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with client:
                    self.answer(client)

    def frame(self, kind):
        pid = WORKER_PID if self.serves else 0
        return self.FRAME.pack(self.MAGIC, self.VERSION, kind, 0, 0, 0, 0, 0, b"", KEEPER_PID, pid, self.state, 1, 3,
                               5000, 4, 5, 6, 2, b"9.8.7", b"/mnt/hf")

    def answer(self, client):
        data = client.recv(4096)
        kind = self.FRAME.unpack(data)[2] if data else 0  # 0: somebody looks whether there is a keeper
        if kind == self.STATUS:
            client.send(self.frame(self.STATE))
        elif kind == self.CONTROL and not self.serves:
            client.send(self.frame(self.CONNECTED))
        elif kind == self.CONTROL:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    socket.send_fds(client, [self.frame(self.CONNECTED)], [theirs.fileno()])
                self.talk(ours)

    def talk(self, stream):
        with stream.makefile("rw") as file:
            self.commands.append(json.loads(file.readline()))
            self.asked.set()
            for line in self.lines:
                file.write(line if isinstance(line, str) else json.dumps(line) + "\n")
                file.flush()
            if self.hang:
                assert file.read() == ""
                self.left.set()


@pytest.fixture(name="sock")
def sock_fixture(tmp_path):
    return tmp_path / "k.sock"


STATUS = {"worker_pid": WORKER_PID, "version": "9.8.8", "uptime_s": 10, "ready": True, "memory": {"budget": {}},
          "cache": {"used": 1 << 30, "limit": 4 << 30}, "end": True}


def test_the_frame_is_the_programs(sock):
    """Else nothing below would be worth anything."""
    text = (REPO / "mount/link.h").read_text()
    kinds = re.findall(r"^    (LINK_\w+),?(?: = 1,)?$", re.search(r"enum link_kind {(.*?)}", text, re.S)[1], re.M)
    kinds = ["LINK_HELLO", *[kind for kind in kinds if kind != "LINK_HELLO"]]
    for name in ("STATUS", "STATE", "CONTROL", "CONNECTED"):
        assert kinds.index(f"LINK_{name}") + 1 == getattr(Worker, name)
    with Worker(sock, [STATUS]):
        assert run("status", "--socket", sock).returncode == 0


def test_status_in_json(sock):
    with Worker(sock, [STATUS]) as worker:
        done = run("status", "--json", "--socket", sock)
    assert done.returncode == 0 and done.stderr == ""
    status = json.loads(done.stdout)
    assert worker.commands == [{"command": "status"}]
    assert (status["keeper_pid"], status["worker_pid"], status["state"]) == (KEEPER_PID, WORKER_PID, "serving")
    assert status["cache"] == STATUS["cache"] and status["memory"] == STATUS["memory"] and "end" not in status
    assert status["mountpoint"] == "/mnt/hf" and status["socket"] == str(sock) and status["state_s"] == 5.0
    assert [status[name] for name in ("generation", "standbys", "redone", "poisoned", "orphaned", "deaths")] == \
        [3, 1, 4, 5, 6, 2]


def test_status_on_a_screen(sock):
    with Worker(sock, [STATUS]):
        done = run("status", "--socket", sock)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 120
    assert lines[0] == "mount       /mnt/hf  serving for 5.0 s"
    assert f"worker      pid {WORKER_PID}, version 9.8.8, up 10 s; 1 on standby" in lines
    assert "cache       [#####...............]  1.0 GiB of 4.0 GiB, 25 %" in lines


def test_status_without_a_worker(sock):
    with Worker(sock, serves=False, state=3):
        done = run("status", "--json", "--socket", sock)
        screen = run("status", "--socket", sock)
    status = json.loads(done.stdout)
    assert done.returncode == 1 and (status["state"], status["worker_pid"]) == ("orphaned", 0)
    assert status["error"] == "no worker serves now" and "cache" not in status
    assert screen.returncode == 1 and "NONE" in screen.stdout and "orphaned" in screen.stdout


def test_status_of_a_worker_that_refuses(sock):
    with Worker(sock, [{"end": True, "error": "too many"}]):
        done = run("status", "--json", "--socket", sock)
    assert done.returncode == 1 and json.loads(done.stdout)["error"] == "too many"


def test_status_of_another_state(sock):
    with Worker(sock, [STATUS], state=2):
        assert run("status", "--socket", sock).returncode == 1
    with Worker(sock, [STATUS], state=77):
        done = run("status", "--json", "--socket", sock)
    assert done.returncode == 1 and json.loads(done.stdout)["state"] == "unknown"


def test_the_only_keeper_is_found(tmp_path, sock):
    env = {"HFCACHE_RUNTIME_DIR": str(tmp_path)}
    done = run("status", env=env)
    assert done.returncode == 1 and f"no keeper listens below {tmp_path}" in done.stderr and done.stdout == ""
    with Worker(sock, [STATUS]):
        assert run("status", env=env).returncode == 0
        with Worker(tmp_path / "other.sock", [STATUS]):
            done = run("status", env=env)
            assert done.returncode == 1 and "choose one with --socket" in done.stderr and str(sock) in done.stderr


@pytest.mark.parametrize("args", [["status"], ["warm", "o/m"], ["drop", "o/m"], ["scrub"]])
def test_nobody_is_there(sock, args):
    done = run(*args, "--socket", sock)
    assert done.returncode == 1 and f"no keeper listens at {sock}" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("args", [["warm", "o/m"], ["drop", "o/m"], ["scrub"]])
def test_no_worker_is_there(sock, args):
    with Worker(sock, serves=False):
        done = run(*args, "--socket", sock)
    assert done.returncode == 1 and done.stderr == "hfcache-mount: error: no worker serves now\n"


@pytest.mark.parametrize("args", [["warm", "o/m"], ["drop", "o/m"], ["scrub"]])
@pytest.mark.parametrize("lines,message", [([], "the worker has ended"), (["nonsense\n"], "the worker's answer"),
                                           ([{"end": True, "error": "no\x1b"}], "no\\x1b")])
def test_a_worker_that_fails(sock, args, lines, message):
    with Worker(sock, lines):
        done = run(*args, "--socket", sock)
    assert done.returncode == 1 and message in done.stderr and done.stdout == ""


def model(name, done=3 << 20, **more):
    return {"model": name, "files": 7, "files_done": 7, "bytes": 4 << 20, "bytes_done": done, **more}


def test_warm(sock):
    lines = [{"progress": model("o/m")}, {"done": model("o/m")}, {"done": model("datasets/o/d")}, {"end": True}]
    with Worker(sock, lines) as worker:
        done = run("warm", "o/m", "datasets/o/d", "--socket", sock)
    assert done.returncode == 0 and done.stderr == ""
    assert worker.commands == [{"command": "warm", "models": ["o/m", "datasets/o/d"]}]
    assert done.stdout == "o/m: 7 files, 4.0 MiB\ndatasets/o/d: 7 files, 4.0 MiB\n"


def test_warm_that_is_not_complete(sock):
    lines = [{"done": model("o/m")}, {"done": model("o/n", error="x: it did not stay")},
             {"end": True, "error": "1 of 2"}]
    with Worker(sock, lines):
        done = run("warm", "o/m", "o/n", "--socket", sock)
    assert done.returncode == 1 and done.stdout == "o/m: 7 files, 4.0 MiB\n"
    assert done.stderr == "hfcache-mount: error: o/n: x: it did not stay\nhfcache-mount: error: 1 of 2\n"


def test_drop(sock):
    lines = [{"done": {"model": "o/m", "objects": 3, "bytes": 2048}},
             {"done": {"model": "o/n", "objects": 0, "bytes": 0, "error": "there is no such model"}},
             {"end": True, "error": "some of the models are not known"}]
    with Worker(sock, lines) as worker:
        done = run("drop", "o/m", "o/n", "--socket", sock)
    assert worker.commands == [{"command": "drop", "models": ["o/m", "o/n"]}]
    assert done.returncode == 1 and done.stdout == "o/m: 3 objects, 2.0 KiB\n"
    assert "error: o/n: there is no such model\n" in done.stderr


SCRUBBED = {"objects": 9, "objects_done": 9, "bytes": 5 << 20, "verified": 8, "wrong": 0}


def test_scrub(sock):
    with Worker(sock, [{"progress": {**SCRUBBED, "objects_done": 4}}, {**SCRUBBED, "end": True}]) as worker:
        done = run("scrub", "--socket", sock)
    assert worker.commands == [{"command": "scrub", "detach": False}]
    assert done.returncode == 0 and done.stdout == "9 of 9 objects, 5.0 MiB read, 0 wrong\n" and done.stderr == ""


def test_scrub_that_finds_something(sock):
    with Worker(sock, [{**SCRUBBED, "wrong": 2, "end": True, "error": "wrong bytes were found"}]):
        done = run("scrub", "--socket", sock)
    assert done.returncode == 1 and done.stdout == "9 of 9 objects, 5.0 MiB read, 2 wrong\n"
    assert "error: wrong bytes were found" in done.stderr


def test_scrub_detached(sock):
    with Worker(sock, [{"end": True}]) as worker:
        done = run("scrub", "--detach", "--socket", sock)
    assert worker.commands == [{"command": "scrub", "detach": True}]
    assert done.returncode == 0 and "goes on" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("args,message", [(["warm", "o/m"], "what was read stays in the cache"),
                                          (["scrub"], "the scrub goes on")])
def test_a_signal_lets_go_of_the_worker(sock, args, message, number):
    with Worker(sock, hang=True) as worker:
        child = subprocess.Popen([MOUNT, *args, "--socket", sock], env=CLEAN, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert worker.asked.wait(WAIT)
        child.send_signal(number)
        _, err = child.communicate(timeout=WAIT)
        assert worker.left.wait(WAIT)
    assert child.returncode == 1 and message in err


def on_terminal(*args, env=None):
    """Everything that the program writes to its terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([MOUNT, *map(str, args)], env={**CLEAN, "TERM": "xterm", **(env or {})}, stdin=theirs,
                          stdout=theirs, stderr=theirs, start_new_session=True) as child:
        os.close(theirs)
        text = b""
        while True:
            ready, _, _ = select.select([ours], [], [], WAIT)
            assert ready, text
            try:
                data = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not data:
                break
            text += data
        os.close(ours)
        assert child.wait(WAIT) is not None
    return text.decode().replace("\r\n", "\n")


def test_progress_is_drawn_on_a_terminal(sock):
    lines = [{"progress": model("o/m", 1 << 20)}, {"progress": model("o/m", 2 << 20)}, {"done": model("o/m")},
             {"end": True}]
    with Worker(sock, lines):
        text = on_terminal("warm", "o/m", "--socket", sock)
    first, second = "o/m: 1.0 MiB of 4.0 MiB, 25 %", "o/m: 2.0 MiB of 4.0 MiB, 50 %"
    assert text == f"{first}\r{' ' * len(first)}\r{second}\r{' ' * len(second)}\ro/m: 7 files, 4.0 MiB\n"
    with Worker(sock, lines):
        assert on_terminal("warm", "o/m", "--socket", sock, env={"TERM": "dumb"}) == "o/m: 7 files, 4.0 MiB\n"


def test_an_error_does_not_stand_in_the_progress(sock):
    with Worker(sock, [{"progress": {**SCRUBBED}}]):
        text = on_terminal("scrub", "--socket", sock)
    shown = "9 of 9 objects, 5.0 MiB read, 0 wrong"
    assert text == (f"{shown}\r{' ' * len(shown)}\r"
                    "hfcache-mount: error: the worker has ended: Connection reset by peer\n")


# What is written about it.

def options_of(command):
    return set(re.findall(r"^ .*?--([\w-]+)", run(command, "--help").stdout, re.M))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_manual_and_the_completions_know_every_option(command):
    manual = (REPO / "man/hfcache-mount.1").read_text()
    completions = (REPO / "completions/hfcache-mount.bash").read_text()
    options = options_of(command)
    assert "help" in options
    section = re.split(r"\n\.S[sh] ", manual.split(f".Ss {command}\n")[1])[0]
    line = re.search(rf"^ +{command}\) echo (.*) ;;$", completions, re.M).group(1)
    assert set(re.findall(r"--([\w-]+)", line)) == options - {"usage", "version"}
    assert set(re.findall(r"^\.It Fl -([\w-]+)", section, re.M)) == options - {"help", "usage", "version"}


def test_the_manual_is_clean():
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run([mandoc, "-Tlint", "-Wwarning", REPO / "man/hfcache-mount.1"], capture_output=True, text=True,
                          check=False)
    assert done.stdout + done.stderr == ""


def complete(*words):
    """What bash offers for the last word."""
    script = (f"source {REPO}/completions/hfcache-mount.bash; COMP_WORDS=({' '.join(repr(w) for w in words)}); "
              f"COMP_CWORD={len(words) - 1}; _hfcache_mount; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=WAIT, check=True,
                          env={"PATH": "/usr/bin:/bin", "HFCACHE_RUNTIME_DIR": "/nonexistent"})
    return done.stdout.split()


def test_the_completions_work(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    assert complete("hfcache-mount", "s") == ["serve", "status", "scrub"]
    assert complete("hfcache-mount", "help", "wa") == ["warm"]
    assert complete("hfcache-mount", "run", "--cache-") == ["--cache-size"]
    assert complete("hfcache-mount", "keep", "--without", "p") == ["passthrough"]
    assert complete("hfcache-mount", "run", "--log", "") == ["text", "json"]
    assert complete("hfcache-mount", "run", f"{tmp_path}/f") == [f"{tmp_path}/folder"]
    assert complete("hfcache-mount", "run", "--cache", f"{tmp_path}/f") == [f"{tmp_path}/folder"]
    assert sorted(complete("hfcache-mount", "run", "--config", f"{tmp_path}/f")) == [f"{tmp_path}/file",
                                                                                   f"{tmp_path}/folder"]
    assert complete("hfcache-mount", "status", "--socket", f"{tmp_path}/fi") == [f"{tmp_path}/file"]
    assert complete("hfcache-mount", "status", "--socket", "") == []
    assert complete("hfcache-mount", "run", "--user", "r") == []
    assert complete("hfcache-mount", "warm", "o") == []


def test_commands_of_the_manual_are_understood():
    """--help behind the options is reached only if all before it are known."""
    text = (REPO / "man/hfcache-mount.1").read_text().replace("\\e\n", " ")
    lines = re.findall(r"^hfcache-mount (.*?)(?: \|.*)?$", text, re.M)
    assert {line.split()[0] for line in lines} == {"run", "warm", "status"}
    for line in lines:
        done = run(*line.split(), "--help")
        assert done.returncode == 0, (line, done)
