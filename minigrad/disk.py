"""Files on disk: reading those that are files, and replacing them so that a reader finds the old content or the new."""

import contextlib
import errno
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither renamed nor removed
    fcntl = None  # type: ignore[assignment]

TEXT = 1 << 28  # bytes of the largest text that we read
TENSORS = 1 << 36  # of the largest file of tensors
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.new")
CLOSED = os.O_CLOEXEC if hasattr(os, "O_CLOEXEC") else 0
BINARY = getattr(os, "O_BINARY", 0)


def read(path, most: int) -> bytes:
    """Content of a regular file of at most `most` bytes.

    Raises OSError, with strerror and filename, for a pipe (which could wait for ever), a device (which may have no
    end), a folder, a larger file, and what cannot be opened.
    """
    return read_with_status(path, most)[0]


def read_text(path, encoding: str = "utf-8") -> str:
    """Text of a regular file of a sane size, its line ends as "\\n". Raises OSError as `read`, UnicodeDecodeError."""
    return io.TextIOWrapper(io.BytesIO(read(path, TEXT)), encoding).read()


def read_with_status(path, most: int) -> tuple[bytes, os.stat_result]:
    """`read`, and the status of the very file that was read."""
    with opened(path, most) as (file, status):
        expected = max(status.st_size, 1 << 20)  # files of /proc tell no size
        content = file.read(expected + 1) or b""
    if len(content) > min(expected, most):
        raise OSError(errno.EFBIG, too_large(most), os.fspath(path))
    return content, status


@contextlib.contextmanager
def opened(path, most: int) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """(file, status) of a regular file of at most `most` bytes, open to be read. Raises as `read`."""
    path = os.fspath(path)
    check(os.stat(path), path, most)  # before it is opened: that alone may do something to a device
    descriptor = os.open(path, os.O_RDONLY | CLOSED | BINARY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        check(status, path, most)  # it may be another one by now
        yield file, status


def check(status: os.stat_result, path, most: int) -> None:
    """Raise OSError for what `read` would not read."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe, a socket or a device; wanted a regular file", path)
    if status.st_size > most:
        raise OSError(errno.EFBIG, too_large(most), path)


def too_large(most: int) -> str:
    return f"larger than {most >> 20:,} MB, the most that is read"


def replace(path, content: bytes) -> None:
    """Write a file in one step: whoever reads it, and whenever the power fails, finds the old content or the new.

    What writers in that folder left that were killed is removed. Raises OSError, and then the old content is there.
    """
    path = Path(path).resolve()  # a link keeps pointing where it does
    try:
        with contextlib.suppress(OSError):  # a folder that may be written and not listed
            remove_stale(path.parent)
        temporary, descriptor = new_temporary(path)
        try:
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
                if fcntl:
                    os.replace(temporary, path)
            finally:
                with contextlib.suppress(OSError):
                    os.close(descriptor)  # which gives up its lock: not before it has its name
            if not fcntl:
                os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path} ({error.strerror}); what was there is unchanged") from error


def new_temporary(path: Path) -> tuple[Path, int]:
    """(path, descriptor) of a new file beside `path`, locked as long as it is open."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CLOSED | BINARY, 0o666)
        if not fcntl:
            return temporary, descriptor
        with contextlib.suppress(OSError):  # of a file system without locks, where nothing is taken for stale
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:  # else another process took it for stale before it was locked
            return temporary, descriptor
        os.close(descriptor)


def remove_stale(folder: Path) -> None:
    """Remove temporary files that writers in a folder left when they were killed.

    A writer holds a lock, which ends with its process; so those of living ones, in other containers too, stay.
    """
    for entry in os.scandir(folder):
        if TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError):
                if not fcntl:
                    os.unlink(entry.path)
                    continue
                descriptor = os.open(entry.path, os.O_WRONLY | CLOSED)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)
                finally:
                    os.close(descriptor)
