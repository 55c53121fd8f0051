"""The disk cache: what is kept, what is refused, and that trouble is said once and never fatal."""
import errno
import os
import stat
import subprocess
import sys
import time
import warnings

import pytest

from jitgrad.compiler.numba_cpu import cache
from jitgrad.config import config
from jitgrad.errors import CacheWarning

posix = pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "cache_dir", tmp_path / "a" / "cache")
    monkeypatch.setattr(config, "cache", True)
    cache.reset()
    yield config.cache_dir
    cache.reset()


def key(n):
    return cache.key("entry", str(n))


def test_what_is_saved_is_loaded(directory):
    assert cache.load(key(1)) is None
    assert not directory.exists()
    assert cache.save(key(1), b"\0data", "source text")
    assert cache.load(key(1)) == b"\0data"
    assert cache.load(key(2)) is None
    assert (directory / f"{key(1)}.py").read_text() == "source text"
    assert cache.path() == directory


def test_keys_depend_on_every_part_and_on_where_parts_end():
    keys = [cache.key(*parts) for parts in (("a", "b"), ("ab",), ("a", "b", ""), ("b", "a"), (b"a", "c"))]
    assert len(set(keys)) == len(keys)
    assert cache.key("a", b"b") == keys[0]
    assert len(keys[0]) == 40


@posix
def test_the_directory_is_private(directory):
    cache.save(key(1), b"data", "")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_can_write_is_refused_once(directory, mode):
    cache.save(key(1), b"data", "")
    cache.reset()
    directory.chmod(mode)
    with pytest.warns(CacheWarning, match="can be written by others") as caught:
        assert cache.load(key(1)) is None
        assert not cache.save(key(2), b"data", "")
        assert cache.load(key(1)) is None
    assert len(caught) == 1


@posix
def test_a_directory_of_another_user_is_refused(directory, monkeypatch):
    cache.save(key(1), b"data", "")
    cache.reset()
    monkeypatch.setattr(os, "geteuid", lambda: directory.stat().st_uid + 1)
    with pytest.warns(CacheWarning, match="belongs to user"):
        assert cache.load(key(1)) is None


def test_a_file_in_place_of_the_directory(directory):
    directory.parent.mkdir()
    directory.write_text("")
    with pytest.warns(CacheWarning, match="is not a directory"):
        assert not cache.save(key(1), b"data", "")


def test_a_directory_that_cannot_be_made(directory):
    directory.parent.write_text("a file")
    with pytest.warns(CacheWarning, match="cannot create") as caught:
        assert not cache.save(key(1), b"data", "")
        assert not cache.save(key(2), b"data", "")
    assert len(caught) == 1


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b"",
                                    lambda c: c[:50] + b"?" + c[51:], lambda c: b"X" + c[1:]])
def test_a_damaged_entry_is_dropped_and_replaced(directory, damage):
    data = bytes(range(256))
    cache.save(key(1), data, "")
    file = directory / f"{key(1)}.bin"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(CacheWarning, match="damaged"):
        assert cache.load(key(1)) is None
    assert not file.exists()
    cache.save(key(1), data, "")
    assert cache.load(key(1)) == data


def test_a_renamed_entry_is_damaged(directory):
    cache.save(key(1), b"data", "")
    (directory / f"{key(1)}.bin").rename(directory / f"{key(2)}.bin")
    with pytest.warns(CacheWarning, match="damaged"):
        assert cache.load(key(2)) is None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_directory_warns_once_and_still_serves(directory, monkeypatch, code):
    cache.save(key(1), b"data", "")

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)
    with pytest.warns(CacheWarning, match="JITGRAD_CACHE_DIR") as caught:
        assert not cache.save(key(2), b"data", "")
        assert not cache.save(key(3), b"data", "")
    assert len(caught) == 1
    assert cache.load(key(1)) == b"data"


def test_a_disk_that_fills_up_while_writing_leaves_nothing_behind(directory, monkeypatch):
    cache.save(key(1), b"data", "")

    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "replace", refuse)
    with pytest.warns(CacheWarning, match="No space left"):
        assert not cache.save(key(2), b"data", "")
    assert not list(directory.glob("*.tmp"))


def test_switched_off(directory, monkeypatch):
    monkeypatch.setattr(config, "cache", False)
    assert not cache.save(key(1), b"data", "")
    assert cache.load(key(1)) is None
    assert not directory.exists()


def age(directory, name, seconds):
    then = time.time() - seconds
    os.utime(directory / f"{name}.bin", (then, then))


def test_the_least_recently_used_entries_are_evicted(directory, monkeypatch):
    monkeypatch.setattr(config, "cache_bytes", 10_000)
    for n in range(9):
        cache.save(key(n), bytes(1000), "")
        age(directory, key(n), 1000 - n)
    assert len(cache.entries()) == 9
    assert cache.load(key(0)) is not None       # used just now
    cache.save(key(9), bytes(1000), "")
    assert cache.usage() <= 10_000
    left = {entry.name for entry in cache.entries()}
    assert key(0) in left and key(9) in left
    assert key(1) not in left
    assert not (directory / f"{key(1)}.py").exists()


def test_an_entry_larger_than_the_bound_is_kept_alone(directory, monkeypatch):
    cache.save(key(1), bytes(10), "")
    monkeypatch.setattr(config, "cache_bytes", 100)
    cache.save(key(2), bytes(1000), "")
    assert [entry.name for entry in cache.entries()] == [key(2)]


def test_entries_usage_and_clear(directory):
    assert cache.entries() == [] and cache.usage() == 0
    cache.clear()
    cache.save(key(1), bytes(100), "src")
    cache.save(key(2), bytes(200), "")
    age(directory, key(1), 100)
    (directory / "notes.py").write_text("the user's own")
    entries = cache.entries()
    assert [entry.name for entry in entries] == [key(1), key(2)]
    assert entries[0].bytes == (directory / f"{key(1)}.bin").stat().st_size + 3
    assert cache.usage() == sum(entry.bytes for entry in entries)
    assert entries[0].mtime < entries[1].mtime
    cache.clear()
    assert [file.name for file in directory.iterdir()] == ["notes.py"]
    assert cache.load(key(1)) is None


def test_abandoned_temporary_files_go(directory, monkeypatch):
    cache.save(key(1), bytes(10), "")
    for name, seconds in (("tmpold.tmp", 10_000), ("tmpnew.tmp", 0)):
        (directory / name).write_bytes(b"")
        os.utime(directory / name, (time.time() - seconds,) * 2)
    monkeypatch.setattr(config, "cache_bytes", 50)
    cache.save(key(2), bytes(10), "")
    assert [file.name for file in directory.glob("*.tmp")] == ["tmpnew.tmp"]


PROCESS = """
import sys
from jitgrad.compiler.numba_cpu import cache
wrong = 0
for i in range(100):
    name = cache.key("shared", str(i % 5))
    data = str(i % 5).encode() * 3000
    cache.save(name, data, "text")
    found = cache.load(name)
    wrong += found is not None and found != data
sys.exit(wrong)
"""


def test_many_processes_at_once(directory):
    environment = {**os.environ, "JITGRAD_CACHE_DIR": str(directory), "JITGRAD_CACHE_MB": "1"}
    command = [sys.executable, "-W", "error", "-c", PROCESS]
    running = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(cache.entries()) == 5


def test_nothing_is_said_when_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.save(key(1), b"data", "")
        cache.save(key(1), b"data", "")
        assert cache.load(key(1)) == b"data"
