"""vmap: a function of one element as a function of a batch, recorded once."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jitgrad.autograd.transforms.batched import Batch
from jitgrad.func.trees import leaves, mapped, rebuilt, spread
from jitgrad.operators.declaration.declare import OPERATORS
from jitgrad.tensors.tensor import Tensor

Dims = Any


def vmap(func: Callable[..., Any], in_dims: Dims = 0, out_dims: Dims = 0, randomness: str = "error", *,
         chunk_size: int | None = None) -> Callable[..., Any]:
    """A function that applies `func` to each element of its arguments along `in_dims`, and gives the results along `out_dims`.

    in_dims: a dimension, None for what is the same for all, or a tuple with one for each argument, each of which may be a tree
    as the argument is; out_dims likewise.  `func` is called once, with a stand-in for any element: it may not ask for its value
    (if, .item(), print).  randomness: "error" for random numbers inside, "same" for the same for all, "different" for others for
    each (not in place).  chunk_size: elements at a time.  Raises NotImplementedError for operators that have no batching rule."""
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        dims, size = _dims(func, in_dims, args)
        if chunk_size is not None and chunk_size < size:
            pieces = []
            for start in range(0, size, chunk_size):
                length = min(chunk_size, size - start)
                part = rebuilt(args, iter([a if d is None else OPERATORS["narrow"].call(a, d, start, length)
                                           for a, d in zip(leaves(args), dims, strict=True)]))
                pieces.append(_call(func, part, kwargs, dims, length, out_dims, randomness))
            columns = zip(*[leaves(piece) for piece in pieces], strict=True)
            outs = spread(out_dims, pieces[0], "vmap: out_dims")
            return rebuilt(pieces[0], iter([column[0] if d is None else OPERATORS["cat"].call(list(column), d)
                                            for column, d in zip(columns, outs, strict=True)]))
        return _call(func, args, kwargs, dims, size, out_dims, randomness)

    return wrapped


def _call(func: Callable, args: tuple, kwargs: dict[str, Any], dims: list[int | None], size: int, out_dims: Dims,
          randomness: str) -> Any:
    batch = Batch(size, randomness)

    def run() -> Any:
        given = [a if d is None else batch.element(a, d % a.ndim) for a, d in zip(leaves(args), dims, strict=True)]
        named = mapped(lambda a: batch.element(a) if isinstance(a, Tensor) else a, kwargs) if kwargs else {}
        return func(*rebuilt(args, iter(given)), **named)

    result = batch.record(run)
    outputs = leaves(result)
    for out in outputs:
        if not isinstance(out, Tensor):
            raise ValueError(f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(out)}. Did you "
                             f"mean to "
                             "set out_dims= to None for output?")
    return rebuilt(result, iter(batch.results(outputs, spread(out_dims, result, f"vmap({_name(func)}, ...): out_dims"))))


def _dims(func: Callable, in_dims: Dims, args: tuple) -> tuple[list[int | None], int]:
    """The dimension of each leaf, and the size of the batch."""
    called = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(f"{called}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of "
                         f"inputs, got: "
                         f"{type(in_dims)}.")
    if not args:
        raise ValueError(f"{called}: got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function with no "
                         "inputs. The latter is unsupported.")
    dims = spread(tuple(in_dims) if isinstance(in_dims, list) else in_dims, args, f"{called}: in_dims")
    sizes = []
    for a, d in zip(leaves(args), dims, strict=True):
        if d is None:
            continue
        if not isinstance(a, Tensor):
            raise ValueError(f"{called}: Got in_dim={d} for an input but the input is of type {type(a)}. We cannot vmap over "
                             f"non-Tensor "
                             "arguments, please use None as the respective in_dim")
        if not -a.ndim <= d < a.ndim:
            raise ValueError(f"{called}: Got in_dim={d} for some input, but that input is a Tensor of dimensionality {a.ndim} so "
                             f"expected "
                             f"in_dim to satisfy -{a.ndim} <= in_dim < {a.ndim}.")
        sizes.append(a.shape[d])
    if not sizes:
        raise ValueError(f"{called}: at least one of the inputs must be batched: in_dims are all None")
    if len(set(sizes)) > 1:
        raise ValueError(f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped "
                         "dimension")
    return dims, sizes[0]


def _name(func: Callable) -> str:
    return getattr(func, "__name__", repr(func))
