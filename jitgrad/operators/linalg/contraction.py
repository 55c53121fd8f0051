"""Sums of products over chosen dimensions: einsum, tensordot and their relatives, all of them transpositions and one product."""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.operators.declaration.declare import OPERATORS, function, operator
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.linalg.matrices import LINALG, expanded
from jitgrad.operators.operands import Scalar, Tensors, cast, normal_dim
from jitgrad.operators.products import matmul
from jitgrad.ops.decomposition import on_diagonal
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.array import broadcast_shapes

BOTH = ("torch", "method")


def _contracted(a: Tensor, b: Tensor, batch: int, kept: int) -> Tensor:
    """The product of tensors whose dimensions are (batch..., kept..., summed...) and (batch..., summed..., others...), batch
    dimensions of either being of length 1 where broadcast."""
    shared = broadcast_shapes(tuple(a.shape[:batch]), tuple(b.shape[:batch]))
    rows, inner = tuple(a.shape[batch:batch + kept]), math.prod(a.shape[batch + kept:])
    columns = tuple(b.shape[batch + a.ndim - batch - kept:])
    left = a.expand(*shared, *a.shape[batch:]).reshape(math.prod(shared), math.prod(rows), inner)
    right = b.expand(*shared, *b.shape[batch:]).reshape(math.prod(shared), inner, math.prod(columns))
    product = matmul(left, right) if batch else matmul(left[0], right[0])
    return product.reshape((*shared, *rows, *columns))


# -- tensordot ---------------------------------------------------------------------------------------------------------

@function(places=("torch",), out=EXACT, kind=None)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Products summed over the last `dims` dimensions of a and the first of b, or over pairs of listed dimensions."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, (tuple, list)):
        first, second = [[d] if isinstance(d, int) else [int(v) for v in d] for d in dims]
    else:
        count = int(dims)
        if count < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={count}")
        if count > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={count}")
        first, second = list(range(a.ndim - count, a.ndim)), list(range(count))
    if len(first) != len(second):
        raise RuntimeError("both dimension lists should have same length")
    first, second = [normal_dim(d, a.ndim) for d in first], [normal_dim(d, b.ndim) for d in second]
    for i, j in zip(first, second, strict=True):
        if a.shape[i] == 1 != b.shape[j]:
            b = b.sum(j, keepdim=True, dtype=b.dtype)
        elif b.shape[j] == 1 != a.shape[i]:
            a = a.sum(i, keepdim=True, dtype=a.dtype)
        elif a.shape[i] != b.shape[j]:
            raise RuntimeError(f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and second has size "
                               f"{b.shape[j]} in dim {j}")
    kept = [i for i in range(a.ndim) if i not in first]
    others = [i for i in range(b.ndim) if i not in second]
    return _contracted(a.permute(kept + first), b.permute(second + others), 0, len(kept))


@function(places=BOTH, out=EXACT, kind=None)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Products summed over the last dimension of both; of a 0-d tensor the product."""
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} and "
                           f"{list(other.shape)}")
    return tensordot(input, other, [[-1], [-1]])


# -- einsum ------------------------------------------------------------------------------------------------------------

def _letters(equation: str, operands: Sequence[Tensor]) -> tuple[list[list[Any]], list[Any]]:
    """The labels of each operand's dimensions and of the result's; those under an ellipsis are numbers, from the last on."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(f"einsum(): {'more' if len(operands) > len(terms) else 'fewer'} operands were provided than "
                           "specified in the "
                           "equation")
    hidden = 0
    labels: list[list[Any]] = []
    for k, (term, x) in enumerate(zip(terms, operands, strict=True)):
        head, dots, tail = term.partition("...")
        for letter in head + tail:
            if not (letter.isascii() and letter.isalpha()):
                raise RuntimeError(f"einsum(): invalid subscript given at index {text.index(letter)} in the equation string, "
                                   "subscripts "
                                   "must be in [a-zA-Z]")
        more = x.ndim - len(head) - len(tail)
        if more < 0 or (more and not dots):
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(head) + len(tail)}) "
                               f"{'is more than' if more < 0 else 'does not match'} the number of dimensions ({x.ndim}) for operand {k}"
                               f"{' and no ellipsis was given' if more > 0 else ''}")
        hidden = max(hidden, more)
        labels.append([*head, *range(more, 0, -1), *tail])
    under = list(range(hidden, 0, -1))
    if arrow:
        head, dots, tail = right.partition("...")
        result = [*head, *(under if dots else []), *tail]
        known = {v for term in labels for v in term}
        for label in result:
            if result.count(label) > 1:
                raise RuntimeError(f"einsum(): output subscript {label} appears more than once in the output")
            if label not in known:
                raise RuntimeError(f"einsum(): output subscript {label} does not appear in the equation for any input operand")
        return labels, result
    every = [v for term in labels for v in term if isinstance(v, str)]
    return labels, under + sorted([v for v in set(every) if every.count(v) == 1])


def _by_numbers(args: tuple) -> tuple[str, list[Tensor]]:
    """The form einsum(operand, [0, 1], ..., [0]) as an equation."""
    def text(numbers: Sequence[Any]) -> str:
        return "".join(["..." if v is Ellipsis else chr(ord("A") + v) if v < 26 else chr(ord("a") + v - 26) for v in numbers])

    pairs, result = args[:len(args) // 2 * 2], args[len(args) // 2 * 2:]
    equation = ",".join([text(v) for v in pairs[1::2]]) + (f"->{text(result[0])}" if result else "")
    return equation, list(pairs[::2])


def _single(x: Tensor, labels: list[Any]) -> tuple[Tensor, list[Any]]:
    """An operand without repeated labels: their diagonals."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(f"einsum(): subscript {label} is repeated for operand but the sizes don't match, {x.shape[j]} != "
                                   f"{x.shape[i]}")
            x = OPERATORS["diagonal"].call(x, 0, i, j)
            labels = [v for k, v in enumerate(labels) if k not in (i, j)] + [label]
    return x, labels


def _aligned(x: Tensor, labels: list[Any], order: Sequence[Any]) -> Tensor:
    """x with its dimensions in an order of labels, those that it has not of length 1."""
    x = x.permute([labels.index(v) for v in order if v in labels])
    for i, label in enumerate(order):
        if label not in labels:
            x = x.unsqueeze(i)
    return x


def _pair(a: Tensor, of_a: list[Any], b: Tensor, of_b: list[Any], wanted: set[Any]) -> tuple[Tensor, list[Any]]:
    """Two operands contracted over the labels that nobody wants any more."""
    for i, label in enumerate(of_a):        # a broadcast dimension is not summed with the other's
        if label in of_b and label not in wanted and 1 in (n := (a.shape[i], b.shape[of_b.index(label)])) and n[0] != n[1]:
            wanted = {*wanted, label}
    shared = [v for v in of_a if v in of_b and v in wanted]
    summed = [v for v in of_a if v in of_b and v not in wanted]
    rows, columns = [v for v in of_a if v not in of_b], [v for v in of_b if v not in of_a]
    if not summed and not shared and not rows or (not summed and not columns):
        order = shared + rows + columns
        return _aligned(a, of_a, order) * _aligned(b, of_b, order), order
    left = a.permute([of_a.index(v) for v in shared + rows + summed])
    right = b.permute([of_b.index(v) for v in shared + summed + columns])
    return _contracted(left, right, len(shared), len(rows)), shared + rows + columns


def _sum_out(x: Tensor, labels: list[Any], wanted: set[Any]) -> tuple[Tensor, list[Any]]:
    gone = [i for i, v in enumerate(labels) if v not in wanted]
    return (x.sum(gone, dtype=x.dtype), [v for v in labels if v in wanted]) if gone else (x, labels)


def _check_lengths(operands: Sequence[Tensor], labels: Sequence[list[Any]]) -> None:
    known: dict[Any, int] = {}
    for k, (x, term) in enumerate(zip(operands, labels, strict=True)):
        for label, n in zip(term, x.shape, strict=True):
            have = known.setdefault(label, n)
            if have == 1:
                known[label] = n
            elif n not in (1, have):
                raise RuntimeError(f"einsum(): subscript {label} has size {n} for operand {k} which does not broadcast with previously "
                                   f"seen size {have}")


@function(places=("torch",), kind=None)
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Einstein's sum: products of the operands over all dimensions named in the equation, summed over those not after `->`."""
    if not isinstance(equation, str):
        equation, given = _by_numbers((equation, *operands))
    else:
        given = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (tuple, list)) else list(operands)
    if not given:
        raise RuntimeError("einsum(): must provide at least one operand")
    labels, result = _letters(equation, given)
    terms = [_single(x, list(v)) for x, v in zip(given, labels, strict=True)]
    _check_lengths([x for x, _ in terms], [v for _, v in terms])
    x, of_x = terms[0]
    for k, (other, of_other) in enumerate(terms[1:], 1):
        later = {v for _, term in terms[k + 1:] for v in term} | {*result}
        x, of_x = _sum_out(x, of_x, later | {*of_other})
        other, of_other = _sum_out(other, of_other, later | {*of_x})
        x, of_x = _pair(x, of_x, other, of_other, later)
    gone = [i for i, v in enumerate(of_x) if v not in result]
    x, of_x = x.sum(gone) if gone else x, [v for v in of_x if v in result]
    return x.permute([of_x.index(v) for v in result])


# -- products of several, and with sums --------------------------------------------------------------------------------

@function(places=LINALG, out=EXACT)
def linalg_multi_dot(tensors: Tensors) -> Tensor:
    """The product of matrices (the first and the last may be vectors), the longest inner dimension first."""
    if len(tensors) < 2:
        raise RuntimeError("multi_dot(): expected at least 2 tensors but got " + str(len(tensors)))
    first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
    parts = [tensors[0].unsqueeze(0) if first else tensors[0], *tensors[1:-1], tensors[-1].unsqueeze(1) if last else tensors[-1]]
    for k, x in enumerate(parts):
        if x.ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {k} must be 2D but got {x.ndim}D")
    while len(parts) > 1:
        k = max(range(len(parts) - 1), key=lambda i: parts[i].shape[1])         # the longest inner dimension goes first
        parts[k:k + 2] = [matmul(parts[k], parts[k + 1])]
    x = parts[0]
    x = x.squeeze(-1) if last else x
    return x.squeeze(0) if first else x


@function(places=("torch",))
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices."""
    return matrices[0].clone() if len(matrices) == 1 else linalg_multi_dot(list(matrices))


@operator(name="matrix_power.zeroth", places=())
def _identity(A: Node) -> Node:
    one = expanded(cast(on_diagonal(A), A.type.dtype), A.type.shape)
    return ops.constant_in(one, A) if A.requires_grad else one


def _power(A: Tensor, n: int) -> Tensor:
    """The n-th power of square matrices, of the inverse for negative n."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError("linalg.matrix_power: A must be batches of square matrices, but they are "
                           f"{A.shape[-2] if A.ndim > 1 else 1} by "
                           f"{A.shape[-1] if A.ndim else 1} matrices")
    if n == 0:
        return _identity(A)
    if n < 0:
        return _power(OPERATORS["linalg_inv"].call(A), -n)
    result, square = None, A
    while n:
        if n % 2:
            result = square if result is None else matmul(result, square)
        n //= 2
        square = matmul(square, square) if n else square
    assert result is not None
    return result.clone() if result is A else result


@function(places=LINALG, out=EXACT)
def linalg_matrix_power(A: Tensor, n: int) -> Tensor:
    """The n-th power of square matrices, of the inverse for negative n."""
    return _power(A, n)


@function(places=BOTH, out=CAST)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """The n-th power of square matrices, of the inverse for negative n."""
    return _power(input, n)


def _added(input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    if input.dtype.category < 2:
        beta, alpha = int(beta), int(alpha)
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product + input.new_zeros(())
    return (input if beta == 1 else input * beta) + product


@function(places=BOTH, out=EXACT, inplace=True)
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """beta * input + alpha * bmm(batch1, batch2)."""
    return _added(input, OPERATORS["bmm"].call(batch1, batch2), beta, alpha)


@function(places=BOTH, out=EXACT, inplace=True)
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """beta * input + alpha * the sum of bmm(batch1, batch2)."""
    return _added(input, OPERATORS["bmm"].call(batch1, batch2).sum(0, dtype=batch1.dtype), beta, alpha)


@function(places=BOTH, out=EXACT, inplace=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """beta * input + alpha * mv(mat, vec)."""
    return _added(input, OPERATORS["mv"].call(mat, vec), beta, alpha)


@function(places=BOTH, out=CAST, inplace=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
    return _added(input, OPERATORS["outer"].call(vec1, vec2), beta, alpha)


@function(places=BOTH, out=CAST)
def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """outer(input, vec2)."""
    return OPERATORS["outer"].call(input, vec2)


@function(places=BOTH, out=EXACT)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """dot(input, other): there are no complex numbers to conjugate."""
    return OPERATORS["dot"].call(input, other)


@function(places=LINALG, out=EXACT)
def linalg_vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of the products along `dim`."""
    return (x * y).sum(dim)


@function(places=BOTH, out=CAST, kind=None)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product: each element of input times all of other."""
    n = max(input.ndim, other.ndim)
    a, b = [x.reshape((1,) * (n - x.ndim) + tuple(x.shape)) for x in (input, other)]
    apart = a.reshape([v for k in a.shape for v in (k, 1)]) * b.reshape([v for k in b.shape for v in (1, k)])
    return apart.reshape([k * m for k, m in zip(a.shape, b.shape, strict=True)])


def _cross(a: Tensor, b: Tensor, dim: int, called: str) -> Tensor:
    shape = broadcast_shapes(tuple(a.shape), tuple(b.shape))
    d = normal_dim(dim, len(shape))
    if a.ndim != b.ndim:
        raise RuntimeError(f"{called}: inputs must have the same number of dimensions.")
    if a.shape[d] != 3 or b.shape[d] != 3:
        raise RuntimeError(f"{called}: inputs dimension {dim} must have length 3. Got {a.shape[d]} and {b.shape[d]}")
    roll = OPERATORS["roll"].call
    return roll(a, -1, d) * roll(b, -2, d) - roll(a, -2, d) * roll(b, -1, d)


@function(places=LINALG, out=EXACT)
def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along `dim`, of length 3."""
    return _cross(input, other, dim, "linalg.cross")


@function(places=BOTH, out=EXACT)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along `dim`, or the first dimension of length 3."""
    if dim is None:
        shape = broadcast_shapes(tuple(input.shape), tuple(other.shape))
        dim = next((i for i, n in enumerate(shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return _cross(input, other, dim, "linalg.cross")
