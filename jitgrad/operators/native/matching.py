"""The machine code that compares a recorded graph with the pattern of an earlier one, node by node.

Input: the roots of a recorded graph; a pattern (requests/matcher.py) as words.  Output: the nodes in the pattern's order.
Invariant: a match means what Pattern says.  Nothing is changed, and nothing runs that Python could observe.

In Python, for the root of x * x, where `below` are the operands of what was found, those of nothing being the roots:

    def match(root):
        below[0] = (root,)
        n = below[0][0]
        if n.spec is not spec or ...: return None           # see `visit`
        order[1] = n
        below[2] = n.inputs
        n = below[2][0]
        if n.spec is not spec or ...: return None
        order[0] = n
        below[1] = n.inputs
        if below[2][1] is not order[0]: return None
        return [*order, True]                               # False: operations, but not all run-time sizes, are the pattern's

The words of a pattern: the number of roots, of nodes and of visits, and whether gradients are asked for; of each visit the place
below which the node is found plus 1 (0: a root), which operand, its own place, spec, requires_grad, what it is, how many operands
it has, whether Python is called there, whether it was overwritten, the layout of its array; of a strided one how many strides it
has and which; of a Function's output its number, the place of the first output of the same application, and which of the operands
need a gradient. Then, each behind how many there are: further uses, where they are found and the place; the places where Python
is called; those of the first outputs of all applications; and, where something was overwritten, of all nodes who owns them (see
`owner`).
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.operators.native.assembly import WORD, ObjectAssembly, StackWord
from jitgrad.operators.native.layout import (
    ALONE,
    ANY,
    ARRAY,
    CONTIGUOUS,
    IN_PLACE,
    KNOWN,
    MATCH,
    NOBODY,
    OPERATION,
    OUTPUT,
    OVER,
    PATTERN_COMMON,
    PATTERN_WORDS,
    STRIDED,
)


class Matching(ObjectAssembly):
    """What follows a pattern.

    refuse: where the function goes on where a graph is another.  order: the address of the nodes, by place; below: after them, of
    the operands of what is at each place."""

    order: StackWord
    below: StackWord
    refuse: Any

    def begin(self) -> None:
        """Have the variables, and know the pattern."""
        self.refuse = self.block("refuse")
        self.order, self.below, self.exact = self.variable(0), self.variable(0), self.variable(1)
        self.header = self.get(self.get(self.arguments[0], "PatternWords.header"), "data")
        self.shared = self.load(self.header, PATTERN_COMMON * WORD)
        self.head = self.variable(self.load(self.header, PATTERN_WORDS * WORD))
        self.roots, self.size, self.visits = self.word(), self.word(), self.word()
        self.for_gradients = self.differ(self.word(), 0)

    def word(self) -> Any:
        """The next word of the pattern."""
        value = self.load(self.head.get())
        self.head.set(self.add(self.head.get(), WORD))
        return value

    def node(self, place: Any) -> Any:
        return self.load(self.at(self.order.get(), place))

    def operand(self) -> Any:
        """What the next two words find: an operand, or a root."""
        above, k = self.word(), self.word()
        return self.load(self.at(self.load(self.at(self.below.get(), above)), k))

    def operands(self, tuple_: Any) -> Any:
        return self.add(tuple_, self.offset["items"])

    def match(self, further: Any = 0) -> None:
        """Put the nodes in order, or refuse.  (All memory is there before the graph is looked at.)

        further: words that are wanted behind the order and the operands."""
        self.go_if(self.differ(self.arguments[2], self.roots), self.refuse)
        self.order.set(self.memory(self.add(self.add(self.add(self.size, self.size), 1), further)))
        self.below.set(self.at(self.order.get(), self.size))
        self.store(self.arguments[1], self.below.get())
        with self.loop(self.visits):
            self.visit()
        with self.loop(self.word()):
            node = self.operand()
            self.go_if(self.differ(node, self.node(self.word())), self.refuse)
        self.differ_all(lambda place: self.node(place))
        self.differ_all(lambda place: self.context(self.node(place)))
        with self.loop(self.word()) as place:
            self.owner(self.node(place))

    def end(self, outcome: StackWord) -> None:
        """Where all ways come together: it has its outcome, it refuses, which is None, or has failed."""
        end = self.block("end")
        self.go(end)
        self.here(self.refuse)
        outcome.set(self.held(self.common("none")))
        self.go(end)
        self.here(self.failed)
        self.go(end)
        self.here(end)

    def visit(self) -> None:
        """Look at one node."""
        none, true = self.common("none"), self.common("true")
        node, place, spec, requires_grad = self.operand(), self.word(), self.word(), self.word()
        what, arity, stop, stale, layout = self.word(), self.word(), self.word(), self.word(), self.word()
        self.go_if(self.same(node, none), self.refuse)      # of what a Function was applied to: no tensor
        self.store(node, self.at(self.order.get(), place))
        inputs = self.get(node, "Node.inputs")
        self.go_if(self.differ(self.get(node, "Node.requires_grad"), requires_grad), self.refuse)
        is_output = self.same(what, OUTPUT)
        with self.when(self.both(self.differ(arity, 0), self.builder.not_(is_output))):
            self.go_if(self.differ(self.get(inputs, "length"), arity), self.refuse)
        self.compare_specs(self.get(node, "Node.spec"), spec)
        extra, array = self.get(node, "Node.extra"), self.get(node, "Node.value")
        with self.when(self.same(extra, none)):
            self.go_if(self.either(self.differ(self.builder.or_(stop, stale), 0), is_output), self.refuse)
        with self.when(self.differ(extra, none)):
            self.go_if(self.differ(self.is_stale(extra), stale), self.refuse)
            watch = self.get(extra, "Extra.watch")
            with self.when(self.builder.not_(is_output)):
                active = self.variable(0)
                with self.when(self.differ(watch, none)):
                    active.set(self.is_active(watch))
                self.go_if(self.differ(active.get(), stop), self.refuse)
            with self.when(self.builder.and_(self.same(what, ARRAY), self.for_gradients)):
                self.go_if(self.differ(self.get(extra, "Extra.fn"), none), self.refuse)
        with self.when(self.either(self.same(what, OPERATION), self.same(what, KNOWN))):
            run = self.get(node, "Node.run")
            with self.when(self.differ(run, none)):
                self.go_if(self.same(self.get(run, "Run.freed"), true), self.refuse)
        with self.when(self.differ(layout, ANY)):
            self.go_if(self.differ(self.get(array, "type"), self.common("ndarray")), self.refuse)
            with self.when(self.same(layout, CONTIGUOUS)):
                self.go_if(self.same(self.builder.and_(self.get(array, "flags"), self.number(1)), 0), self.refuse)
            with self.when(self.same(layout, STRIDED)):
                with self.loop(self.word()) as i:
                    self.go_if(self.differ(self.load(self.at(self.get(array, "strides"), i)), self.word()), self.refuse)
        self.store(self.operands(inputs), self.at(self.below.get(), self.add(place, 1)))
        with self.when(is_output):
            self.store(self.operands(self.application(self.get(extra, "Extra.fn"), arity)),
                       self.at(self.below.get(), self.add(place, 1)))

    def compare_specs(self, have: Any, spec: Any) -> None:
        """Refuse another operation; note other run-time sizes."""
        with self.when(self.differ(have, spec)):
            signatures = [self.api("PyLong_AsSsize_t", self.get(s, "Spec.sig")) for s in (have, spec)]
            self.go_if(self.differ(*signatures), self.refuse)
            self.go_if(self.differ(self.get(have, "Spec.type"), self.get(spec, "Spec.type")), self.refuse)
            self.exact.set(0)

    def is_stale(self, extra: Any) -> Any:
        """1 if the storage of a node has been written to since; else 0."""
        result, cell = self.variable(0), self.get(extra, "Extra.cell")
        with self.when(self.differ(cell, self.common("none"))):
            now = self.api("PyLong_AsSsize_t", self.get(cell, "Version.value"))
            differ = self.differ(now, self.api("PyLong_AsSsize_t", self.get(extra, "Extra.version")))
            result.set(self.select(differ, self.number(1), 0))
        return result.get()

    def is_active(self, watch: Any) -> Any:
        """1 if backward has anything to call there; else 0."""
        result, tensor, none = self.variable(0), self.get(watch, "Watch.tensor"), self.common("none")
        hooks = self.api("PyDict_Size", self.get(watch, "Watch.hooks"))
        result.set(self.select(self.differ(hooks, 0), self.number(1), 0))
        with self.when(self.differ(tensor, none)):
            found = self.api("PyObject_CallNoArgs", tensor)
            self.api("Py_DecRef", found)
            with self.when(self.differ(found, none)):
                result.set(1)
        return result.get()

    # -- Functions ---------------------------------------------------------------------------------------------------

    def context(self, node: Any) -> Any:
        """The context of the application whose output a node is."""
        return self.get(self.get(self.get(node, "Node.extra"), "Extra.fn"), "PyFunction.ctx")

    def application(self, fn: Any, arity: Any) -> Any:
        """What a Function was applied to, as a tuple, if the node of this output is the pattern's."""
        number, first = self.word(), self.word()
        self.go_if(self.differ(self.get(fn, "type"), self.common("PyFunction")), self.refuse)
        self.go_if(self.differ(self.api("PyLong_AsSsize_t", self.get(fn, "PyFunction.number")), number), self.refuse)
        context = self.get(fn, "PyFunction.ctx")
        self.go_if(self.differ(context, self.context(self.node(first))), self.refuse)
        # The context holds them both.
        edges, freed = [self.api("PyObject_GetAttr", context, self.common(name)) for name in ("_edges", "_freed")]
        for reference in (edges, freed):
            self.api("Py_DecRef", reference)
        self.go_if(self.same(freed, self.common("true")), self.refuse)
        self.go_if(self.differ(self.get(edges, "type"), self.common("tuple")), self.refuse)     # anybody can set it
        self.go_if(self.differ(self.get(edges, "length"), arity), self.refuse)
        with self.loop(arity) as i:
            edge, needs = self.load(self.at(self.operands(edges), i)), self.variable(self.common("false"))
            with self.when(self.differ(edge, self.common("none"))):
                needs.set(self.get(edge, "Node.requires_grad"))
            self.go_if(self.differ(needs.get(), self.word()), self.refuse)
        return edges

    def differ_all(self, what: Any) -> None:
        """Refuse unless what is at the next places differs."""
        count = self.word()
        places = self.head.get()
        with self.loop(count) as i:
            mine = what(self.word())
            with self.loop(i) as j:
                self.go_if(self.same(mine, what(self.load(self.at(places, j)))), self.refuse)

    def owner(self, node: Any) -> None:
        """Refuse another owner of a node.  Words: the name of who owns it, NOBODY where there is none, ALONE where the node has no
        extra; the number; how it was written in place."""
        none, extra = self.common("none"), self.get(node, "Node.extra")
        name, number, written = self.word(), self.word(), self.word()
        has = self.variable(NOBODY)
        with self.when(self.same(extra, none)):
            self.go_if(self.differ(name, ALONE), self.refuse)
        with self.when(self.differ(extra, none)):
            fn = self.get(extra, "Extra.fn")
            with self.when(self.differ(fn, none)):
                self.go_if(self.differ(self.get(fn, "type"), self.common("Composite")), self.refuse)
                has.set(self.get(fn, "Composite.name"))
                self.go_if(self.differ(self.api("PyLong_AsSsize_t", self.get(fn, "Composite.number")), number), self.refuse)
            self.go_if(self.differ(has.get(), name), self.refuse)
            how, in_place = self.variable(OVER), self.get(extra, "Extra.in_place")
            with self.when(self.same(in_place, self.common("false"))):
                how.set(0)
            with self.when(self.same(in_place, self.common("true"))):
                how.set(IN_PLACE)
            self.go_if(self.differ(how.get(), written), self.refuse)


class Match(Matching):
    """The function `match(self, roots, how many)` of Python's fast convention: a list of the nodes in order and of whether all
    run-time sizes are the pattern's, too; None where the graph is another."""

    def __init__(self, module: ir.Module, offsets: dict[str, int]) -> None:
        super().__init__(module, MATCH, 3, offsets)
        self.begin()
        outcome, made = self.variable(0), self.variable(0)
        made.set(self.api("PyList_New", self.add(self.size, 1)))
        self.match()
        items = self.get(made.get(), "list items")
        with self.loop(self.size) as i:
            self.store(self.held(self.node(i)), self.at(items, i))
        exact = self.select(self.differ(self.exact.get(), 0), self.common("true"), self.common("false"))
        self.store(self.held(exact), self.at(items, self.size))
        outcome.set(made.get())
        made.set(0)
        self.end(outcome)
        self.api("Py_DecRef", made.get())
        self.api("PyMem_Free", self.order.get())
        self.back(outcome.get())
        self.finish()
