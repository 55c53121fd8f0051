"""Tensor: views and writes, versions, conversions, sizes, text."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from oracle import check, check_error

import jitgrad

VIEWS = ["a[0]", "a[1:]", "a[:, ::2]", "a.t()", "a.view(6)", "a.view(3, 2)[1]", "a.reshape(3, 2)", "a.flatten()",
         "a[None]", "a.unsqueeze(1)", "a.permute(1, 0)[1:]", "a.T[0]", "a.split(1)[1]", "a.unbind(1)[2]",
         "a.chunk(2)[0]", "a.detach()", "a.data", "a[0].unsqueeze(0).t()", "a.narrow(1, 1, 2).t()",
         "a.view(2, 3, 1).squeeze(-1)", "a[...]", "a.movedim(0, 1)", "a.mT[1:, 0]", "a[1:].view(3)[::2]",
         "a.select(0, 1)", "a.view_as(T.zeros(3, 2))", "a.expand(2, 3)"]


@pytest.mark.parametrize("view", VIEWS)
def test_writes_go_both_ways(view: str) -> None:
    """Through the view into the base and its other views, and from the base into the view."""
    check(f"a = x.clone(); r = {view}; r.mul_(3); result = (a, r, a[1])")
    check(f"a = x.clone(); r = {view}; a.add_(1); result = (a, r)")
    check(f"a = x.clone(); r = {view}; other = a.t(); r += 1; a[0] = 5; other[1] *= 2; r.zero_(); "
          "result = (a, r, other)")
    if view != "a.data":
        check(f"a = x.clone(); r = {view}; before = a._version; r.add_(1); a.add_(1); "
              "result = (a._version - before, r._version)")


WRITES = ["result = x.clone().fill_(3)", "result = i.clone().fill_(1.5)", "result = x.clone().fill_(s)",
          "result = x.clone().zero_()", "result = x.clone().copy_(y)", "result = x.clone().copy_(v)",
          "result = x.clone().copy_(3)", "result = i.clone().copy_(x)", "result = x.clone().copy_(i)",
          "a = x.clone(); a[0].copy_(v); result = a", "a = x.clone(); a.t().copy_(T.ones(3, 2)); result = a",
          "a = x.clone(); a.copy_(a.flip(1)); result = a", "a = x.clone(); b = a.clone(); a += 1; result = (a, b)",
          "a = x.clone(); b = a; a += 1; result = b", "a = x.clone(); a.data = y; result = a",
          "a = x.clone(); a.data += 1; result = a", "a = x.clone(); b = a * 2; a.data *= 100; result = b",
          "a = x.clone(); b = a * 2; a += 1; result = b", "a = T.zeros(3); b = a.expand(2, 3); a += 1; result = b",
          "a = x.clone(); b = a.to(T.float32); b += 1; result = a",
          "a = x.clone(); b = a.double(); b += 1; result = a", "a = x.clone(); b = a.reshape(6); b += 1; result = a",
          "a = w.contiguous(); a += 1; result = w", "a = x.contiguous(); a += 1; result = x",
          "a = x.clone(); a.exp_().log_().add_(1); result = a", "a = m.clone(); a &= n; result = a",
          "a = m.clone(); a |= n; result = a", "a = i.clone(); a //= 2; a %= 3; result = a",
          "a = x.clone(); a.clamp_(0, 1); result = a", "a = x.clone(); a.masked_fill_(m, 0); result = a",
          "a = x.clone(); a.lerp_(y, 0.5); result = a", "a = x.clone(); a.eq_(1.5); result = a",
          "a = x.clone(); a.pow_(2); result = a", "a = x.clone(); a.addcmul_(y, y); result = a",
          "a = x.clone(); a.add_(other=y, alpha=2); result = a",
          "a = x.clone(); a.sub_(1).mul_(2).div_(4); result = a", "a = s.clone(); a += 1; result = a"]


@pytest.mark.parametrize("code", WRITES)
def test_writes(code: str) -> None:
    check(code)


CONVERSIONS = ["s.item()", "i[0, 0].item()", "m[0, 0].item()", "T.tensor([[2.5]]).item()", "float(z)", "int(z)",
               "int(T.tensor([7]))", "bool(s)", "bool(T.tensor([0]))", "bool(T.tensor([[True]]))", "x.tolist()",
               "s.tolist()", "i.tolist()", "e.tolist()", "x.float() is x", "x.double()", "x.int()", "i.float()",
               "x.bool()", "m.long()", "m.float()", "f[3:5].bool()", "x.to(T.float64)", "x.to('cpu') is x", "x.to(d)",
               "x.to(T.float32) is x", "x.to(T.float32, copy=True) is x", "x.to('cpu', T.float64)",
               "x.to(dtype=T.int64)", "x.type()", "i.type()", "m.type()", "x.type(T.float64)",
               "x.type('torch.DoubleTensor')", "x.type_as(d)", "x.cpu() is x", "x.size()", "x.size(0)", "x.size(-1)",
               "x.shape", "x.shape[1:]", "x.shape + (2,)", "x.shape.numel()", "x.dim()", "x.ndim", "x.ndimension()",
               "x.numel()", "x.nelement()", "T.numel(x)", "x.element_size()", "d.itemsize", "x.nbytes", "x.stride()",
               "x.stride(0)", "w.stride()", "w.is_contiguous()", "x.is_contiguous()", "b[1].storage_offset()",
               "b[:, 1:, ::2].storage_offset()", "x.is_floating_point()", "T.is_floating_point(i)", "i.is_signed()",
               "x.is_complex()", "x.dtype", "str(x.device)", "x.is_cuda", "x.numpy()", "np.asarray(x)",
               "np.asarray(x, np.float64)", "np.array(s)", "np.sin(x)", "s.numpy()", "[1, 2, 3][T.tensor(1)]",
               "range(T.tensor(3))", "[t.item() for t in v]", "hash(x) == id(x)", "x in [x]", "x.requires_grad",
               "x.is_leaf", "x.grad", "isinstance(x, T.Tensor)", "x.get_device()", "x.is_same_size(y)",
               "round(s.item())", "f'{s:.2f}'", "f'{x}'", "format(s)", "'%.3f' % s", "x.T.T.is_contiguous()", "len(i)",
               "x.requires_grad_().requires_grad", "x.detach_() is x", "x.clone().detach().requires_grad"]


@pytest.mark.parametrize("code", CONVERSIONS)
def test_conversions(code: str) -> None:
    check(code)


TEXTS = ["s", "x", "i", "m", "e", "T.zeros(0)", "b", "d.requires_grad_()", "(x.requires_grad_() * 2)",
         "x.requires_grad_().sum()", "x.max(0)", "T.arange(2000.)", "x.requires_grad_()[0]", "f", "T.tensor(1e10)",
         "x.shape", "x.dtype", "x.device", "x.var_mean() if False else x", "[x, i]",
         "T.tensor([1.5], requires_grad=True).softmax(0)", "x.requires_grad_().t()", "x.requires_grad_().std()"]


@pytest.mark.parametrize("code", TEXTS)
def test_text(code: str) -> None:
    check(f"repr({code})")
    check(f"str({code})")


ERRORS = ["x.item()", "float(x)", "int(x)", "bool(x)", "bool(T.zeros(0))", "[1][T.tensor(0.)]",
          "T.tensor([1, 2]).__index__()", "x.requires_grad_().numpy()", "np.asarray(x.requires_grad_())",
          "i.requires_grad_()", "x.stride(5)", "x.size(2)", "x.fill_(v)", "x.copy_(T.ones(2))", "x.copy_('a')",
          "v.expand(2, 3).add_(1)", "int(T.tensor(float('nan')))", "f'{x:.2f}'",
          "a = x.requires_grad_(); a += 1; result = a", "a = x.requires_grad_(); a.t().add_(1); result = a",
          "x.requires_grad_().fill_(1)", "a = x.requires_grad_(); a.add_(1); result = a",
          "a = x.requires_grad_(); a.zero_(); result = a",
          "a = x.clone()[0]; a.requires_grad_(); b = a * 1; b[0].detach_(); result = 1",
          "a = x.clone(); a.grad = v; result = a", "a = x.clone(); a.grad = 1; result = a",
          "a = x.requires_grad_() * 2; a.requires_grad = False; result = a",
          "copy = __import__('copy'); result = copy.deepcopy(x.requires_grad_() * 2)"]


@pytest.mark.parametrize("code", ERRORS)
def test_errors(code: str) -> None:
    other_words = ("x.copy_('a')", "a = x.clone(); a.grad = v; result = a", "x.fill_(v)", "f'{x:.2f}'")
    check_error(code, 0 if code in other_words else 4)


def test_pickle_and_copy() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), copy.copy(x)):
        assert y.tolist() == [1.0, 2.0] and y.requires_grad and y.is_leaf
    y = copy.deepcopy(x)
    with jitgrad.no_grad():
        y += 1
    assert x.tolist() == [1.0, 2.0]


def test_values_stay_as_they_were_at_the_line() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    with jitgrad.no_grad():
        x += 10
    assert y.tolist() == [2.0, 4.0]
    assert x.tolist() == [11.0, 12.0]


def test_long_chains_are_cut() -> None:
    x = jitgrad.tensor(1.0, requires_grad=True)
    total = x
    for _ in range(20_000):
        total = total + 1
    assert total.item() == 20_001.0
    state = jitgrad.zeros(())
    with jitgrad.no_grad():
        for _ in range(10_000):
            state = state + x
    assert state.item() == 10_000.0
    assert state._node.depth < 5000


def test_read_only_export_is_a_snapshot() -> None:
    x = jitgrad.arange(4.0)
    array = x.numpy()
    assert not array.flags.writeable
    x += 1
    assert array.tolist() == [0.0, 1.0, 2.0, 3.0]
    np.testing.assert_array_equal(x.numpy(), np.arange(4.0) + 1)


def test_no_grad_views_have_no_history() -> None:
    x = jitgrad.ones(3, requires_grad=True)
    with jitgrad.no_grad():
        y = x[:2]
        assert y.requires_grad and y.is_leaf and y.grad_fn is None and not (y * 2).requires_grad    # as in PyTorch
        y *= 2
        assert y.tolist() == [2.0, 2.0] and (y * 2).tolist() == [4.0, 4.0]
    assert x.tolist() == [2.0, 2.0, 1.0] and x.requires_grad
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode and its base"):
        y.sum()


def test_data_address_is_stable_between_writes() -> None:
    x = jitgrad.arange(4.0)
    assert x.data_ptr() == x.data_ptr()
    assert x[1:].data_ptr() == x.data_ptr() + 4


def test_deepcopy_of_what_is_not_computed_yet() -> None:
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    with jitgrad.no_grad():
        product = x * 2 * 3
    for tensor in ((x * 6).detach(), product):
        twin = copy.deepcopy(tensor)
        assert twin.tolist() == [6.0, 12.0]
        twin[0] = 1.0
        assert tensor.tolist() == [6.0, 12.0]


@pytest.mark.parametrize("code", ["x[0] = 1e300", "x[:] = -1e300", "x[x > 0] = 1e39", "x[T.tensor([1])] = 1e300",
                                  "x.fill_(1e300)", "x.masked_fill_(x > 0, 1e300)", "T.full((2,), 1e300)",
                                  "T.full_like(x, 1e300)"])
def test_a_number_too_large_is_not_stored(code: str) -> None:
    for number in (1, 2):       # the second write by index is a quick one
        with pytest.raises(RuntimeError, match="value cannot be converted to type float without overflow"):
            x = jitgrad.ones(3)
            x[2] = number
            exec(code, {"T": jitgrad, "x": x})


@pytest.mark.parametrize("parts", ["chunk(2)", "split(1)", "split([1, 1])", "split([1, 2], 1)", "unbind()", "unbind(1)"])
@pytest.mark.parametrize("write", ["p[1].mul_(2)", "p[0].copy_(p[0] * 2)", "p[0].zero_()", "p[0].view(-1).add_(1)",
                                   "p[1][0] = 5.0"])
def test_writing_to_one_of_several_views(parts: str, write: str) -> None:
    for base in ("x.requires_grad_() * 1", "x.requires_grad_()"):
        if "view" not in write or parts not in ("split([1, 2], 1)", "unbind(1)"):       # those have no view(-1)
            check_error(f"y = {base}; p = y.{parts}; {write}; result = y", same_words=60)
    check(f"y = x * 1; p = y.{parts}; {write}; result = y")
    check(f"y = (x.requires_grad_() * 1).detach(); p = y.{parts}; {write}; result = y")
    if "view" not in write:
        check(f"y = x.requires_grad_() * 1; p = [v.detach() for v in y.{parts}]; {write}; result = y.detach()")
    check_error(f"y = x.requires_grad_() * 1; p = list(y); {write}; result = y", same_words=60)


def test_several_views_in_one_tensor_may_be_written_without_grad_mode() -> None:
    check("y = x.requires_grad_() * 1; p = y.chunk(2)\nwith T.no_grad(): p[0].mul_(2)\nresult = y.detach()")
    check("y = x.requires_grad_() * 1\nfor i in range(2): y[i].mul_(i)\ny.narrow(1, 0, 2).add_(1)\nresult = y.detach()")
