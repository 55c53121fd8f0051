"""The machine code behind every face: look a call up, follow its tape.

Input: a call in Python's fast convention (METH_FASTCALL | METH_KEYWORDS) of a face whose `self` has a header.  Output: the
tensor, or tensors, of a recorded call; of any other, what the operator's Python function gives.
Invariant: the code is the same for all operators and processes; what it refers to is in the words `SHARED`, in headers and in
tapes.  It holds a reference to every object that it uses across a call into Python.

In Python, for a call of one tensor:

    def record(self, args, nargs, kwnames):
        header = self.header
        if shared.traces or too many arguments: return header.function(*args)
        for each argument:      # of a tensor, its type and its needs; a number; else the object itself
            words += what the tape depends on
        entry = header.table[hash(words)]
        if entry.words != words or not grad_mode.enabled: return header.function(*args)
        for step in entry.tape:
            node = Node(step.spec, inputs, step.requires_grad, depth + step.more, value, line)
        result = Tensor.__new__(Tensor)
        result._node = node
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.operators.native.assembly import WORD, ObjectAssembly
from jitgrad.operators.native.words import (
    ARGUMENT,
    COMMON,
    COUNT,
    DEFAULT,
    ENTRIES,
    ENTRY,
    FUNCTION,
    HASH,
    KIND,
    LEARNER,
    LITERAL,
    MOST_STEPS,
    MOST_TENSORS,
    MOST_WORDS,
    NAMES,
    NEEDS,
    NUMBER,
    NUMBERS,
    PARTS,
    PATTERN,
    PENDING,
    RECORD,
    SHARED,
    TABLE,
    TAPE,
    TRIES,
    VIEWS,
    WORDS,
)

class Record(ObjectAssembly):
    """The function `record(self, args, nargs, kwnames)`."""

    def __init__(self, module: ir.Module, offsets: dict[str, int], deepest: int) -> None:
        """deepest: the depth at which the Python function takes over."""
        super().__init__(module, RECORD, 4, offsets)
        a = self
        self.self, self.args, self.nargs, self.keywords = self.arguments
        self.words = a.array(MOST_WORDS)
        self.count = a.variable(0)                          # of the words
        self.nodes = a.array(MOST_TENSORS + MOST_STEPS)     # references held: of the operands, then of the steps
        self.operands = a.variable(0)
        self.steps = a.variable(0)
        self.depth = a.variable(0)
        self.pattern = a.variable(0)
        self.needs = a.variable(0)                          # whether an operand requires a gradient
        self.tape = a.variable(0)                           # the array, a reference held
        self.line = a.variable(0)                           # a reference held
        self.outcome = a.variable(0)
        self.target = a.variable(0)                       # what the call is forwarded to
        self.forward, self.leave = a.block("forward"), a.block("leave")
        self.header = self.get(self.get(self.self, "State.header"), "data")
        self.shared = a.load(self.header, COMMON * WORD)
        self.target.set(a.load(self.header, FUNCTION * WORD))
        self.describe()
        self.may_record(deepest)
        self.find()
        self.passes()
        self.where()
        self.follow()
        self.go(self.leave)
        self.endings()
        self.finish()

    # -- the call as words -------------------------------------------------------------------------------------------

    def check(self, value: Any) -> Any:
        """Leave, with the exception that is set, if a call has given nothing."""
        self.go_if(self.same(value, 0), self.leave)
        return value

    def describe(self) -> None:
        """Describe the arguments in `words`, and hold the nodes of tensors."""
        self.go_if(self.differ(self.load(self.common("traces")), 0), self.forward)
        named = self.variable(0)
        with self.when(self.differ(self.keywords, 0)):
            named.set(self.get(self.keywords, "length"))
        self.kind = self.load(self.header, KIND * WORD)
        with self.loop(self.add(self.nargs, named.get())) as i:
            place = self.at(self.args, i)
            value = self.load(place)
            kind = self.get(value, "type")
            is_list, single, done = self.same(kind, self.common("list")), self.block("single"), self.block("done")
            self.go_if(self.builder.not_(self.either(is_list, self.same(kind, self.common("tuple")))), single)
            count = self.get(value, "length")
            self.push(self.add(kind, PARTS))
            self.push(count)
            parts = self.variable(self.add(value, self.offset["items"]))
            with self.when(is_list):
                parts.set(self.get(value, "list items"))
            with self.loop(count) as k:
                part = self.at(parts.get(), k)
                self.part(self.load(part), part, False)
            self.go(done)
            self.here(single)
            self.part(value, place, True)
            self.go(done)
            self.here(done)
        with self.loop(named.get()) as i:
            self.push(self.load(self.at(self.add(self.keywords, self.offset["items"]), i)))
        self.counts = self.add(self.builder.mul(named.get(), self.number(NAMES)), self.nargs)
        self.go_if(self.same(self.needs.get(), 0), self.forward)

    def push(self, word: Any) -> None:
        """Add a word."""
        count = self.count.get()
        self.go_if(self.same(count, MOST_WORDS), self.forward)
        self.store(word, self.at(self.words, count))
        self.count.set(self.add(count, 1))

    def part(self, value: Any, place: Any, is_argument: bool) -> None:
        """Add the words of an argument, or of an element of one, whose address is at `place`."""
        kind = self.get(value, "type")
        tensor, section, other, done = [self.block(name) for name in ("tensor", "section", "other", "done")]
        self.go_if(self.either(self.same(kind, self.common("Tensor")), self.same(kind, self.common("Parameter"))), tensor)
        self.go_if(self.same(kind, self.common("slice")), section)
        if is_argument:
            is_number = self.either(self.same(kind, self.common("float")), self.same(kind, self.common("int")))
            self.go_if(self.builder.not_(self.both(is_number, self.same(self.kind, NUMBERS))), other)
            self.push(self.add(self.common("float"), NUMBER))
            self.go(done)
        else:
            self.go(other)
        self.here(other)
        self.push(value)
        self.go(done)
        self.here(section)
        self.push(self.add(kind, PARTS))
        for name in ("start", "stop", "step"):
            self.push(self.get(value, f"slice {name}"))
        self.go(done)
        self.here(tensor)
        self.push(self.operand(value, place, is_argument))
        self.go(done)
        self.here(done)

    def operand(self, tensor: Any, place_of_tensor: Any, is_argument: bool) -> Any:
        """Hold a tensor's node; its word."""
        a = self
        place = self.operands.get()
        a.go_if(a.same(place, MOST_TENSORS), self.forward)
        with self.when(self.same(self.kind, VIEWS)):
            chain = self.check(self.api("PyObject_GetAttr", tensor, self.common("_chain")))
            self.api("Py_DecRef", chain)
            self.go_if(self.differ(self.get(chain, "length"), 0), self.forward)
        with self.when(self.less(self.number(NUMBERS), self.kind)):         # of a tensor that is not another's data
            tracks = self.check(self.api("PyObject_GetAttr", tensor, self.common("_tracks_version")))
            self.api("Py_DecRef", tracks)
            self.go_if(self.differ(tracks, self.common("true")), self.forward)
        storage = self.get(tensor, "Tensor._storage")
        found = a.variable(0)
        plain, ready = a.block("plain"), a.block("ready")
        # Python code that brings a tensor up to date may change the list that it is in.
        stale = a.block("stale") if is_argument else self.forward
        a.go_if(a.same(storage, self.common("none")), plain)
        a.go_if(a.differ(a.load(storage, self.offset["type"]), self.common("Storage")), stale)
        seen = self.check(self.api("PyObject_GetAttr", tensor, self.common("_seen")))
        writes = self.api("PyLong_AsSsize_t", self.get(storage, "Storage.writes"))
        same = a.same(self.api("PyLong_AsSsize_t", seen), writes)
        self.api("Py_DecRef", seen)
        a.go_if(same, plain)
        a.go(stale)
        a.here(plain)
        found.set(self.held(self.get(tensor, "Tensor._node")))
        a.go(ready)
        if is_argument:
            a.here(stale)
            found.set(self.check(self.api("PyObject_VectorcallMethod", self.common("_current"), place_of_tensor, 1, 0)))
            a.go(ready)
        a.here(ready)
        node = found.get()
        with a.loop(place) as j:        # is it one of those before?
            same = a.same(a.load(a.at(self.nodes, j)), node)
            self.pattern.set(a.select(same, a.builder.or_(self.pattern.get(), a.builder.shl(
                a.add(j, 1), a.builder.shl(place, a.number(2)))), self.pattern.get()))
        a.store(node, a.at(self.nodes, place))
        self.operands.set(a.add(place, 1))
        depth = self.api("PyLong_AsSsize_t", self.get(node, "Node.depth"))
        self.depth.set(a.select(a.less(self.depth.get(), depth), depth, self.depth.get()))
        needs = a.select(a.same(self.get(node, "Node.requires_grad"), self.common("true")), NEEDS, 0)
        self.needs.set(a.builder.or_(self.needs.get(), needs))
        word = a.add(self.get(self.get(node, "Node.spec"), "Spec.type"), needs)
        return a.add(word, a.select(a.less(a.number(0), depth), PENDING, 0))

    def find(self) -> None:
        """The tape of such a call; forward it where there is none."""
        a, b = self, self.builder
        mixed = a.variable(self.counts)
        with a.loop(self.count.get()) as i:
            mixed.set(b.mul(b.xor(mixed.get(), a.load(a.at(self.words, i))), a.number(HASH)))
        start = b.lshr(mixed.get(), a.number(40))
        table = a.load(self.header, TABLE * WORD)
        default, pattern = a.load(self.common("default")), self.pattern.get()
        found = a.block("found")
        entry = a.variable(0)
        with a.loop(a.number(TRIES)) as k:
            place = b.and_(a.add(start, k), a.number(ENTRIES - 1))
            at = b.add(table, b.mul(place, a.number(ENTRY * WORD)))
            entry.set(at)
            equal = a.both(a.same(a.load(at, COUNT * WORD), self.counts), a.both(
                a.same(a.load(at, DEFAULT * WORD), default), a.same(a.load(at, PATTERN * WORD), pattern)))
            with a.when(equal):
                different = a.variable(0)
                with a.loop(self.count.get()) as i:
                    different.set(b.or_(different.get(), b.xor(a.load(a.at(self.words, i)),
                                                               a.load(a.at(a.add(at, WORDS * WORD), i)))))
                a.go_if(a.same(different.get(), 0), found)
        self.target.set(a.load(self.header, LEARNER * WORD))
        a.go(self.forward)
        a.here(found)
        self.tape.set(self.held(a.load(entry.get(), TAPE * WORD)))

    def may_record(self, deepest: int) -> None:
        """Forward the call if it is not to be recorded: without grad mode, or too deep."""
        a = self
        a.go_if(a.less(a.number(deepest), self.depth.get()), self.forward)
        thread = self.api("PyThreadState_Get")
        known = a.block("known")
        a.go_if(a.same(a.load(self.common("recording_thread")), thread), known)
        enabled = self.check(self.api("PyObject_GetAttr", self.common("grad_mode"), self.common("enabled")))
        self.api("Py_DecRef", enabled)
        a.go_if(a.differ(enabled, self.common("true")), self.forward)
        a.store(thread, self.common("recording_thread"))
        a.go(known)
        a.here(known)

    def passes(self) -> None:
        """Forward the call if the operands do not pass the tests of the tape."""
        self.head = self.variable(self.get(self.tape.get(), "data"))
        with self.loop(self.take()):
            node = self.node_at(self.take())
            passed = self.check(self.api("PyObject_CallOneArg", self.take(), node))
            self.api("Py_DecRef", passed)
            self.go_if(self.differ(passed, self.common("true")), self.forward)

    def where(self) -> None:
        """The user's line, (code object, last instruction)."""
        a = self
        frame = self.api("PyEval_GetFrame")
        a.go_if(a.same(frame, 0), self.forward)
        code = self.api("PyFrame_GetCode", frame)
        outside, asked, done = a.block("outside"), a.block("asked"), a.block("done")
        with a.when(a.differ(code, self.common("last_code"))):
            name = a.variable(self.api("PyObject_GetAttr", code, self.common("co_filename")))
            known = self.api("PySet_Contains", self.common("outside"), name.get())
            self.api("Py_DecRef", name.get())
            a.go_if(a.differ(a.builder.trunc(known, ir.IntType(32)), ir.Constant(ir.IntType(32), 1)), asked)
            before = self.common("last_code")
            a.store(self.held(code), self.shared, SHARED.index("last_code") * WORD)
            self.api("Py_DecRef", before)
        a.go(outside)
        a.here(outside)
        last = a.builder.sext(a.builder.trunc(self.api("PyFrame_GetLasti", frame), ir.IntType(32)), ir.IntType(64))
        line = self.api("PyTuple_New", 2)
        self.api("PyTuple_SetItem", line, 0, code)          # takes over the reference
        self.api("PyTuple_SetItem", line, 1, self.api("PyLong_FromSsize_t", last))
        self.line.set(line)
        a.go(done)
        a.here(asked)
        self.api("Py_DecRef", code)
        self.line.set(self.check(self.api("PyObject_CallNoArgs", self.common("user_line"))))
        a.go(done)
        a.here(done)

    # -- the tape ----------------------------------------------------------------------------------------------------

    def take(self) -> Any:
        """The next word of the tape."""
        value = self.load(self.head.get())
        self.head.set(self.add(self.head.get(), WORD))
        return value

    def node_at(self, number: Any) -> Any:
        return self.load(self.at(self.nodes, number))

    def tuple_of_nodes(self, count: Any) -> Any:
        """A tuple of the nodes whose numbers come next, None for -1."""
        a = self
        made = self.api("PyTuple_New", count)
        with a.loop(count) as i:
            number = self.take()
            item = a.variable(self.common("none"))
            with a.when(a.differ(number, -1)):
                item.set(self.node_at(number))
            a.store(self.held(item.get()), a.at(a.add(made, self.offset["items"]), i))
        return made

    def follow(self) -> None:
        """Make the nodes, then the results."""
        a = self
        steps = self.take()
        results = self.take()
        make, chain = self.take(), self.take()
        with a.loop(steps) as k:
            self.step(k)
        with a.loop(self.take()):           # an owner may refer to any node
            self.extra()
        one, several, view = a.block("one"), a.block("several"), a.block("view")
        a.go_if(a.differ(chain, 0), view)
        a.builder.cbranch(a.same(make, 0), one, several)
        a.here(one)
        self.outcome.set(self.tensor())
        a.go(self.leave)
        a.here(several)
        made = self.api("PyTuple_New", results)
        with a.loop(results) as i:
            a.store(self.tensor(), a.at(a.add(made, self.offset["items"]), i))
        self.outcome.set(self.api("PyObject_CallOneArg", make, made))
        self.api("Py_DecRef", made)
        a.go(self.leave)
        a.here(view)
        self.view(chain)

    def tensor(self) -> Any:
        """A tensor on the node whose number comes next."""
        made = self.api("PyType_GenericAlloc", self.common("Tensor"), 0)
        self.put(self.held(self.node_at(self.take())), made, "Tensor._node")
        self.put(self.held(self.common("none")), made, "Tensor._storage")
        return made

    def view(self, chain: Any) -> None:
        """The result on the storage of the first argument."""
        source = self.load(self.args)
        with self.when(self.same(self.get(source, "Tensor._storage"), self.common("none"))):
            made = self.check(self.api("PyObject_VectorcallMethod", self.common("_ensure_storage"), self.args, 1, 0))
            self.api("Py_DecRef", made)
        storage = self.get(source, "Tensor._storage")
        cell = self.get(storage, "Storage.cell")
        result = self.tensor()
        self.api("Py_DecRef", self.common("none"))
        self.put(self.held(storage), result, "Tensor._storage")
        extra = self.get(self.get(result, "Tensor._node"), "Node.extra")
        self.api("Py_DecRef", self.common("none"))
        self.put(self.held(cell), extra, "Extra.cell")
        self.api("Py_DecRef", self.get(extra, "Extra.version"))
        self.put(self.held(self.get(cell, "Version.value")), extra, "Extra.version")
        before = self.api("PyObject_GetAttr", source, self.common("_chain"))
        both = self.api("PySequence_Concat", before, chain)
        self.api("Py_DecRef", before)
        self.api("PyObject_SetAttr", result, self.common("_chain"), both)
        self.api("Py_DecRef", both)
        self.api("PyObject_SetAttr", result, self.common("_seen"), self.get(storage, "Storage.writes"))
        self.outcome.set(result)

    def step(self, k: Any) -> None:
        """Make one node: spec, requires_grad, how much deeper (-1: of no depth), where its value comes from, inputs."""
        a = self
        node = self.blank_node()
        a.store(node, a.at(self.nodes, a.add(k, MOST_TENSORS)))
        self.steps.set(a.add(k, 1))
        self.put(self.held(self.take()), node, "Node.spec")
        self.put(self.held(self.take()), node, "Node.requires_grad")
        more = self.take()
        self.put(self.api("PyLong_FromSsize_t", a.select(a.same(more, -1), 0, a.add(self.depth.get(), more))), node, "Node.depth")
        kind, what = self.take(), self.take()
        value = a.variable(self.common("none"))
        with a.when(a.same(kind, LITERAL)):
            value.set(what)
        a.go_if(a.same(kind, ARGUMENT), number := a.block("number"))
        self.put(self.held(value.get()), node, "Node.value")
        self.put(self.held(self.line.get()), node, "Node.line")
        a.go(rest := a.block("rest"))
        a.here(number)          # a number is a leaf: it has no line
        self.put(self.held(self.common("none")), node, "Node.line")
        self.put(self.check(self.api("PyNumber_Float", a.load(a.at(self.args, what)))), node, "Node.value")
        a.go(rest)
        a.here(rest)
        self.put(self.tuple_of_nodes(self.take()), node, "Node.inputs")

    def extra(self) -> None:
        """Give a node what it has beyond a step: its number, and whether there is an owner."""
        node = self.node_at(self.take())
        owner = self.variable(0)
        with self.when(self.differ(self.take(), 0)):
            owner.set(self.owner())
        with self.when(self.same(owner.get(), 0)):
            owner.set(self.held(self.common("none")))
        extra = self.api("PyType_GenericAlloc", self.common("Extra"), 0)
        self.put(owner.get(), extra, "Extra.fn")
        self.put(self.api("PyLong_FromSsize_t", 0), extra, "Extra.version")
        self.put(self.held(self.common("false")), extra, "Extra.in_place")
        for field in ("watch", "leaf", "cell", "held", "reach", "grad_fn"):
            self.put(self.held(self.common("none")), extra, f"Extra.{field}")
        self.api("Py_DecRef", self.get(node, "Node.extra"))
        self.put(extra, node, "Node.extra")

    def owner(self) -> Any:
        """A Composite."""
        owner = self.api("PyType_GenericAlloc", self.common("Composite"), 0)
        self.put(self.held(self.take()), owner, "Composite.name")
        self.put(self.held(self.take()), owner, "Composite.saves_result")
        self.put(self.held(self.take()), owner, "Composite.number")
        self.put(self.tuple_of_nodes(self.take()), owner, "Composite.inputs")
        count = self.take()
        saves = self.variable(0)
        with self.when(self.differ(count, -1)):
            saves.set(self.tuple_of_nodes(count))
        with self.when(self.same(saves.get(), 0)):
            saves.set(self.held(self.common("none")))
        self.put(saves.get(), owner, "Composite.saves")
        return owner

    # -- the ends ----------------------------------------------------------------------------------------------------

    def endings(self) -> None:
        """Forward the call, and let go of what is held."""
        a = self
        a.here(self.forward)
        self.outcome.set(self.api("PyObject_Vectorcall", self.target.get(), self.args, self.nargs, self.keywords))
        a.go(self.leave)
        a.here(self.leave)
        with a.loop(self.operands.get()) as i:
            self.api("Py_DecRef", a.load(a.at(self.nodes, i)))
        with a.loop(self.steps.get()) as i:
            self.api("Py_DecRef", a.load(a.at(self.nodes, a.add(i, MOST_TENSORS))))
        for held in (self.tape, self.line):
            self.api("Py_DecRef", held.get())
        a.back(self.outcome.get())
