"""Modules, parameters, initialisers and losses: the same program in PyTorch and in jitgrad gives the same text."""
from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import nn


@pytest.fixture(autouse=True)
def _interpreted():
    with jitgrad.interpret():       # modules are recorded like anything else; nothing here needs compiled code
        yield


def build(xp: Any) -> Any:
    """A small model with known values, a nested module, a module without bias and a buffer."""

    class Net(xp.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = xp.nn.Linear(2, 3)
            self.rest = xp.nn.Sequential(xp.nn.Tanh(), xp.nn.Linear(3, 2, bias=False), xp.nn.ReLU())
            self.scale = xp.nn.Parameter(xp.tensor(2.0))
            self.register_buffer("shift", xp.ones(2))
            self.register_buffer("hidden", xp.zeros(1), persistent=False)
            self.register_parameter("nothing", None)

        def forward(self, x: Any) -> Any:
            return self.rest(self.first(x)) * self.scale + self.shift

    net = Net()
    with xp.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(xp.linspace(-1, 1 + i, p.numel()).reshape(p.shape))
    return net


def outcome(action: Any, xp: Any) -> str:
    """The text of what an action on a library gives, or its exception's."""
    try:
        return repr(action(xp))
    except (TypeError, KeyError, AttributeError, RuntimeError, ValueError, IndexError, NotImplementedError) as error:
        return f"{type(error).__name__}: {error}"


def _without(cls: str, statement: str) -> Any:
    """A module that does something before Module.__init__."""
    def action(xp: Any) -> Any:
        scope: dict[str, Any] = {"xp": xp}
        exec(f"class {cls}(xp.nn.Module):\n    def __init__(self):\n        {statement}\n", scope)
        return scope[cls]()
    return action


def _set(name: str, value: Any) -> Any:
    def action(xp: Any) -> Any:
        net = build(xp)
        setattr(net, name, value(xp) if callable(value) else value)
        return net
    return action


def _module_call(method: str, *args: Any) -> Any:
    return lambda xp: getattr(xp.nn.Module(), method)(*[a(xp) if callable(a) else a for a in args])


def _trained(xp: Any) -> Any:
    net = build(xp)
    net.apply(lambda m: m.register_buffer("seen", xp.ones(1)))
    net.eval()
    return [m.training for m in net.modules()], list(net.state_dict()), net.train().rest[0].training


def _gradients(xp: Any) -> Any:
    net = build(xp)
    loss = xp.nn.MSELoss()(net(xp.tensor([[1.0, 2.0], [0.5, -1.0]])), xp.tensor([[1.0, 0.0], [0.0, 1.0]]))
    loss.backward()
    found = [p.grad for p in net.parameters()]
    net.zero_grad(set_to_none=False)
    zeros = [p.grad for p in net.parameters()]
    net.zero_grad()
    return loss, found, zeros, [p.grad for p in net.parameters()]


def _hooked(xp: Any) -> Any:
    net, calls = build(xp), []
    with net.first.register_forward_hook(lambda m, args, out: calls.append(out.shape)):
        handle = net.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
        doubled = net(xp.ones(1, 2))
        handle.remove()
        plain = net(xp.ones(1, 2))
    net(xp.ones(1, 2))
    return doubled, plain, calls


def _shared(xp: Any) -> Any:
    layer = xp.nn.Linear(2, 2)
    net = xp.nn.Sequential(layer, xp.nn.Tanh(), layer)
    return (net, [n for n, _ in net.named_parameters()], [n for n, _ in net.named_modules()], list(net.state_dict()),
            [n for n, _ in net.named_parameters(remove_duplicate=False)], len(list(net.children())))


def _reassigned(xp: Any) -> Any:
    net = build(xp)
    net.first = xp.nn.Identity()
    net.scale = None
    net.shift = None
    net.extra = 3
    del net.rest
    net.extra = xp.nn.ReLU()
    return net, list(net.state_dict()), sorted(net._parameters)


def _containers(xp: Any) -> Any:
    m = xp.nn
    s = m.Sequential(m.Linear(1, 1), m.ReLU(), m.Tanh())
    s.insert(1, m.Sigmoid())
    s.append(m.Identity())
    del s[0]
    s[0] = m.Softplus()
    li = m.ModuleList([m.ReLU(), m.ReLU(), m.Linear(1, 2)])
    li += [m.Sequential(m.Tanh())]
    li.insert(0, m.GELU())
    d = m.ModuleDict({"a": m.ReLU(), "b": m.Linear(2, 1)})
    d["c"] = m.Tanh()
    named = m.Sequential(OrderedDict(x=m.Tanh(), y=m.Linear(1, 1)))
    return (s, s[-1], s[1:], s.pop(0), s + m.Sequential(m.ReLU()), li, li[1:3], li[-1], len(li), d, list(d), "a" in d,
            d.pop("a"), named, named[1], m.ModuleList(), m.Sequential(), m.ModuleList([m.Linear(1, 1), m.Linear(1, 1)]))


def _parameter_shares(xp: Any) -> Any:
    data = xp.zeros(2)
    p = xp.nn.Parameter(data)
    data += 1
    with xp.no_grad():
        p.mul_(3)
    view = xp.zeros(4)
    q = xp.nn.Parameter(view[1:3], requires_grad=False)
    view += 5
    r = xp.nn.Parameter(p * 2)
    return p, data, p.is_leaf, data.requires_grad, q, r, xp.nn.Parameter(p), xp.nn.Parameter()


def _moved(xp: Any) -> Any:
    net = build(xp)
    first = net.first.weight
    net.double()
    xp.nn.MSELoss()(net(xp.ones(1, 2, dtype=xp.float64)), xp.zeros(1, 2, dtype=xp.float64)).backward()
    net.float()
    dtypes = [(p.dtype, p.grad.dtype) for p in net.parameters()]
    return net.first.weight is first, dtypes, net.to(xp.float64).shift.dtype


def _loaded(xp: Any) -> Any:
    net, other = build(xp), build(xp)
    state = net.state_dict()
    with xp.no_grad():
        for p in net.parameters():
            p.mul_(0.5)
    result = other.load_state_dict(state)          # state shares storage: it has the halved values
    same = all((a == b).all().item() for a, b in zip(net.parameters(), other.parameters(), strict=True))
    taken = build(xp)
    taken.load_state_dict({k: v.clone() for k, v in state.items()}, assign=True)
    return result, same, state, other.load_state_dict({}, strict=False), list(taken.parameters())


ACTIONS: dict[str, Any] = {
    "repr": build,
    "names": lambda xp: [n for n, _ in build(xp).named_parameters(prefix="p")],
    "own names": lambda xp: [n for n, _ in build(xp).named_parameters(recurse=False)],
    "buffers": lambda xp: list(build(xp).named_buffers()),
    "modules": lambda xp: [n for n, _ in build(xp).named_modules()],
    "state_dict": lambda xp: list(build(xp).state_dict().items()),
    "metadata": lambda xp: build(xp).state_dict()._metadata,
    "forward": lambda xp: build(xp)(xp.tensor([[1.0, 2.0], [0.5, -1.0]])),
    "requires_grad_": lambda xp: [p.requires_grad for p in build(xp).requires_grad_(False).parameters()],
    "parameters before init": _without("A", "self.w = xp.nn.Parameter(xp.zeros(2))"),
    "module before init": _without("A", "self.w = xp.nn.Linear(1, 1)"),
    "buffer before init": _without("A", "self.register_buffer('b', None)"),
    "parameter before init": _without("A", "self.register_parameter('b', None)"),
    "set parameter to tensor": _set("scale", lambda xp: xp.zeros(1)),
    "set parameter to int": _set("scale", 3),
    "set module to tensor": _set("first", lambda xp: xp.zeros(1)),
    "set buffer to int": _set("shift", 3),
    "set buffer": lambda xp: list(_set("shift", lambda xp: xp.zeros(1))(xp).named_buffers()),
    "get": lambda xp: build(xp).absent,
    "delete": lambda xp: delattr(build(xp), "absent"),
    "no forward": lambda xp: xp.nn.Module()(1),
    "train": lambda xp: xp.nn.Module().train(3),
    "submodule": lambda xp: (build(xp).get_submodule("rest.1"), build(xp).get_parameter("rest.1.weight")),
    "no submodule": lambda xp: build(xp).get_submodule("rest.7"),
    "not a submodule": lambda xp: build(xp).get_submodule("scale"),
    "no parameter": lambda xp: build(xp).get_parameter("first.absent"),
    "no sequential index": lambda xp: build(xp).rest[5],
    "not a module": lambda xp: xp.nn.Sequential(3),
    "wrong keys": lambda xp: build(xp).load_state_dict({"scale": xp.ones(2), "absent": xp.ones(1)}),
    "not a tensor": lambda xp: build(xp).load_state_dict({"scale": 3}, strict=False),
    "not a mapping": lambda xp: build(xp).load_state_dict([1]),
    "integer parameter": lambda xp: xp.nn.Parameter(xp.zeros(2, dtype=xp.int64)),
    "to an integer": lambda xp: build(xp).to(xp.int32),
    "shape": lambda xp: xp.nn.Linear(2, 3)(xp.zeros(5)),
    "trained": _trained, "gradients": _gradients, "hooked": _hooked, "shared": _shared, "reassigned": _reassigned,
    "containers": _containers, "parameter shares": _parameter_shares, "moved": _moved, "loaded": _loaded,
    **{f"{method}({args!r})": _module_call(method, *args, None) for method in
       ("register_parameter", "register_buffer", "add_module") for args in ((3,), ("a.b",), ("",), ("forward",))},
    **{f"{method} of {kind}": _module_call(method, "w", value) for method in
       ("register_parameter", "register_buffer", "add_module")
       for kind, value in (("int", 3), ("result", lambda xp: xp.nn.Parameter(xp.zeros(1)) * 2))},
}

@pytest.mark.parametrize("name", ACTIONS)
def test_same_text_as_pytorch(name):
    torch = pytest.importorskip("torch")
    assert outcome(ACTIONS[name], jitgrad) == outcome(ACTIONS[name], torch)


LAYERS = ["ReLU()", "ReLU(inplace=True)", "Tanh()", "Sigmoid()", "Softplus()", "Softplus(beta=2, threshold=1)",
          "GELU()", "GELU('tanh')", "LeakyReLU(0.2)", "ELU(0.5)", "SELU()", "CELU(2.0)", "SiLU()", "Mish()",
          "Hardtanh(-2, 0.5)", "ReLU6()", "LogSigmoid()", "Softsign()", "Tanhshrink()", "Hardswish()", "Hardsigmoid()",
          "Threshold(0.1, 20)", "Softmax(dim=1)", "LogSoftmax(dim=0)", "Softmin(dim=1)", "Identity(54, unused=1)",
          "Flatten()", "Flatten(0, 1)"]


@pytest.mark.parametrize("text", LAYERS)
def test_layers(text):
    torch = pytest.importorskip("torch")
    values = np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 3, 4)
    ours, theirs = eval(f"nn.{text}", {"nn": nn}), eval(f"nn.{text}", {"nn": torch.nn})
    assert repr(ours) == repr(theirs)
    np.testing.assert_allclose(ours(jitgrad.tensor(values)).numpy(), theirs(torch.tensor(values)).numpy(), rtol=2e-5,
                               atol=1e-6)


LOSSES = ["MSELoss()", "MSELoss(reduction='sum')", "L1Loss(reduction='none')", "SmoothL1Loss(beta=0.5)",
          "HuberLoss(delta=0.3)", "BCEWithLogitsLoss()", "CrossEntropyLoss()", "CrossEntropyLoss(label_smoothing=0.1)"]


@pytest.mark.parametrize("text", LOSSES)
def test_losses(text):
    torch = pytest.importorskip("torch")
    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)
    y = np.linspace(1, 0, 12, dtype=np.float32).reshape(4, 3)
    ours, theirs = eval(f"nn.{text}", {"nn": nn}), eval(f"nn.{text}", {"nn": torch.nn})
    assert repr(ours) == repr(theirs)
    np.testing.assert_allclose(ours(jitgrad.tensor(x), jitgrad.tensor(y)).numpy(),
                               theirs(torch.tensor(x), torch.tensor(y)).numpy(), rtol=1e-5)


def test_weighted_losses():
    torch = pytest.importorskip("torch")

    def values(xp: Any) -> list[Any]:
        x = xp.linspace(-2, 2, 12).reshape(4, 3)
        classes, weight = xp.tensor([0, 2, 1, 1]), xp.tensor([1.0, 2.0, 0.5])
        return [xp.nn.CrossEntropyLoss(weight=weight, ignore_index=2)(x, classes), xp.nn.NLLLoss(weight)(x, classes),
                xp.nn.BCELoss(weight)(xp.sigmoid(x), xp.sigmoid(x)),
                xp.nn.BCEWithLogitsLoss(pos_weight=weight)(x, xp.sigmoid(x)),
                list(xp.nn.CrossEntropyLoss(weight=weight).state_dict().items())]

    assert repr(values(jitgrad)) == repr(values(torch))


def test_linear_init():
    """Weights and biases lie within 1 / sqrt(in_features) and fill that range."""
    jitgrad.manual_seed(1)
    layer = nn.Linear(100, 200)
    for p in (layer.weight, layer.bias):
        values = p.detach().numpy()
        assert 0.095 < np.abs(values).max() <= 0.1
        assert abs(values.mean()) < 0.01
    assert layer.weight.dtype is jitgrad.float32
    assert nn.Linear(1, 1, dtype=jitgrad.float64).bias.dtype is jitgrad.float64


@pytest.mark.parametrize(("name", "spread"), [
    ("xavier_uniform_(w, gain=2)", 2 * (2 / 500) ** 0.5), ("xavier_normal_(w)", (2 / 500) ** 0.5),
    ("kaiming_uniform_(w, nonlinearity='relu')", (2 / 200) ** 0.5),
    ("kaiming_normal_(w, mode='fan_out')", (2 / 300) ** 0.5),
    ("uniform_(w, -1, 1)", 3 ** -0.5), ("normal_(w, 1, 3)", 3.0)])
def test_init_spread(name, spread):
    jitgrad.manual_seed(2)
    w = nn.Parameter(jitgrad.empty(300, 200))
    assert eval(f"init.{name}", {"init": nn.init, "w": w}) is w
    assert w.requires_grad and w.is_leaf
    assert w.detach().numpy().std() == pytest.approx(spread, rel=0.02)


def test_init_values_and_errors():
    w = nn.Parameter(jitgrad.empty(2, 3))
    assert nn.init.eye_(w).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert nn.init.constant_(w, 4.0).sum().item() == 24
    assert nn.init.ones_(w).sum().item() == 6 and nn.init.zeros_(w).sum().item() == 0
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        nn.init.xavier_uniform_(jitgrad.empty(3))
    with pytest.raises(ValueError, match="Unsupported nonlinearity swish"):
        nn.init.calculate_gain("swish")
    with pytest.raises(ValueError, match="Mode sideways not supported"):
        nn.init.kaiming_uniform_(w, mode="sideways")
    with pytest.warns(UserWarning, match="zero-element"):
        nn.init.kaiming_uniform_(jitgrad.empty(0, 3))


def test_copies_are_independent():
    net = build(jitgrad)
    twin = copy.deepcopy(net)
    with jitgrad.no_grad():
        twin.scale.mul_(5)
    assert net.scale.item() == -1.0 and twin.scale.item() == -5.0
    assert isinstance(twin.scale, nn.Parameter)
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in net.named_parameters()]
    p = pickle.loads(pickle.dumps(nn.Linear(2, 1)))
    assert isinstance(p.weight, nn.Parameter) and p.weight.requires_grad


def test_functional_has_every_functional_operator():
    from jitgrad.operators import OPERATORS
    for name, op in OPERATORS.items():
        if "functional" in op.places:
            assert callable(getattr(nn.functional, name))


def test_modules_without_torch():
    """What the comparisons above check, once without PyTorch."""
    net = build(jitgrad)
    assert repr(net).splitlines()[1] == "  (first): Linear(in_features=2, out_features=3, bias=True)"
    assert list(net.state_dict()) == ["scale", "shift", "first.weight", "first.bias", "rest.1.weight"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "scale", "shift"'):
        net.load_state_dict({})
    assert repr(net.scale) == "Parameter containing:\ntensor(-1., requires_grad=True)"


def test_linear_with_a_frozen_weight():
    """Its transpose is known, the rest is recorded: for inputs of any rank, whatever has been called before."""
    for shape in ((5, 3, 4), (4,), (3, 4)) * 3:
        m = nn.Linear(4, 2)
        m.weight.requires_grad_(False)
        x = jitgrad.ones(*shape)
        y = m(x)
        assert tuple(y.shape) == (*shape[:-1], 2)
        np.testing.assert_allclose(y.detach().numpy(), x.numpy() @ m.weight.numpy().T + m.bias.detach().numpy(), rtol=1e-6)
        y.sum().backward()
        assert m.weight.grad is None and m.bias.grad.tolist() == [y.numel() / 2] * 2
    with jitgrad.no_grad():
        bias = jitgrad.ones(2, requires_grad=True).exp()
        assert nn.functional.linear(jitgrad.ones(2, 3, 4), jitgrad.ones(2, 4, requires_grad=True), bias).shape == (2, 3, 2)
