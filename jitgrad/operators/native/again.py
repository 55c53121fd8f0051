"""The machine code that goes through a graph like one seen before: recognise it, run its program, deliver the gradients.

Input: the root of a recorded graph, a scalar; a pattern (walk.Walk) as words.  Output: True; None, and nothing has happened, where
the graph is not the pattern's or needs autograd's attention.
Invariant: a match means what walk.Walk says.  Nothing that Python could observe happens before the program has run.

In Python, for x * x:

    def again(root):
        if root.run is not None or not root.requires_grad or root.extra needs attention or the mode is not the usual one: return None
        order[1] = root
        order[0] = root.inputs[0]
        if order[0].spec is not spec or order[0].requires_grad is not True or order[0].extra needs attention: return None
        if root.inputs[1] is not order[0]: return None
        array, *gradients = program([order[0].value])
        root.value = root.value or array
        for number of interior nodes: order[number].run, order[number].position = run, number
        for number of leaves: add a gradient to the tensor of order[number].extra.leaf
        return True

The words of a pattern: the number of visits and that of the root; of each visit the number of the node that has it as input
(its user), which input, its own number, spec, requires_grad, its kind, and of a strided array how many strides it has and which;
the number of further uses, and of each the user, which input and the number; of leaves, of values, of interior nodes how many
there are, and which.
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.operators.native.assembly import WORD, ObjectAssembly
from jitgrad.operators.native.words import (
    AGAIN,
    ARRAY,
    DELIVER,
    INTERIOR,
    LEAF,
    PATTERN_COMMON,
    PATTERN_ENTRY,
    PATTERN_ERA,
    PATTERN_PROGRAM,
    PATTERN_SOURCE,
    PATTERN_WORDS,
    STRIDED,
    USUAL,
)


class Delivery(ObjectAssembly):
    """What gives gradients to the tensors of leaves.  failed: the block for exceptions."""

    failed: Any

    def deliver(self, node: Any, array: Any) -> None:
        """Add a gradient to the tensor of a leaf, if that still is there and wants one."""
        none = self.common("none")
        leaf = self.get(self.get(node, "Node.extra"), "Extra.leaf")
        tensor = self.api("PyObject_CallNoArgs", self.get(leaf, "Accumulator.tensor"))
        done, release, broken, spoilt = [self.block(name) for name in ("done", "release", "broken", "spoilt")]
        self.go_if(self.same(tensor, 0), self.failed)
        self.go_if(self.same(tensor, none), release)
        self.go_if(self.same(array, none), release)
        still = self.api("PyObject_GetAttr", tensor, self.common("_leaf"))
        self.go_if(self.same(still, 0), broken)
        self.api("Py_DecRef", still)
        self.go_if(self.same(still, none), release)
        g = self.blank_node()
        self.put(self.held(self.get(node, "Node.spec")), g, "Node.spec")
        self.put(self.api("PyTuple_New", 0), g, "Node.inputs")
        self.put(self.held(self.common("false")), g, "Node.requires_grad")
        self.put(self.api("PyLong_FromSsize_t", 0), g, "Node.depth")
        self.put(self.held(array), g, "Node.value")
        self.put(self.held(none), g, "Node.line")
        have = self.api("PyObject_GetAttr", tensor, self.common("_grad"))
        self.go_if(self.same(have, 0), spoilt)
        self.api("Py_DecRef", have)
        first, further = self.block("first"), self.block("further")
        self.builder.cbranch(self.same(have, none), first, further)
        self.here(first)
        made = self.api("PyType_GenericAlloc", self.common("Tensor"), 0)
        self.put(self.held(g), made, "Tensor._node")
        self.put(self.held(none), made, "Tensor._storage")
        self.api("PyObject_SetAttr", tensor, self.common("_grad"), made)
        self.api("Py_DecRef", made)
        self.go(done)
        self.here(further)
        added = self.array(3)
        for i, value in enumerate((tensor, g, self.common("false"))):
            self.store(value, added, i * WORD)
        result = self.api("PyObject_Vectorcall", self.common("accumulate"), added, 3, 0)
        self.go_if(self.same(result, 0), spoilt)
        self.api("Py_DecRef", result)
        self.go(done)
        self.here(spoilt)           # with an exception: let go of what is held
        self.api("Py_DecRef", g)
        self.go(broken)
        self.here(broken)
        self.api("Py_DecRef", tensor)
        self.go(self.failed)
        self.here(done)
        self.api("Py_DecRef", g)
        self.go(release)
        self.here(release)
        self.api("Py_DecRef", tensor)

    def refuse_hooks(self, node: Any, refuse: Any) -> None:
        """Go to `refuse` if there is no tensor to deliver to, or one with hooks."""
        extra = self.get(node, "Node.extra")
        self.go_if(self.same(extra, self.common("none")), refuse)
        leaf = self.get(extra, "Extra.leaf")
        self.go_if(self.same(leaf, self.common("none")), refuse)
        for name in ("hooks", "post_hooks"):
            self.go_if(self.differ(self.api("PyDict_Size", self.get(leaf, f"Accumulator.{name}")), 0), refuse)


class Deliver(Delivery):
    """The function `deliver(self, args, nargs)`: of a tuple of leaves and a list of arrays, of which the first is no gradient.

    `self` is a Pattern of which only the shared words are read."""

    def __init__(self, module: ir.Module, offsets: dict[str, int]) -> None:
        super().__init__(module, DELIVER, 3, offsets)
        self.failed = self.block("failed")
        self.shared = self.load(self.get(self.get(self.arguments[0], "Pattern.header"), "data"), PATTERN_COMMON * WORD)
        leaves, arrays = self.load(self.arguments[1]), self.load(self.arguments[1], WORD)
        with self.loop(self.get(leaves, "length")) as i:
            node = self.load(self.at(self.add(leaves, self.offset["items"]), i))
            self.deliver(node, self.api("PyList_GetItem", arrays, self.add(i, 1)))
        self.back(self.held(self.common("none")))
        self.here(self.failed)
        self.back(0)
        self.finish()


class Usual(ObjectAssembly):
    """The function `usual(self, args, nargs)`, of the default dtype: True if that is as given, and this thread records and
    compiles; None otherwise."""

    def __init__(self, module: ir.Module, offsets: dict[str, int]) -> None:
        super().__init__(module, USUAL, 3, offsets)
        self.shared = self.load(self.get(self.get(self.arguments[0], "Pattern.header"), "data"), PATTERN_COMMON * WORD)
        otherwise, failed = self.block("otherwise"), self.block("failed")
        self.go_if(self.differ(self.load(self.common("default")), self.load(self.arguments[1])), otherwise)
        self.in_mode("recording_thread", "grad_mode", "enabled", "true", otherwise, failed)
        self.in_usual_mode(otherwise, failed)
        self.back(self.held(self.common("true")))
        self.here(otherwise)
        self.back(self.held(self.common("none")))
        self.here(failed)
        self.back(0)
        self.finish()


class Again(Delivery):
    """The function `again(self, args, nargs)` of Python's fast convention."""

    def __init__(self, module: ir.Module, offsets: dict[str, int]) -> None:
        super().__init__(module, AGAIN, 3, offsets)
        # failed: with the nodes held; at_once: before that
        self.refuse, self.failed, self.at_once = [self.block(name) for name in ("refuse", "failed", "at_once")]
        # On the heap: Windows has a function called for frames of more than a page, to which object code could not refer.
        self.order = self.variable(0)
        self.results = self.variable(0)             # the list of arrays, a reference held
        header = self.get(self.get(self.arguments[0], "Pattern.header"), "data")
        self.header = header
        self.shared = self.load(header, PATTERN_COMMON * WORD)
        self.root = self.load(self.arguments[1])
        self.head = self.variable(self.load(header, PATTERN_WORDS * WORD))
        self.is_usual()
        self.match()
        self.check_leaves()
        self.hold("Py_IncRef")
        self.run()
        self.let_go()
        self.back(self.held(self.common("true")))
        self.here(self.refuse)
        self.api("PyMem_Free", self.order.get())
        self.back(self.held(self.common("none")))
        self.here(self.failed)
        self.let_go()
        self.go(self.at_once)
        self.here(self.at_once)
        self.back(0)
        self.finish()

    def hold(self, how: str) -> None:
        """Take, or let go of, a reference to each node: while the program runs other threads may change the graph."""
        with self.loop(self.size) as i:
            self.api(how, self.node(i))

    def let_go(self) -> None:
        """Of all that is held."""
        self.api("Py_DecRef", self.results.get())
        self.hold("Py_DecRef")
        self.api("PyMem_Free", self.order.get())

    def word(self) -> Any:
        """The next word of the pattern."""
        value = self.load(self.head.get())
        self.head.set(self.add(self.head.get(), WORD))
        return value

    def node(self, number: Any) -> Any:
        return self.load(self.at(self.order.get(), number))

    # -- recognise ---------------------------------------------------------------------------------------------------

    def is_usual(self) -> None:
        """Refuse where anything is not as it mostly is."""
        none = self.common("none")
        self.go_if(self.differ(self.arguments[2], 1), self.refuse)
        self.in_usual_mode(self.refuse, self.at_once)
        self.go_if(self.differ(self.load(self.common("era")), self.load(self.header, PATTERN_ERA * WORD)), self.refuse)
        entry = self.load(self.header, PATTERN_ENTRY * WORD)
        for name in ("wanted", "extra"):
            found = self.api("PyObject_GetAttr", entry, self.common(name))
            self.go_if(self.same(found, 0), self.at_once)
            self.api("Py_DecRef", found)
            self.go_if(self.differ(self.get(found, "length"), 0), self.refuse)
        # Without grad mode an operator records a node of the same spec, through which no gradient flows.
        self.go_if(self.differ(self.get(self.root, "Node.requires_grad"), self.common("true")), self.refuse)
        self.go_if(self.differ(self.get(self.root, "Node.run"), none), self.refuse)
        extra = self.get(self.root, "Node.extra")
        with self.when(self.differ(extra, none)):
            self.go_if(self.differ(self.get(extra, "Extra.held"), none), self.refuse)
            self.needs_nothing(extra)

    def needs_nothing(self, extra: Any) -> None:
        """Refuse a node with hooks, or whose storage has been written to."""
        none = self.common("none")
        self.go_if(self.differ(self.get(extra, "Extra.watch"), none), self.refuse)
        cell = self.get(extra, "Extra.cell")
        with self.when(self.differ(cell, none)):
            now = self.api("PyLong_AsSsize_t", self.get(cell, "Version.value"))
            self.go_if(self.differ(now, self.api("PyLong_AsSsize_t", self.get(extra, "Extra.version"))), self.refuse)

    def match(self) -> None:
        """Put the nodes in order, or refuse."""
        none = self.common("none")
        visits = self.word()
        self.size = self.add(visits, 1)
        self.order.set(self.api("PyMem_Malloc", self.builder.shl(self.size, self.number(3))))
        self.go_if(self.same(self.order.get(), 0), self.refuse)
        self.store(self.root, self.at(self.order.get(), self.word()))
        with self.loop(visits):
            user, k, number = self.node(self.word()), self.word(), self.word()
            node = self.load(self.at(self.add(self.get(user, "Node.inputs"), self.offset["items"]), k))
            self.store(node, self.at(self.order.get(), number))
            self.go_if(self.differ(self.get(node, "Node.spec"), self.word()), self.refuse)
            self.go_if(self.differ(self.get(node, "Node.requires_grad"), self.word()), self.refuse)
            kind = self.word()
            extra = self.get(node, "Node.extra")
            with self.when(self.differ(extra, none)):
                self.needs_nothing(extra)
                with self.when(self.differ(kind, INTERIOR)):
                    self.go_if(self.differ(self.get(extra, "Extra.fn"), none), self.refuse)
            with self.when(self.same(kind, INTERIOR)):
                self.go_if(self.differ(self.get(node, "Node.run"), none), self.refuse)
            array = self.get(node, "Node.value")
            with self.when(self.same(kind, STRIDED)):
                self.go_if(self.differ(self.get(array, "type"), self.common("ndarray")), self.refuse)
                with self.loop(self.word()) as i:
                    self.go_if(self.differ(self.load(self.at(self.get(array, "strides"), i)), self.word()), self.refuse)
            with self.when(self.same(kind, ARRAY)):
                self.go_if(self.differ(self.get(array, "type"), self.common("ndarray")), self.refuse)
                contiguous = self.builder.and_(self.get(array, "flags"), self.number(1))
                self.go_if(self.same(contiguous, 0), self.refuse)
            with self.when(self.same(kind, LEAF)):
                self.go_if(self.same(extra, none), self.refuse)
        with self.loop(self.word()):
            user, k, number = self.node(self.word()), self.word(), self.word()
            node = self.load(self.at(self.add(self.get(user, "Node.inputs"), self.offset["items"]), k))
            self.go_if(self.differ(node, self.node(number)), self.refuse)

    # -- run ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the program; from there on nothing is refused."""
        none = self.common("none")
        count = self.word()
        values = self.api("PyList_New", count)
        with self.loop(count) as i:
            self.api("PyList_SetItem", values, i, self.held(self.get(self.node(self.word()), "Node.value")))
        arrays = self.api("PyObject_CallOneArg", self.load(self.header, PATTERN_PROGRAM * WORD), values)
        self.api("Py_DecRef", values)
        self.go_if(self.same(arrays, 0), self.failed)
        self.results.set(arrays)
        hits = self.common("hits")
        self.store(self.add(self.load(hits), 1), hits)
        self.api("PyList_SetItem", self.common("latest"), 0, self.held(self.load(self.header, PATTERN_SOURCE * WORD)))
        with self.when(self.same(self.get(self.root, "Node.value"), none)):
            self.put(self.held(self.api("PyList_GetItem", arrays, 0)), self.root, "Node.value")
            self.api("Py_DecRef", none)
        made = self.api("PyType_GenericAlloc", self.common("Run"), 0)
        self.put(self.held(self.load(self.header, PATTERN_ENTRY * WORD)), made, "Run.entry")
        self.put(self.held(self.common("true")), made, "Run.freed")
        self.put(self.held(none), made, "Run.reason")
        with self.loop(self.word()):
            number = self.word()
            node = self.node(number)
            run_before = self.get(node, "Node.run")
            self.put(self.held(made), node, "Node.run")
            self.api("Py_DecRef", run_before)
            before = self.get(node, "Node.position")
            self.put(self.api("PyLong_FromSsize_t", number), node, "Node.position")
            self.api("Py_DecRef", before)
        self.api("Py_DecRef", made)
        with self.loop(self.leaf_count) as i:
            self.deliver(self.node(self.load(self.at(self.leaf_words, i))), self.api("PyList_GetItem", arrays, self.add(i, 1)))
        waiting = self.builder.or_(self.api("PySet_Size", self.common("detached")), self.api("PySet_Size", self.common("pending")))
        with self.when(self.differ(waiting, 0)):
            done = self.api("PyObject_CallNoArgs", self.common("release"))
            self.go_if(self.same(done, 0), self.failed)
            self.api("Py_DecRef", done)

    def check_leaves(self) -> None:
        """Refuse leaves with hooks."""
        self.leaf_count = self.word()
        self.leaf_words = self.head.get()
        self.head.set(self.at(self.leaf_words, self.leaf_count))
        with self.loop(self.leaf_count) as i:
            self.refuse_hooks(self.node(self.load(self.at(self.leaf_words, i))), self.refuse)
