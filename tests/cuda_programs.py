"""Programs that run on any device: test_cuda_gradients.py runs each on the CPU and on a simulated device, and compares."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad as torch
import jitgrad.nn.functional as F

PROGRAMS: dict[str, Callable[[str], Any]] = {}


def program(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """Enter a program of a device into the table."""
    PROGRAMS[function.__name__] = function
    return function


@program
def vmap(device: str) -> Any:
    x = torch.arange(6.0, device=device).reshape(2, 3)
    return torch.vmap(lambda r: (r * r).sum())(x)


@program
def jacrev(device: str) -> Any:
    x = torch.arange(3.0, device=device)
    return torch.func.jacrev(lambda r: r ** 2 * r.sum())(x)


@program
def jacfwd(device: str) -> Any:
    x = torch.arange(3.0, device=device)
    return torch.func.jacfwd(lambda r: r ** 2 * r.sum())(x)


@program
def hess(device: str) -> Any:
    x = torch.arange(3.0, device=device)
    return torch.func.hessian(lambda r: (r ** 3).sum())(x)


@program
def jac2(device: str) -> Any:
    x = torch.arange(3.0, device=device)
    return torch.autograd.functional.jacobian(lambda r: r ** 2, x)


@program
def conv(device: str) -> Any:
    torch.manual_seed(0)
    m = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.BatchNorm2d(2), torch.nn.ReLU(),
                            torch.nn.MaxPool2d(2, padding=1), torch.nn.AvgPool2d(2, padding=1)).to(device)
    x = torch.arange(32.0).reshape(2, 1, 4, 4).to(device)
    loss = (m(x) ** 2).sum()
    loss.backward()
    return (loss.detach(), [p.grad for p in m.parameters()])


@program
def rnn(device: str) -> Any:
    torch.manual_seed(0)
    m = torch.nn.LSTM(3, 4, batch_first=True).to(device)
    x = torch.ones(2, 5, 3, device=device)
    o, (h, c) = m(x)
    o.sum().backward()
    return (o.detach(), [p.grad for p in m.parameters()])


@program
def gru(device: str) -> Any:
    torch.manual_seed(0)
    m = torch.nn.GRU(3, 4).to(device)
    x = torch.ones(2, 5, 3, device=device)
    o, h = m(x)
    o.sum().backward()
    return o.detach()


@program
def emb(device: str) -> Any:
    torch.manual_seed(0)
    m = torch.nn.Embedding(5, 3, padding_idx=1).to(device)
    o = m(torch.tensor([[0, 1, 4]], device=device))
    o.sum().backward()
    return (o.detach(), m.weight.grad)


@program
def drop(device: str) -> Any:
    torch.manual_seed(0)
    m = torch.nn.Dropout(0.5)
    x = torch.ones(8, device=device, requires_grad=True)
    m(x).sum().backward()
    return x.grad.shape


@program
def clip(device: str) -> Any:
    p = torch.ones(3, device=device, requires_grad=True)
    (p * 3).sum().backward()
    n = torch.nn.utils.clip_grad_norm_([p], 1.0)
    return (n, p.grad)


@program
def lbfgs(device: str) -> Any:
    p = torch.ones(3, device=device, requires_grad=True)
    o = torch.optim.LBFGS([p], line_search_fn="strong_wolfe")

    def c():
        o.zero_grad()
        loss = ((p - 2) ** 2).sum()
        loss.backward()
        return loss
    o.step(c)
    return p.detach().round(decimals=3)


@program
def ckpt(device: str) -> Any:
    from jitgrad.utils.checkpoint import checkpoint
    x = torch.arange(3.0, device=device, requires_grad=True)
    checkpoint(lambda t: t.sin() * t, x, use_reentrant=False).sum().backward()
    return x.grad


@program
def ckpt2(device: str) -> Any:
    from jitgrad.utils.checkpoint import checkpoint
    x = torch.arange(3.0, device=device, requires_grad=True)
    checkpoint(lambda t: t.sin() * t, x, use_reentrant=True).sum().backward()
    return x.grad


@program
def gradcheck(device: str) -> Any:
    x = torch.arange(1.0, 4, device=device, dtype=torch.float64, requires_grad=True)
    return (torch.autograd.gradcheck(lambda t: t ** 3, (x,)), torch.autograd.gradgradcheck(lambda t: t ** 3, (x,)))


@program
def anomaly(device: str) -> Any:
    with torch.autograd.detect_anomaly():
        x = torch.arange(1.0, 4, device=device, requires_grad=True)
        (x * x).sum().backward()
        return x.grad


@program
def fwd(device: str) -> Any:
    import jitgrad.autograd.forward_ad as f
    with f.dual_level():
        d = f.make_dual(torch.ones(3, device=device), torch.ones(3, device=device))
        return f.unpack_dual(d * d).tangent


@program
def hooks(device: str) -> Any:
    x = torch.arange(1.0, 4, device=device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 1, lambda t: t):
        y = (x * x).sum()
    y.backward()
    with torch.autograd.graph.save_on_cpu():
        z = (x * x).exp().sum()
    z.backward()
    return x.grad


@program
def einsum(device: str) -> Any:
    a = torch.arange(6.0, device=device).reshape(2, 3)
    return (torch.einsum("ij,kj->ik", a, a), torch.tensordot(a, a, dims=2), torch.bmm(a[None], a.T[None]))


@program
def dist(device: str) -> Any:
    d = torch.distributions.Normal(torch.zeros(2, device=device), torch.ones(2, device=device))
    s = d.rsample()
    return (d.log_prob(torch.ones(2, device=device)), s.device.type if device == "cpu" else "cpu")


@program
def cat(device: str) -> Any:
    d = torch.distributions.Categorical(torch.tensor([0.2, 0.8], device=device))
    assert d.sample().device.type == device
    return (d.log_prob(torch.tensor(1, device=device)), d.entropy())


@program
def sched(device: str) -> Any:
    p = torch.ones(2, device=device, requires_grad=True)
    o = torch.optim.AdamW([p], lr=0.1)
    s = torch.optim.lr_scheduler.StepLR(o, 1, 0.5)
    (p * p).sum().backward()
    o.step()
    s.step()
    (p * p).sum().backward()
    o.step()
    return p.detach()


@program
def linalg(device: str) -> Any:
    a = torch.tensor([[4.0, 1], [1, 3]], device=device, requires_grad=True)
    loss = torch.linalg.cholesky(a).sum() + torch.linalg.eigh(a)[0].sum() + torch.linalg.svd(a)[1].sum()
    loss = loss + torch.linalg.solve(a, torch.ones(2, device=device)).sum() + torch.logdet(a) + torch.linalg.qr(a)[1].abs().sum()
    loss.backward()
    return (loss.detach(), a.grad)


@program
def loop(device: str) -> Any:
    x = torch.ones(4, device=device, requires_grad=True)
    s = x
    for _ in range(100):
        s = s + 0.01 * torch.sin(s)
    s.sum().backward()
    return x.grad


@program
def writes(device: str) -> Any:
    x = torch.ones(3, device=device, requires_grad=True)
    out = torch.zeros(5, 3, device=device)
    for i in range(5):
        out[i] = x * i
    (out ** 2).sum().backward()
    return x.grad


@program
def where(device: str) -> Any:
    x = torch.arange(-2.0, 3, device=device, requires_grad=True)
    torch.where(x > 0, x, 0.0).sum().backward()
    return (x.grad, x.detach().clamp(0, 1), x.detach().masked_fill(x.detach() < 0, 9.0))


@program
def pad(device: str) -> Any:
    x = torch.arange(4.0, device=device)
    return (F.pad(x, (1, 1)), F.pad(x[None, None], (1, 1), mode="reflect"), F.one_hot(torch.tensor([0, 2], device=device)),
            F.softmax(x, 0), F.gelu(x))


@program
def sorts(device: str) -> Any:
    x = torch.tensor([3.0, 1, 2], device=device, requires_grad=True)
    v, i = x.sort()
    v[:2].sum().backward()
    return (v.detach(), i, x.grad, x.detach().argmax(), torch.topk(x.detach(), 2),
            x.detach().cumsum(0), x.detach().cummax(0), x.detach().kthvalue(2))


@program
def iters(device: str) -> Any:
    return ([r.sum() for r in torch.arange(6.0, device=device).reshape(2, 3)], torch.stack(list(torch.arange(3.0, device=device))),
            torch.arange(6.0, device=device).split(2))


@program
def vg(device: str) -> Any:
    f = torch.value_and_grad(lambda x: (x * x).sum())
    return f(np.arange(3.0))


@program
def comp2(device: str) -> Any:
    m = torch.nn.Linear(2, 1)
    torch.nn.init.ones_(m.weight)
    torch.nn.init.zeros_(m.bias)
    m = m.to(device)
    f = torch.compile(lambda x: (m(x) ** 2).mean())
    for i in range(4):
        m.zero_grad()
        f(torch.ones(3, 2, device=device) * i).backward()
    return m.weight.grad


@program
def outs(device: str) -> Any:
    o = torch.zeros(3, device=device)
    torch.add(torch.ones(3, device=device), 1, out=o)
    return (o, torch.testing.assert_close(o, o))


@program
def scal(device: str) -> Any:
    x = torch.tensor(2.0, device=device, requires_grad=True)
    y = x ** 3
    y.backward()
    return (x.grad, 2 / x.detach(), float(x.detach()), int(x.detach()), bool(x > 1), -x.detach(), x.detach() // 1,
            x.detach() % 1.5, 3 - x.detach())


@program
def data(device: str) -> Any:
    from jitgrad.utils.data import DataLoader, TensorDataset
    return [b[0].sum() for b in DataLoader(TensorDataset(torch.arange(6.0, device=device)), batch_size=2)]


@program
def state(device: str) -> Any:
    m = torch.nn.Linear(2, 2).to(device)
    m2 = torch.nn.Linear(2, 2)
    m2.load_state_dict(m.state_dict())
    return ((m2.weight.cpu() - m.weight.cpu()).abs().sum().item(), m2.weight.device.type)
