"""Recurrent layers and their cells: plain, gated (GRU) and with long short-term memory (LSTM)."""
from __future__ import annotations

import math
from typing import Any

from jitgrad.nn import functional as F
from jitgrad.nn import init
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.operators import OPERATORS
from jitgrad.operators.creation import empty, zeros
from jitgrad.tensors.tensor import Tensor

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"]

State = tuple[Tensor, ...]


# -- one step: the state after it, from the gates' products of input and state -----------------------------------------

def _plain(activation: str) -> Any:
    def step(x: Tensor, h: Tensor, state: State) -> State:
        return (getattr(F, activation)(x + h),)
    return step


def _gru(x: Tensor, h: Tensor, state: State) -> State:
    """Cho et al. 2014, the reset gate after the product, as PyTorch has it."""
    (xr, xz, xn), (hr, hz, hn) = x.chunk(3, -1), h.chunk(3, -1)
    z = F.sigmoid(xz + hz)
    n = F.tanh(xn + F.sigmoid(xr + hr) * hn)
    return (n + z * (state[0] - n),)


def _lstm(x: Tensor, h: Tensor, state: State) -> State:
    """Hochreiter and Schmidhuber 1997, with forget gates (Gers et al. 2000)."""
    i, f, g, o = (x + h).chunk(4, -1)
    c = F.sigmoid(f) * state[1] + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


class _Cell(Module):
    """One step of a recurrent layer.  gates: how many products of the hidden size there are."""

    gates = 1
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values, uniformly between -1 and 1 over the square root of the hidden size."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _state(self, input: Tensor, given: tuple[Tensor | None, ...]) -> State:
        if input.ndim not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        for h in given:
            if h is not None and h.ndim not in (1, 2):
                raise ValueError(f"{type(self).__name__}: Expected hidden to be 1D or 2D, got {h.ndim}D instead")
        shape = (*input.shape[:-1], self.hidden_size)
        return tuple([zeros(shape, dtype=input.dtype, device=input.device) if h is None else h for h in given])

    def _products(self, input: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return F.linear(input, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """tanh (or relu) of W_ih x + b_ih + W_hh h + b_hh."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
                 dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        state = self._state(input, (hx,))
        return _plain(self.nonlinearity)(*self._products(input, state[0]), state)[0]

    def extra_repr(self) -> str:
        """The arguments."""
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class GRUCell(_Cell):
    """A gated recurrent unit."""

    gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state."""
        state = self._state(input, (hx,))
        return _gru(*self._products(input, state[0]), state)[0]


class LSTMCell(_Cell):
    """A unit with long short-term memory; its state is a pair."""

    gates = 4

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next state (h, c)."""
        state = self._state(input, (None, None) if hx is None else hx)
        h, c = _lstm(*self._products(input, state[0]), state)
        return h, c


class _Layers(Module):
    """Layers of cells over a sequence.  Parameters are named as PyTorch's: weight_ih_l0, ..., with _reverse for the other way."""

    gates = 1
    mode = ""
    proj_size = 0       # what the next state h is projected to, if not 0

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element being zeroed")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, float(dropout), bidirectional
        rows, ways, size = self.gates * hidden_size, 2 if bidirectional else 1, self.proj_size or hidden_size
        for suffix in self._suffixes():
            width = input_size if suffix.startswith("_l0") else size * ways
            shapes = {"weight_ih": (rows, width), "weight_hh": (rows, size)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if self.proj_size:
                shapes["weight_hr"] = (size, hidden_size)
            for name, shape in shapes.items():
                self.register_parameter(f"{name}{suffix}", Parameter(empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def _suffixes(self) -> list[str]:
        """What the names of a layer's parameters end with, layer by layer, forward and back."""
        return [f"_l{k}{way}" for k in range(self.num_layers) for way in (("", "_reverse") if self.bidirectional else ("",))]

    reset_parameters = _Cell.reset_parameters

    def flatten_parameters(self) -> None:
        """Nothing: there is no memory to arrange."""

    def _step(self) -> Any:
        raise NotImplementedError

    def _run(self, input: Tensor, given: State | None, count: int) -> tuple[Tensor, list[Tensor]]:
        """The outputs along the sequence, and the last states, stacked (count of them)."""
        stack, cat = OPERATORS["stack"].call, OPERATORS["cat"].call
        if input.ndim not in (2, 3):
            raise ValueError(f"{self.mode}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}")
        weight = self._parameters["weight_ih_l0"]
        if weight is not None and input.dtype is not weight.dtype:
            raise ValueError(f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                             f"input.to({weight.dtype}), or convert model: model.to({input.dtype})")
        batched = input.ndim == 3
        if not batched:
            input = input.unsqueeze(1)
        elif self.batch_first:
            input = input.transpose(0, 1)
        suffixes = self._suffixes()
        shapes = [(len(suffixes), input.shape[1], n) for n in (self.proj_size or self.hidden_size, self.hidden_size)][:count]
        states = ([zeros(shape, dtype=input.dtype, device=input.device) for shape in shapes] if given is None else
                  [s if batched else s.unsqueeze(1) for s in given])
        for s, shape in zip(states, shapes, strict=True):
            if tuple(s.shape) != shape:
                raise RuntimeError(f"Expected hidden size {shape}, got {list(s.shape)}")
        step, last, x = self._step(), [], input
        for k in range(self.num_layers):
            if k and self.dropout and self.training:
                x = F.dropout(x, self.dropout, True)
            ways = []
            for place in range(len(suffixes) // self.num_layers):
                at = k * (len(suffixes) // self.num_layers) + place
                named: dict[str, Any] = {n: getattr(self, f"{n}{suffixes[at]}", None)
                                         for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")}
                state = tuple([s[at] for s in states])
                outputs = []
                products = F.linear(x, named["weight_ih"], named["bias_ih"]).unbind(0)       # of all steps at once
                for product in reversed(products) if place else products:
                    state = step(product, F.linear(state[0], named["weight_hh"], named["bias_hh"]), state)
                    if self.proj_size:
                        state = (F.linear(state[0], named["weight_hr"]), *state[1:])
                    outputs.append(state[0])
                last.append(state)
                ways.append(stack(outputs[::-1] if place else outputs))
            x = ways[0] if len(ways) == 1 else cat(ways, -1)
        finals = [stack([state[i] for state in last]) for i in range(count)]
        if not batched:
            return x.squeeze(1), [s.squeeze(1) for s in finals]
        return (x.transpose(0, 1) if self.batch_first else x), finals

    def extra_repr(self) -> str:
        """The arguments."""
        text = f"{self.input_size}, {self.hidden_size}"
        usually = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        for name, usual in usually.items():
            value = getattr(self, name)
            text += "" if value == usual else f", {name}={value}"
        return text


class RNN(_Layers):
    """RNNCell along a sequence (steps, batch, features), or without a batch, or with batch_first."""

    mode = "RNN"

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
                 dtype: Any = None) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)
        self.nonlinearity = nonlinearity

    def _step(self) -> Any:
        return _plain(self.nonlinearity)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(outputs, the last states)."""
        outputs, [h] = self._run(input, None if hx is None else (hx,), 1)
        return outputs, h


class GRU(_Layers):
    """GRUCell along a sequence; see RNN."""

    gates, mode = 3, "GRU"

    def _step(self) -> Any:
        return _gru

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(outputs, the last states)."""
        outputs, [h] = self._run(input, None if hx is None else (hx,), 1)
        return outputs, h


class LSTM(_Layers):
    """LSTMCell along a sequence; see RNN.  proj_size: the length that h is projected to after each step, if not 0."""

    gates, mode = 4, "LSTM"

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None) -> None:
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size > 0:
            raise ValueError("proj_size has to be smaller than hidden_size")
        object.__setattr__(self, "proj_size", proj_size)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)

    def _step(self) -> Any:
        return _lstm

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(outputs, the last states h and c)."""
        outputs, [h, c] = self._run(input, hx, 2)
        return outputs, (h, c)
