"""Each marked line is wrong, and found to be."""
import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F

x = torch.ones(3)
torch.sumx(x)  # wrong
torch.sum(x, dims=0)  # wrong
torch.sum(x, dim="a")  # wrong
x.summ()  # wrong
torch.sum(x, axis="a")  # wrong
x.cumsum()  # wrong
x.sum(dimension=0)  # wrong
x.add_("a")  # wrong
x.add_(1, beta=2)  # wrong
torch.zeros(3, foo=1)  # wrong
torch.zeros("a")  # wrong
torch.linalg.nothing(x)  # wrong
torch.linalg.inv(x, 3, 4)  # wrong
torch.special.erff(x)  # wrong
F.relu(x, out=x)  # wrong
F.nothing(x)  # wrong
nn.Linear(3)  # wrong
nn.Nothing()  # wrong
torch.optim.Adam([x], rate=1)  # wrong
torch.optim.Nothing([x])  # wrong
torch.autograd.nothing(x)  # wrong
torch.autograd.grad(x)  # wrong
torch.func.nothing(x)  # wrong
torch.value_and_grad(x)  # wrong
torch.vmap(abs, dims=0)  # wrong
torch.arange("a", foo=2)  # wrong
x + "a"  # wrong
x.shape.foo  # wrong
x.backward(keep=True)  # wrong
torch.max(x, dim=0).value  # wrong
torch.compile(3)  # wrong
torch.distributions.Nothing()  # wrong
torch.utils.nothing  # wrong
