"""Optimizer: parameter groups, their state, and what every step has in common.

A step works on values, not on tensors.  A subclass gives, for each parameter, a `Row`, and the `Rule` that turns the
gradient and the values in it into new ones.  A rule uses arithmetic only, so that it holds for arrays as for recorded
nodes: a steady loop compiles it, all parameters of a group in one program (fused.py); before that, and where it is not
worth it, NumPy computes it.
"""
from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from jitgrad.graph.recording import in_grad_mode
from jitgrad.nn.parameter import clear_grad
from jitgrad.optim.fused import FusedSteps
from jitgrad.optim.rows import Row, Rule
from jitgrad.tensors.tensor import Tensor

Group = dict[str, Any]
PLAIN = (float, bool, type(None))


def number(value: Any) -> float:
    """A hyperparameter given as a number or a 0-d tensor."""
    return float(value._array().item() if isinstance(value, Tensor) else value)


def plain(option: Any) -> Any:
    """An option of a group with numbers for 0-d tensors."""
    if type(option) in (tuple, list):
        return tuple([number(x) for x in option])
    return option if type(option) in PLAIN else number(option)


class Optimizer:
    """What has a step() that changes parameters by their gradients.

    params: tensors, pairs of name and tensor, or dicts with "params" and options of their own; defaults: the options of
    groups that do not set them.  `state` holds what is kept for each parameter."""

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                            f"{params.type()}")         # type: ignore[attr-defined]
        if defaults.get("differentiable"):
            raise NotImplementedError(f"{type(self).__name__}(): differentiable=True is not supported: write the "
                                      "update with tensor operations to differentiate through it")
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self._fused = FusedSteps()
        self.param_groups: list[Group] = []
        given = list(params)
        if not given:
            raise ValueError("optimizer got an empty parameter list")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Take more parameters, with options of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering of "
                            "tensors in sets will change between runs. Please use a list instead.")
        params = [params] if isinstance(params, Tensor) else list(params)
        group: Group = {"params": params}
        if any(isinstance(p, tuple) for p in params):
            if not all(isinstance(p, tuple) for p in params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            group["params"] = params = [p for _, p in param_group["params"]]
            group["param_names"] = [name for name, _ in param_group["params"]]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        # In PyTorch's order: options given, then defaults
        group.update({name: value for name, value in param_group.items() if name != "params"})
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        ids = [id(p) for p in params]
        if len(set(ids)) != len(ids):
            warnings.warn("optimizer contains a parameter group with duplicate parameters", UserWarning, stacklevel=3)
        if not set(ids).isdisjoint(id(p) for g in self.param_groups for p in g["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Remove the gradients of all parameters, or set them to zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter._grad = None
                else:
                    clear_grad(parameter, False)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.  closure: computes the loss and gradients anew; its result is
        returned."""
        loss = None
        if closure is not None:
            loss = in_grad_mode(True, closure)
        for group in self.param_groups:
            steady = self._fused.steady.get(id(group))
            if steady is None or not steady.step(steady, group, self.state):
                self._fused.step(group, self.state, type(self), self._updates)
        return loss

    _options: ClassVar[tuple[str, ...]] = ()      # of a group: "lr", then others, on which the rule depends; the numbers on all

    @classmethod
    def _rule(cls, options: tuple[Any, ...]) -> Rule:
        """The rule of a group with these options (see _options)."""
        raise NotImplementedError(f"{cls.__name__} does not say how to update a parameter")

    @classmethod
    def _numbers(cls, options: tuple[Any, ...], t: float) -> tuple[float, ...]:
        """The numbers of the rule in the step with number t."""
        raise NotImplementedError(f"{cls.__name__} does not say how to update a parameter")

    @classmethod
    def _setting(cls, group: Group, t: float) -> tuple[Rule, tuple[float, ...]]:
        """The rule of a group, and its numbers in the step with number t."""
        options = tuple([plain(group[name]) for name in cls._options])
        return cls._rule(options), cls._numbers(options, t)

    def _updates(self, group: Group) -> Sequence[tuple[Rule, list[Row]]]:
        """How the parameters of a group that have gradients change."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to update a parameter")

    def state_dict(self) -> dict[str, Any]:
        """{"state": by number of the parameter, "param_groups": with numbers for parameters}; it shares the tensors."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        numbers = {id(p): i for i, p in reversed(list(enumerate(parameters)))}
        groups = [{name: value for name, value in group.items() if name != "params"}
                  | {"params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups]
        state = {numbers[id(key)] if isinstance(key, Tensor) else key: value for key, value in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state_dict (a copy of it); parameters are matched by their order.

        Raises ValueError if the groups do not match in number and length."""
        saved = copy.deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        by_number: dict[Any, Tensor] = {}
        for old, new in zip(self.param_groups, saved, strict=True):
            if len(old["params"]) != len(new["params"]):
                raise ValueError("loaded state dict contains a parameter group that doesn't match the size of "
                                 "optimizer's group")
            by_number.update(zip(new["params"], old["params"], strict=True))
            new["params"] = old["params"]
            if "param_names" in old and "param_names" not in new:
                new["param_names"] = old["param_names"]
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, values in state_dict["state"].items():
            if key in by_number:
                parameter = by_number[key]
                state[parameter] = {name: _loaded(parameter, name, value) for name, value in values.items()}
            else:
                state[key] = copy.deepcopy(values)
        self.param_groups = saved
        self.state = state
        self._fused.steady.clear()

    # -- text --------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] * bool(i) + [f"Parameter Group {i}"]
            lines += [f"    {name}: {value._array().item() if isinstance(value, Tensor) else value}"
                      for name, value in sorted(group.items()) if name != "params"]
        return "\n".join([*lines, ")"])


def _loaded(parameter: Tensor, name: str, value: Any) -> Any:
    """A copy of one saved value, in the parameter's dtype (but a count of steps stays as it is)."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    value = value.detach().clone()          # type: ignore[attr-defined]
    return value if name == "step" else value.to(parameter.device, parameter.dtype)


def checked(name: str, value: Any, low: float = 0.0) -> None:
    """Raise ValueError, as PyTorch words it, for a hyperparameter below its range."""
    if not low <= number(value):
        raise ValueError(f"Invalid {name}: {value}")


