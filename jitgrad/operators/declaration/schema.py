"""What an operator takes: PyTorch's schema, read from the Python signature of the function that is declared.

    def sum(input: Node, dim: Dims = None, keepdim: bool = False, *, dtype: dtype | None = None) -> Node

Names, order, defaults and what is given by name alone are those of the signature; an annotation lists what a parameter takes
(`KINDS`).  Everything that depends on a schema derives from it: how arguments are bound, errors in PyTorch's words,
`inspect.signature`, help(), and type stubs (jitgrad/stubs.py).  NumPy's names (`axis` for dim) are known for all operators.
"""
from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from inspect import CO_VARARGS, Signature
from inspect import Parameter as PythonParameter
from typing import Any, NamedTuple

import numpy as np

from jitgrad.operators.operands import node_of, to_node
from jitgrad.operators.provenance import called_as_method
from jitgrad.operators.templates.template import no_template
from jitgrad.tensors.tensor import Tensor
from jitgrad.types.dtype import REAL, refuse_complex

REQUIRED = PythonParameter.empty
NUMPY_NAMES = {"dim": "axis", "keepdim": "keepdims"}
# NumPy's, and one of PyTorch's methods.
OTHER_NAMES = {"dim": ("axis",), "keepdim": ("keepdims",), "input": ("x", "a", "x1"), "other": ("x2",),
               "split_size_or_sections": ("split_size",)}


def _is_integer(value: Any) -> bool:
    return type(value) is int or (hasattr(value, "__index__") and not isinstance(value, (bool, Tensor, np.ndarray)))


def _is_integers(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, (tuple, list)) and all([_is_integer(v) for v in value]))


def _is_number(value: Any) -> bool:
    refuse_complex(value)
    return isinstance(value, REAL)


class Kind(NamedTuple):
    """What an annotation stands for: PyTorch's name for it in errors, whether a value other than a tensor is one, whether a tensor
    of one element may stand for it, and how type stubs write it."""

    title: str
    fits: Callable[[Any], bool]
    number: bool
    stub: str


def _never(value: Any) -> bool:
    return False


def _always(value: Any) -> bool:
    return True


# By annotation.  Node: a tensor, of functions of nodes; Tensor: the same, of functions of tensors; Operand: a tensor, or a number that
# counts as one; Integers: one, several in a sequence or, as the last by position, one by one; dtype, Any: not looked at here.
KINDS = {
    "Node": Kind("Tensor", _never, False, "Tensor"), "Tensor": Kind("Tensor", _never, False, "Tensor"),
    "Operand": Kind("Tensor", _is_number, False, "Tensor | Number"), "Scalar": Kind("Number", _is_number, True, "Number"),
    "float": Kind("float", _is_number, True, "float"), "int": Kind("int", _is_integer, True, "int"),
    "Dim": Kind("int", _is_integer, True, "int"), "Dims": Kind("tuple of ints", _is_integers, True, "int | Sequence[int]"),
    "Integers": Kind("tuple of ints", _is_integers, True, "int | Sequence[int]"),
    "bool": Kind("bool", lambda v: isinstance(v, (bool, np.bool_)), True, "bool"),
    "str": Kind("str", lambda v: isinstance(v, str), False, "str"), "dtype": Kind("torch.dtype", _always, False, "dtype"),
    "Tensors": Kind("tuple of Tensors", lambda v: isinstance(v, (tuple, list)), False, "Sequence[Tensor]"),
    "Any": Kind("object", _always, False, "Any"),
}
_TENSORS = frozenset({"Node", "Tensor", "Operand", "Any"})


class Argument(NamedTuple):
    """One parameter.  takes: names of KINDS; tensor: whether tensors are among them; number: the kind for which a tensor may stand;
    `named`: by name alone."""

    name: str
    takes: tuple[str, ...]
    default: Any
    optional: bool
    named: bool
    tensor: bool
    number: str | None


@functools.cache        # which are few, on more than a thousand parameters
def _taken(annotation: str) -> tuple[tuple[str, ...], bool, bool, str | None]:
    """Of an annotation: takes, whether None is among them, tensor, number (see Argument)."""
    words = annotation.split(" | ")
    takes = tuple([word for word in words if word != "None"])
    if not {*takes} <= KINDS.keys():
        raise TypeError(f"a parameter is declared as {annotation!r}; annotations are {', '.join(KINDS)}")
    tensor = bool(_TENSORS.intersection(takes))
    return takes, "None" in words, tensor, None if tensor else next((word for word in takes if KINDS[word].number), None)


def _argument(name: str, annotation: str, default: Any, named: bool) -> Argument:
    takes, optional, tensor, number = _taken(annotation)
    return Argument(name, takes, default, default is None or optional, named, tensor, number)


class Schema:
    """See above.  nodes: the declared function is one of nodes, not of tensors.  out: how a result is written to the tensors of
    `out=` (out.py), None where there is no such argument.  rest: the parameter of all further arguments, `*tensors`.  operands: how
    many tensors there are, of functions of nodes that take nothing else; -1 of others.

    An operator's name may go on after a dot, as that of one of its forms."""

    __slots__ = ("name", "names", "defaults", "annotations", "positional", "rest_name", "nodes", "out", "operands",
                 # Made when the first of them is asked for: a program names few of the operators.
                 "parameters", "rest", "one_by_one", "_aliases")

    parameters: tuple[Argument, ...]
    rest: Argument | None
    one_by_one: bool
    _aliases: dict[str, str]

    def __init__(self, name: str, fn: Callable, nodes: bool, out: str | None = None) -> None:
        code, defaults, by_name = fn.__code__, fn.__defaults__ or (), fn.__kwdefaults__ or {}
        count = code.co_argcount
        named = count + code.co_kwonlyargcount
        self.name = name.partition(".")[0]
        self.names = code.co_varnames[:named]
        self.defaults = ((REQUIRED,) * (count - len(defaults)) + defaults
                         + tuple([by_name.get(n, REQUIRED) for n in self.names[count:]]))
        self.annotations = fn.__annotations__
        self.positional = count
        self.rest_name = code.co_varnames[named] if code.co_flags & CO_VARARGS else None
        self.nodes = nodes
        self.out = out
        self.operands = count if nodes and all([_taken(self.annotations[n])[2] for n in self.names]) else -1

    def __getattr__(self, name: str) -> Any:
        if name not in Schema.__annotations__:
            raise AttributeError(name)
        self.parameters = tuple([_argument(n, self.annotations[n], default, i >= self.positional)
                                 for i, (n, default) in enumerate(zip(self.names, self.defaults, strict=True))])
        self.rest = None if self.rest_name is None else _argument(self.rest_name, self.annotations[self.rest_name], REQUIRED, False)
        self.one_by_one = self.positional > 0 and "Integers" in self.parameters[self.positional - 1].takes
        self._aliases = {alias: n for n in self.names for alias in OTHER_NAMES.get(n, ()) if alias not in self.names}
        return getattr(self, name)

    @property
    def returns(self) -> str:
        """The annotation of the result."""
        return self.annotations.get("return", "Any")

    # -- binding -----------------------------------------------------------------------------------------------------

    def bind(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Arguments as the declared function takes them: all of them, by position where they can be.

        Raises TypeError in PyTorch's words."""
        given, rest = len(args), ()
        if given > self.positional:
            if self.rest is not None:
                rest = tuple([self._converted(self.rest, v, i, args, kwargs) for i, v in enumerate(args) if i >= self.positional])
                args = args[:self.positional]
            else:
                args = self._gathered(args, kwargs)
            given = len(args)
        by_name = self._by_name(args, kwargs) if kwargs else kwargs
        values: list[Any] = []
        for i, parameter in enumerate(self.parameters):
            if i < given:
                values.append(self._converted(parameter, args[i], i, args, kwargs))
            elif by_name and parameter.name in by_name:
                values.append(self._converted(parameter, by_name[parameter.name], None, args, kwargs))
            elif parameter.default is REQUIRED:
                raise self._missing(args, kwargs, by_name)
            else:
                values.append(parameter.default)
        count = self.positional
        if count == len(values):
            return (*values, *rest), {}
        return (*values[:count], *rest), dict(zip(self.names[count:], values[count:], strict=True))

    def _gathered(self, args: tuple, kwargs: dict[str, Any]) -> tuple:
        """More arguments than parameters: sizes or dimensions one by one."""
        last = self.positional - 1
        if self.one_by_one and all([_is_integer(v) or isinstance(v, Tensor) for v in args[last:]]):
            return (*args[:last], args[last:])
        if len(self.forms()) > 1:
            raise self._no_form(args, kwargs)
        takes, given = self.positional, len(args)
        if called_as_method(given + len(kwargs)):
            takes, given = takes - 1, given - 1
            if not takes:
                raise TypeError(f"TensorBase.{self.name}() takes no arguments ({given} given)")
        raise TypeError(f"{self.name}() takes {takes} positional argument{'s' * (takes != 1)} but {given} "
                        f"{'were' if given > 1 else 'was'} given")

    def _by_name(self, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by PyTorch's names."""
        found: dict[str, Any] = {}
        for name, value in kwargs.items():
            known = name if name in self.names else self._aliases.get(name)
            if known is None or known in found or (known != name and known in kwargs):
                raise self._unexpected(name, args, kwargs)
            if self.names.index(known) < len(args):
                if len(self.forms()) > 1:
                    raise self._no_form(args, kwargs)
                raise TypeError(f"{self.name}() got multiple values for argument '{known}'")
            found[known] = value
        return found

    def _converted(self, parameter: Argument, value: Any, position: int | None, args: tuple, kwargs: dict[str, Any]) -> Any:
        takes = parameter.takes
        if isinstance(value, Tensor):
            if parameter.tensor:
                return node_of(value) if self.nodes else value
            if parameter.number is not None:
                return number(value, self.name, parameter.name, KINDS[parameter.number].title)
        elif not parameter.optional or value is not None:
            if isinstance(value, (tuple, list)) and any([isinstance(v, Tensor) for v in value]):
                if parameter.number is not None:
                    value = [number(v, self.name, parameter.name, "int") if isinstance(v, Tensor) else v for v in value]
                elif self.nodes:
                    value = to_node(value)
            for kind in takes:
                if KINDS[kind].fits(value):
                    return value
            refuse_complex(value)
        else:
            return None
        raise self._wrong(parameter, value, position, args, kwargs)

    def fits(self, args: tuple, kwargs: dict[str, Any]) -> bool:
        """Whether arguments are of this form: their number, names and kinds."""
        names = [self._aliases.get(name, name) for name in kwargs if name != "out" or not self.out]
        if len(args) > self.positional or not {*names} <= {*self.names[len(args):]}:
            return False
        given = dict(zip(self.names, args, strict=False))
        given.update(zip(names, [v for k, v in kwargs.items() if k != "out" or not self.out], strict=True))
        return all([self._is(p, given[p.name]) if p.name in given else p.default is not REQUIRED for p in self.parameters])

    @staticmethod
    def _is(parameter: Argument, value: Any) -> bool:
        if isinstance(value, Tensor):
            return parameter.tensor or (parameter.number is not None and value.numel() == 1)
        return (value is None and parameter.optional) or any([KINDS[kind].fits(value) for kind in parameter.takes])

    def extended(self, name: str, kind: str, default: Any) -> Schema:
        """The schema of a function of tensors with one more parameter."""
        schema = self._copy()
        schema.names, schema.defaults = (*self.names, name), (*self.defaults, default)
        schema.annotations = self.annotations | {name: kind}
        schema.positional += 1
        schema.nodes = False
        return schema

    def renamed(self, name: str) -> Schema:
        """The schema under another name, without `out`."""
        schema = self._copy()
        schema.name, schema.out = name, None
        return schema

    def _copy(self) -> Schema:
        schema = object.__new__(Schema)
        for slot in Schema.__slots__:
            if slot not in Schema.__annotations__:
                setattr(schema, slot, getattr(self, slot))
        return schema

    # -- errors ------------------------------------------------------------------------------------------------------

    def _wrong(self, parameter: Argument, value: Any, position: int | None, args: tuple, kwargs: dict[str, Any]) -> TypeError:
        forms = self.forms()
        if len(forms) > 1 and (parameter is not self.parameters[0] or "Number" in forms[-1]):
            return self._no_form(args, kwargs)
        where = "" if position is None else f" (position {position + 1 - called_as_method(len(args) + len(kwargs))})"
        return TypeError(f"{self.name}(): argument '{parameter.name}'{where} must be {KINDS[parameter.takes[0]].title}, not "
                         f"{type(value).__name__}")

    def _missing(self, args: tuple, kwargs: dict[str, Any], by_name: dict[str, Any]) -> TypeError:
        if len(self.forms()) > 1:
            return self._no_form(args, kwargs)
        missing = [f'"{p.name}"' for p in self.parameters[len(args):] if p.default is REQUIRED and p.name not in by_name]
        return TypeError(f"{self.name}() missing {len(missing)} required positional argument{'s' * (len(missing) == 1)}: "
                         f"{', '.join(missing)}")

    def _unexpected(self, name: str, args: tuple, kwargs: dict[str, Any]) -> TypeError:
        if len(self.forms()) > 1:
            return self._no_form(args, kwargs)
        return TypeError(f"{self.name}() got an unexpected keyword argument '{name}'")

    def _no_form(self, args: tuple, kwargs: dict[str, Any]) -> TypeError:
        return no_form(self.name, self.forms(), args, kwargs)

    def forms(self) -> tuple[str, ...]:
        """What PyTorch, which has no parameters that may be left out in the middle, lists as the operator's signatures: without
        and with a dimension, with a tensor and with a number."""
        parts = [(p, KINDS[p.takes[0]].title, f"{p.name}{'' if p.default is REQUIRED else f' = {p.default}'}") for p in self.parameters]
        written = [(p, f"{title} {text}") for p, title, text in parts]
        whole = [p.name for p in self.parameters if p.takes[0] in ("Dim", "Dims") and p.default is None]
        either = [p.name for p in self.parameters if p.takes[:2] == ("Node", "Scalar")]
        if whole:
            at = self.names.index(whole[0])
            return (self._form([w for w in written if w[0].named or self.names.index(w[0].name) < at]),
                    self._form([(p, w.removesuffix(" = None") if p.name == whole[0] else w) for p, w in written]))
        if either:
            return tuple([self._form([(p, f"{title} {w.split(' ', 1)[1]}" if p.name in either else w) for p, w in written])
                          for title in ("Tensor", "Number")])
        return (self._form(written),)

    def _form(self, written: list[tuple[Argument, str]]) -> str:
        texts = [text for p, text in written if not p.named]
        named = [text for p, text in written if p.named] + (["Tensor out = None"] if self.out else [])
        return f"({', '.join([*texts, *(['*'] if named else []), *named])})"

    # -- what is shown -----------------------------------------------------------------------------------------------

    def text(self, out: bool = True) -> str:
        """`(input, dim=None, *, out=None)`: str(signature()), of which an object takes ten times as long to make; `out` if wanted."""
        shown = [n if default is REQUIRED else f"{n}={default!r}" for n, default in zip(self.names, self.defaults, strict=True)]
        if self.out and out:
            shown.append("out=None")
        if self.rest_name is not None:
            shown.insert(self.positional, f"*{self.rest_name}")
        elif len(shown) > self.positional:
            shown.insert(self.positional, "*")
        return f"({', '.join(shown)})"

    def signature(self) -> Signature:
        """Names and defaults, `out` among them."""
        shown = [PythonParameter(n, PythonParameter.KEYWORD_ONLY if i >= self.positional else PythonParameter.POSITIONAL_OR_KEYWORD,
                                 default=default) for i, (n, default) in enumerate(zip(self.names, self.defaults, strict=True))]
        if self.rest_name is not None:
            shown.insert(self.positional, PythonParameter(self.rest_name, PythonParameter.VAR_POSITIONAL))
        if self.out:
            shown.append(PythonParameter("out", PythonParameter.KEYWORD_ONLY, default=None))
        return Signature(shown)


def shown_text(schemas: Sequence[Schema], out: bool = True) -> str:
    """str(common(schemas))."""
    return schemas[0].text(out) if len(schemas) == 1 else str(common(schemas))


def common(schemas: Sequence[Schema]) -> Signature:
    """What is shown of an operator of several forms: the parameters with which all begin, and whatever each takes besides."""
    if len(schemas) == 1:
        return schemas[0].signature()
    shown = []
    for names in zip(*[schema.names[:schema.positional] for schema in schemas], strict=False):
        if len({*names}) > 1:
            break
        shown.append(PythonParameter(names[0], PythonParameter.POSITIONAL_OR_KEYWORD))
    return Signature([*shown, PythonParameter("args", PythonParameter.VAR_POSITIONAL),
                      PythonParameter("kwargs", PythonParameter.VAR_KEYWORD)])


def no_form(name: str, forms: Sequence[str], args: tuple, kwargs: dict[str, Any]) -> TypeError:
    """The error for arguments that are none of an operator's signatures."""
    got = [type(v).__name__ for v in args] + [f"{k}={type(v).__name__}" for k, v in kwargs.items()]
    if called_as_method(len(got)):
        got = got[1:]
        forms = [re.sub(r"(, )?(\*, )?Tensor out = None\)", ")", re.sub(r"^\(Tensor input(, |(?=\)))", "(", form)) for form in forms]
    listed = "one of:" + "".join([f"\n * {form}" for form in forms]) if len(forms) > 1 else forms[0]
    return TypeError(f"{name}() received an invalid combination of arguments - got ({', '.join(got)}), but expected {listed}")


def number(tensor: Tensor, called: str, name: str, kind: str = "Number") -> Any:
    """The number in a tensor that is given for one.  The operator that takes it is to be asked again for other values.

    Raises TypeError as PyTorch does for tensors that are no numbers."""
    whole = kind in ("int", "tuple of ints")
    if kind == "bool" or tensor.requires_grad or tensor.numel() != 1 or (tensor.ndim and not whole) or (
            whole and tensor.is_floating_point()):
        raise TypeError(f"{called}(): argument '{name}' must be {kind}, not Tensor")
    no_template()
    return tensor.__index__() if whole else tensor.item()
