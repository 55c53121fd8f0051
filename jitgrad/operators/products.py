"""Products of vectors and matrices."""
from __future__ import annotations

from jitgrad import ops
from jitgrad.graph.node import Node
from jitgrad.graph.recording import grad_mode
from jitgrad.operators.declaration.declare import EVERYWHERE, OPERATORS, finish_composite, function, operator
from jitgrad.operators.declaration.out import CAST, EXACT
from jitgrad.operators.operands import Scalar, number_node, promoted
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.dtype import bool_


def _check(called: str, a: Node, b: Node, kernel: str = "addmm_impl_cpu_") -> None:
    """Products promote nothing.  kernel: PyTorch's, which its errors name and differ by."""
    first, second = a.type.dtype, b.type.dtype
    if first is not second and (kernel != "bmm" or first is not bool_):
        if kernel == "bmm":
            raise RuntimeError(f"expected scalar type {first.title} but found {second.title}")
        if kernel == "dot":
            raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {first.title} and {second.title}")
        if kernel == "addmv_impl_cpu":
            raise RuntimeError("addmv input tensors must have the same dtype, but got "
                               f"{second.title}, {first.title}, and {second.title}")
        raise RuntimeError("expected m1 and m2 to have the same dtype, but got: "
                           f"{first.c_type} != {second.c_type} in {called}()")
    if first is bool_:
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def _check_addmm(input: Node, mat1: Node, mat2: Node) -> None:
    for n, called in ((input, "self"), (mat1, "mat1")):
        if n.type.dtype is not mat2.type.dtype:
            raise RuntimeError(f"{called} and mat2 must have the same dtype, but got {n.type.dtype.title} and "
                               f"{mat2.type.dtype.title}")
    _check("addmm", mat1, mat2)


@operator("MmBackward0", out=EXACT)
def mm(input: Node, mat2: Node) -> Node:
    """The product of two matrices."""
    _check("mm", input, mat2)
    if input.type.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.type.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    return ops.matmul(input, mat2)


@operator("BmmBackward0", out=EXACT)
def bmm(input: Node, mat2: Node) -> Node:
    """The products of two batches of matrices."""
    _check("bmm", input, mat2, "bmm")
    if input.type.ndim != 3 or mat2.type.ndim != 3:
        which = 1 if input.type.ndim != 3 else 2
        raise RuntimeError(f"batch{which} must be a 3D tensor")
    if input.type.shape[0] != mat2.type.shape[0]:
        raise RuntimeError("Expected size for first two dimensions of batch2 tensor to be: "
                           f"[{input.type.shape[0]}, {input.type.shape[2]}] but got: [{mat2.type.shape[0]}, "
                           f"{mat2.type.shape[1]}].")
    return ops.matmul(input, mat2)


@operator("MvBackward0", out=EXACT)
def mv(input: Node, vec: Node) -> Node:
    """The product of a matrix and a vector."""
    _check("mv", input, vec, "addmv_impl_cpu")
    if input.type.ndim != 2 or vec.type.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {vec.type.ndim}, {input.type.ndim}, "
                           f"{vec.type.ndim}")
    if input.type.shape[1] != vec.type.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({input.type.shape[0]}), mat "
                           f"({input.type.shape[0]}x{input.type.shape[1]}), vec ({vec.type.shape[0]})")
    return ops.squeeze(ops.matmul(input, ops.unsqueeze(vec, dims=(1,))), dims=(1,))


@operator("DotBackward0", out=EXACT)
def dot(input: Node, tensor: Node) -> Node:
    """The sum of the products of two vectors' elements."""
    if input.type.ndim != 1 or tensor.type.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.type.ndim}D and {tensor.type.ndim}D tensors")
    _check("dot", input, tensor, "dot")
    if input.type.shape != tensor.type.shape:
        raise RuntimeError("inconsistent tensor size, expected tensor "
                           f"{list(input.type.shape)} and src {list(tensor.type.shape)} to have the same number of "
                           f"elements, but got {input.type.shape[0]} and {tensor.type.shape[0]} elements respectively")
    return ops.squeeze(ops.sum(input * tensor, axes=(0,)), dims=(0,))


@function(places=EVERYWHERE, out=EXACT)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product: of vectors, matrices, or batches of matrices with broadcast batch dimensions."""
    a, b = input.ndim, other.ndim
    if not a or not b:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a}D and {b}D")
    if a == 2 and b == 2:
        return mm(input, other)
    if a == 1 and b == 1:
        return dot(input, other)
    if a == 2 and b == 1:
        return mv(input, other)
    if a == 1:
        product = matmul(_unsqueezed(input, 0, _records(input, other)), other)
        return _squeezed(product, product.ndim - 2)
    if b == 1:
        _check("matmul", input._current(), other._current(), "addmv_impl_cpu")
        return _squeezed(_batched(input, _unsqueezed(other, 1, _records(input, other))), a - 1)
    return _batched(input, other)


def _within(node: Node, grad: str, source: Node) -> Tensor:
    """A view within an operator: nobody sees it, so that it needs no storage."""
    return wrap(finish_composite(node, grad, (source,)))


def _records(a: Tensor, b: Tensor) -> bool:
    return grad_mode.enabled and (a.requires_grad or b.requires_grad)


def _unsqueezed(x: Tensor, dim: int, pending: bool) -> Tensor:
    """pending: not to be computed at once, even of what is known, so that what the operator records is a template."""
    node = x._current()
    result = ops.unsqueeze(node, dims=(dim,))
    result.depth = max(result.depth, int(pending))
    return _within(result, "UnsqueezeBackward0", node)


def _transposed(x: Tensor, pending: bool) -> Tensor:
    """pending: as for `_unsqueezed`."""
    node = x._current()
    result = ops.permute(node, dims=tuple(reversed(range(x.ndim))))
    result.depth = max(result.depth, int(pending))
    return _within(result, "TBackward0", node)


def _squeezed(x: Tensor, dim: int) -> Tensor:
    node = x._current()
    return _within(ops.squeeze(node, dims=(dim,)), "SqueezeBackward1", node)


@operator("UnsafeViewBackward0", name="matmul.batched", places=())
def _batched(input: Node, other: Node) -> Node:
    _check("matmul", input, other, "addmm_impl_cpu_" if other.type.ndim == 2 else "bmm")
    return ops.matmul(input, other)


@operator("MulBackward0", out=CAST)
def outer(input: Node, vec2: Node) -> Node:
    """The products of all pairs of two vectors' elements."""
    for n, at in ((input, "self"), (vec2, "vec2")):
        if n.type.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {at}, but got {n.type.ndim}-D")
    a, b = promoted("outer", input, vec2)
    return ops.mul(ops.unsqueeze(a, dims=(1,)), b)


@operator("AddmmBackward0", inplace=True, out=EXACT)
def addmm(input: Node, mat1: Node, mat2: Node, *, beta: Scalar = 1, alpha: Scalar = 1) -> Node:
    """beta * input + alpha * (mat1 @ mat2)."""
    _check_addmm(input, mat1, mat2)
    if mat1.type.ndim != 2 or mat2.type.ndim != 2:
        raise RuntimeError(f"mat{1 if mat1.type.ndim != 2 else 2} must be a matrix, got "
                           f"{(mat1 if mat1.type.ndim != 2 else mat2).type.ndim}-D tensor")
    product = ops.matmul(mat1, mat2)
    if alpha != 1:
        product = product * number_node(alpha, product.type.dtype)
    if beta == 0:
        return product
    return (input if beta == 1 else input * number_node(beta, input.type.dtype)) + product


@function(places=("functional",), out=EXACT)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias, over the last dimension of input."""
    pending = _records(input, weight)
    if weight.ndim == 2 and input.ndim == 2 and bias is not None:
        return addmm(bias, input, _transposed(weight, pending or _records(bias, bias)))
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    if bias is not None:
        _check_addmm(bias._current(), input._current(), weight._current())
    product = matmul(input, _transposed(weight, pending))
    return product if bias is None else OPERATORS["add"].call(product, bias)
