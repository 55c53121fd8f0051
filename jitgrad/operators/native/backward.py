"""The machine code of a whole backward: recognise the graph (matching.py), run its program, add the gradients to .grad.

Input: the root of a recorded graph, a scalar; a pattern (requests/matcher.py) as words.  Output: True; None, and nothing has
happened, where the graph is not the pattern's or needs autograd's attention.
Invariant: nothing that Python could observe happens before the program has run.

In Python, for x * x:

    def again(root):
        if the mode is not the usual one or the root has been looked at: return None
        order = match(root)
        if order is None or order.pop() is False: return None
        array, *gradients = program([order[0].value])
        root.value = root.value or array
        for number of interior nodes: order[number].run, order[number].position = run, number
        for number of leaves: add a gradient to the tensor of order[number].extra.leaf
        return True

The words behind those that matching.py reads: of leaves, of values, of interior nodes how many there are, and which (of an interior
node, its number as an object too).
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.operators.native.assembly import WORD, ObjectAssembly, StackWord
from jitgrad.operators.native.layout import (
    AGAIN,
    DELIVER,
    PATTERN_COMMON,
    PATTERN_ENTRY,
    PATTERN_ERA,
    PATTERN_LEAVES,
    PATTERN_PROGRAM,
    PATTERN_VALUES,
    USUAL,
)
from jitgrad.operators.native.matching import Matching


class Delivery(ObjectAssembly):
    """What gives gradients to the tensors of leaves.

    waiting: the address of as many words as there are leaves, 0 while there are none; of those, `made` hold a tensor that is to
    become a gradient, or 0.  `dismiss` lets go of them."""

    waiting: StackWord
    made: StackWord

    def make(self, node: Any, array: Any) -> None:
        """Make the next tensor, of the gradient for a leaf."""
        none = self.common("none")
        with self.when(self.differ(array, none)):
            tensor = self.api("PyType_GenericAlloc", self.common("Tensor"), 0)
            self.store(tensor, self.at(self.waiting.get(), self.made.get()))
            self.made.set(self.add(self.made.get(), 1))
            self.put(self.held(none), tensor, "Tensor._storage")
            g = self.blank_node()
            self.put(g, tensor, "Tensor._node")
            self.put(self.held(self.get(node, "Node.spec")), g, "Node.spec")
            self.put(self.api("PyTuple_New", 0), g, "Node.inputs")
            self.put(self.held(self.common("false")), g, "Node.requires_grad")
            self.put(self.api("PyLong_FromSsize_t", 0), g, "Node.depth")
            self.put(self.held(array), g, "Node.value")
            self.put(self.held(none), g, "Node.line")
        with self.when(self.same(array, none)):
            self.store(0, self.at(self.waiting.get(), self.made.get()))
            self.made.set(self.add(self.made.get(), 1))

    def deliver(self, node: Any, made: Any) -> None:
        """Add what was made for a leaf to its tensor, if that still is there and wants a gradient.

        From the look at the gradient that is there to its replacement nothing is allocated, so nobody comes in between."""
        none = self.common("none")
        done = self.block("done")
        self.go_if(self.same(made, 0), done)
        leaf = self.get(self.get(node, "Node.extra"), "Extra.leaf")
        tensor = self.tensor
        tensor.set(self.api("PyObject_CallNoArgs", self.get(leaf, "Accumulator.tensor")))
        release, further = self.block("release"), self.block("further")
        self.go_if(self.same(tensor.get(), none), release)
        still = self.api("PyObject_GetAttr", tensor.get(), self.common("_leaf"))
        self.api("Py_DecRef", still)
        self.go_if(self.same(still, none), release)
        have = self.api("PyObject_GetAttr", tensor.get(), self.common("_grad"))
        self.api("Py_DecRef", have)
        self.go_if(self.differ(have, none), further)
        self.api("PyObject_SetAttr", tensor.get(), self.common("_grad"), made)
        self.go(release)
        self.here(further)
        for i, value in enumerate((tensor.get(), self.get(made, "Tensor._node"), self.common("false"))):
            self.store(value, self.arguments_of_accumulate, i * WORD)
        result = self.api("PyObject_Vectorcall", self.common("accumulate"), self.arguments_of_accumulate, 3, 0)
        self.api("Py_DecRef", result)
        self.go(release)
        self.here(release)
        self.api("Py_DecRef", tensor.get())
        tensor.set(0)
        self.go(done)
        self.here(done)

    def prepare(self) -> None:
        """Have the variables."""
        self.waiting, self.made, self.tensor = self.variable(0), self.variable(0), self.owned()
        self.arguments_of_accumulate = self.array(3)

    def dismiss(self) -> None:
        """Let go of what was made."""
        with self.loop(self.made.get()) as i:
            self.api("Py_DecRef", self.load(self.at(self.waiting.get(), i)))

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

    `self` is a PatternWords of which only the shared words are read."""

    def __init__(self, module: ir.Module, offsets: dict[str, int]) -> None:
        super().__init__(module, DELIVER, 3, offsets)
        self.prepare()
        self.shared = self.load(self.get(self.get(self.arguments[0], "PatternWords.header"), "data"), PATTERN_COMMON * WORD)
        leaves, arrays = self.load(self.arguments[1]), self.load(self.arguments[1], WORD)
        count, outcome, end = self.get(leaves, "length"), self.variable(0), self.block("end")
        self.waiting.set(self.memory(count))

        def leaf(i: Any) -> Any:
            return self.load(self.at(self.add(leaves, self.offset["items"]), i))

        with self.loop(count) as i:
            self.make(leaf(i), self.api("PyList_GetItem", arrays, self.add(i, 1)))
        with self.loop(count) as i:
            self.deliver(leaf(i), self.load(self.at(self.waiting.get(), i)))
        outcome.set(self.held(self.common("none")))
        self.go(end)
        self.here(self.failed)
        self.let_go()
        self.go(end)
        self.here(end)
        self.dismiss()
        self.api("PyMem_Free", self.waiting.get())
        self.back(outcome.get())
        self.finish()


class Usual(ObjectAssembly):
    """The function `usual(self, args, nargs)`, of the default dtype: True if that is as given, and this thread records and
    compiles; None otherwise."""

    def __init__(self, module: ir.Module, offsets: dict[str, int]) -> None:
        super().__init__(module, USUAL, 3, offsets)
        self.shared = self.load(self.get(self.get(self.arguments[0], "PatternWords.header"), "data"), PATTERN_COMMON * WORD)
        otherwise = self.block("otherwise")
        self.go_if(self.differ(self.load(self.common("default")), self.load(self.arguments[1])), otherwise)
        self.in_mode("recording_thread", "grad_mode", "enabled", "true", otherwise)
        self.in_usual_mode(otherwise)
        self.back(self.held(self.common("true")))
        self.here(otherwise)
        self.back(self.held(self.common("none")))
        self.here(self.failed)
        self.back(0)
        self.finish()


class Again(Delivery, Matching):
    """The function `again(self, args, nargs)` of Python's fast convention.

    The list of values is made before the graph is looked at; from then on to the call of the program nothing is allocated, so
    that what runs is the graph that was recognised."""

    def __init__(self, module: ir.Module, offsets: dict[str, int]) -> None:
        super().__init__(module, AGAIN, 3, offsets)
        self.prepare()
        self.holds = self.variable(0)               # of how many nodes a reference is held
        self.values, self.results, self.mark = self.owned(), self.owned(), self.owned()
        outcome = self.variable(0)
        self.begin()
        self.is_usual()
        self.root = self.load(self.arguments[1])
        extra = self.get(self.root, "Node.extra")
        with self.when(self.differ(extra, self.common("none"))):
            self.go_if(self.differ(self.get(extra, "Extra.held"), self.common("none")), self.refuse)
        leaves = self.load(self.header, PATTERN_LEAVES * WORD)
        self.values.set(self.api("PyList_New", self.load(self.header, PATTERN_VALUES * WORD)))
        self.match(leaves)
        self.go_if(self.same(self.exact.get(), 0), self.refuse)
        self.check_leaves()
        self.hold("Py_IncRef", self.size)
        self.holds.set(self.size)
        self.run()
        outcome.set(self.held(self.common("true")))
        self.end(outcome)
        self.dismiss()
        self.let_go()
        self.hold("Py_DecRef", self.holds.get())
        self.api("PyMem_Free", self.order.get())
        self.back(outcome.get())
        self.finish()

    def hold(self, how: str, count: Any) -> None:
        """Take, or let go of, references to nodes: while the program runs other threads may change the graph."""
        with self.loop(count) as i:
            self.api(how, self.node(i))

    # -- recognise ---------------------------------------------------------------------------------------------------

    def is_usual(self) -> None:
        """Refuse where anything is not as it mostly is."""
        self.in_usual_mode(self.refuse)
        self.go_if(self.differ(self.load(self.common("era")), self.load(self.header, PATTERN_ERA * WORD)), self.refuse)
        entry = self.load(self.header, PATTERN_ENTRY * WORD)
        for name in ("wanted", "extra"):
            found = self.api("PyObject_GetAttr", entry, self.common(name))
            self.api("Py_DecRef", found)
            self.go_if(self.differ(self.get(found, "length"), 0), self.refuse)

    def check_leaves(self) -> None:
        """Refuse leaves with hooks."""
        self.leaf_count = self.word()
        self.leaf_words = self.head.get()
        self.head.set(self.at(self.leaf_words, self.leaf_count))
        with self.loop(self.leaf_count) as i:
            self.refuse_hooks(self.leaf(i), self.refuse)

    def leaf(self, i: Any) -> Any:
        return self.node(self.load(self.at(self.leaf_words, i)))

    # -- run ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the program; from there on nothing is refused."""
        none = self.common("none")
        values = self.values.get()
        with self.loop(self.word()) as i:
            self.api("PyList_SetItem", values, i, self.held(self.get(self.node(self.word()), "Node.value")))
        arrays = self.api("PyObject_CallOneArg", self.load(self.header, PATTERN_PROGRAM * WORD), values)
        self.results.set(arrays)
        # All that is new, before anything is changed
        made = self.api("PyType_GenericAlloc", self.common("Run"), 0)
        self.mark.set(made)
        self.put(self.held(self.load(self.header, PATTERN_ENTRY * WORD)), made, "Run.entry")
        self.put(self.held(self.common("true")), made, "Run.freed")
        self.put(self.held(none), made, "Run.reason")
        self.waiting.set(self.at(self.below.get(), self.add(self.size, 1)))
        with self.loop(self.leaf_count) as i:
            self.make(self.leaf(i), self.api("PyList_GetItem", arrays, self.add(i, 1)))
        hits = self.common("hits")
        self.store(self.add(self.load(hits), 1), hits)
        with self.when(self.same(self.get(self.root, "Node.value"), none)):
            self.put(self.held(self.api("PyList_GetItem", arrays, 0)), self.root, "Node.value")
            self.api("Py_DecRef", none)
        with self.loop(self.word()):
            node = self.node(self.word())
            for new, slot in ((made, "Node.run"), (self.word(), "Node.position")):
                before = self.get(node, slot)
                self.put(self.held(new), node, slot)
                self.api("Py_DecRef", before)
        with self.loop(self.leaf_count) as i:
            self.deliver(self.leaf(i), self.load(self.at(self.waiting.get(), i)))
        waiting = self.builder.or_(self.api("PySet_Size", self.common("detached")), self.api("PySet_Size", self.common("pending")))
        with self.when(self.differ(waiting, 0)):
            self.api("Py_DecRef", self.api("PyObject_CallNoArgs", self.common("release")))
