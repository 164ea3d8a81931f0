"""Files: what is no regular file is not read, and a writer that dies at any point leaves the old content or the new."""

import errno
import os
import subprocess
import sys

import pytest
from faults import interrupted

from minigrad import disk


def test_what_is_read_is_a_regular_file_of_a_sane_size(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to(path)
    assert disk.read(path, 10) == disk.read(str(tmp_path / "link"), 10) == b"0123456789"
    path.with_name("empty").write_bytes(b"")
    assert disk.read(tmp_path / "empty", 0) == b""
    with pytest.raises(OSError, match="larger than 0 MB") as refused:
        disk.read(path, 9)
    assert refused.value.errno == errno.EFBIG and refused.value.filename == str(path)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 37)
    with pytest.raises(OSError, match="larger than 65,536 MB, the most that is read"):
        disk.read(tmp_path / "sparse", disk.TENSORS)
    with pytest.raises(IsADirectoryError):
        disk.read(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        disk.read(tmp_path / "nowhere", 10)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_devices_and_links_to_them_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "zero", "/dev/zero", "/dev/null"):
        with pytest.raises(OSError, match="a pipe, a socket or a device; wanted a regular file"):
            disk.read(path, 10)


def test_a_pipe_that_takes_the_place_of_a_file_meanwhile_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    status = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: status)
    with pytest.raises(OSError, match="wanted a regular file"):
        disk.read(path, 10)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc here")
def test_a_file_that_tells_no_size_is_read_to_the_most():
    assert disk.read("/proc/self/status", 1 << 20).startswith(b"Name:")
    with pytest.raises(OSError, match="larger than"):
        disk.read("/proc/self/status", 10)


class Killed(BaseException):
    """Where the process would have ended."""


def test_an_exception_at_any_operation_leaves_the_old_content_or_the_new(tmp_path, monkeypatch):
    path, seen = tmp_path / "file", set()
    for error in (Killed(), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")):
        for number in range(1, 100):
            path.write_bytes(b"old content")

            def end(name, error=error):
                raise error

            with monkeypatch.context() as patch:
                done = interrupted(patch, number, end)
                try:
                    disk.replace(path, b"new content")
                except OSError as raised:
                    assert "what was there is unchanged" in str(raised) and path.read_bytes() == b"old content"
                except (Killed, KeyboardInterrupt):
                    pass
            seen.add(path.read_bytes())
            assert len(list(tmp_path.iterdir())) <= 2
            if len(done) < number:
                break
        else:
            pytest.fail("there is no end")
    assert seen == {b"old content", b"new content"}
    disk.replace(path, b"new content")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_kill_at_any_operation_leaves_the_old_content_or_the_new_and_the_next_writer_tidies_up(tmp_path, monkeypatch):
    path, seen, left = tmp_path / "file", set(), 0
    for number in range(1, 100):
        path.write_bytes(b"old content")
        child = os.fork()
        if child == 0:
            interrupted(monkeypatch, number, lambda name: os._exit(9))
            disk.replace(path, b"new content")
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        seen.add(path.read_bytes())
        left += len(os.listdir(tmp_path)) - 1
        disk.replace(path, b"newer")
        assert os.listdir(tmp_path) == ["file"] and path.read_bytes() == b"newer"
        if status == 0:
            break
    assert status == 0 and number > 5 and left and seen == {b"old content", b"new content"}


def test_the_temporary_file_of_a_writer_that_lives_stays(tmp_path):
    program = """
        import os, sys
        from minigrad import disk
        def fsync(descriptor):
            print("writing", flush=True)
            sys.stdin.read()
        os.fsync = fsync
        disk.replace(sys.argv[1], b"slow")
    """.replace("\n        ", "\n")
    path = tmp_path / "file"
    command = [sys.executable, "-c", program, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        (tmp_path / ".other.0123abcd.new").write_bytes(b"of one that is dead")
        (tmp_path / ".hidden").write_bytes(b"of somebody else")
        disk.replace(path, b"fast")
        assert len(os.listdir(tmp_path)) == 3 and (tmp_path / ".hidden").exists() and path.read_bytes() == b"fast"
        writer.communicate("", timeout=60)
    assert writer.returncode == 0 and path.read_bytes() == b"slow"
    assert sorted(os.listdir(tmp_path)) == [".hidden", "file"]
