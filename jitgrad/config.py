"""Every environment variable, parsed and validated once, at import.  There are no others.

| variable              | values                      | meaning                                                        |
|-----------------------|-----------------------------|----------------------------------------------------------------|
| JITGRAD_CACHE         | on, off                     | keep compiled kernels on disk (on)                              |
| JITGRAD_CACHE_DIR     | a path                      | where; default: the user's cache directory                      |
| JITGRAD_CACHE_MB      | a positive integer          | bound on the size of that directory (512)                       |
| JITGRAD_INTERPRET     | 0, 1                        | evaluate every graph with NumPy, compile nothing (0)            |
| JITGRAD_THREADS       | a positive integer          | threads for large work (OMP_NUM_THREADS, at most as many as cores) |
| JITGRAD_LOG           | debug, info, warning, error | level of the "jitgrad" logger (warning)                         |
| JITGRAD_MAX_NODES     | a positive integer          | more operations that do not repeat: one kernel each (1000)      |
"""
from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jitgrad.errors import ConfigError


def _choice(*values: str) -> Callable[[str, str], str]:
    def parse(name: str, text: str) -> str:
        if text not in values:
            raise ConfigError(f"{name}={text!r}: must be one of {', '.join(values)}")
        return text
    return parse


def _positive(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ConfigError(f"{name}={text!r}: must be a positive integer")
    return int(text)


def _path(name: str, text: str) -> Path:
    if not text:
        raise ConfigError(f"{name} is empty: give a directory, or unset it for the default")
    return Path(text).expanduser().absolute()


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """The user's cache directory by the platform's custom (XDG on Linux)."""
    if sys.platform == "win32":
        base = environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "jitgrad"


@dataclass
class Config:
    """The settings in force.  Mutable, so that tests and `set_num_threads` can change one."""

    cache: bool
    cache_dir: Path
    cache_bytes: int
    interpret: bool
    threads: int
    log: str
    max_nodes: int
    memory_limit: int | None = None     # see requests.schedule_cache.set_memory_limit


_VARIABLES: dict[str, Callable[[str, str], object]] = {
    "JITGRAD_CACHE": _choice("on", "off"),
    "JITGRAD_CACHE_DIR": _path,
    "JITGRAD_CACHE_MB": _positive,
    "JITGRAD_INTERPRET": _choice("0", "1"),
    "JITGRAD_THREADS": _positive,
    "JITGRAD_LOG": _choice("debug", "info", "warning", "error"),
    "JITGRAD_MAX_NODES": _positive,
}


def available_cores() -> int:
    """Cores this process may run on (its affinity mask where the platform has one)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _default_threads(environ: Mapping[str, str]) -> int:
    """As many as cores, or fewer where OMP_NUM_THREADS says so; what is no number is no bound, as in PyTorch."""
    bound = environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(available_cores(), int(bound)) if bound.isdecimal() and int(bound) else available_cores()


def parse(environ: Mapping[str, str]) -> Config:
    """Read `environ`.  Raises ConfigError for an unknown JITGRAD_ variable or a value that is not valid."""
    given = {name: text for name, text in environ.items() if name.startswith("JITGRAD_")}
    if unknown := sorted(set(given) - set(_VARIABLES)):
        raise ConfigError(f"unknown environment variable {unknown[0]}: the ones jitgrad reads are "
                          f"{', '.join(_VARIABLES)}")
    values = {name: _VARIABLES[name](name, text) for name, text in given.items()}
    get = values.get
    return Config(
        cache=get("JITGRAD_CACHE", "on") == "on",
        cache_dir=get("JITGRAD_CACHE_DIR") or default_cache_dir(environ),  # type: ignore[arg-type]
        cache_bytes=get("JITGRAD_CACHE_MB", 512) * 2**20,  # type: ignore[operator]
        interpret=get("JITGRAD_INTERPRET", "0") == "1",
        threads=get("JITGRAD_THREADS") or _default_threads(environ),  # type: ignore[arg-type]
        log=get("JITGRAD_LOG", "warning"),  # type: ignore[arg-type]
        max_nodes=get("JITGRAD_MAX_NODES", 1000),  # type: ignore[arg-type]
    )


def _with_line(record: logging.LogRecord) -> bool:
    """Add the line of the user's program that is running to a message."""
    frame = sys._getframe()
    while frame is not None and (frame.f_code.co_filename.startswith(_PACKAGE) or frame.f_globals.get("__name__") == "logging"):
        frame = frame.f_back
    if frame is not None:
        record.msg, record.args = f"{record.getMessage()} ({frame.f_code.co_filename}:{frame.f_lineno})", ()
    return True


class _Shown(logging.Handler):
    """Writes messages to stderr where the program has set up no logging."""

    def emit(self, record: logging.LogRecord) -> None:
        if logger.handlers == [self] and not logging.getLogger().handlers and sys.stderr is not None and not sys.stderr.closed:
            print(f"jitgrad {record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
config = parse(os.environ)
logger = logging.getLogger("jitgrad")
logger.setLevel(config.log.upper())
logger.addFilter(_with_line)
logger.addHandler(_Shown())
