"""The cache of machine code on disk: one file a kernel, in a folder that only this user can write.

What is stored is an object file (no pickle), behind a hash of it and of its key: a torn or foreign file is a miss,
never an exception; what is no regular file (a pipe, a device) is not read. Several processes may fill one cache: each
writes a file of its own and renames it. Nothing here is needed for a result, so whatever the disk refuses costs the
next process a compilation and nothing else.
"""

import contextlib
import hashlib
import math
import os
import re
import stat
import tempfile
import time
from pathlib import Path

import platformdirs

from minigrad import disk

MAGIC = b"minigrad object 2\n"
UNFINISHED = ".writing-"
OURS = re.compile(rf"[0-9a-f]{{64}}|{re.escape(UNFINISHED)}[a-z0-9_]{{8}}")
MEGABYTES = 256
LARGEST = 1 << 26  # bytes of a file: a kernel has some ten thousand
HOUR, DAY = 3600, 86400

_unswept = math.inf  # bytes that this process has written since it last looked at the size of the whole


def folder() -> Path:
    """$MINIGRAD_CACHE_DIR, else the user's cache folder of this platform. OSError where there is no home."""
    chosen = os.environ.get("MINIGRAD_CACHE_DIR")
    try:
        return Path(chosen or platformdirs.user_cache_path("minigrad") / "kernels").expanduser()
    except RuntimeError as error:
        raise FileNotFoundError("no home folder to keep kernels in: set MINIGRAD_CACHE_DIR") from error


def limit() -> int:
    """Bytes that the cache may take: $MINIGRAD_CACHE_SIZE megabytes, else 256."""
    text = os.environ.get("MINIGRAD_CACHE_SIZE") or str(MEGABYTES)
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = math.nan
    if not 0 <= megabytes < math.inf:
        raise ValueError(f"MINIGRAD_CACHE_SIZE is {text!r}; wanted a number of megabytes, such as {MEGABYTES}")
    return int(megabytes * 1e6)


def refusal(status: os.stat_result) -> str | None:
    """Why we do not trust a file or a folder: whoever can write it decides what machine code we run."""
    if hasattr(os, "geteuid"):  # elsewhere a user's own folders are private by their place
        if status.st_uid != os.geteuid():
            return "it belongs to another user"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "other users may write there"
    return None


def trouble(directory: Path) -> str | None:
    """Why kernels cannot be kept in a folder, or None if they can. It need not exist yet."""
    try:
        existing = next(path for path in [directory, *directory.absolute().parents] if os.path.lexists(path))
        if not existing.is_dir():
            return f"{existing} is not a folder"
        if existing == directory and (reason := refusal(directory.stat())):
            return reason
    except OSError as error:
        return error.strerror
    if os.access(existing, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return None
    if existing == directory:
        return "it is read-only; kernels in it are used, none is added"
    return f"it cannot be made: {existing} is read-only"


def digest(key: str, machine_code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + machine_code).digest()


def read(key: str) -> bytes | None:
    """Machine code that was kept under a key; None if there is none that is intact and ours."""
    try:
        path = folder() / key
        if refusal(path.parent.stat()):
            return None
        content, status = disk.read_with_status(path, LARGEST)
        if abs(time.time() - status.st_mtime) > DAY:  # the time of a file is that of its last use, to the day
            with contextlib.suppress(OSError):
                os.utime(path)
    except OSError:
        return None
    machine_code = content[len(MAGIC) + 32 :]
    intact = content.startswith(MAGIC) and content[len(MAGIC) : len(MAGIC) + 32] == digest(key, machine_code)
    return machine_code if intact and not refusal(status) else None


def write(key: str, machine_code: bytes) -> None:
    """Keep machine code under a key. ValueError if the limit that the user set is no number; never an OSError."""
    global _unswept
    content = MAGIC + digest(key, machine_code) + machine_code
    most = limit()
    if len(content) > most:
        return
    with contextlib.suppress(OSError):
        directory = folder()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if refusal(directory.stat()):
            return
        descriptor, unfinished = tempfile.mkstemp(dir=directory, prefix=UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(unfinished, directory / key)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise
        _unswept += len(content)
        if _unswept > most // 64:
            sweep(directory, most - most // 64)
            _unswept = 0


def ours(directory: Path) -> list[tuple[Path, os.stat_result]]:
    """Files of the cache and their states; other files in the folder are none of our business."""
    found = []
    for path in directory.iterdir() if directory.exists() else ():
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            if OURS.fullmatch(path.name) and stat.S_ISREG((status := path.lstat()).st_mode):
                found.append((path, status))
    return found


def sweep(directory: Path, most: int) -> None:
    """Remove what writers left that died, and the least recently used kernels beyond `most` bytes."""
    files = sorted(ours(directory), key=lambda file: file[1].st_mtime)
    excess = sum(status.st_size for _, status in files) - most
    for path, status in files:
        unfinished = path.name.startswith(UNFINISHED)
        if time.time() - status.st_mtime > HOUR if unfinished else excess > 0:
            with contextlib.suppress(OSError):
                path.unlink()
                excess -= status.st_size


def clear() -> tuple[int, int]:
    """Remove all files of the cache; returns how many there were, and their bytes. OSError if that is not allowed."""
    count = size = 0
    directory = folder()
    if directory.exists() and (reason := refusal(directory.stat())):
        raise PermissionError(f"nothing is removed from {directory}: {reason}")
    for path, status in ours(directory):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            count, size = count + 1, size + status.st_size
    return count, size
