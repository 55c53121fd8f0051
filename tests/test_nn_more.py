"""Layers, losses and what is done to modules, against PyTorch: values, gradients, text and errors."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad

pytestmark = pytest.mark.full

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _interpreted():
    with jitgrad.interpret():
        yield


def pair(code: str) -> tuple[Any, Any]:
    """The module in both libraries, with the same parameters."""
    theirs = eval(f"nn.{code}", {"nn": torch.nn, "T": torch}).double()
    ours = eval(f"nn.{code}", {"nn": jitgrad.nn, "T": jitgrad}).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: jitgrad.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def flat(result: Any) -> list[Any]:
    return [t for r in result for t in flat(r)] if isinstance(result, tuple) else [result]


def agree(code: str, *arrays: np.ndarray, call: Any = lambda m, *xs: m(*xs)) -> None:
    """Results, gradients of inputs and parameters, and buffers afterwards are the same."""
    found = []
    for xp, module in zip((jitgrad, torch), pair(code), strict=True):
        xs = [xp.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        outputs = flat(call(module, *xs))
        sum((o * o.cos()).sum() for o in outputs).backward()
        found.append([t.detach().numpy() for t in outputs] + [x.grad.numpy() for x in xs if x.requires_grad]
                     + [p.grad.numpy() for p in module.parameters()] + [b.numpy() for b in module.buffers()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("code", ["RNN(3, 4)", "RNN(3, 4, 2, nonlinearity='relu', bias=False)", "GRU(3, 4, 2, bidirectional=True)",
                                  "GRU(3, 4, batch_first=True)", "LSTM(3, 4)", "LSTM(3, 4, 2, batch_first=True, bidirectional=True)",
                                  "LSTM(3, 4, 2, bidirectional=True, proj_size=2)"])
def test_recurrent(code: str) -> None:
    agree(code, RNG.normal(size=(5, 2, 3)))
    agree(code, RNG.normal(size=(5, 3)))
    agree(code, RNG.normal(size=(3, 1, 3)), call=lambda m, x: m(x, m(x)[1]) if not m.batch_first else m(x))


@pytest.mark.parametrize("code", ["RNNCell(3, 4)", "RNNCell(3, 4, nonlinearity='relu')", "GRUCell(3, 4)", "LSTMCell(3, 4, bias=False)"])
def test_cells(code: str) -> None:
    agree(code, RNG.normal(size=(2, 3)), call=lambda m, x: m(x, m(x)))
    agree(code, RNG.normal(size=3))


@pytest.mark.parametrize("code", ["LayerNorm(3)", "LayerNorm((2, 3), eps=1e-3, bias=False)", "LayerNorm(3, elementwise_affine=False)"])
def test_layer_norm(code: str) -> None:
    agree(code, RNG.normal(size=(4, 2, 3)))


@pytest.mark.parametrize("code", ["BatchNorm1d(3)", "BatchNorm1d(3, momentum=None, affine=False)",
                                  "BatchNorm1d(3, track_running_stats=False)"])
def test_batch_norm(code: str) -> None:
    agree(code, RNG.normal(size=(4, 3)))
    agree(code, RNG.normal(size=(4, 3, 2)))
    agree(code, RNG.normal(size=(4, 3)), call=lambda m, x: (m(x), m.eval()(x)))


def test_embedding() -> None:
    agree("Embedding(5, 3, padding_idx=1)", np.array([[0, 1], [4, 4]]))
    assert not jitgrad.nn.Embedding(5, 3, padding_idx=1).weight[1].any()
    table = jitgrad.ones(2, 3)
    assert not jitgrad.nn.Embedding.from_pretrained(table).weight.requires_grad


@pytest.mark.parametrize("code", ["Conv1d(4, 6, 3)", "Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=False)"])
def test_convolution(code: str) -> None:
    agree(code, RNG.normal(size=(2, 4, 9)))


def test_convolution_of_images() -> None:
    agree("Sequential(nn.Conv2d(1, 2, 3, padding='same'), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2))", RNG.normal(size=(2, 1, 8, 8)))


def test_dropout() -> None:
    x = jitgrad.ones(1000)
    dropped = jitgrad.nn.Dropout(0.25)(x)
    assert set(dropped.tolist()) == {0.0, x.div(0.75)[0].item()} and 150 < int((dropped == 0).sum()) < 350
    assert (jitgrad.nn.Dropout(0.25).eval()(x) == 1).all()
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got 2"):
        jitgrad.nn.Dropout(2)


@pytest.mark.parametrize(("code", "count"), [
    ("KLDivLoss(reduction='batchmean')", 2), ("KLDivLoss(log_target=True, reduction='sum')", 2), ("PoissonNLLLoss(full=True)", 2),
    ("PoissonNLLLoss(log_input=False, reduction='sum')", 2), ("GaussianNLLLoss(full=True)", 3),
    ("TripletMarginLoss(swap=True)", 3), ("TripletMarginLoss(p=1, reduction='none')", 3)])
def test_losses(code: str, count: int) -> None:
    agree(code, *RNG.uniform(0.1, 3, size=(count, 4, 3)))


@pytest.mark.parametrize("code", ["HingeEmbeddingLoss(0.5)", "HingeEmbeddingLoss(reduction='none')"])
def test_hinge(code: str) -> None:
    agree(code, RNG.normal(size=4), call=lambda m, x: m(x, x.detach().sign()))


@pytest.mark.parametrize("code", ["SoftMarginLoss()", "MarginRankingLoss(0.5)", "CosineEmbeddingLoss(0.1)"])
def test_pairs(code: str) -> None:
    if code == "SoftMarginLoss()":
        return agree(code, RNG.normal(size=4), call=lambda m, x: m(x, x.detach().sign()))
    shape = (4,) if "Margin" in code else (4, 3)
    agree(code, *RNG.normal(size=(2, *shape)), call=lambda m, x, y: m(x, y, (x - y).detach().reshape(4, -1)[:, 0].sign()))


def test_hooks_on_modules() -> None:
    found = []
    for xp in (jitgrad, torch):
        log: list[Any] = []
        module = xp.nn.Linear(2, 2).double()
        with xp.no_grad():
            module.weight.copy_(xp.tensor([[1.0, 2.0], [3.0, 4.0]]))
            module.bias.zero_()
        module.register_forward_pre_hook(lambda m, args, kwargs: ((args[0] * 2,), kwargs), with_kwargs=True)
        module.register_forward_hook(lambda m, args, out, log=log: log.append("second"))
        module.register_forward_hook(lambda m, args, out, log=log: log.append("first"), prepend=True)
        module.register_full_backward_pre_hook(lambda m, g, log=log: log.append([t.tolist() for t in g]))
        handle = module.register_full_backward_hook(
            lambda m, gi, go, log=log: (log.append([[t.tolist() for t in gi], [t.tolist() for t in go]]), (gi[0] * 3,))[1])
        x = xp.tensor([1.0, -1.0], dtype=xp.float64, requires_grad=True)
        module(x).pow(2).sum().backward()
        log += [x.grad.tolist(), module.weight.grad.tolist()]
        handle.remove()
        x.grad = None
        module(x).pow(2).sum().backward()
        found.append([*log, x.grad.tolist()])
    assert found[0] == found[1]


def test_parameter_containers() -> None:
    found = []
    for xp in (jitgrad, torch):
        class Model(xp.nn.Module):
            def __init__(self, xp: Any = xp) -> None:
                super().__init__()
                self.many = xp.nn.ParameterList([xp.nn.Parameter(xp.ones(2)), xp.zeros(3)])
                self.named = xp.nn.ParameterDict({"a": xp.nn.Parameter(xp.ones(1))})
                self.kept = xp.nn.Buffer(xp.ones(1))
                self.lost = xp.nn.Buffer(xp.ones(1), persistent=False)

        model = Model()
        model.many.append(xp.nn.Parameter(xp.ones(1)))
        model.named["b"] = xp.ones(2)
        found.append([list(model.state_dict()), [n for n, _ in model.named_parameters()], [n for n, _ in model.named_buffers()],
                      len(model.many), list(model.named.keys()), repr(model.many)])
    assert found[0] == found[1]


def test_gradients_are_clipped() -> None:
    found = []
    for xp in (jitgrad, torch):
        params = [xp.tensor(a, requires_grad=True) for a in ([3.0, 4.0], [12.0])]
        sum((p * p).sum() for p in params).backward()
        utils = xp.nn.utils
        norm = utils.clip_grad_norm_(params, 2.0)
        results = [norm.item(), *[p.grad.tolist() for p in params]]
        results += [utils.clip_grad_norm_(params, 1.0, float("inf")).item(), utils.parameters_to_vector(params).tolist()]
        utils.clip_grad_value_(params, 0.1)
        utils.vector_to_parameters(xp.tensor([1.0, 2.0, 3.0]), params)
        found.append([*results, *[p.grad.tolist() for p in params], *[p.tolist() for p in params]])
        params[0].grad[0] = float("nan")
        with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
            utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
