"""The cells of test_documents.py: what PyTorch autograd tutorials show, as programs."""
from __future__ import annotations

CELLS: dict[str, str] = {}
EXPECTED: dict[str, str] = {}


def cell(name: str, source: str, expected: str | None = None) -> None:
    CELLS[name] = source
    if expected is not None:
        EXPECTED[name] = expected


cell("leaves and grad_fn", """
import torch
from torch.autograd import Function
w = torch.tensor([1.], requires_grad=True)
x = torch.tensor([2.], requires_grad=True)
a = torch.add(w, x)
b = torch.add(w, 1)
y = torch.mul(a, b)
print(x.is_leaf)
print(w.is_leaf)
print(a.is_leaf)
print(b.is_leaf)
print(y.is_leaf)
y.backward()
print(w.grad)
print("grad_fn: \\n ", w.grad_fn, x.grad_fn, a.grad_fn, b.grad_fn, y.grad_fn)
""", """True
True
False
False
False
tensor([5.])
grad_fn:\x20
  None None <AddBackward0 object at 0x> <AddBackward0 object at 0x> <MulBackward0 object at 0x>
""")

cell("gradients accumulate", """
import torch
w = torch.tensor([1.], requires_grad=True)
x = torch.tensor([2.], requires_grad=True)
a = torch.add(w, x)
b = torch.add(w, 1)
y = torch.mul(a, b)
print(x.grad_fn)
print(a.grad_fn)
y.backward()
print(w.grad)
y2 = w.sum()
y2.backward()
print(w.grad)
y3 = w.sum()
w.grad.data.zero_()
y3.backward()
print(w.grad)
""", "None\n<AddBackward0 object at 0x>\ntensor([5.])\ntensor([6.])\ntensor([1.])\n")

cell("Function: exp", """
import torch
from torch.autograd import Function

class Exp(Function):
    @staticmethod
    def forward(ctx, i):
        result = i.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad_output):
        result, = ctx.saved_tensors
        return grad_output * result

x = torch.tensor([1.], requires_grad=True)
ret = Exp.apply(x)
print(ret)
ret.backward()
print(x.grad)
""", "tensor([2.7183], grad_fn=<ExpBackward>)\ntensor([2.7183])\n")

cell("Function: two in a row, retain_grad", """
import torch
from torch.autograd import Function

class MultiplyAdd(Function):
    @staticmethod
    def forward(ctx, w, x, b):
        ctx.save_for_backward(w, x)
        output = w * x + b
        print("output", output)
        return output

    @staticmethod
    def backward(ctx, grad_output):
        w, x = ctx.saved_variables
        grad_w = grad_output * x
        grad_x = grad_output * w
        grad_b = grad_output * 1
        print("z_pred2", grad_output)
        return grad_w, grad_x, grad_b

x = torch.ones(1, requires_grad=True)
w = torch.rand(1, requires_grad=True)
b = torch.rand(1, requires_grad=True)
w2 = torch.rand(1, requires_grad=True)
b2 = torch.rand(1, requires_grad=True)
z_pred = MultiplyAdd.apply(w, x, b)
z_pred.retain_grad()
z_pred2 = MultiplyAdd.apply(w2, z_pred, b2)
print("z_pred2 = ", z_pred2)
z_pred2.backward()
print(x.grad, w.grad, b.grad, z_pred.grad, w2.grad, b2.grad)
print(z_pred.grad_fn, z_pred2.grad_fn.next_functions)
""")

cell("Function: relu in a Module", """
import torch
import torch.nn as nn
import numpy as np

class SelfDefinedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inp):
        ctx.save_for_backward(inp)
        return torch.where(inp < 0., torch.zeros_like(inp), inp)

    @staticmethod
    def backward(ctx, grad_output):
        inp, = ctx.saved_tensors
        print("grad_output:\\n", grad_output)
        print("where:\\n", torch.where(inp < 0, torch.zeros_like(inp), torch.ones_like(inp)))
        return grad_output * torch.where(inp < 0, torch.zeros_like(inp), torch.ones_like(inp))

class Relu(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        out = SelfDefinedRelu.apply(x)
        return out

tensor_in = torch.tensor(np.array([-5]))
print(tensor_in)
leaf = torch.rand(10, requires_grad=True)
inp = leaf - 0.5
net = Relu()
output2 = net(inp)
print(output2.sum())
output2.sum().backward()
print("output2: \\n", output2)
print(leaf.grad)
print(net)
""")

cell("where", """
import torch
a = torch.rand(2, 2)
torch_where = torch.where(a < 0.5, torch.zeros_like(a), torch.ones_like(a))
print(a)
print(torch_where)
""")

cell("a quadratic", """
import torch
x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], requires_grad=True)
a = torch.tensor(1.0)
b = torch.tensor(-2.0)
c = torch.tensor(1.0)
y = a*torch.pow(x, 2) + b*x + c
print("x:", x)
print("y:", y)
y.sum().backward()
print(y.sum())
dy_dx = x.grad
print(dy_dx)
""", """x: tensor([[0., 0.],
        [1., 2.]], requires_grad=True)
y: tensor([[1., 1.],
        [0., 1.]], grad_fn=<AddBackward0>)
tensor(3., grad_fn=<SumBackward0>)
tensor([[-2., -2.],
        [ 0.,  2.]])
""")

cell("a quadratic, its second derivative", """
import torch
x = torch.tensor(0.0, requires_grad=True)
a = torch.tensor(1.0)
b = torch.tensor(-2.0)
c = torch.tensor(1.0)
y = a*torch.pow(x, 2) + b*x + c
dy_dx = torch.autograd.grad(y, x, create_graph=True)[0]
print(dy_dx.data)
dy2_dx2 = torch.autograd.grad(dy_dx, x)[0]
print(dy2_dx2.data)
""", "tensor(-2.)\ntensor(2.)\n")

cell("grad of several outputs and inputs", """
import torch
x1 = torch.tensor(1.0, requires_grad=True)
x2 = torch.tensor(2.0, requires_grad=True)
y1 = x1*x2
y2 = x1+x2
y1.retain_grad()
y2.retain_grad()
(dy1_dx1, dy1_dx2) = torch.autograd.grad(outputs=y1, inputs=[x1, x2], retain_graph=True)
print(dy1_dx1, dy1_dx2)
print(y1.is_leaf, y2.is_leaf)
print(y1.grad, y2.grad)
(dy12_dx1, dy12_dx2) = torch.autograd.grad(outputs=[y1, y2], inputs=[x1, x2])
print(dy12_dx1, dy12_dx2)
""", "tensor(2.) tensor(1.)\nFalse False\ntensor(1.) None\ntensor(3.) tensor(2.)\n")

cell("backward of a scalar", """
import torch
x = torch.tensor(0.0, requires_grad=True)
a = torch.tensor(1.0)
b = torch.tensor(-2.0)
c = torch.tensor(1.0)
y = a*torch.pow(x, 2) + b*x + c
y.backward()
dy_dx = x.grad
print(dy_dx)
""", "tensor(-2.)\n")

cell("backward with a gradient", """
import torch
x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], requires_grad=True)
a = torch.tensor(1.0)
b = torch.tensor(-2.0)
c = torch.tensor(1.0)
y = a*torch.pow(x, 2) + b*x + c
gradient = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
print("x:\\n", x)
print("y:\\n", y)
y.backward(gradient=gradient)
x_grad = x.grad
print("x_grad:\\n", x_grad)
""")

cell("the same by a weighted sum", """
import torch
x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], requires_grad=True)
a = torch.tensor(1.0)
b = torch.tensor(-2.0)
c = torch.tensor(1.0)
y = a*torch.pow(x, 2) + b*x + c
print(y.shape)
gradient = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
z = torch.sum(y*gradient)
print("x:", x)
print("y:", y)
z.backward()
x_grad = x.grad
print("x_grad:\\n", x_grad)
""")

cell("the minimum of a quadratic by SGD", """
import torch
x = torch.tensor(0.0, requires_grad=True)
a = torch.tensor(1.0)
b = torch.tensor(-2.0)
c = torch.tensor(1.0)
optimizer = torch.optim.SGD(params=[x], lr=0.01)

def f(x):
    result = a*torch.pow(x, 2) + b*x + c
    return(result)

for i in range(500):
    optimizer.zero_grad()
    y = f(x)
    y.backward()
    if i % 50 == 0:
        print(x.grad)
    optimizer.step()
print("y=", f(x).data, ";", "x=", x.data)
""")

cell("requires_grad three ways", """
import torch as t
a = t.randn(3, 4, requires_grad=True)
print(a)
a = t.randn(3, 4).requires_grad_()
print(a)
a = t.randn(3, 4)
a.requires_grad = True
print(a)
b = t.zeros(3, 4).requires_grad_()
c = a+b
d = c.sum()
d.backward()
print(d, d.requires_grad)
print(a.grad)
print(a.requires_grad, b.requires_grad, c.requires_grad)
print(a.is_leaf, b.is_leaf, c.is_leaf)
""")

cell("a derivative by hand", """
import torch as t

def f(x):
    y = x**2 * t.exp(x)
    return y

def gradf(x):
    dx = 2*x*t.exp(x) + x**2*t.exp(x)
    return dx

x = t.randn(3, 4, requires_grad=True)
y = f(x)
print(y)
print(gradf(x))
y.backward(t.ones(y.size()))
print(x.grad)
""")

cell("grad of an intermediate; a hook", """
import torch as t
x = t.ones(3, requires_grad=True)
w = t.rand(3, requires_grad=True)
y = x * w
z = y.sum()
print(t.autograd.grad(z, y))
print(t.autograd.grad(z, x))

def variable_hook(grad):
    print('gradient of y:', grad)

x = t.ones(3, requires_grad=True)
w = t.rand(3, requires_grad=True)
y = x * w
hook_handle = y.register_hook(variable_hook)
z = y.sum()
z.backward()
hook_handle.remove()
print(x.grad, w.grad)
""")

cell("Function: a non-tensor argument", """
import torch as t
from torch.autograd import Function

class Mul(Function):
    @staticmethod
    def forward(ctx, w, x, b, x_requires_grad=True):
        ctx.x_requires_grad = x_requires_grad
        ctx.save_for_backward(w, x)
        output = w * x + b
        return output

    @staticmethod
    def backward(ctx, grad_output):
        w, x = ctx.saved_tensors
        grad_w = grad_output * x
        if ctx.x_requires_grad:
            grad_x = grad_output * w
        else:
            grad_x = None
        grad_b = grad_output * 1
        return grad_w, grad_x, grad_b, None

w, x, b = (t.rand(2, requires_grad=True) for _ in range(3))
z = Mul.apply(w, x, b, False)
print(z)
z.sum().backward()
print(w.grad, x.grad, b.grad)
""")

cell("tensors and their grad_fn", """
import torch
x = torch.ones(2, 2, requires_grad=True)
print(x)
print(x.grad_fn)
y = x + 2
print(y)
print(y.grad_fn)
print(x.is_leaf, y.is_leaf)
z = y * y * 3
out = z.mean()
print(z, out)
out.backward()
print(x.grad)
out2 = x.sum()
out2.backward()
print(x.grad)
out3 = x.sum()
x.grad.data.zero_()
out3.backward()
print(x.grad)
""", """tensor([[1., 1.],
        [1., 1.]], requires_grad=True)
None
tensor([[3., 3.],
        [3., 3.]], grad_fn=<AddBackward0>)
<AddBackward0 object at 0x>
True False
tensor([[27., 27.],
        [27., 27.]], grad_fn=<MulBackward0>) tensor(27., grad_fn=<MeanBackward0>)
tensor([[4.5000, 4.5000],
        [4.5000, 4.5000]])
tensor([[5.5000, 5.5000],
        [5.5000, 5.5000]])
tensor([[1., 1.],
        [1., 1.]])
""")

cell("requires_grad_ in place", """
import torch
a = torch.randn(2, 2)
a = ((a * 3) / (a - 1))
print(a.requires_grad)
a.requires_grad_(True)
print(a.requires_grad)
b = (a * a).sum()
print(b.grad_fn)
""", "False\nTrue\n<SumBackward0 object at 0x>\n")

cell("a view and a weight vector", """
import torch
x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
y = 2 * x
z = y.view(2, 2)
print(z)
v = torch.tensor([[1.0, 0.1], [0.01, 0.001]], dtype=torch.float)
z.backward(v)
print(x.grad)
""", """tensor([[2., 4.],
        [6., 8.]], grad_fn=<ViewBackward0>)
tensor([2.0000, 0.2000, 0.0200, 0.0020])
""")

cell("no_grad in the middle", """
import torch
x = torch.tensor(1.0, requires_grad=True)
y1 = x ** 2
with torch.no_grad():
    y2 = x ** 3
y3 = y1 + y2
print(x, x.requires_grad)
print(y1, y1.requires_grad)
print(y2, y2.requires_grad)
print(y3, y3.requires_grad)
y3.backward()
print(x.grad)
""", """tensor(1., requires_grad=True) True
tensor(1., grad_fn=<PowBackward0>) True
tensor(1.) False
tensor(2., grad_fn=<AddBackward0>) True
tensor(2.)
""")

cell("a write to .data", """
import torch
x = torch.ones(1, requires_grad=True)
print(x.data)
print(x.data.requires_grad)
y = 2 * x
x.data *= 100
y.backward()
print(x)
print(x.grad)
print(y)
""", """tensor([1.])
False
tensor([100.], requires_grad=True)
tensor([2.])
tensor([2.], grad_fn=<MulBackward0>)
""")
