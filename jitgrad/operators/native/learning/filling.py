"""What entry points learn of tensors that are filled without gradients (Storage.private): `a[i]`, `a[i] += x`, `a += x`, `a[i] = x`.

Input: a call whose first argument is being filled.  Output: what the operator gives; an entry of the table, by which storing.py reads
or writes the array itself.  Its words behind the tests: READ, the node that a view has while it has no value, its steps; or UPDATE,
the function of the array and of the operands' arrays (and the number among the arguments) that writes to it; or SET, a test of the
number, or whether the value cannot wait; or COUNT_ALONE; or APPLY, a function of NumPy's, which takes the array once more as `out`;
then how many operands there are, which, which argument is a number (-1: none), and the index of the view that is written to, or from
which (0: none).
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad.graph.node import SCALAR, Node
from jitgrad.graph.recording import grad_mode, input_node, input_spec
from jitgrad.graph.template import Template
from jitgrad.memory.buffers import address
from jitgrad.operators.native import layout as W
from jitgrad.operators.native.entry_points import ENTRY_POINTS, EntryPoint
from jitgrad.operators.native.learning.call_key import CallWords
from jitgrad.operators.native.learning.table import Encoded, enter
from jitgrad.operators.templates.evaluation import arrays
from jitgrad.operators.templates.template import template, watched
from jitgrad.ops.quiet import quiet
from jitgrad.tensors.steps import interned, is_basic, movements, view_into
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.array import ArrayType, array_type
from jitgrad.types.dtype import check_fits, float32, float64

MAX_INDICES = 10_000
_indices: dict[tuple, Any] = {}         # by which views were read, by their steps from the base


def filled(state: EntryPoint, call: CallWords, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The result of such a call, of which an entry is made if the first argument is still being filled after it."""
    tensor = args[0]
    storage, writes = tensor._storage, tensor._storage.writes
    enabled = grad_mode.enabled
    updater = _updater(state, call, args, kwargs) if state.kind in (W.UPDATES, W.SCALED) and call.valid else None
    result = state.func(*args, **kwargs)
    recorded = enabled and any([n.requires_grad for n in call.nodes])
    if not call.valid or recorded or (storage.private is None and state.kind != W.READS):
        return result
    words: list[int] | None = None
    if state.kind == W.READS:
        if storage.writes == writes and type(result) is Tensor and result._storage is storage:
            chain, node = interned(result._chain), input_node(None, result._node.spec.type)
            if chain is not None and chain[:len(tensor._chain)] == tensor._chain and interned(chain) is chain:
                call.kept += [chain, node]
                if not tensor._chain and is_basic(args[1]):
                    if len(_indices) >= MAX_INDICES:
                        _indices.clear()
                    _indices[chain] = args[1]
                words = [W.READ, id(node), id(chain)]
    elif storage.writes != writes + 1:
        pass
    elif call.before:
        words = _part(call, tensor, args[1], args[2]._chain)
    elif updater is not None:
        function, others, number, index = updater
        call.kept += [function, index]
        words = [W.UPDATE if index is None else W.APPLY, id(function), others, *range(others), number, 0 if index == () else id(index)]
    elif state.kind == W.WRITES and not tensor._chain and is_basic(args[1]):
        words = _set(call, args[2], tensor._node.spec.type, args[1])
    if words is not None:
        call.count += W.FILLED + (0 if enabled else W.WITHOUT)
        enter(state, call, encoded([0, *words], call.kept))
    return result


def _part(call: CallWords, tensor: Tensor, key: Any, steps: tuple) -> list[int] | None:
    """The words of a part, along these steps, that is written to another, or to itself."""
    read = ENTRY_POINTS["__getitem__"].__self__.func       # which does not learn
    if movements(read(tensor, key)._chain) == movements(steps):
        return [W.COUNT_ALONE, 0, 0, -1, 0]
    if tensor._chain or not is_basic(key) or _index(tensor._node.spec.type, movements(steps), steps) is None:
        return None
    index = _indices[steps]
    call.kept.append(index)
    return [W.SET, 0, 0, -1, id(index)]


def _set(call: CallWords, value: Any, of: ArrayType, key: Any) -> list[int] | None:
    """The words of a value that is written by index."""
    if isinstance(value, Tensor):
        given = call.nodes[0].spec.type
        written = array_type(np.broadcast_to(np.empty((), of.dtype.np), of.shape)[key].shape, of.dtype)
        return [W.SET, 0 if given is written else 1, 1, 0, -1, 0] if given.dtype is written.dtype else None
    if not call.numbers or of.dtype not in (float32, float64):
        return None
    fits = functools.partial(check_fits, to=float32)
    call.kept.append(fits)
    return [W.SET, id(fits) if of.dtype is float32 else 0, 0, 2, 0]


def _updater(state: EntryPoint, call: CallWords, args: tuple, kwargs: dict[str, Any]) -> tuple[Callable, int, int, Any] | None:
    """What writes the result of an operator in place to the array: a function of that, of the operands' arrays, and of the number
    among the arguments; how many operands there are, and which argument is a number.  Then, of NumPy's functions, the index of what is
    written to, () for all; None where the function sees to that."""
    tensor = args[0]
    type_, of, chain = tensor._node.spec.type, tensor._storage.node.spec.type, movements(tensor._chain)
    call_operator = getattr(state.func, "operator", None)
    if call_operator is None or len(set(call.nodes)) < len(call.nodes):
        return None
    own = Node(input_spec(type_), (), False, 1)
    others = [Node(input_spec(n.type), (), False, 1) for n in call.nodes]
    in_order = iter([own, *others])
    args, kwargs = tuple([on(v, in_order) for v in args]), {k: on(v, in_order) for k, v in kwargs.items()}
    try:
        result, refused, tests = watched(call_operator, args, kwargs)
    except Exception:           # it is raised again by the call itself
        return None
    found = None if refused or tests else template([own, *others], result)
    if found is None or found.make is not None or result._node.spec.type is not type_ or (
            view_into(np.empty(of.shape, of.dtype.np), of, chain) is None):
        return None
    numbered = given_numbers(found, call.numbers, type_.dtype.category == 1)
    if len(numbered) != len(call.numbers):
        return None
    argument = number_word(found, numbered)
    operands = 1 + len(others)
    compute = arrays(operands, found, [operands + k for k in numbered])
    [*_, last] = found.nodes
    function: Any = last.spec.op.numpy
    in_order_of_arguments = list(range(operands)) + [operands + k for k in numbered]
    computed = [step for step in found.nodes if step.inputs]
    direct = (type(function) is np.ufunc and argument < W.WHOLE and len(computed) == 1 and not last.spec.kwargs
              and list(last.inputs) == in_order_of_arguments and len(found.nodes) == 1 + len(numbered))
    index = _index(of, chain, tensor._chain) if direct else None
    return function if index is not None else _computed(compute, of, chain), len(others), argument, index


def _index(of: ArrayType, chain: tuple, steps: tuple) -> Any:
    """By which NumPy's array of what is along the steps of a view is found, None where it is not; of single elements an array, too."""
    if not steps:
        return ()
    index: Any = _indices.get(steps)
    parts = index if type(index) is tuple else (index,)
    if len(parts) == of.ndim and all([type(k) is int for k in parts]):
        index = tuple([slice(k, k + 1 or None) for k in parts])
    example = np.empty(of.shape, of.dtype.np)
    found, expected = None if index is None else example[index], view_into(example, of, chain)
    if type(found) is not np.ndarray or expected is None or address(found) != address(expected) or found.size != expected.size or (
            expected.size > 1 and (found.shape, found.strides) != (expected.shape, expected.strides)):
        return None
    return index


def _computed(compute: Callable, of: ArrayType, chain: tuple) -> Callable:
    """What computes a result, and writes it to the array."""

    def update(array: np.ndarray, *values: Any) -> None:
        to: Any = view_into(array, of, chain)
        to[...] = quiet.run(compute, to, *values)

    return update


def on(value: Any, nodes: Iterator[Node]) -> Any:
    """An argument with its tensors on the next nodes."""
    if isinstance(value, Tensor):
        return wrap(next(nodes))
    if type(value) is tuple or type(value) is list:
        return type(value)([wrap(next(nodes)) if isinstance(v, Tensor) else v for v in value])
    return value


def given_numbers(found: Template, given: Sequence[tuple[int, int | float]], whole: bool = False) -> dict[int, int]:
    """Of the steps that are numbers among the arguments, which those are; integers of integer dtypes only if `whole`."""
    leaves = [k for k, step in enumerate(found.nodes) if step.spec.op is SCALAR]
    if len(given) != 1 or len(leaves) != 1:
        return {}
    [(argument, number)], value = given, found.nodes[leaves[0]].value
    if type(value) is int:
        return {leaves[0]: argument} if whole and type(number) is int and value == number else {}
    return {leaves[0]: argument} if repr(value) == repr(float(number)) else {}


def number_word(found: Template, numbered: Mapping[int, int]) -> int:
    """Which argument is a number, as machine code takes it: -1 for none; an integer that is to stay one has WHOLE added."""
    for k, argument in numbered.items():
        return argument + W.WHOLE * (type(found.nodes[k].value) is int)
    return -1


def encoded(words: list[int], kept: list[Any]) -> Encoded:
    made = np.array(words, np.int64).view(Encoded)
    made.kept = kept
    return made
