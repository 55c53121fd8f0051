"""What PyTorch keeps of its past: typed constructors, Variable; and the sequences that it makes tensors of."""
from __future__ import annotations

import array
import collections
from typing import Any

import numpy as np
import pytest
from oracle import torch

import jitgrad


class Sequence:
    """A length and items by position: all that a sequence needs."""

    def __init__(self, items: list) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]


NAMES: dict[str, Any] = {
    "deque": collections.deque([1., 2.]), "nested": [collections.deque([1., 2.]), (3., 4.)], "items": Sequence([1., 2.]),
    "nested_items": Sequence([Sequence([1]), Sequence([2])]), "none": Sequence([]), "doubles": array.array("d", [1., 2.]),
    "ints": array.array("i", [1, 2]), "bytes_": bytearray(b"ab"), "view": memoryview(array.array("d", [1., 2.])),
    "users": collections.UserList([1., 2.]), "mixed": collections.deque([1, 2.5]), "bools": collections.deque([True, False]),
    "numpys": collections.deque([np.float64(1)]), "arrays": collections.deque([np.ones(2), np.ones(2)]), "ranges": (range(3), range(3)),
    "ragged": collections.deque([[1.], [1., 2.]]), "texts": collections.deque(["a"]), "a_set": {1., 2.}, "a_dict": {0: 1., 1: 2.},
    "keys": {1: 2}.keys(), "generator": (i for i in range(3)), "text": "ab", "binary": b"ab", "unsized": iter([1])}


def shown(lib: Any, code: str) -> str:
    """What an expression gives, or the type and first words of its error."""
    scope = {"torch": lib, "np": np, **NAMES, "F": lib.FloatTensor, "V": lib.autograd.Variable,
             "x": lib.tensor([1., 2.], requires_grad=True), "tensors": collections.deque([lib.tensor(1.), lib.tensor(2.)])}
    try:
        return repr(eval(code, scope)).replace("jitgrad", "torch")
    except Exception as error:      # whatever it is, the other library must raise it too
        return " ".join([type(error).__name__, *str(error).split()[:4]])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*NAMES, "tensors"])
def test_sequences(name: str) -> None:
    for code in ("torch.tensor({})", "torch.as_tensor({})", "torch.FloatTensor({})", "torch.Tensor({})"):
        assert shown(jitgrad, code.format(name)) == shown(torch, code.format(name)), code.format(name)


@pytest.mark.parametrize("code", [
    "isinstance(x, F)", "isinstance(x * 2, F)", "isinstance(x, torch.DoubleTensor)", "isinstance(torch.nn.Parameter(x.detach()), F)",
    "isinstance(1, F)", "isinstance(torch.tensor([1]), torch.LongTensor)", "isinstance(torch.tensor([1]), torch.IntTensor)",
    "isinstance(torch.tensor([True]), torch.BoolTensor)", "isinstance(torch.ones(2).int(), torch.IntTensor)",
    "issubclass(F, torch.Tensor)", "issubclass(F, F)", "F", "F.dtype", "F.__name__", "F.is_cuda", "F()", "F(2, 3).shape", "F(3).shape",
    "F([1, 2])", "F((1, 2))", "F([[1, 2], [3, 4]])", "F(x)", "F(x) is x", "F(torch.Size([2, 3])).shape", "F(torch.tensor(2), 3).shape",
    "F(size=(2, 3)).shape", "F(np.ones(2))", "F(2.)", "F('a')", "F(b'a')", "F(None)", "F([1, 2]).requires_grad",
    "torch.DoubleTensor([1])", "torch.LongTensor([1.7, 2])", "torch.BoolTensor([1, 0, 2])", "torch.IntTensor([2**40])",
    "torch.Tensor(torch.tensor([1]))", "torch.Tensor(x)", "torch.Tensor(data=[1.])", "torch.Tensor([1, 2], device='cpu')",
    "x.type(F)", "x.type(torch.DoubleTensor)", "x.type(torch.LongTensor)", "x.new(2, 3).shape", "x.new([1, 2])", "x.new()",
    "V(x)", "V(x) is x", "V(x, requires_grad=True)", "V(torch.ones(2), True)", "V(data=torch.ones(2))", "V(x * 2).grad_fn",
    "V(x * 2, requires_grad=True).grad_fn", "V()", "V(None)", "V(3)", "V([1.])", "V(torch.ones(2), volatile=True)",
    "isinstance(x, V)", "isinstance(1, V)", "issubclass(V, torch.Tensor)", "type(V(x)) is torch.Tensor"])
def test_as_in_pytorch(code: str) -> None:
    assert shown(jitgrad, code) == shown(torch, code)


def test_a_tensor_of_another_dtype_is_refused() -> None:
    for code in ("F(torch.ones(2).double())", "F(torch.tensor(2))", "V(torch.ones(2).long(), requires_grad=True)"):
        assert shown(jitgrad, code).split()[0] == shown(torch, code).split()[0] in ("TypeError", "RuntimeError")


def test_a_variable_is_a_leaf_on_the_same_storage() -> None:
    for lib in (jitgrad, torch):
        data = lib.ones(2)
        v = lib.autograd.Variable(data, requires_grad=True)
        for _ in range(3):
            v.grad = None
            (v * v).sum().backward()
            assert v.is_leaf and v.grad.tolist() == (2 * v).tolist()
            v.data.sub_(.25 * v.grad)
        assert data.tolist() == v.tolist() == [.125, .125] and not data.requires_grad


def test_a_legacy_tensor_of_a_tensor_shares_storage_and_history() -> None:
    for lib in (jitgrad, torch):
        x = lib.tensor([1., 2.])
        alias = lib.FloatTensor(x)
        alias[0] = 7.
        assert x.tolist() == [7., 2.]
        w = lib.tensor([1., 2.], requires_grad=True)
        (lib.Tensor(w) * 3).sum().backward()
        assert w.grad.tolist() == [3., 3.]


def test_subclasses_are_made_as_tensors_are() -> None:
    for lib in (jitgrad, torch):
        class Own(lib.Tensor):       # type: ignore[name-defined]
            pass

        own = Own([1., 2.])
        assert type(own) is Own and (own + 1).tolist() == [2., 3.]
