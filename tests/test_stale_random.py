"""Random states of nested objects of many kinds, random functions that read (and write) them, random changes between calls."""
from __future__ import annotations

import types
from functools import partial

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jitgrad

SETUP = """
import jitgrad as torch
import numpy as np
from collections import OrderedDict, defaultdict, deque, namedtuple
from functools import partial
from types import MappingProxyType, ModuleType, SimpleNamespace
from jitgrad import nn

class P:
    def get(self): return self.k
    @property
    def value(self): return self.k
    def __call__(self): return self.k
    def __enter__(self): return self.k
    def __exit__(self, *error): pass
    def __len__(self): return 1
    def __getitem__(self, i): return self.k
class Computed:
    def __getattr__(self, name): return self.__dict__[name[:-1]]
class Slots: __slots__ = ("k", "__private")
class Iterated: __slots__ = iter(["k"])
class Hidden:
    __slots__ = ("__k",)
    def __init__(self, k): self.__k = k
    def put(self, k): self.__k = k
    def get(self): return self.__k
class Missing(dict):
    def __missing__(self, key): return self.k
class List(list): pass
class Dict(dict): pass
class Tuple(tuple): pass
class Str(str): pass
class Int(int): pass
class Float(float): pass
class Set(set): pass
class Error(Exception): pass
class Array(np.ndarray): pass
class Named(namedtuple("Named", "a")): pass
class Layer(nn.Module):
    def forward(self, x): return x * 1.0

def made(value, k):
    value.k = k
    return value
def closure(k):
    def function(): return k
    return function
def default(k):
    def function(k=k): return k
    return function
def keyword(k):
    def function(*, k=k): return k
    return function
def same(v): return v
def matched(p):
    match p:
        case object(k=v): return v
def entered(p):
    with p as v: return v
def imported():
    from types import SimpleNamespace as made
    return made
"""

# How one object holds another: made of what it holds, read, and changed.
HOLDERS: dict[str, tuple[str, str, str | None]] = {
    "list": ("[{v}]", "{o}[0]", "{o}[0] = {v}"),
    "longer list": ("[1.0, {v}]", "{o}[-1]", "{o}.append({v})"),
    "tuple": ("({v},)", "{o}[0]", None),
    "dict": ("dict(a={v})", "{o}['a']", "{o}['a'] = {v}"),
    "dict by number": ("{{1: {v}}}", "next(iter({o}.values()))", "{o}[1] = {v}"),
    "ordered": ("OrderedDict(b=0.0, a={v})", "{o}['a']", "{o}['a'] = {v}"),
    "deque": ("deque([{v}])", "{o}[0]", "{o}.appendleft({v})"),
    "factory": ("defaultdict(closure({v}))", "{o}.default_factory()", "{o}.default_factory = closure({v})"),
    "proxy": ("MappingProxyType(dict(a={v}))", "{o}['a']", None),
    "missing": ("made(Missing(), {v})", "{o}['z']", "{o}.k = {v}"),
    "missing there": ("made(Missing(), {v})", "{o}.get('z', {o}.k)", "{o}['z'] = {v}"),
    "closure": ("closure({v})", "{o}()", "{o}.__closure__[0].cell_contents = {v}"),
    "default": ("default({v})", "{o}()", "{o}.__defaults__ = ({v},)"),
    "keyword": ("keyword({v})", "{o}()", "{o}.__kwdefaults__['k'] = {v}"),
    "partial": ("partial(same, {v})", "{o}()", None),
    "partial keyword": ("partial(same, v={v})", "{o}()", "{o}.keywords['v'] = {v}"),
    "partial read": ("partial(same, {v})", "{o}.args[0]", "{o}.__setstate__((same, ({v},), {{}}, None))"),
    "method": ("made(P(), {v}).get", "{o}()", "{o}.__self__.k = {v}"),
    "property": ("made(P(), {v})", "{o}.value", "{o}.k = {v}"),
    "call": ("made(P(), {v})", "{o}()", "{o}.k = {v}"),
    "item": ("made(P(), {v})", "{o}[5]", "{o}.k = {v}"),
    "computed": ("made(Computed(), {v})", "{o}.k_", "{o}.k = {v}"),
    "getattr": ("made(P(), {v})", "getattr({o}, 'k')", "{o}.k = {v}"),
    "vars": ("made(P(), {v})", "vars({o})['k']", "{o}.k = {v}"),
    "match": ("made(P(), {v})", "matched({o})", "{o}.k = {v}"),
    "with": ("made(P(), {v})", "entered({o})", "{o}.k = {v}"),
    "hidden": ("Hidden({v})", "{o}.get()", "{o}.put({v})"),
    "class": ("type('C', (), dict(k={v}))", "{o}.k", "{o}.k = {v}"),
    "class of": ("type('C', (P,), dict(k={v}))()", "{o}.k", "type({o}).k = {v}"),
    "base of": ("type('C', (type('B', (P,), dict(k={v})),), {{}})()", "{o}.k", "type({o}).__base__.k = {v}"),
    "shadow": ("type('C', (P,), dict(k={v}))()", "{o}.k", "{o}.k = {v}"),
    "bases": ("type('C', (type('B', (P,), dict(k={v})),), {{}})()", "{o}.k",
              "type({o}).__bases__ = (type('B', (P,), dict(k={v})),)"),
    "arguments": ("Error({v})", "{o}.args[0]", "{o}.args = ({v},)"),
    "import": ("made(SimpleNamespace(), {v})", "imported()(v={o}.k).v", "{o}.k = {v}"),
    **{f"attribute of {value}": (f"made({value}, {{v}})", "{o}.k", "{o}.k = {v}") for value in (
        "P()", "Slots()", "Iterated()", "List()", "Dict()", "Tuple()", "Str()", "Int(3)", "Float(2)", "Set()", "Error()", "Named(1)",
        "SimpleNamespace()", "ModuleType('m')", "Layer()", "partial(same, 1)", "closure(1)", "torch.tensor(2.0)",
        "nn.Parameter(torch.tensor(2.0))", "ValueError(1)", "np.ones(1).view(Array)")},
}
LEAVES: dict[str, tuple[str, str, str | None]] = {
    "number": ("{v}", "{o}", None),
    "integer": ("int({v})", "{o}", None),
    "text": ("'a' * int({v})", "len({o})", None),
    "array": ("np.array([{v}])", "float({o}[0])", "{o}[0] = {v}"),
    "masked": ("np.ma.array([{v}])", "float({o}[0])", "{o}[0] = {v}"),
    "tensor": ("torch.tensor({v})", "{o}", "{o}.fill_({v})"),
    "parameter": ("nn.Parameter(torch.tensor({v}))", "{o}", "{o}.data = torch.tensor({v})"),
    "element": ("torch.tensor([0.0, {v}])", "{o}[1]", "{o}[1] = {v}"),
    "bytes": ("bytearray([int({v})])", "{o}[0]", "{o}[0] = int({v})"),
    "set": ("{{int({v})}}", "sum({o})", "{o}.add(int({v}))"),
}
numbers = st.integers(1, 200).map(float)


@st.composite
def chains(draw):
    """Kinds from the outside in."""
    return [*draw(st.lists(st.sampled_from(sorted(HOLDERS)), max_size=3)), draw(st.sampled_from(sorted(LEAVES)))]


def template(kind: str) -> tuple[str, str, str | None]:
    return HOLDERS[kind] if kind in HOLDERS else LEAVES[kind]


def built(chain: list[str], number: float) -> str:
    """The expression for an object of these kinds."""
    text = repr(number)
    for kind in reversed(chain):
        text = template(kind)[0].format(v=text)
    return text


def read(chain: list[str], name: str, depth: int | None = None) -> str:
    """The expression that reads through that many of the objects."""
    for kind in chain[:depth]:
        name = template(kind)[1].format(o=name)
    return name


def write(chain: list[str], name: str, depth: int, number: float) -> str:
    """The statement that changes the object at that depth, or puts another one for the outermost."""
    form = template(chain[depth])[2]
    if form is None:
        return f"{name} = {built(chain, number)}"
    return form.format(o=read(chain, name, depth), v=built(chain[depth + 1:], number))


@st.composite
def programs(draw):
    """The state by name, what of it are arguments, what the function writes, and what happens: calls (None) and changes."""
    state = {f"w{i}": draw(chains()) for i in range(draw(st.integers(1, 3)))}
    start = {name: draw(numbers) for name in state}
    effect = None
    given = sorted(draw(st.sets(st.sampled_from(sorted(state)))))
    if not given and draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from(sorted(state)))
        effect = write(state[name], name, draw(st.integers(0, len(state[name]) - 1)), draw(numbers))
    events: list[str | None] = [None, None]
    for _ in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from(sorted(state)))
        events.append(write(state[name], name, draw(st.integers(0, len(state[name]) - 1)), draw(numbers)))
        events += [None] * draw(st.integers(0, 3))
    return state, start, given, effect, [*events, None]


def run(program, capture: bool) -> list:
    """What the calls give, and the state afterwards."""
    state, start, given, effect, events = program
    module = types.ModuleType("stale_random")
    reads = " + ".join([f"{k + 1} * {read(chain, name)}" for k, (name, chain) in enumerate(state.items())])
    text = SETUP + "\n".join([f"{name} = {built(chain, start[name])}" for name, chain in state.items()])
    text += f"\ndef f({', '.join(['x', *given])}):\n    {effect and 'global ' + ', '.join(state)}\n    y = x * ({reads})\n"
    text += f"    {effect or 'pass'}\n    return y\n"
    exec(compile(text, "<random>", "exec"), vars(module))
    f = jitgrad.compile(module.f) if capture else module.f
    x = jitgrad.tensor([1.0, 2.0], dtype=jitgrad.float64)
    found: list = []
    for event in events:
        if event is None:
            found.append(plain(lambda: f(x, *[vars(module)[name] for name in given])))
            found += [plain(partial(eval, read(chain, name), vars(module))) for name, chain in state.items()]
        else:
            exec(event, vars(module))
    return found


def plain(call) -> str:
    """A result as text, or the type of what is raised."""
    try:
        value = call()
    except Exception as error:
        return type(error).__name__
    return str(np.asarray(value.detach().numpy() if isinstance(value, jitgrad.Tensor) else value).tolist())


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(programs())
def test_replays_see_all_changes(program):
    assert run(program, True) == run(program, False)
