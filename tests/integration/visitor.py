"""What tests do on a mount, in a process of its own that may hang in place of the tests.

    with Visitor() as visitor:
        visitor.call(os.listdir, path)                 any function that can be pickled
        visitor.call(read, path, offset, size)         or one of those below
        visitor.call(refusal, os.mkdir, path)          the name of the error that it ends with

A call that takes longer than `timeout` raises Hung; its process is given up, never waited for: a
process inside of a dead file system can't even be killed before the connection is aborted.
"""
import base64
import collections
import concurrent.futures
import errno
import hashlib
import mmap
import os
import pickle
import select
import subprocess
import sys
import time

PIECE = 1 << 20
MADV_POPULATE_READ = 22


class Hung(AssertionError):
    """Something did not come back in time."""


class Lines:
    """A child that is told lines and answers with lines."""

    def __init__(self, argv, **how):
        self.child = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, **how)
        self.left = b""

    def say(self, line=b""):
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()

    def line(self, timeout):
        """The next line; b"" if the child has ended."""
        end = time.monotonic() + timeout
        fd = self.child.stdout.fileno()
        while b"\n" not in self.left:
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                raise Hung(f"{self.child.args[:3]}: no answer in {timeout} s")
            piece = os.read(fd, 1 << 16)
            if not piece:
                return b""
            self.left += piece
        line, _, self.left = self.left.partition(b"\n")
        return line

    def give_up(self):
        """It may live on until the cleanup of the mount sets it free."""
        self.child.kill()
        for stream in (self.child.stdin, self.child.stdout):
            try:
                stream.close()
            except OSError:
                pass
        try:
            self.child.wait(1)
        except subprocess.TimeoutExpired:
            pass


class Visitor:
    def __init__(self, env=None):
        self.env, self.lines = env, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.lines:
            self.lines.give_up()

    def begin(self, function, *args):
        """Starts a call; end() has its result."""
        if self.lines is None:
            self.lines = Lines([sys.executable, __file__], env=self.env)
        self.lines.say(base64.b64encode(pickle.dumps((function, args))))

    def end(self, timeout=60):
        try:
            line = self.lines.line(timeout)
        except Hung:
            self.lines.give_up()
            self.lines = None
            raise
        if not line:
            self.lines.give_up()
            status, self.lines = self.lines.child.returncode, None
            raise AssertionError(f"the visitor has died, status {status}")
        value, error = pickle.loads(base64.b64decode(line))
        if error is not None:
            raise error
        return value

    def call(self, function, *args, timeout=60):
        self.begin(function, *args)
        return self.end(timeout)


def refusal(function, *args):
    """The name of the error; "" if there was none."""
    try:
        function(*args)
        return ""
    except OSError as error:
        return errno.errorcode[error.errno]


def read(path, offset=0, size=None):
    """pread(2) until there is nothing more or `size` is reached."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_open(fd, offset, size)
    finally:
        os.close(fd)


def read_open(fd, offset=0, size=None):
    pieces, left = [], size if size is not None else 1 << 62
    while left and (piece := os.pread(fd, min(left, PIECE), offset)):
        pieces.append(piece)
        offset, left = offset + len(piece), left - len(piece)
    return b"".join(pieces)


def read_cold(path, offset=0, size=None):
    """The same, past the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return read_open(fd, offset, size)
    finally:
        os.close(fd)


def mapped(path, offset=0, size=None):
    """Through mmap(2). What can't be had is EFAULT here, not the end of this process by SIGBUS."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b""
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as area:
            end = len(area) if size is None else min(offset + size, len(area))
            begin = min(offset, end) // mmap.PAGESIZE * mmap.PAGESIZE
            if begin < end:
                area.madvise(MADV_POPULATE_READ, begin, end - begin)
            return area[offset:end]


def digest(path):
    total = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            total.update(piece)
    return total.hexdigest()


def walk(root):
    """{relative path: (mode, uid, gid, size, links)} of everything below it, "" the root itself."""
    found = {}
    for top, folders, names in os.walk(root, onerror=raise_it):
        for name in ["."] * (top == root) + folders + names:
            path = os.path.join(top, name)
            st = os.lstat(path)
            found[os.path.relpath(path, root)] = (st.st_mode, st.st_uid, st.st_gid, st.st_size,
                                                  st.st_nlink)
    return found


def raise_it(error):
    raise error


def size_of(path):
    return os.stat(path).st_size


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def inode(path):
    return os.stat(path).st_ino


def xattrs(path):
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def space(path):
    st = os.statvfs(path)
    return {name: getattr(st, name) for name in dir(st) if name.startswith("f_")}


def parts_of_sparse(path):
    """(SEEK_DATA from 0, SEEK_HOLE from 0, SEEK_END, error of SEEK_DATA at the end)."""
    fd = os.open(path, os.O_RDONLY)
    try:
        end = os.lseek(fd, 0, os.SEEK_END)
        return (os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_HOLE), end,
                refusal(os.lseek, fd, end, os.SEEK_DATA))
    finally:
        os.close(fd)


def run(*argv):
    """What a program prints."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="surrogateescape", check=False)
    if done.returncode != 0:
        raise OSError(done.returncode, f"{argv[0]}: {done.stderr}")
    return done.stdout


def timed(function, *args):
    """(result, seconds)"""
    began = time.monotonic()
    return function(*args), time.monotonic() - began


def as_user(uid, function, *args):
    os.setegid(uid)
    os.seteuid(uid)
    try:
        return function(*args)
    finally:
        os.seteuid(0)
        os.setegid(0)


def open_to_write(path, flags):
    os.close(os.open(path, flags))


def digest_cold(path):
    """The same, past the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        total, offset = hashlib.sha256(), 0
        while piece := os.pread(fd, PIECE, offset):
            total.update(piece)
            offset += len(piece)
        return total.hexdigest()
    finally:
        os.close(fd)


def digest_or_error(path):
    """SHA-256 of the file, or the name of the error that reading it ends with."""
    try:
        return digest(path)
    except OSError as error:
        return errno.errorcode[error.errno]


def read_by_many(path, readers):
    """({outcome: readers that had it}, seconds)"""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(readers) as pool:
        outcomes = collections.Counter(pool.map(digest_or_error, [path] * readers))
    return dict(outcomes), time.monotonic() - began


HELD = {}


def hold(path):
    """Opens a file for calls to come; read_held() takes the number."""
    fd = os.open(path, os.O_RDONLY)
    HELD[fd] = path
    return fd


def read_held(fd, offset=0, size=None):
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return read_open(fd, offset, size)


def let_go(fd):
    HELD.pop(fd)
    os.close(fd)


def perform(steps):
    """Many calls at once: [(result, name of the error or "")]."""
    results = []
    for function, *args in steps:
        try:
            results.append((function(*args), ""))
        except OSError as error:
            results.append((None, errno.errorcode[error.errno]))
    return results


def main():
    # What the tests pickle belongs to a module of this name.
    sys.modules["visitor"] = sys.modules["__main__"]
    for line in sys.stdin.buffer:
        value = error = None
        try:
            function, args = pickle.loads(base64.b64decode(line))
            value = function(*args)
        except Exception as problem:  # pylint: disable=broad-exception-caught
            error = problem
        sys.stdout.buffer.write(base64.b64encode(pickle.dumps((value, error))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
