"""The cache of machine code: every way in which such a cache has gone wrong elsewhere, tried on ours."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minigrad import cli
from minigrad.kernels import cache

resource = pytest.importorskip("resource", reason="permissions and limits are tested where they are POSIX's")
KEYS = st.binary(min_size=32, max_size=32).map(bytes.hex)


@contextmanager
def cache_folder(megabytes=256):
    """A new folder, which need not exist, as the cache; yields its path."""
    with tempfile.TemporaryDirectory() as parent, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGRAD_CACHE_DIR", f"{parent}/cache")
        patch.setenv("MINIGRAD_CACHE_SIZE", str(megabytes))
        patch.setattr(cache, "_unswept", float("inf"))
        yield Path(parent) / "cache"


@pytest.fixture
def folder():
    with cache_folder() as path:
        yield path


def key(i: int) -> str:
    return f"{i:064x}"


def keys(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def set_age(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


# Properties


@given(st.dictionaries(KEYS, st.binary(max_size=200), max_size=5))
def test_what_was_written_is_read_and_nothing_else_is(contents):
    with cache_folder() as folder:
        for name, content in contents.items():
            cache.write(name, content)
        assert {name: cache.read(name) for name in contents} == contents
        assert cache.read(key(1)) is None
        assert keys(folder) == sorted(contents) if contents else not folder.exists()


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_damaged_file_is_a_miss_and_is_rewritten(content, data):
    with cache_folder() as folder:
        cache.write(key(1), content)
        cache.write(key(2), content)
        intact = (folder / key(1)).read_bytes()
        at = data.draw(st.integers(0, len(intact) - 1))
        bit = 1 << data.draw(st.integers(0, 7))
        flipped = intact[:at] + bytes([intact[at] ^ bit]) + intact[at + 1 :]
        extra = data.draw(st.binary(min_size=1))
        another_keys = (folder / key(2)).read_bytes()
        for damaged in [intact[:at], flipped, intact + extra, extra + intact, extra, another_keys]:
            (folder / key(1)).write_bytes(damaged)
            assert cache.read(key(1)) is None
            cache.write(key(1), content)
            assert cache.read(key(1)) == content


@given(st.integers(100, 20_000), st.lists(st.integers(0, 3000), min_size=9, max_size=9), st.lists(st.integers(0, 8)))
@example(10_000, [3000, 3000, 3000, 800, *[50] * 5], [0, 1, 2, 3, 4])  # the last one is too small to look again
def test_the_limit_holds_and_the_least_recently_written_go_first(limit, sizes, writes):
    with cache_folder(limit / 1e6) as folder:
        order = []
        for i, name in enumerate(writes):
            cache.write(key(name), bytes(sizes[name]))
            there = keys(folder) if folder.exists() else []
            assert sum((folder / other).stat().st_size for other in there) <= limit
            assert key(name) in there or sizes[name] + 100 > limit * 63 / 64
            order = [other for other in order if other != key(name)] + [key(name)] * (key(name) in there)
            order = order[len(order) - len(there) :]
            assert sorted(order) == there
            if key(name) in there:
                os.utime(folder / key(name), (i, i))  # clocks of file systems are too coarse to tell the order


@given(st.sets(st.one_of(KEYS, st.from_regex(r"\.writing-[a-z0-9_]{8}|[0-9A-Fa-f.\-w]{1,70}", fullmatch=True))))
def test_clear_removes_what_is_ours_and_only_that(names):
    names -= {".", ".."}
    with cache_folder() as folder:
        folder.mkdir(mode=0o700)
        for name in names:
            (folder / name).write_bytes(b"123")
        (folder / key(3)).mkdir()
        ours = {n for n in names if (len(n) == 64 and set(n) <= set("0123456789abcdef")) or n.startswith(".writing-")}
        ours -= {key(3)}
        assert cache.clear() == (len(ours), 3 * len(ours))
        assert set(keys(folder)) == names - ours | {key(3)}


# Use


def test_a_hit_renews_the_time_of_the_file_once_a_day(folder):
    cache.write(key(1), b"code")
    file = folder / key(1)
    for age, renewed in [(3600, False), (2 * 86400, True), (-2 * 86400, True)]:  # the last one lies in the future
        set_age(file, age)
        before = file.stat().st_mtime
        assert cache.read(key(1)) == b"code"
        assert (file.stat().st_mtime != before) == renewed
        assert not renewed or abs(file.stat().st_mtime - time.time()) < 3600


def test_a_kernel_in_use_outlives_the_others():
    with cache_folder(0.01) as folder:
        for i in range(9):
            cache.write(key(i), bytes(1000))
            set_age(folder / key(i), 86400 * (20 - i))
        cache.read(key(0))
        cache.write(key(9), bytes(1000))
        cache.write(key(10), bytes(1000))
        assert cache.read(key(0)) and cache.read(key(9)) and cache.read(key(10))
        assert cache.read(key(1)) is None


def test_a_kernel_larger_than_the_limit_drives_nothing_out():
    with cache_folder(0.01):
        cache.write(key(1), bytes(5000))
        cache.write(key(2), bytes(20_000))
        assert cache.read(key(1)) == bytes(5000)
        assert cache.read(key(2)) is None


@pytest.mark.parametrize("size", ["abc", "-1", "nan", "inf", "1e999", "1,5"])
def test_a_limit_that_is_no_number_is_refused_with_what_would_do(folder, monkeypatch, size):
    monkeypatch.setenv("MINIGRAD_CACHE_SIZE", size)
    with pytest.raises(ValueError, match=f"MINIGRAD_CACHE_SIZE is '{size}'; wanted a number of megabytes, such as 256"):
        cache.write(key(1), b"code")


# Folders and files that cannot be trusted, or cannot be written


@contextmanager
def as_ordinary_user(folder):
    """Permissions do not bind root: become nobody meanwhile, who owns the folder."""
    if os.geteuid() != 0:
        yield
        return
    os.chmod(folder.parent, 0o755)
    for path in [folder, *folder.iterdir()]:
        os.chown(path, 65534, -1)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_folder_and_files_are_private(folder):
    cache.write(key(1), b"code")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / key(1)).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_may_write_is_not_used(folder, mode):
    cache.write(key(1), b"code")
    folder.chmod(mode)
    cache.write(key(2), b"code")
    assert cache.read(key(1)) is cache.read(key(2)) is None
    assert keys(folder) == [key(1)]
    assert cache.trouble(folder) == "other users may write there"


def test_a_folder_of_another_user_is_not_used(folder, monkeypatch):
    cache.write(key(1), b"code")
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    cache.write(key(2), b"code")
    assert cache.read(key(1)) is cache.read(key(2)) is None
    assert keys(folder) == [key(1)]
    assert cache.trouble(folder) == "it belongs to another user"
    with pytest.raises(PermissionError, match="nothing is removed from .*: it belongs to another user"):
        cache.clear()


def test_a_file_that_others_may_write_is_a_miss_and_is_replaced(folder):
    cache.write(key(1), b"code")
    (folder / key(1)).chmod(0o666)
    assert cache.read(key(1)) is None
    cache.write(key(1), b"code")
    assert cache.read(key(1)) == b"code"


def test_a_read_only_folder_is_read_and_left_alone(folder):
    cache.write(key(1), b"code")
    set_age(folder / key(1), 9 * 86400)
    with as_ordinary_user(folder):
        folder.chmod(0o500)
        cache.write(key(2), b"code")
        assert cache.read(key(1)) == b"code"
        assert cache.read(key(2)) is None
        assert cache.trouble(folder).startswith("it is read-only")
        with pytest.raises(PermissionError):
            cache.clear()
    folder.chmod(0o700)
    assert keys(folder) == [key(1)]


def test_a_folder_that_cannot_be_made_costs_nothing(folder, monkeypatch):
    folder.mkdir()
    with as_ordinary_user(folder):
        folder.chmod(0o500)
        monkeypatch.setenv("MINIGRAD_CACHE_DIR", str(folder / "deeper" / "cache"))
        cache.write(key(1), b"code")
        assert cache.read(key(1)) is None
        assert cache.trouble(folder / "deeper" / "cache") == f"it cannot be made: {folder} is read-only"


def test_a_file_in_the_place_of_the_folder_costs_nothing(folder, monkeypatch):
    folder.write_text("in the way")
    for path in (folder, folder / "cache"):
        monkeypatch.setenv("MINIGRAD_CACHE_DIR", str(path))
        cache.write(key(1), b"code")
        assert cache.read(key(1)) is None
        assert cache.trouble(path) == f"{folder} is not a folder"
    assert folder.read_text() == "in the way"


def test_a_folder_in_the_place_of_a_kernel_costs_nothing(folder):
    (folder / key(1)).mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    cache.write(key(1), b"code")
    assert cache.read(key(1)) is None
    assert keys(folder) == [key(1)]  # and no unfinished file


@pytest.mark.parametrize("kind", ["pipe", "link to a device", "link to a pipe", "endless"])
def test_what_is_no_file_in_the_place_of_a_kernel_costs_nothing(folder, kind):
    folder.mkdir(mode=0o700)
    file = folder / key(1)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "endless":
        with open(file, "wb") as large:
            large.truncate(1 << 37)
    else:
        os.mkfifo(folder / "pipe")
        file.symlink_to("/dev/zero" if kind == "link to a device" else folder / "pipe")
    assert cache.read(key(1)) is None
    cache.write(key(1), b"code")
    assert cache.read(key(1)) == b"code"


def test_without_a_home_nothing_is_kept_and_nothing_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIGRAD_CACHE_DIR", "~no such user/cache")
    cache.write(key(1), b"code")
    assert cache.read(key(1)) is None
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="no home folder to keep kernels in: set MINIGRAD_CACHE_DIR"):
        cache.folder()


def test_a_full_disk_costs_nothing_and_leaves_nothing(folder):
    cache.write(key(1), b"code")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the next write ends in an OSError halfway
    try:
        cache.write(key(2), bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert cache.read(key(2)) is None
    assert keys(folder) == [key(1)]


def test_an_interrupt_while_writing_leaves_nothing(folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.write(key(1), b"code")
    assert keys(folder) == []


# Several processes


def start(program: str, *arguments) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)])


def test_what_a_killed_writer_left_is_removed_after_an_hour(folder):
    killed = start("""
        import os, signal
        from minigrad.kernels import cache
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        cache.write(64 * "0", b"code")
    """)
    assert killed.wait(60) == -signal.SIGKILL
    (left,) = folder.iterdir()
    cache.write(key(1), b"code")
    assert left.exists()  # it may be at work still
    set_age(left, 2 * 3600)
    cache._unswept = float("inf")  # as in a new process
    cache.write(key(2), b"code")
    assert keys(folder) == [key(1), key(2)]


def test_processes_that_write_read_evict_and_clear_at_once(folder, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE_SIZE", "0.02")
    program = """
        import random, sys
        from minigrad.kernels import cache
        draw = random.Random(int(sys.argv[1]))
        hits = 0
        for step in range(400):
            i = draw.randrange(12)
            name, code = f"{i:064x}", bytes([i]) * 3000
            cache.write(name, code)
            found = cache.read(f"{(i + 1) % 12:064x}")
            assert found in (None, bytes([(i + 1) % 12]) * 3000)
            hits += found is not None
            if step % 100 == 99:
                cache.clear()
        assert hits
    """
    running = [start(program, i) for i in range(4)]
    assert [process.wait(120) for process in running] == [0, 0, 0, 0]
    assert all(path.name in map(key, range(12)) for path in folder.iterdir())


# The commands


@pytest.fixture
def minigrad(monkeypatch, capsys):
    """Calls the command; returns (exit code, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["minigrad", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return (stop.value.code or 0, *capsys.readouterr())

    return call


def test_info_and_clear_tell_what_is_there_and_what_was_removed(folder, minigrad):
    nothing = f"folder  {folder}\nfiles   0\nsize    0.0 MB\nlimit   256 MB\nusable  yes\n"
    assert minigrad("cache", "info") == (0, nothing, "")
    assert not folder.exists()
    for i in range(3):
        cache.write(key(i), bytes(500_000))
    (folder / "notes.txt").write_text("mine")
    held = f"folder  {folder}\nfiles   3\nsize    1.5 MB\nlimit   256 MB\nusable  yes\n"
    assert minigrad("cache", "info") == (0, held, "")
    assert minigrad("cache", "clear") == (0, f"removed 3 files, 1.5 MB, from {folder}\n", "")
    assert minigrad("cache", "clear") == (0, f"removed 0 files, 0.0 MB, from {folder}\n", "")
    assert keys(folder) == ["notes.txt"]


def test_info_says_why_a_cache_cannot_be_used(folder, minigrad):
    folder.mkdir()
    folder.chmod(0o777)
    code, out, error = minigrad("cache", "info")
    assert (code, error) == (0, "") and out.endswith("usable  no: other users may write there\n")
    folder.rmdir()
    folder.write_text("in the way")
    code, out, error = minigrad("cache", "info")
    assert (code, error) == (0, "") and out.endswith(f"usable  no: {folder} is not a folder\n")


@pytest.mark.parametrize("command", ["info", "clear"])
def test_a_mistake_is_one_line_and_exit_code_2(folder, minigrad, monkeypatch, command):
    monkeypatch.setenv("MINIGRAD_CACHE_DIR", "~no such user/cache")
    refused = "minigrad: no home folder to keep kernels in: set MINIGRAD_CACHE_DIR\n"
    assert minigrad("cache", command) == (2, "", refused)


def test_mistakes_of_limit_and_folder_are_one_line(folder, minigrad, monkeypatch):
    folder.mkdir()
    folder.chmod(0o777)
    refused = f"minigrad: nothing is removed from {folder}: other users may write there\n"
    assert minigrad("cache", "clear") == (2, "", refused)
    monkeypatch.setenv("MINIGRAD_CACHE_SIZE", "large")
    wanted = "minigrad: MINIGRAD_CACHE_SIZE is 'large'; wanted a number of megabytes, such as 256\n"
    assert minigrad("cache", "info") == (2, "", wanted)


def test_the_commands_need_no_numba(folder):
    program = """
        import sys
        from minigrad import cli
        sys.argv = ["minigrad", "cache", "info"]
        try:
            cli.main()
        except SystemExit as stop:
            sys.exit(stop.code or "numba" in sys.modules)
    """
    assert start(program).wait(60) == 0
