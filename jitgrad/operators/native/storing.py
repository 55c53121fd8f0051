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

from jitgrad.operators.native.assembly import I64, WORD, StackWord
from jitgrad.operators.native.calls import CallAssembly
from jitgrad.operators.native.layout import (
    APPLY,
    BEFORE,
    CHAINS,
    COUNT_ALONE,
    COUNTED,
    MOST_TENSORS,
    MOST_WAITING,
    PRIVATE,
    READ,
    SET,
    UPDATE,
    UPDATED,
    WRITES,
)

_LONGEST = 8            # steps from a base to a view that is written to


class Storing(CallAssembly):
    """What writes to the first argument.  `before`: the steps to the view that is written to itself, 0 where there is none.
    `dues`: variables for references that are let go of when all is done."""

    outcome: Any

    def __init__(self, module: ir.Module, name: str, offsets: dict[str, int]) -> None:
        super().__init__(module, name, offsets)
        self.dues: list[StackWord] = []
        self.written_version, self.written_count, self.writer = self.due(), self.due(), self.due()
        self.waiter, self.waiters = self.due(), self.due()
        self.filled_storage, self.filled_array = self.due(), self.due()      # held from the first look at them

    def foresee(self) -> None:
        """See whether the first argument is being filled, and, since `a[i] += x` ends with `a[i] = (that view)`, whether this is such
        a call."""
        self.first_seen, self.before = self.variable(0), self.variable(0)
        with self.when(self.both(self.less(self.number(CHAINS), self.kind), self.less(self.number(0), self.nargs))):
            self.see_filled(self.load(self.args))
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

    def see_filled(self, tensor: Any) -> None:
        """If a tensor is being filled, and no gradient goes to it, add its words: its type, its steps, the type of its base."""
        none, kind, no = self.common("none"), self.get(tensor, "type"), self.block("no")
        is_tensor = self.either(self.same(kind, self.common("Tensor")), self.same(kind, self.common("Parameter")))
        self.go_if(self.builder.not_(is_tensor), no)
        storage = self.get(tensor, "Tensor._storage")
        self.go_if(self.differ(self.get(storage, "type"), self.common("Storage")), no)
        array, base = self.get(storage, "Storage.private"), self.get(storage, "Storage.node")
        self.go_if(self.same(array, none), no)
        for name in ("owner", "history"):
            self.go_if(self.differ(self.get(storage, f"Storage.{name}"), none), no)
        self.go_if(self.differ(self.get(base, "Node.requires_grad"), self.common("false")), no)
        found = []
        for name in ("_leaf", "_tracks_version", "_chain"):
            found.append(self.api("PyObject_GetAttr", tensor, self.common(name)))
            self.api("Py_DecRef", found[-1])            # the tensor, or its class, has it
        self.go_if(self.either(self.differ(found[0], none), self.differ(found[1], self.common("true"))), no)
        self.filled.set(array)
        self.filled_array.set(self.held(array))
        self.filled_storage.set(self.held(storage))
        self.first_seen.set(self.api("PyLong_AsSsize_t", self.get(storage, "Storage.writes")))
        self.push(self.add(self.get(self.get(self.get(tensor, "Tensor._node"), "Node.spec"), "Spec.type"), PRIVATE))
        self.push(found[2])
        self.push(self.get(self.get(base, "Node.spec"), "Spec.type"))
        self.go(no)
        self.here(no)

    def foreseen(self, i: Any, done: Any) -> None:
        """Add the word of such a value, argument number i; the words of what is being filled are there."""
        self.go_if(self.both(self.same(i, 0), self.differ(self.filled.get(), 0)), done)
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

    def due(self) -> StackWord:
        """A variable for a reference, 0 while there is none."""
        found = StackWord(self, self._allocations.alloca(I64))
        self._allocations.store(self.number(0), found.place)
        self.dues.append(found)
        return found

    # -- what is being filled ----------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Read, update or set a part of what is being filled, where nothing is recorded: a view is made without a node, or the array
        is written to, in one moment with the count of writes.  (The count comes first: whoever is interrupted has counted.)"""
        none, tensor = self.common("none"), self.load(self.args)
        what, function, count = self.take(), self.take(), self.take()
        read = self.block("read")
        self.go_if(self.same(what, READ), read)
        storage = self.filled_storage.get()
        given = self.add(self.array(MOST_TENSORS + 4), WORD)        # before them a function, behind them the array once more
        total, waits = self.variable(self.add(count, 1)), self.variable(0)
        place = self.array(1)
        self.store(self.filled.get(), given)
        self.store(storage, place)
        may_wait = self.both(self.same(what, SET), self.both(self.same(function, 0), self.same(count, 1)))
        others_wait = self.differ(self.get(storage, "Storage.waiting"), none)
        with self.loop(count) as i:
            node = self.node_at(self.take())
            is_postponed = self.same(self.get(node, "Node.value"), none)
            with self.when(self.both(may_wait, self.either(is_postponed, others_wait))):
                waits.set(node)
            with self.when(self.both(is_postponed, self.same(waits.get(), 0))):
                self.api("Py_DecRef", self.api("PyObject_CallOneArg", self.common("value"), node))
            self.store(node, self.at(given, self.add(i, 1)))        # which is held; its value, which is not, is read in the one moment
        argument, key = self.take(), self.take()
        with self.when(self.differ(argument, -1)):
            self.writer.set(self.number_given(argument))
            self.store(self.writer.get(), self.at(given, total.get()))
            total.set(self.add(total.get(), 1))
        with self.when(self.both(self.same(what, SET), self.both(self.same(count, 0), self.differ(function, 0)))):
            self.api("Py_DecRef", self.api("PyObject_CallOneArg", function, self.load(given, WORD)))        # a test, which raises
        with self.when(self.both(others_wait, self.both(self.same(waits.get(), 0), self.differ(what, COUNT_ALONE)))):
            self.api("Py_DecRef", self.api("PyObject_VectorcallMethod", self.common("drain"), place, 1, 0))
        with self.when(self.differ(waits.get(), 0)):
            pair = self.api("PyTuple_New", 2)
            self.waiter.set(pair)
            for k, part in enumerate((self.load(self.args, WORD), waits.get())):
                self.store(self.held(part), pair, self.offset["items"] + k * WORD)
            self.waiters.set(self.api("PyList_New", 0))
        with self.when(self.differ(key, 0)):
            self.waiter.set(self.api("PyObject_GetItem", self.filled.get(), key))
            self.store(self.waiter.get(), given)
        state = self.variable(0)
        with self.when(self.same(what, APPLY)):
            state.set(self.api("PyObject_GetAttr", self.common("quiet"), self.common("_state")))
            self.waiters.set(state.get())
        cell = self.get(storage, "Storage.cell")
        version = self.api("PyLong_AsSsize_t", self.get(cell, "Version.value"))
        self.written_version.set(self.api("PyLong_FromSsize_t", self.add(version, 1)))
        self.written_count.set(self.api("PyLong_FromSsize_t", self.add(self.first_seen.get(), 1)))
        # One moment
        self.go_if(self.differ(self.get(tensor, "Tensor._storage"), storage), self.forward)
        self.go_if(self.differ(self.get(storage, "Storage.private"), self.filled.get()), self.forward)
        for name in ("owner", "history"):
            self.go_if(self.differ(self.get(storage, f"Storage.{name}"), none), self.forward)
        writes = self.api("PyLong_AsSsize_t", self.get(storage, "Storage.writes"))
        self.go_if(self.differ(writes, self.first_seen.get()), self.forward)
        self.go_if(self.differ(self.get(storage, "Storage.cell"), cell), self.forward)
        self.go_if(self.differ(self.api("PyLong_AsSsize_t", self.get(cell, "Version.value")), version), self.forward)
        with self.when(self.same(waits.get(), 0)):
            with self.loop(count) as i:
                value = self.get(self.load(self.at(given, self.add(i, 1))), "Node.value")
                self.go_if(self.same(value, none), self.forward)
                self.store(value, self.at(given, self.add(i, 1)))
        self.exchange(self.written_version, cell, "Version.value")
        self.exchange(self.written_count, storage, "Storage.writes")
        result = self.variable(none)
        with self.when(self.same(what, UPDATE)):
            self.api("Py_DecRef", self.api("PyObject_Vectorcall", function, given, total.get(), 0))
            result.set(tensor)
        with self.when(self.same(what, APPLY)):
            self.apply(function, given, total.get(), state.get())
            result.set(tensor)
        with self.when(self.differ(waits.get(), 0)):
            with self.when(self.same(self.get(storage, "Storage.waiting"), none)):
                self.exchange(self.waiters, storage, "Storage.waiting")
            waiting = self.get(storage, "Storage.waiting")
            self.api("PyList_Append", waiting, self.waiter.get())
            with self.when(self.less(self.number(MOST_WAITING - 1), self.api("PyList_Size", waiting))):
                self.api("Py_DecRef", self.api("PyObject_VectorcallMethod", self.common("drain"), place, 1, 0))
        with self.when(self.both(self.same(what, SET), self.same(waits.get(), 0))):
            value = self.load(self.at(given, self.select(self.same(key, 0), self.number(1), self.number(0))))
            self.later(self.held(value))
            self.api("PyObject_SetItem", self.filled.get(), self.load(self.args, WORD), value)
        self.outcome.set(self.held(result.get()))
        self.go(self.leave)
        self.here(read)
        made = self.api("PyType_GenericAlloc", self.common("Tensor"), 0)
        view = self.owned(made)
        self.put(self.held(function), made, "Tensor._node")
        self.put(self.held(self.get(tensor, "Tensor._storage")), made, "Tensor._storage")
        self.api("PyObject_SetAttr", made, self.common("_chain"), count)
        self.writer.set(self.api("PyLong_FromSsize_t", -1))
        self.api("PyObject_SetAttr", made, self.common("_seen"), self.writer.get())
        view.set(0)
        self.outcome.set(made)
        self.go(self.leave)

    def apply(self, function: Any, given: Any, count: Any, state: Any) -> None:
        """Have a function of NumPy's write its result to the first of what is given, quietly (see ops/quiet.py).

        state: of the present thread, whether that is quiet, and what makes it so."""
        done, outcome = self.block("done"), self.variable(0)
        self.store(self.load(given), self.at(given, count))
        items = self.get(state, "list items")
        inside = self.differ(self.load(items), self.common("false"))
        with self.when(inside):
            outcome.set(self.call(self.common("PyObject_Vectorcall"), function, given, self.add(count, 1), 0))
            self.go(done)
        self.switch(items, "true")
        self.store(function, self.add(given, -WORD))
        entered = self.load(items, WORD)
        outcome.set(self.call(self.common("PyObject_Vectorcall"), entered, self.add(given, -WORD), self.add(count, 2), 0))
        self.switch(self.get(state, "list items"), "false")
        self.go(done)
        self.here(done)
        self.go_if(self.same(outcome.get(), 0), self.failed)
        self.api("Py_DecRef", outcome.get())

    def switch(self, items: Any, name: str) -> None:
        """Note in a list whether the thread is quiet."""
        before = self.load(items)
        self.store(self.held(self.common(name)), items)
        self.api("Py_DecRef", before)
