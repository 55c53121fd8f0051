"""python -m jitgrad: what is installed, the demo, programs written for PyTorch, explanations, the operators, the cache."""
from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

import jitgrad
from jitgrad.compiler.numba_cpu import cache, kernels
from jitgrad.config import config
from jitgrad.explain import describe, explain
from jitgrad.nist import NAMES, load
from jitgrad.nist.expression import FormulaError, compile_formula, functions
from jitgrad.operators import OPERATORS
from jitgrad.requests import schedule_cache

USAGE_ERROR = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m jitgrad", description=jitgrad.__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("info", help="versions, CPU, threads, CUDA, cache").set_defaults(run=info)
    demo = commands.add_parser("demo", help="fit NIST's nonlinear regression problems from their published starts")
    demo.add_argument("--problem", metavar="NAME", help=f"one problem only: {', '.join(NAMES)}")
    demo.add_argument("--starts", choices=("1", "2", "both"), default="both", help="which published start (both)")
    demo.set_defaults(run=run_demo)
    shown = commands.add_parser("explain", help="show what an expression's or a script's gradients are compiled to")
    shown.add_argument("target", metavar="EXPRESSION_OR_SCRIPT",
                       help='such as "sum(tanh(x)*exp(-x*x))", x being a random vector; or the path of a .py file, '
                            "which is run")
    shown.add_argument("arguments", nargs="*", help="the script's own")
    shown.add_argument("--size", type=int, default=1000, metavar="N", help="length of x (1000)")
    shown.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="dtype of x (float32)")
    shown.set_defaults(run=run_explain)
    script = commands.add_parser("run", help="run a program written for PyTorch, every import of torch being one of jitgrad")
    script.add_argument("script", metavar="SCRIPT", help="the path of a .py file")
    script.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own")
    script.set_defaults(run=run_script)
    listed = commands.add_parser("ops", help="the operators and the primitives they are made of: dtypes, derivative, what fuses")
    listed.add_argument("name", nargs="?", metavar="NAME", help="one of them only")
    listed.add_argument("--format", choices=("text", "markdown", "html"), default="text", help="how it is printed (text)")
    listed.set_defaults(run=run_ops)
    kept = commands.add_parser("cache", help="the compiled kernels on disk")
    kept.add_argument("action", choices=("list", "clear", "path"))
    kept.set_defaults(run=run_cache)
    return top


# -- info ------------------------------------------------------------------------------------------------------------

def info(options: argparse.Namespace) -> int:
    """Print what matters in a report of a problem."""
    import llvmlite.binding as llvm
    entries = cache.entries()
    features = sorted(name for name, present in llvm.get_host_cpu_features().items() if present)
    rows = [("jitgrad", jitgrad.__version__), ("python", f"{platform.python_version()} on {platform.platform()}"),
            *[(name, _version(name)) for name in ("numpy", "numba", "llvmlite", "numba-cuda")],
            ("cpu", llvm.get_host_cpu_name()), ("features", " ".join(features)),
            ("threads", f"{jitgrad.get_num_threads()} of {os.cpu_count()} cores"), ("cuda", _cuda()),
            ("cache", f"{cache.path()}: {len(entries)} entries, {cache.usage() / 2**20:.1f} of "
                      f"{config.cache_bytes / 2**20:.0f} MiB" + ("" if config.cache else ", off by JITGRAD_CACHE"))]
    rows += [("kernels", text) for text in _kernels()]
    for name, value in rows:
        print(f"{name:11} {value}")
    return 0


def _kernels() -> list[str]:
    """How the kernels on disk were compiled, a line for each version and way."""
    by_way: dict[str, list[float]] = {}
    for c in kernels.compilations():
        by_way.setdefault(f"Numba {c.numba} ({c.pipeline})", []).append(c.seconds)
    return [f"{len(seconds)} on disk by {way}, {1000 * sum(seconds) / len(seconds):.0f} ms each" for way, seconds in by_way.items()]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cuda() -> str:
    if util.find_spec("numba") is None or util.find_spec("numba.cuda") is None:
        return "numba.cuda is not installed"
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # Numba's own target tells of its successor
        try:
            from numba import cuda
        except ImportError as error:
            return f"numba.cuda cannot be imported: {error}"
        return "a GPU is present" if cuda.is_available() else "no GPU, or no driver"


# -- demo ------------------------------------------------------------------------------------------------------------

def run_demo(options: argparse.Namespace) -> int:
    """Fit the problems."""
    from jitgrad.nist import demo
    try:
        problems = [load(name) for name in ([options.problem] if options.problem else NAMES)]
    except ValueError as error:
        return usage_error(str(error))
    return demo.run(problems, (1, 2) if options.starts == "both" else (int(options.starts),))


# -- explain ---------------------------------------------------------------------------------------------------------

def run_explain(options: argparse.Namespace) -> int:
    """Explain an expression or all programs of a script."""
    if options.target.endswith(".py"):
        return _explain_script(options.target, options.arguments)
    if options.arguments:
        return usage_error(f"unexpected {options.arguments[0]!r}: an expression is one argument, in quotes")
    if options.size < 0:
        return usage_error(f"--size {options.size}: must be 0 or more")
    x = jitgrad.randn(options.size, dtype=getattr(jitgrad, options.dtype)).requires_grad_()
    public = [name for name, op in OPERATORS.items() if {"torch", "functional"} & set(op.places)]
    try:
        called = functions([*public, "ln", "arctan"])
        result = compile_formula(options.target, ("x",), called)(x)
        if isinstance(result, jitgrad.Tensor) and result._node.type.size != 1:
            print("not a scalar: its sum is explained")
            result = compile_formula(f"sum({options.target})", ("x",), called)(x)
    except FormulaError as error:
        return usage_error(str(error))
    except (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError) as error:
        return usage_error(f"{options.target!r}, with x of {options.size} elements: {error}")
    if not isinstance(result, jitgrad.Tensor) or not result.requires_grad:
        return usage_error(f"{options.target!r} is not a function of x with a gradient")
    print(explain(result))
    return 0


def _explain_script(path: str, arguments: Sequence[str]) -> int:
    """Run a script as the main program, then print every program that was compiled for it."""
    if not Path(path).is_file():
        return usage_error(f"there is no file {path}")
    from jitgrad.scripts import run_as_main
    try:
        return run_as_main(path, arguments)
    finally:
        _print_programs(path)


def _print_programs(path: str) -> None:
    found = [entry.program for entry in schedule_cache.known.values()]
    counts = jitgrad.cache_info()
    print(f"\n{path}: {len(found)} programs, {counts.memory_hits} more backwards served by them, "
          f"{counts.interpreted} interpreted")
    for number, program in enumerate(found, 1):
        print(f"\nprogram {number}: {len(program.kernels)} kernels, {len(program.steps)} steps")
        print("\n".join(describe(program)))


# -- run, ops --------------------------------------------------------------------------------------------------------

def run_script(options: argparse.Namespace) -> int:
    """Run a program with torch mapped to jitgrad."""
    from jitgrad import scripts
    if not Path(options.script).is_file():
        return usage_error(f"there is no file {options.script}")
    return scripts.run(options.script, options.arguments)


def run_ops(options: argparse.Namespace) -> int:
    """Print what there is."""
    from jitgrad import catalogue
    tables = [(head, rows) for head, rows in catalogue.tables(options.name) if rows]
    if not tables:
        return usage_error(f"there is no operator {options.name!r}: python -m jitgrad ops lists them")
    print("\n\n".join([catalogue.FORMATS[options.format](head, rows) for head, rows in tables]))
    return 0


# -- cache -----------------------------------------------------------------------------------------------------------

def run_cache(options: argparse.Namespace) -> int:
    """List, empty or locate the disk cache."""
    if options.action == "path":
        print(cache.path())
        return 0
    entries = cache.entries()
    size = sum(entry.bytes for entry in entries)
    if options.action == "clear":
        cache.clear()
        left = cache.entries()
        print(f"removed {len(entries) - len(left)} entries, {size / 2**20:.1f} MiB, from {cache.path()}")
        if left:
            print(f"jitgrad cache: {len(left)} entries could not be removed", file=sys.stderr)
        return int(bool(left))
    for entry in sorted(entries, key=lambda e: -e.mtime):
        used = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.mtime))
        print(f"{entry.name}  {entry.bytes:9}  {used}")
    print(f"{len(entries)} entries, {size / 2**20:.1f} MiB in {cache.path()}")
    return 0


# -- all -------------------------------------------------------------------------------------------------------------

def usage_error(message: str) -> int:
    """Say what is wrong with the command line; the exit status."""
    print(f"python -m jitgrad: {message}", file=sys.stderr)
    return USAGE_ERROR


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.  Exit status: 0, 1 if what was asked for failed, 2 for a mistake in the command line."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except BrokenPipeError:             # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
