"""Programs written for PyTorch, run on jitgrad: each import of torch is one of jitgrad; what they missed, and what was compiled."""
from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from jitgrad import missing
from jitgrad.autograd.reverse import engine
from jitgrad.explain import cache_info, line_text
from jitgrad.requests import schedule_cache
from jitgrad.requests.counters import stats

# Packages that PyTorch has under the same names for other things.
OWN = frozenset(["compiler", "ops", "types"])


class _Alias(Loader):
    """Gives the module of jitgrad for one of torch, and leaves it as it is."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class TorchFinder(MetaPathFinder):
    """Finds torch and torch.nn.functional in jitgrad and jitgrad.nn.functional."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != "torch" and not fullname.startswith("torch."):
            return None
        if fullname.split(".")[1:2] and fullname.split(".")[1] in OWN:
            missing.missed[fullname] += 1
            return None
        try:
            module = importlib.import_module("jitgrad" + fullname.removeprefix("torch"))
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith("jitgrad"):
                raise
            missing.missed[fullname] += 1
            return None
        return spec_from_loader(fullname, _Alias(module))


def run_as_main(path: str, arguments: Sequence[str]) -> int:
    """Run a script as the main program with these arguments; its exit status."""
    before, sys.argv = sys.argv, [path, *arguments]
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        sys.argv = before
    return 0


def run(path: str, arguments: Sequence[str]) -> int:
    """Run a script as the main program with torch mapped to jitgrad; its exit status.  The report goes to standard error."""
    finder, folder = TorchFinder(), str(Path(path).resolve().parent)
    loaded = {name: sys.modules.pop(name) for name in [*sys.modules] if name == "torch" or name.startswith("torch.")}
    missing.missed.clear()
    engine.cuts.clear()
    sys.meta_path.insert(0, finder)
    sys.path.insert(0, folder)
    try:
        return run_as_main(path, arguments)
    finally:
        sys.path.remove(folder)
        sys.meta_path.remove(finder)
        for name in [*sys.modules]:
            if name == "torch" or name.startswith("torch."):
                del sys.modules[name]
        sys.modules.update(loaded)
        print(report(), file=sys.stderr)


def report() -> str:
    """What a program missed, and what was compiled, interpreted and cut for it, with the user's lines."""
    counts = cache_info()
    found = [entry.program for entry in schedule_cache.known.values()]
    lines = [f"jitgrad: {len(found)} programs of {sum([len(p.kernels) for p in found])} kernels ({counts.compilations} compiled, "
             f"{counts.disk_hits} found on disk), {counts.memory_hits} more requests served by them, {counts.interpreted} interpreted"]
    lines += [f"jitgrad: interpreted {count} times: {reason}" for reason, count in stats.reasons.most_common()]
    if engine.cuts:
        lines.append("jitgrad: cut, where backward calls Python, in programs for what lies between:")
        lines += [f"  {line_text(line)}: {name}: {reason}" for line, name, reason in engine.cuts]
    if missing.missed:
        names = [name if count == 1 else f"{name} ({count} times)" for name, count in missing.missed.most_common()]
        lines.append(f"jitgrad: names that were asked for and are not here: {', '.join(names)}")
    return "\n".join(lines)
