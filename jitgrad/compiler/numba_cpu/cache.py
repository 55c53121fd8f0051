"""The disk cache: bytes by key, in one directory that is the user's own.

What is kept is executed by the next process, so a directory that others can write is refused, and an entry is used
only if its checksum is right.  Any number of processes may use the directory at once: an entry appears by one atomic
rename and is never changed.  Whatever goes wrong, the program goes on without the cache, after one `CacheWarning` for
each kind of trouble.

An entry is two files: `<key>.bin`, a header and the bytes, and beside it `<key>.py`, the source, for people to read.
"""
from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import NamedTuple

from jitgrad.config import config, logger
from jitgrad.errors import CacheWarning

_MAGIC = b"jitgrad 1\n"
_DIGEST = 32
_KEEP = 0.9             # eviction goes on until this share of the bound is left, so that it is rare
_ABANDONED = 3600.0     # a temporary file older than this, in seconds, is left from a process that died


class CachedFile(NamedTuple):
    """One entry: its key, the bytes of both its files, and the time of its last use (seconds since the epoch)."""

    name: str
    bytes: int
    mtime: float


class _Disk:
    """What this process knows of one directory."""

    def __init__(self) -> None:
        self.usable: bool | None = None     # None: not looked at yet
        self.writable = True
        self.total: int | None = None       # bytes in it, as far as this process knows


_states: dict[Path, _Disk] = {}
_said: set[tuple[Path, str]] = set()
_lock = threading.RLock()


def path() -> Path:
    """The directory that entries are kept in.  It may not exist yet."""
    return config.cache_dir


def key(*parts: str | bytes) -> str:
    """A name for content that depends on all of these parts, in this order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:40]


def load(name: str) -> bytes | None:
    """The bytes saved under this key, or None; a damaged entry is removed, with a warning."""
    directory = path()
    if not config.cache or not _usable(directory, create=False):
        return None
    file = directory / f"{name}.bin"
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(directory, "read", f"cannot read {file}: {error}; it is compiled again")
        return None
    data = content[len(_MAGIC) + _DIGEST:]
    if content != _seal(name, data):
        _warn(directory, "damaged", f"the cache entry {file} is damaged; it is compiled again")
        _remove(file)
        return None
    try:
        os.utime(file)
    except OSError as error:
        logger.debug("cannot note the use of %s: %s", file, error)
    return data


def head(name: str, size: int) -> bytes:
    """The first bytes of what is saved under a key, not checked; empty where there is nothing.  For people, not to be executed."""
    try:
        with open(path() / f"{name}.bin", "rb") as file:
            return file.read(len(_MAGIC) + _DIGEST + size)[len(_MAGIC) + _DIGEST:]
    except OSError:
        return b""


def save(name: str, data: bytes, source: str) -> bool:
    """Keep bytes under a key, and their source beside them.  Returns whether that succeeded; it never raises."""
    directory = path()
    if not config.cache or not _usable(directory, create=True):
        return False
    state = _states[directory]
    if not state.writable:
        return False
    try:
        _write(directory, f"{name}.py", source.encode())
        _write(directory, f"{name}.bin", _seal(name, data))
    except OSError as error:
        state.writable = False
        _warn(directory, "write", f"cannot write to the cache directory {directory}: {error}; nothing more is kept on "
                                  "disk. Make room, set JITGRAD_CACHE_DIR to another directory, or JITGRAD_CACHE=off")
        return False
    with _lock:
        if state.total is None:
            state.total = usage()
        else:
            state.total += len(data) + len(source) + len(_MAGIC) + _DIGEST
        if state.total > config.cache_bytes:
            state.total = _evict(directory, keep=name)
    return True


def entries() -> list[CachedFile]:
    """All entries, the least recently used first."""
    found = []
    for file in _files(path(), ".bin"):
        try:
            status = file.stat()
            size = status.st_size
            source = file.with_suffix(".py")
            if source.exists():
                size += source.stat().st_size
        except OSError:     # another process has just removed it
            continue
        found.append(CachedFile(file.stem, size, status.st_mtime))
    return sorted(found, key=lambda entry: (entry.mtime, entry.name))


def usage() -> int:
    """Bytes of all entries."""
    return sum(entry.bytes for entry in entries())


def clear() -> None:
    """Remove all entries; files that are not the cache's own stay."""
    for entry in entries():
        _remove(path() / f"{entry.name}.bin")
    for file in [*_files(path(), ".py"), *_files(path(), ".tmp")]:
        _remove(file)
    with _lock:
        if path() in _states:
            _states[path()].total = None


def reset() -> None:
    """Forget what was found out about directories, and which warnings were given."""
    with _lock:
        _states.clear()
        _said.clear()


# -- one directory ---------------------------------------------------------------------------------------------------


def _usable(directory: Path, create: bool) -> bool:
    """Whether code from this directory may be executed.  Looked at once, and again when it did not exist."""
    state = _states.get(directory)
    if state is not None and state.usable is not None:
        return state.usable
    with _lock:
        state = _states.setdefault(directory, _Disk())
        if not directory.exists():
            if not create:
                return False
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                _warn(directory, "create", f"cannot create the cache directory {directory}: {error}; nothing is kept "
                                           "on disk. Set JITGRAD_CACHE_DIR to another directory, or JITGRAD_CACHE=off")
                state.usable = False
                return False
        reason = _refusal(directory)
        if reason is not None:
            _warn(directory, "refused", f"the cache directory {directory} {reason}; what it holds would be executed, "
                                        "so it is not used. Make it yours alone (chmod 700), or set JITGRAD_CACHE_DIR")
        state.usable = reason is None
        return state.usable


def _refusal(directory: Path) -> str | None:
    try:
        status = directory.stat()
    except OSError as error:
        return f"cannot be examined ({error})"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if os.name == "nt":     # access lists; the default directory is inside the user's profile
        return None
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def _seal(name: str, data: bytes) -> bytes:
    """The content of a file: the checksum covers the key, so that a renamed entry is not taken for another."""
    return _MAGIC + hashlib.sha256(name.encode() + b"\0" + data).digest() + data


def _write(directory: Path, name: str, content: bytes) -> None:
    """Make the file appear whole or not at all.  Raises OSError."""
    handle, temporary = tempfile.mkstemp(suffix=".tmp", dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        try:
            os.replace(temporary, directory / name)
        except PermissionError:
            # Windows: another process has the file open, so the entry is there already.
            if os.name != "nt" or not (directory / name).exists():
                raise
            _remove(Path(temporary))
    except BaseException:       # an interrupt, too
        _remove(Path(temporary))
        raise


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
        if file.suffix == ".bin":
            file.with_suffix(".py").unlink(missing_ok=True)
    except OSError as error:
        logger.debug("cannot remove %s: %s", file, error)


def _files(directory: Path, suffix: str) -> list[Path]:
    """Files that the cache made: a key or a temporary name, and this suffix."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    chosen = []
    for name in names:
        stem, extension = os.path.splitext(name)
        ours = stem.startswith("tmp") if suffix == ".tmp" else len(stem) == 40 and set(stem) <= set("0123456789abcdef")
        if extension == suffix and ours:
            chosen.append(directory / name)
    return chosen


def _evict(directory: Path, keep: str) -> int:
    """Remove the least recently used entries until there is room again; returns the bytes that are left."""
    now = time.time()
    for file in _files(directory, ".tmp"):
        try:
            if now - file.stat().st_mtime > _ABANDONED:
                _remove(file)
        except OSError:     # its process has just renamed it
            continue
    found = entries()
    total = sum(entry.bytes for entry in found)
    for entry in found:
        if total <= _KEEP * config.cache_bytes:
            break
        if entry.name != keep:
            _remove(directory / f"{entry.name}.bin")
            total -= entry.bytes
            logger.debug("evicted %s from the cache", entry.name)
    return total


def _warn(directory: Path, kind: str, message: str) -> None:
    with _lock:
        if (directory, kind) in _said:
            logger.info("%s", message)
            return
        _said.add((directory, kind))
    warnings.warn(message, CacheWarning, stacklevel=3)
