"""How a public operator is declared, and what every call of one does.

An operator is a function of nodes: its wrapper binds the arguments by the schema (schema.py), which turns tensors into nodes, calls
it, and wraps the result.  What depends on no gradient leaf and on nothing pending is computed at once; all else stays recorded.
An operator owns one grad_fn, however many primitives it records (`Composite`).

A declaration is a row (`unary`, `binary`), a function of nodes (`operator`), or one of tensors that calls other operators
(`function`); views are declared in views/view.py.  `inspect.signature`, help() and type stubs show the schema.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jitgrad import interpreter, tracing
from jitgrad.errors import InternalError
from jitgrad.graph.node import Composite, Node, Op
from jitgrad.graph.recording import become_input, bind, scalar_node
from jitgrad.operators.declaration.out import CAST, write_out
from jitgrad.operators.declaration.schema import Schema, common, no_form, shown_text
from jitgrad.operators.native.entry_points import entry_point
from jitgrad.operators.native.layout import NUMBERS, PLAIN
from jitgrad.operators.operands import Operand, Scalar, node_of, promoted
from jitgrad.operators.provenance import user_line
from jitgrad.ops import REGISTRY
from jitgrad.requests.counters import repeats
from jitgrad.requests.execute import MAX_DEPTH, cut
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.types.dtype import bool_, wrapped

FEW = 8                 # inputs of which interpreter.compute, which looks through those before each, takes no longer
# Operations done by Python functions after which machine code is taken from disk, and after which it is compiled
SOON, OFTEN = 500, 10_000
operations = [0]        # so many, of all threads, about
# While there are hooks on saved tensors, what is told of each operator's results and arguments by name (autograd).
saving: list[Callable[[Sequence[Node], Mapping[str, Any]], None]] = []


def finish(node: Node) -> Node:
    """Called on each node that a single-primitive operator recorded: compute it now, or note the user's line."""
    if node.depth == 0:
        if not node.inputs:
            return node
        if tracing.current() is None:
            return _computed(node)
        node.depth = 1
    _count()
    node.line = user_line()
    if node.depth > MAX_DEPTH:
        cut(node)
    return node


def finish_composite(node: Node, name: str | None, inputs: tuple[Node | None, ...],
                     saves: tuple[Node, ...] | None = None, saves_result: bool = False, number: int = 0) -> Node:
    """Called on the result of an operator that may have recorded several primitives."""
    outside = {*inputs}
    if node in outside:
        node = bind(REGISTRY["copy"], (node,))       # a result is always a tensor of its own
    if node.depth == 0:
        if not node.inputs:
            return node
        if tracing.current() is None:
            return _computed(node)
        node.depth = 1
    _count()
    line = user_line()
    stack = [node]
    while stack:
        n = stack.pop()
        if n.line is None and n.inputs and n.run is None:
            n.line = line
            for m in n.inputs:
                if m.inputs and m not in outside:
                    stack.append(m)
    if node.requires_grad and name is not None and (node.op.grad_name != name or saves is not None
                                                    or node.inputs != inputs):
        node.ensure_extra().fn = Composite(name, inputs, saves, saves_result, number)
    if node.depth > MAX_DEPTH:
        cut(node)
    return node


def _computed(node: Node) -> Node:
    """A node that depends on nothing pending, computed."""
    become_input(node, interpreter.compute(node) if len(node.inputs) <= FEW else interpreter.evaluate([node])[0])
    _count()
    return node


def _count() -> None:
    """Have operators recorded by machine code once Python functions have done so often."""
    operations[0] += 1
    if operations[0] in (SOON, OFTEN):
        repeats[0](operations[0] == OFTEN)


# -- declarations ----------------------------------------------------------------------------------------------------

Overwriting = Callable[[Node, tuple], Node]     # from a result, in the dtype of what it is written to, and the operands
Finish = Callable[[Node, tuple, dict[str, Any]], Node]
Names = tuple[str, ...] | Callable[[dict[str, Any]], tuple[str, ...]]
EVERYWHERE = ("torch", "method")


class Operator:
    """A public operator.  schemas: what it takes, one for each form; call: what users call; function: the same in Python.

    fn: the function of nodes, with finish(result, args, kwargs), which settles what it has returned for these arguments; None of
    operators that are made of others.  places: of "torch", "method" and "functional", where methods.py and the modules show it.
    inplace: whether there is a method name_ that writes the result to self; for results without derivative what is made of them
    first: where it is written to what has a history, something has to become of that.  kind: see `register`."""

    __slots__ = ("name", "schemas", "call", "function", "fn", "finish", "places", "inplace", "kind")

    def __init__(self, name: str, schemas: tuple[Schema, ...], call: Callable, function: Callable, fn: Callable | None,
                 finish: Finish | None, places: tuple[str, ...], inplace: bool | Overwriting, kind: int | None) -> None:
        self.name = name
        self.schemas = schemas
        self.call = call
        self.function = function
        self.fn = fn
        self.finish = finish
        self.places = places
        self.inplace = inplace
        self.kind = kind


OPERATORS: dict[str, Operator] = {}


def register(name: str, schemas: tuple[Schema, ...], function: Callable, doc: str | None, places: tuple[str, ...], *, kind: int | None,
             fn: Callable | None = None, finish: Finish | None = None, inplace: bool | Overwriting = False) -> Callable:
    """Add to the table that methods.py and the public modules are made from; what users call.

    kind: given for operators that may be recorded by machine code, one of native.layout.PLAIN, NUMBERS, VIEWS and CHAINS: those
    whose calls record the same for operands of the same types, or say that they do not (template.no_template)."""
    if name in OPERATORS:
        raise InternalError(f"operator {name} is declared twice")
    function.__name__ = function.__qualname__ = called = schemas[0].name
    if len(schemas) > 1:
        doc = f"{doc}\n\n" + "\n".join([f"{called}{schema.text()}" for schema in schemas])
    function.__doc__ = doc
    function.__module__ = "jitgrad"         # where pickle finds it
    call = function if kind is None else entry_point(function, name, kind, shown_text(schemas))
    if call is function:
        function.__signature__ = common(schemas)        # type: ignore[attr-defined]
    OPERATORS[name] = Operator(name, schemas, call, function, fn, finish, places, inplace, kind)
    return call


def declare(called: str, fn: Callable, finish: Callable[..., Node], *, places: tuple[str, ...] = EVERYWHERE,
            inplace: bool | Overwriting = False, kind: int | None = PLAIN, out: str | None = None, doc: str | None = None) -> Callable:
    """Declare a function of nodes, and what settles what it returns; see `register` and Schema."""
    schema = Schema(called, fn, True, out)
    bound, operands, names = schema.bind, schema.operands, fn.__code__.co_varnames

    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs and "out" in kwargs and out is not None:
            return write_out(schema, call, args, kwargs)
        if len(args) == operands and not kwargs and all([isinstance(v, Tensor) for v in args]):     # mostly
            args = tuple([node_of(v) for v in args])
        else:
            args, kwargs = bound(args, kwargs)
        result = fn(*args, **kwargs)
        if type(result) is Node:
            node = finish(result, args, kwargs)
            if saving:
                saving[0]((node,), dict(zip(names, args, strict=False)) | kwargs)
            return wrap(node)
        if isinstance(result, tuple):
            made = [wrap(finish(n, args, kwargs, i)) if type(n) is Node else n for i, n in enumerate(result)]
            if saving:
                saving[0]([t._node for t in made if isinstance(t, Tensor)], dict(zip(names, args, strict=False)) | kwargs)
            return type(result)(*made) if hasattr(result, "_fields") else tuple(made)
        return result

    return register(called, (schema,), call, doc or fn.__doc__, places, kind=kind, fn=fn, finish=finish, inplace=inplace)


def operator(grad: str | Callable[[dict[str, Any]], str] | None = None, *, name: str | None = None,
             places: tuple[str, ...] = EVERYWHERE, inplace: bool | Overwriting = False, saves: Names | None = None,
             edges: Names | None = None, out: str | None = None, kind: int | None = PLAIN) -> Callable[[Callable], Callable]:
    """Declare an operator: a function of nodes (tensors arrive as nodes, everything else as given) that returns a node
    or a tuple of nodes.

    grad: the grad_fn's name, or a function of the arguments by name that returns it.
    saves: the parameters that PyTorch saves, "result" among them; None: what the primitives inside save.
    edges: the parameters that next_functions lists (numbers as None); None: every tensor argument.
    Each may be a function of the arguments instead.  out: as in Schema; kind: as in `register`."""

    def decorate(fn: Callable) -> Callable:
        names = fn.__code__.co_varnames

        def finished(result: Node, args: tuple, kwargs: dict[str, Any], number: int = 0) -> Node:
            if grad is None or not result.requires_grad:
                return finish_composite(result, None, operand_nodes((*args, *kwargs.values())))
            bound = dict(zip(names, args, strict=False)) | kwargs
            if edges is None:
                inputs = operand_nodes((*args, *kwargs.values()))
            else:
                listed = edges if isinstance(edges, tuple) else edges(bound)
                inputs = tuple([v if type(v) is Node else None for v in map(bound.get, listed)])
            fn_name = grad if isinstance(grad, str) else grad(bound)
            if saves is None:
                return finish_composite(result, fn_name, inputs, None, False, number)
            kept = saves if isinstance(saves, tuple) else saves(bound)
            saved = tuple([v for v in map(bound.get, kept) if type(v) is Node])
            return finish_composite(result, fn_name, inputs, saved, "result" in kept, number)

        return declare(name or fn.__name__, fn, finished, places=places, inplace=inplace, kind=kind, out=out)

    return decorate


def function(*, name: str | None = None, places: tuple[str, ...] = ("torch",), out: str | None = None,
             kind: int | None = PLAIN, inplace: bool = False) -> Callable[[Callable], Callable]:
    """Declare an operator that is made of others: a function of tensors."""

    def decorate(fn: Callable) -> Callable:
        schema = Schema(name or fn.__name__, fn, False, out)
        bound = schema.bind

        def call(*args: Any, **kwargs: Any) -> Any:
            if kwargs and "out" in kwargs and out is not None:
                return write_out(schema, call, args, kwargs)
            args, kwargs = bound(args, kwargs)
            return fn(*args, **kwargs)

        return register(name or fn.__name__, (schema,), call, fn.__doc__, places, kind=kind, inplace=inplace)

    return decorate


def overloaded(name: str, forms: tuple[Callable, ...], doc: str, places: tuple[str, ...] = EVERYWHERE,
               inplace: bool = False, kind: int | None = PLAIN) -> Callable:
    """Declare an operator that has several forms, each an operator: that which the arguments fit, the first of several, is called."""
    schemas = tuple([next(op.schemas[0] for op in reversed(OPERATORS.values()) if op.call is form) for form in forms])

    def call(*args: Any, **kwargs: Any) -> Any:
        for schema, form in zip(schemas, forms, strict=True):
            if schema.fits(args, kwargs):
                return form(*args, **kwargs)
        raise no_form(name, tuple([form for schema in schemas for form in schema.forms()]), args, kwargs)

    return register(name, schemas, call, doc, places, kind=kind, inplace=inplace)


def operand_nodes(values: tuple) -> tuple[Node, ...]:
    """The nodes among arguments, in order, those in lists included."""
    found: list[Node] = []
    for v in values:
        if type(v) is Node:
            found.append(v)
        elif type(v) in (list, tuple):
            found.extend([n for n in v if type(n) is Node])
    return tuple(found)


# -- rows: one elementwise primitive ---------------------------------------------------------------------------------

def unary(op: Op, *, name: str | None = None, floating: bool = False, places: tuple[str, ...] = EVERYWHERE,
          inplace: bool = True, out: str | None = CAST, refuse_bool: str | None = None,
          refusal: type[RuntimeError] = RuntimeError) -> Callable:
    """Declare an operator that is one elementwise primitive of one tensor.  floating: integers are promoted first;
    refuse_bool: the text of the error for bools, where there is one, and `refusal` its type."""
    called = name or op.name

    def fn(input: Node) -> Node:
        if floating and input.type.dtype.category != 2:
            input = promoted(called, input, floating=True)[0]
        elif refuse_bool is not None and input.type.dtype is bool_:
            raise refusal(refuse_bool)
        return bind(op, (input,))

    return declare(called, fn, lambda result, args, kwargs: finish(result), places=places, inplace=inplace, out=out,
                   doc=f"{op.doc}, element by element.")


def binary_nodes(op: Op, called: str, a: Any, b: Any, floating: bool, alone: bool = True) -> Node:
    """One application of a binary elementwise primitive to nodes and numbers, promoted; alone: see `promoted`."""
    if type(a) is Node:
        to = a.type.dtype
        if type(b) is Node:
            if to is b.type.dtype and (to.category == 2 or not floating):
                return bind(op, (a, b))
        elif to.category == 2:
            if type(b) is float or type(b) is int:
                return bind(op, (a, scalar_node(float(b), to)))
        elif to.category == 1 and type(b) is int and not floating:
            return bind(op, (a, scalar_node(wrapped(b, to), to)))
    elif type(b) is Node and type(a) is float and b.type.dtype.category == 2:
        return bind(op, (scalar_node(a, b.type.dtype), b))
    return bind(op, tuple(promoted(called, a, b, floating=floating, alone=alone)))


def binary(op: Op, *, name: str | None = None, floating: bool = False, places: tuple[str, ...] = EVERYWHERE,
           inplace: bool | Overwriting = True, out: str | None = CAST, numbers: str = "as tensors") -> Callable:
    """Declare an operator that is one elementwise primitive of two tensors.

    numbers: what may be a number: both ("as tensors"), one of them ("one"), only `other` ("other"), or none ("none")."""
    called = name or op.name

    def as_tensors(input: Operand, other: Operand) -> Node:
        return binary_nodes(op, called, input, other, floating)

    def one(input: Operand, other: Operand) -> Node:
        return binary_nodes(op, called, input, other, floating, False)

    def second(input: Node, other: Node | Scalar) -> Node:
        return binary_nodes(op, called, input, other, floating)

    def none(input: Node, other: Node) -> Node:
        return binary_nodes(op, called, input, other, floating)

    fn = {"as tensors": as_tensors, "one": one, "other": second, "none": none}[numbers]
    return declare(called, fn, finish_binary, places=places, inplace=inplace, kind=NUMBERS, out=out,
                   doc=f"{op.doc}, element by element, with broadcasting and type promotion.")


def finish_binary(node: Node, operands: tuple, kwargs: Any = None) -> Node:
    """Settle a binary primitive; the operands that were promoted first are its edges, not their casts."""
    if node.requires_grad:
        a, b = operands
        if (node.inputs[0] is not a and type(a) is Node) or (node.inputs[1] is not b and type(b) is Node):
            edges = tuple([v if type(v) is Node else None for v in (a, b)])
            return finish_composite(node, node.op.grad_name, edges)
    return finish(node)
