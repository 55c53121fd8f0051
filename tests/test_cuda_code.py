"""The code of kernels for GPUs, made without one: cubins for four kinds of GPU, what ptxas says of them, and the disk cache.

It needs numba-cuda and nvJitLink (pip install 'jitgrad[cuda]')."""
from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import drawn
import numpy as np
import pytest
from cuda_cases import FAMILIES, sources, target
from graphs import leaf, request

import jitgrad
from jitgrad.compiler.build import build
from jitgrad.compiler.codegen import target_cuda
from jitgrad.compiler.codegen.cuda import scans
from jitgrad.compiler.numba_cpu import cache
from jitgrad.compiler.numba_cpu.kernels import compilations
from jitgrad.compiler.numba_cuda import device, kernels
from jitgrad.errors import CacheWarning
from jitgrad.graph.node import Op
from jitgrad.graph.recording import scalar_node
from jitgrad.ops.declare import REGISTRY
from jitgrad.types.dtype import BY_CODE, int64

INSTALLED = importlib.util.find_spec("numba_cuda") is not None and importlib.util.find_spec("cuda") is not None
compiles = pytest.mark.skipif(not INSTALLED, reason="numba-cuda is not installed: pip install 'jitgrad[cuda]'")
DTYPES = {"f4": np.float32, "f8": np.float64}
CAPABILITIES = ((7, 5), (8, 0), (9, 0), (12, 0))
REGISTERS = 128         # a thread's share where 512 of them, two blocks, run at once


def inspect(source: str, capability: tuple[int, int], wide: bool) -> None:
    """No spill, no stack, few registers, and no float64 unless `wide`."""
    made = device.image(source, kernels.get_kernel(source).name, capability)
    for key, text in made.assembly.items():
        assert wide or ".f64" not in text, f"{key} computes in float64\n{source}"
        for verb, name in (("ld", "load"), ("st", "store")):        # 16 bytes at a time; in several loops LLVM does not always see it
            if key.startswith("elementwise") and f"first_{name}_f4" in source and "while t <" not in source:
                assert re.search(rf"{verb}\.global\.v(4\.\w+32|2\.\w+64)", text), f"{key} does not {verb} in vectors\n{source}"
    assert made.cubin.startswith(b"\x7fELF")
    assert made.log.count("0 bytes spill stores") == len(made.registers()) == len(made.assembly)
    assert made.spilled() == 0 and max(made.registers()) <= REGISTERS, f"{made.log}\n{source}"


@compiles
@pytest.mark.parametrize("capability", [(7, 5), (12, 0)], ids=lambda c: "sm_{}{}".format(*c))
def test_a_chain_compiles_for_old_and_new_gpus(capability: tuple[int, int]) -> None:
    for source in sources(FAMILIES["chain"](np.float32)):
        inspect(source, capability, wide=False)


@compiles
@pytest.mark.parametrize("name, capability", [*zip(("softmax", "columns", "embedding", "scatter"), CAPABILITIES, strict=True)])
def test_a_family_compiles(name: str, capability: tuple[int, int]) -> None:
    """The longest of its kernels."""
    inspect(max(sources(FAMILIES[name](np.float32)), key=len), capability, wide=False)


@compiles
@pytest.mark.full
@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_compiles(name: str, code: str) -> None:
    """Each for one kind of GPU, one after the other."""
    capability = CAPABILITIES[([*FAMILIES].index(name) + (code == "f8")) % 4]
    for source in sources(FAMILIES[name](DTYPES[code])):
        inspect(source, capability, wide=code == "f8")


IN_KERNELS = [(op, code) for op in REGISTRY.values() for code in op.sample.dtypes if code in BY_CODE and BY_CODE[code].in_kernels]


@compiles
@pytest.mark.full
@pytest.mark.parametrize("op, code", IN_KERNELS, ids=lambda x: getattr(x, "name", x))
def test_every_operation_compiles(op: Op, code: str) -> None:
    """On a sample of more than one dimension; for one kind of GPU, one after the other."""
    cases = op.sample.cases(drawn.generator(7), BY_CODE[code])
    case = max(cases, key=lambda c: max([a.ndim * bool(a.size) for a in c.arrays], default=0))
    y = op(*[leaf(a, False) for a in case.arrays], sizes=case.sizes, **case.params)
    for source in sources(request([y])):
        wide = y.type.dtype.code == "f8" or any([a.dtype == np.float64 for a in case.arrays])
        inspect(source, CAPABILITIES[IN_KERNELS.index((op, code)) % 4], wide)


@compiles
def test_the_check_of_positions_and_atomics_compile() -> None:
    inspect(target_cuda.check_positions(), (9, 0), wide=False)
    [source] = [s for s in atomic_sources(np.float32) if "atomic" in s]
    inspect(source, (7, 5), wide=False)
    assert re.search(r"(atom|red)\S*\.add\S*\.f32", "".join(device.ptx(source, "atomic", (7, 5)).values()))


@compiles
@pytest.mark.parametrize("op", [op for op in REGISTRY.values() if op.facts.role == "random"], ids=lambda op: op.name)
def test_random_numbers_compile(op: Op) -> None:
    given = leaf(np.zeros(5, np.float32), False), scalar_node(7, int64), scalar_node(2**33, int64)
    [source] = sources(request([op(*given, **({"dtype": "f4"} if op.param_names else {}))]))
    inspect(source, (9, 0), wide=False)


SCANS = [(op, last) for op in REGISTRY.values() if op.facts.scan for last in (True, False)]


@compiles
@pytest.mark.parametrize("op, last", [pytest.param(*pair, marks=[pytest.mark.full] if k > 1 else []) for k, pair in enumerate(SCANS)],
                         ids=lambda x: getattr(x, "name", x))
def test_a_scan_compiles(op: Op, last: bool) -> None:
    case = op.sample.cases(drawn.generator(7), BY_CODE["f4"])[0]
    scan = op.facts.scan(BY_CODE["f4"], **case.params)
    inspect(scans.source(scan, dict.fromkeys(op.arg_names, "f4"), last), CAPABILITIES[SCANS.index((op, last)) % 4], wide=False)


def atomic_sources(dtype: type) -> list[str]:
    return [k.source for k in build(FAMILIES["scatter"](dtype), target(atomic=True)).kernels]


@compiles
def test_products_and_sums_are_rounded_one_by_one() -> None:
    """As on the CPU: a contraction would give other bits."""
    source = "def elementwise0(p0, hi):\n    x = load_f4(p0, 0)\n    store_f4(p0, 0, x * x + x)\n"
    text = device.ptx(source, "rounded", (9, 0))["elementwise0"]
    assert "mul.rn.f32" in text and "add.rn.f32" in text and "fma" not in text


def test_a_function_is_numbered_by_what_it_does() -> None:
    one = ('def combine3(p4, c7: "f4", w2):\n    keep_f4(2, 0, load_f4(w2, 0) * c7)\n    a2 = f8(1.0)\n    keep_f8(5, 0, a2)\n'
           '    store_f4(p4, 0, kept_f4(2, 0))\n')
    other = one
    for before, after in (("3(", "1("), ("p4", "p9"), ("c7", "c0"), ("w2", "w0"), ("a2", "a6"), ("(2,", "(7,")):
        other = other.replace(before, after)
    assert device._numbered(one) == device._numbered(other)
    assert device._numbered(one) != device._numbered(one.replace("(5,", "(2,")) and "a0 = f8(1.0)" in device._numbered(one)


# -- the disk cache ----------------------------------------------------------------------------------------------------

SOURCE = """def elementwise0(p0, c1: "f4", hi):
    i0 = block_y() * threads_x() + thread_x()
    while i0 < hi:
        store_f4(p0, i0, load_f4(p0, i0) * c1)
        i0 = i0 + blocks_y() * threads_x()


def elementwise0_lengths(hi):
    return 1, hi
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr(jitgrad.config.config, "cache_dir", tmp_path / "kernels")
    cache.reset()
    kernels.forget()
    yield tmp_path / "kernels"
    kernels.forget()
    cache.reset()


@compiles
def test_a_cubin_is_kept_on_disk_for_its_kind_of_gpu(directory: Path) -> None:
    first = kernels.get_kernel(SOURCE)
    cubin = first.image((9, 0))
    assert first.origin == "compiled" and first.bytes == len(cubin) and "numba-cuda for sm_90" in str(first.compilation)
    assert first.image((9, 0)) is cubin
    kernels.forget()
    again = kernels.get_kernel(SOURCE)
    assert again.image((9, 0)) == cubin and again.origin == "disk"
    assert again.image((8, 0)) != cubin and again.origin == "compiled"
    assert {c.pipeline.partition(";")[0] for c in compilations()} == {"numba-cuda for sm_90", "numba-cuda for sm_80"}
    assert all(["registers: " in c.pipeline and "spilled" not in c.pipeline for c in compilations()])
    kernels.forget()
    for file in directory.glob("*.bin"):
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    damaged = kernels.get_kernel(SOURCE)
    with pytest.warns(CacheWarning, match="damaged"):
        assert damaged.image((9, 0)) == cubin
    assert damaged.origin == "compiled"


@compiles
def test_another_process_finds_it_without_importing_numba(directory: Path) -> None:
    script = ("import sys\nfrom jitgrad.compiler.numba_cuda.kernels import get_kernel\n"
              f"kernel = get_kernel({SOURCE!r})\nkernel.image((8, 0))\n"
              "print(kernel.origin, 'numba' in sys.modules or 'cuda' in sys.modules)\n")
    env = os.environ | {"JITGRAD_CACHE_DIR": str(directory), "PYTHONPATH": str(Path(jitgrad.__file__).parents[1])}
    found = [subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True).stdout.split()
             for _ in range(2)]
    assert found == [["compiled", "True"], ["disk", "False"]]


def test_the_key_covers_the_files_and_versions_that_make_code(monkeypatch) -> None:
    plain = kernels.fingerprint()
    monkeypatch.setattr(kernels, "_version", lambda package: "2.0" if package == "nvidia-nvvm" else "none")
    kernels.fingerprint.cache_clear()
    assert kernels.fingerprint() != plain
    monkeypatch.undo()
    kernels.fingerprint.cache_clear()
    assert kernels.fingerprint() == plain


def test_without_numba_cuda_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(device.PathFinder, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install 'jitgrad\\[cuda\\]'"):
        device.require()
