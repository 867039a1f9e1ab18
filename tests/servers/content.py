"""Where the bytes of a file come from: memory, a file on disk, or a pattern of any length.

A Content has a `size`, gives bytes by read(start, end) and, where it can, a descriptor with them
for sendfile(2) by span(start, end). Contents never change and may be used by many threads.
"""
import functools
import hashlib
import os
import threading

PIECE = 1 << 20
# A prime: no two parts of a file whose offsets are multiples of a power of two look alike, so that
# a part at the wrong place is seen.
PERIOD = 1048583
REPEATS = 16


class Bytes:
    def __init__(self, data):
        self.data = bytes(data)
        self.size = len(self.data)

    def read(self, start, end):
        return self.data[start:end]

    def span(self, start, end):
        """(descriptor, offset, length) of the longest stretch from `start`, or None."""
        return None


class Disk:
    """A file on disk, best on tmpfs; opened at first use, kept open."""

    def __init__(self, path):
        self.path = os.fspath(path)
        self.size = os.stat(self.path).st_size
        self.lock = threading.Lock()
        self.fd = None

    def open(self):
        with self.lock:
            if self.fd is None:
                self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return self.fd

    def read(self, start, end):
        return os.pread(self.open(), max(0, min(end, self.size) - start), start)

    def span(self, start, end):
        return self.open(), start, end - start

    def __del__(self):
        if getattr(self, "fd", None) is not None:
            os.close(self.fd)


@functools.lru_cache(maxsize=64)
def pattern(seed):
    """A memory file with REPEATS periods of the pattern."""
    fd = os.memfd_create("pattern", os.MFD_CLOEXEC)
    block = hashlib.shake_128(seed.encode()).digest(PERIOD)
    for _ in range(REPEATS):
        os.write(fd, block)
    return fd


@functools.lru_cache(maxsize=1)
def zeros():
    fd = os.memfd_create("zeros", os.MFD_CLOEXEC)
    os.ftruncate(fd, PERIOD * REPEATS)
    return fd


class Synthetic:
    """`size` bytes without a place to keep them: a pattern that depends on the seed, or zeros."""

    def __init__(self, size, seed="", fill="pattern"):
        if fill not in ("pattern", "zeros"):
            raise ValueError(f"no such fill: {fill}")
        self.size = size
        self.fd = zeros() if fill == "zeros" else pattern(seed)

    def span(self, start, end):
        offset = start % PERIOD
        return self.fd, offset, min(end - start, PERIOD * REPEATS - offset)

    def read(self, start, end):
        pieces = []
        end = min(end, self.size)
        while start < end:
            pieces.append(os.pread(*self.span(start, end)[::2], start % PERIOD))
            start += len(pieces[-1])
        return b"".join(pieces)


def content(value):
    """A Content of bytes, text, a path, or a Content as it is."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, (bytes, bytearray)):
        return Bytes(value)
    return Disk(value) if isinstance(value, os.PathLike) else value


def pieces(source):
    for start in range(0, source.size, PIECE):
        yield source.read(start, min(start + PIECE, source.size))


def digest(source, state):
    """The hex digest of everything, by the hash object `state`."""
    for piece in pieces(source):
        state.update(piece)
    return state.hexdigest()
