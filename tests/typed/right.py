"""A program that is right: pyright and mypy, both strict, find nothing in it."""
import numpy as np
from numpy.typing import NDArray

import jitgrad
import jitgrad as torch
from jitgrad import Tensor, nn
from jitgrad.autograd import Function
from jitgrad.nn import functional as F


class Square(Function):
    @staticmethod
    def forward(ctx: jitgrad.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: jitgrad.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.second = nn.Linear(width, 1, bias=False)
        self.scale = nn.Parameter(torch.ones(1))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.first(x))
        hidden: Tensor = self.drop(h)
        out: Tensor = self.second(hidden)
        return out * self.scale


def train() -> float:
    net = Net(8)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, y = torch.randn(16, 3), torch.zeros((16, 1), dtype=torch.float32)
    value = 0.0
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        value = loss.item()
    return value


@torch.compile
def energy(x: Tensor, k: float = 2.0) -> Tensor:
    return (x.pow(2) * k).sum()


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def shapes(x: Tensor) -> tuple[int, ...]:
    y = x.reshape(2, -1).transpose(0, 1).unsqueeze(0).expand(3, -1, -1)
    values, indices = y.max(dim=-1, keepdim=True)
    top = torch.topk(values.flatten(), k=2)
    both = torch.cat([top.values, x.view(-1)]), torch.stack((indices, indices), dim=0)
    first: Tensor
    for first in both:
        print(first.shape, first.ndim, first.dtype, first.device.type)
    parts = torch.split(x, 2)
    a, b = torch.linalg.slogdet(torch.eye(3))
    print(a.item(), b.tolist(), len(parts), -x, x @ x.T, x <= 1, x == 2, 1 / x, 3 - x, x // 2, ~(x > 1), abs(x))
    return tuple(y.shape)


x = torch.linspace(0, 1, 6, requires_grad=True)
total: Tensor = torch.sum(x, dim=0)
by_numpys_names = torch.sum(x, axis=0, keepdims=True) + x.mean(axis=(0,)) + x.cumsum(axis=0) + torch.softmax(x, axis=-1)
rows = x.sum(dim=(0,), keepdim=True) + jitgrad.sum(x) + x.mean() + torch.einsum("i,i->", x, x)
x.detach().add_(1, alpha=2).mul_(0.5).clamp_(min=0, max=1).zero_()
energy(x, k=3.0).backward()
gradient = x.grad
if gradient is not None:
    print(gradient.norm(), gradient.numpy().mean(), gradient.to(torch.float64).cpu())
(g,) = torch.autograd.grad(total, [x], create_graph=True, allow_unused=True)
print(Square.apply(x), g)
f = torch.value_and_grad(rosenbrock)
array: NDArray[np.float64] = np.zeros(5)
print(f(array), torch.func.grad(energy)(x), torch.vmap(energy)(x), torch.func.hessian(energy)(x))
print(torch.zeros(2, 3), torch.zeros((2, 3)), torch.full((2,), 1.5), torch.arange(3), torch.tensor([1.0, 2.0], dtype=torch.double))
print(x.new_zeros(2), torch.rand(3, generator=torch.Generator().manual_seed(0)), torch.where(x > 0, x, 0), x.to("cpu"), x.long())
print(shapes(x), train(), torch.__version__, torch.get_num_threads(), torch.pi, torch.is_tensor(x), torch.max(x, x))
handle = x.register_hook(lambda grad: grad * 2)
handle.remove()
with torch.no_grad():
    print(x.exp(), torch.special.erf(x), torch.linalg.norm(x), nn.utils.clip_grad_norm_([x], 1.0))
scheduler = torch.optim.lr_scheduler.StepLR(torch.optim.SGD([x], lr=0.1, momentum=0.9), step_size=2)
scheduler.step()
model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Conv2d(1, 2, 3))
print(model.state_dict().keys(), [p.shape for p in model.parameters()], torch.optim.LBFGS([x]))
normal = torch.distributions.Normal(torch.zeros(1), torch.ones(1))
print(normal.log_prob(x), normal.rsample((2,)), torch.distributions.kl_divergence(normal, normal))
