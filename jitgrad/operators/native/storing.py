"""The machine code that writes what an operator has recorded to its first argument: `a += x`, `a[i] = x`.

Input: a call whose template ends with a write (templates.py).  Output: the tensor on its new node, as writing.py leaves it; or the call
is forwarded, and nothing has happened.
Invariant: from the look at the storage, its base and the version to the end of the stores nothing is allocated and nobody's code
runs: it is one moment.  Others than the usual writes (of detached tensors, leaves, what is watched, or filled by index) are forwarded.

In Python, for a += x:

    node = add(a._node, x._node)
    if a._storage.writes != seen or a._storage.node is not a._node or ...: return forward()
    cell.value += 1
    node.extra.cell, node.extra.version = cell, cell.value
    a._storage.node = a._node = node
    a._storage.writes += 1
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.operators.native.assembly import I64, WORD, Variable
from jitgrad.operators.native.calls import CallAssembly
from jitgrad.operators.native.words import BEFORE, COUNTED, UPDATED, WRITES

_LONGEST = 8            # steps from a base to a view that is written to


class Storing(CallAssembly):
    """What writes to the first argument.  `before`: the steps to the view that is written to itself, 0 where there is none.
    `dues`: variables for references that are let go of when all is done."""

    outcome: Any

    def __init__(self, module: ir.Module, name: str, offsets: dict[str, int]) -> None:
        super().__init__(module, name, offsets)
        self.dues: list[Variable] = []
        self.written_version, self.written_count, self.writer = self.due(), self.due(), self.due()

    def counted(self) -> None:
        """`a[i] += x` ends with `a[i] = (that view)`: see whether this is such a call."""
        self.first_seen, self.before = self.variable(0), self.variable(0)
        with self.when(self.same(self.kind, WRITES)):
            self.go_if(self.differ(self.nargs, 3), self.forward)
            tensor, value = self.load(self.args), self.load(self.args, 2 * WORD)
            kind = self.get(tensor, "type")
            is_tensor = self.either(self.same(kind, self.common("Tensor")), self.same(kind, self.common("Parameter")))
            self.go_if(self.builder.not_(is_tensor), self.forward)
            with self.when(self.same(self.get(value, "type"), self.common("Tensor"))):
                storage = self.get(value, "Tensor._storage")
                shared = self.both(self.same(storage, self.get(tensor, "Tensor._storage")),
                                   self.same(self.get(storage, "type"), self.common("Storage")))
                with self.when(shared):
                    seen = self.api("PyObject_GetAttr", value, self.common("_seen"))
                    is_old = self.differ(self.api("PyLong_AsSsize_t", seen),
                                         self.api("PyLong_AsSsize_t", self.get(storage, "Storage.writes")))
                    self.api("Py_DecRef", seen)
                    with self.when(is_old):
                        chain = self.api("PyObject_GetAttr", value, self.common("_chain"))
                        self.api("Py_DecRef", chain)        # the tensor has it
                        self.before.set(chain)

    def there(self, i: Any, done: Any) -> None:
        """Add the word of such a value, argument number i."""
        with self.when(self.both(self.same(i, 2), self.differ(self.before.get(), 0))):
            self.push(self.add(self.before.get(), BEFORE))
            self.go(done)

    def written(self, tensor: Any) -> None:
        """Add the words of what is written to: the steps of a view, and its base as another operand."""
        self.first_seen.set(self.seen.get())
        chain = self.api("PyObject_GetAttr", tensor, self.common("_chain"))
        self.api("Py_DecRef", chain)
        self.push(chain)
        with self.when(self.differ(self.get(chain, "length"), 0)):
            self.go_if(self.same(self.kind, WRITES), self.forward)
            storage = self.get(tensor, "Tensor._storage")
            self.go_if(self.differ(self.get(storage, "type"), self.common("Storage")), self.forward)
            self.go_if(self.differ(self.get(storage, "Storage.history"), self.common("none")), self.forward)
            self.push(self.hold(self.held(self.get(storage, "Storage.node"))))

    def write(self, how: Any) -> None:
        """Make the last of the nodes that of the first argument.  how: UPDATED, WRITTEN or COUNTED."""
        none, tensor = self.common("none"), self.load(self.args)
        with self.when(self.same(self.get(tensor, "Tensor._storage"), none)):
            made = self.api("PyObject_VectorcallMethod", self.common("_ensure_storage"), self.args, 1, 0)
            self.api("Py_DecRef", made)
        new, value, base = [self.variable(0) for _ in range(3)]
        for variable in (new, value, base):
            variable.set(self.node_at(self.take()))
        storage = self.get(tensor, "Tensor._storage")
        self.go_if(self.differ(self.get(storage, "type"), self.common("Storage")), self.forward)
        chain = self.api("PyObject_GetAttr", tensor, self.common("_chain"))
        self.api("Py_DecRef", chain)
        is_view = self.differ(self.get(chain, "length"), 0)
        # All that is new
        cell = self.get(storage, "Storage.cell")
        version = self.api("PyLong_AsSsize_t", self.get(cell, "Version.value"))
        self.written_version.set(self.api("PyLong_FromSsize_t", self.add(version, 1)))
        self.written_count.set(self.api("PyLong_FromSsize_t", self.add(self.first_seen.get(), 1)))
        is_counted = self.same(how, COUNTED)
        with self.when(self.builder.not_(is_counted)):
            self.writer.set(self.api("PyWeakref_NewRef", new.get(), 0))
        with self.when(self.builder.not_(is_view)):         # a place for it
            seen = self.owned(self.api("PyObject_GetAttr", tensor, self.common("_seen")))
            self.api("PyObject_SetAttr", tensor, self.common("_seen"), seen.get())
            self.api("Py_DecRef", seen.get())
            seen.set(0)
        # One moment
        self.go_if(self.differ(self.get(tensor, "Tensor._storage"), storage), self.forward)
        for name in ("private", "owner", "history"):
            self.go_if(self.differ(self.get(storage, f"Storage.{name}"), none), self.forward)
        writes = self.api("PyLong_AsSsize_t", self.get(storage, "Storage.writes"))
        self.go_if(self.differ(writes, self.first_seen.get()), self.forward)
        self.go_if(self.differ(self.get(storage, "Storage.cell"), cell), self.forward)
        self.go_if(self.differ(self.api("PyLong_AsSsize_t", self.get(cell, "Version.value")), version), self.forward)
        self.go_if(self.differ(self.get(storage, "Storage.node"), base.get()), self.forward)
        self.go_if(self.same(self.get(self.get(base.get(), "Node.spec"), "Spec.op"), self.common("attach")), self.forward)
        self.unwatched(base.get())
        self.way_to_base(base.get())
        with self.when(is_counted):
            self.is_unused(self.load(self.args, 2 * WORD))
            self.go_if(self.same(self.get(base.get(), "Node.extra"), none), self.forward)
        extra = self.get(new.get(), "Node.extra")
        with self.when(self.builder.not_(is_counted)):
            self.exchange(self.writer, cell, "Version.writer")
        for what, slot, given in ((cell, "Version.value", self.written_version), (storage, "Storage.writes", self.written_count)):
            self.exchange(given, what, slot)
        self.stamp(extra, cell)
        with self.when(self.both(is_view, self.differ(value.get(), new.get()))):
            self.stamp(self.get(value.get(), "Node.extra"), cell)
        self.replace(new.get(), storage, "Storage.node")
        with self.when(self.builder.not_(is_view)):
            self.replace(new.get(), tensor, "Tensor._node")
            self.api("PyObject_SetAttr", tensor, self.common("_seen"), self.get(storage, "Storage.writes"))
        self.outcome.set(self.held(self.select(self.same(how, UPDATED), tensor, none)))
        self.go(self.leave)

    def unwatched(self, node: Any) -> None:
        """Forward the call if a node is a leaf's, or has hooks or a tensor that retains its gradient."""
        extra = self.get(node, "Node.extra")
        with self.when(self.differ(extra, self.common("none"))):
            for name in ("leaf", "watch"):
                self.go_if(self.differ(self.get(extra, f"Extra.{name}"), self.common("none")), self.forward)

    def way_to_base(self, base: Any) -> None:
        """Forward the call if a node from the first operand to the base is watched."""
        node, arrived = self.variable(self.load(self.nodes)), self.block("arrived")
        with self.loop(self.number(_LONGEST)):
            self.go_if(self.same(node.get(), base), arrived)
            self.unwatched(node.get())
            inputs = self.get(node.get(), "Node.inputs")
            self.go_if(self.same(self.get(inputs, "length"), 0), arrived)
            node.set(self.load(inputs, self.offset["items"]))
        self.go(self.forward)
        self.here(arrived)

    def is_unused(self, view: Any) -> None:
        """Forward the call unless a view that was written to is as it was left then (see histories.write_to_itself)."""
        none = self.common("none")
        extra = self.get(self.get(view, "Tensor._node"), "Node.extra")
        self.go_if(self.same(extra, none), self.forward)
        self.go_if(self.differ(self.get(extra, "Extra.watch"), none), self.forward)
        leaf = self.api("PyObject_GetAttr", view, self.common("_leaf"))
        self.api("Py_DecRef", leaf)
        self.go_if(self.differ(leaf, none), self.forward)

    def stamp(self, extra: Any, cell: Any) -> None:
        """Note on a node that it is the value of the storage as of now."""
        self.replace(cell, extra, "Extra.cell")
        self.replace(self.get(cell, "Version.value"), extra, "Extra.version")

    def replace(self, value: Any, what: Any, slot: str) -> None:
        """Have a slot refer to something else.  What was there is let go of at the end."""
        before = self.get(what, slot)
        self.put(self.held(value), what, slot)
        self.later(before)

    def exchange(self, made: Any, what: Any, slot: str) -> None:
        """Give a slot what was made for it."""
        before = self.get(what, slot)
        self.put(made.get(), what, slot)
        made.set(0)
        self.later(before)

    def later(self, reference: Any) -> None:
        """Let go of a reference when all is done: it may be the last."""
        self.due().set(reference)

    def due(self) -> Variable:
        """A variable for a reference, 0 while there is none."""
        found = Variable(self, self._allocations.alloca(I64))
        self._allocations.store(self.number(0), found.place)
        self.dues.append(found)
        return found
