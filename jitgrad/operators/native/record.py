"""The machine code behind every entry point: look a call up, follow its template.

Input: a call in Python's fast convention (METH_FASTCALL | METH_KEYWORDS) of an entry point whose `self` has a header.  Output: the
tensor, or tensors, of a recorded call; of any other, what the operator's Python function gives.
Invariant: the code is the same for all operators and processes; what it refers to is in the words `SHARED`, in headers and in
templates.  It holds a reference to every object that it uses across a call into Python.  Where memory runs out the call raises
MemoryError, and nothing has happened.

In Python, for a call of one tensor:

    def record(self, args, nargs, kwnames):
        header = self.header
        if shared.traces or too many arguments: return header.function(*args)
        for each argument:      # of a tensor, its type and its needs; a number; else the object itself
            words += what the template depends on
        entry = header.table[hash(words)]
        if entry.words != words or not grad_mode.enabled: return header.function(*args)
        for step in entry.template:
            node = Node(step.spec, inputs, step.requires_grad, depth + step.more, value, line)
        result = Tensor.__new__(Tensor)
        result._node = node

Where no gradient is recorded and all operands are known, the template is an evaluator instead, which is called with their arrays;
without gradient mode that only until it has been often: from then on the operation is recorded, and postponed.
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.operators.native.assembly import StackWord
from jitgrad.operators.native.layout import ARGUMENT, LITERAL, MADE, MOST_TENSORS, NO_DEPTH, NOT_WRITTEN, RECORD, WRITTEN_WHOLE
from jitgrad.operators.native.storing import Storing


class Record(Storing):
    """The function `record(self, args, nargs, kwnames)`."""

    def __init__(self, module: ir.Module, offsets: dict[str, int], deepest: int) -> None:
        """deepest: the depth at which the Python function takes over."""
        super().__init__(module, RECORD, offsets)
        self.steps = self.variable(0)
        self.outcome = self.variable(0)
        self.find_template(deepest)
        self.follow()
        self.endings()
        self.finish()

    # -- the template ----------------------------------------------------------------------------------------------------

    def tuple_of_nodes(self, count: Any) -> Any:
        """A tuple of the nodes whose numbers come next, None for -1."""
        made = self.api("PyTuple_New", count)
        with self.loop(count) as i:
            number = self.take()
            item = self.variable(self.common("none"))
            with self.when(self.differ(number, -1)):
                item.set(self.node_at(number))
            self.store(self.held(item.get()), self.at(self.add(made, self.offset["items"]), i))
        return made

    def follow(self) -> None:
        """Make the nodes, then the results."""
        steps = self.take()
        results = self.take()
        make, chain, how = self.take(), self.take(), self.take()
        with self.loop(steps) as k:
            self.step(k)
        with self.loop(self.take()):           # an owner may refer to any node
            self.extra()
        one, several, view, write = [self.block(name) for name in ("one", "several", "view", "write")]
        self.go_if(self.differ(chain, 0), view)
        self.go_if(self.differ(how, MADE), write)
        self.builder.cbranch(self.same(make, 0), one, several)
        self.here(one)
        result = self.owned(self.tensor())
        with self.when(self.differ(self.at_once.get(), 0)):
            with self.loop(self.steps.get()) as i:      # what nothing else refers to need not be kept
                place = self.at(self.nodes, self.add(i, MOST_TENSORS))
                step = self.load(place)
                self.store(0, place)
                self.api("Py_DecRef", step)
            self.api("Py_DecRef", self.api("PyObject_CallOneArg", self.common("value"), self.get(result.get(), "Tensor._node")))
        self.outcome.set(result.get())
        self.go(self.leave)
        self.here(several)
        made = self.owned(self.api("PyTuple_New", results))
        with self.loop(results) as i:
            self.store(self.tensor(), self.at(self.add(made.get(), self.offset["items"]), i))
        self.outcome.set(self.api("PyObject_CallOneArg", make, made.get()))
        self.api("Py_DecRef", made.get())
        self.go(self.leave)
        self.here(view)
        self.view(chain)
        self.here(write)
        self.write(how)

    def tensor(self) -> Any:
        """A tensor on the node whose number comes next."""
        made = self.api("PyType_GenericAlloc", self.common("Tensor"), 0)
        self.put(self.held(self.node_at(self.take())), made, "Tensor._node")
        self.put(self.held(self.common("none")), made, "Tensor._storage")
        return made

    def view(self, chain: Any) -> None:
        """The result on the storage of the first argument; what is shared is read when all is made."""
        source = self.load(self.args)
        with self.when(self.same(self.get(source, "Tensor._storage"), self.common("none"))):
            made = self.api("PyObject_VectorcallMethod", self.common("_ensure_storage"), self.args, 1, 0)
            self.api("Py_DecRef", made)
        result = self.owned(self.tensor())
        extra = self.get(self.get(result.get(), "Tensor._node"), "Node.extra")
        before = self.owned(self.api("PyObject_GetAttr", source, self.common("_chain")))
        both = self.owned(self.api("PySequence_Concat", before.get(), chain))
        self.api("PyObject_SetAttr", result.get(), self.common("_chain"), both.get())       # makes its dict
        for owned in (before, both):
            self.api("Py_DecRef", owned.get())
            owned.set(0)
        # Whoever came in between may have written to the storage: then the operator's Python function makes the view.
        storage, changed = self.get(source, "Tensor._storage"), self.block("changed")
        self.go_if(self.differ(self.get(source, "Tensor._node"), self.node_at(0)), changed)
        self.go_if(self.differ(self.get(storage, "type"), self.common("Storage")), changed)
        writes = self.get(storage, "Storage.writes")
        self.go_if(self.differ(self.api("PyLong_AsSsize_t", writes), self.seen.get()), changed)
        self.api("PyObject_SetAttr", result.get(), self.common("_seen"), writes)
        cell = self.get(storage, "Storage.cell")
        for value, what, slot in ((storage, result.get(), "Tensor._storage"), (cell, extra, "Extra.cell"),
                                  (self.get(cell, "Version.value"), extra, "Extra.version")):
            old = self.get(what, slot)
            self.put(self.held(value), what, slot)
            self.api("Py_DecRef", old)
        self.outcome.set(result.get())
        self.go(self.leave)
        self.here(changed)
        self.api("Py_DecRef", result.get())
        self.go(self.forward)

    def step(self, k: Any) -> None:
        """Make one node: spec, requires_grad, how much deeper, where its value comes from, inputs."""
        node = self.blank_node()
        self.store(node, self.at(self.nodes, self.add(k, MOST_TENSORS)))
        self.steps.set(self.add(k, 1))
        self.put(self.held(self.take()), node, "Node.spec")
        self.put(self.held(self.take()), node, "Node.requires_grad")
        more = self.take()
        depth = self.select(self.same(more, NO_DEPTH), 0, self.add(self.depth.get(), more))
        self.put(self.api("PyLong_FromSsize_t", depth), node, "Node.depth")
        kind, what = self.take(), self.take()
        value, line = self.variable(self.common("none")), self.variable(self.line.get())
        with self.when(self.same(kind, LITERAL)):       # a number is a leaf: it has no line
            value.set(what)
            line.set(self.common("none"))
        self.go_if(self.same(kind, ARGUMENT), number := self.block("number"))
        self.put(self.held(value.get()), node, "Node.value")
        self.put(self.held(line.get()), node, "Node.line")
        self.go(rest := self.block("rest"))
        self.here(number)
        self.put(self.held(self.common("none")), node, "Node.line")
        self.put(self.api("PyNumber_Float", self.load(self.at(self.args, what))), node, "Node.value")
        self.go(rest)
        self.here(rest)
        self.put(self.tuple_of_nodes(self.take()), node, "Node.inputs")

    def extra(self) -> None:
        """Give a node what it has beyond a step: its number, what it is written over, and whether there is an owner."""
        node = self.node_at(self.take())
        written, over = self.take(), self.variable(self.common("false"))
        with self.when(self.same(written, WRITTEN_WHOLE)):
            over.set(self.common("true"))
        with self.when(self.less(self.number(NOT_WRITTEN), written)):
            over.set(self.node_at(written))
        owner = self.owned()
        with self.when(self.differ(self.take(), 0)):
            self.owner(owner)
        with self.when(self.same(owner.get(), 0)):
            owner.set(self.held(self.common("none")))
        extra = self.api("PyType_GenericAlloc", self.common("Extra"), 0)
        self.put(owner.get(), extra, "Extra.fn")
        owner.set(0)
        self.put(self.api("PyLong_FromSsize_t", 0), extra, "Extra.version")         # a small number: it is there
        self.put(self.held(over.get()), extra, "Extra.in_place")
        for field in ("watch", "leaf", "cell", "held", "reach", "grad_fn"):
            self.put(self.held(self.common("none")), extra, f"Extra.{field}")
        before = self.get(node, "Node.extra")
        self.put(extra, node, "Node.extra")
        self.api("Py_DecRef", before)

    def owner(self, owner: StackWord) -> None:
        """Make it a Composite."""
        made = self.api("PyType_GenericAlloc", self.common("Composite"), 0)
        owner.set(made)
        self.put(self.held(self.take()), made, "Composite.name")
        self.put(self.held(self.take()), made, "Composite.saves_result")
        self.put(self.held(self.take()), made, "Composite.number")
        self.put(self.tuple_of_nodes(self.take()), made, "Composite.inputs")
        count = self.take()
        saves = self.variable(0)
        with self.when(self.differ(count, -1)):
            saves.set(self.tuple_of_nodes(count))
        with self.when(self.same(saves.get(), 0)):
            saves.set(self.held(self.common("none")))
        self.put(saves.get(), made, "Composite.saves")

    def evaluate(self, evaluator: Any) -> None:
        """The result is what the template's evaluator, a Python function, gives for the operands' arrays, and for the number among
        the arguments if there is one.  (Its frame holds them.)"""
        self.go_if(self.same(evaluator, 0), self.forward)
        count = self.take()
        given, total = self.array(MOST_TENSORS + 1), self.variable(count)
        with self.loop(count) as i:
            node = self.node_at(self.take())
            with self.when(self.same(self.get(node, "Node.value"), self.common("none"))):       # it is postponed
                self.api("Py_DecRef", self.api("PyObject_CallOneArg", self.common("value"), node))
            self.store(self.get(node, "Node.value"), self.at(given, i))
        argument, number = self.take(), self.owned()
        with self.when(self.differ(argument, -1)):
            number.set(self.number_given(argument))
            self.store(number.get(), self.at(given, count))
            total.set(self.add(count, 1))
        self.outcome.set(self.api("PyObject_Vectorcall", evaluator, given, total.get(), 0))
        self.api("Py_DecRef", number.get())
        number.set(0)
        self.go(self.leave)

    # -- the ends ----------------------------------------------------------------------------------------------------

    def endings(self) -> None:
        """Forward the call, and let go of what is held."""
        self.here(self.forward)
        self.outcome.set(self.api("PyObject_Vectorcall", self.target.get(), self.args, self.nargs, self.keywords))
        self.go(self.leave)
        self.here(self.failed)
        self.let_go()
        self.go(self.leave)
        self.here(self.leave)
        with self.loop(self.operands.get()) as i:
            self.api("Py_DecRef", self.load(self.at(self.nodes, i)))
        with self.loop(self.steps.get()) as i:
            self.api("Py_DecRef", self.load(self.at(self.nodes, self.add(i, MOST_TENSORS))))
        for held in (self.template, self.line, *self.dues):
            self.api("Py_DecRef", held.get())
        self.back(self.outcome.get())
