"""The machine code of a call, up to its template (see record.py).

Input: a call in Python's fast convention.  Output: the template that was learnt from such a call, the nodes of its operands, and
the user's line where it is to be recorded; or the call is forwarded to the operator's Python function, or to who learns from it.
"""
from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.operators.native import layout as W
from jitgrad.operators.native.assembly import I32, I64, WORD, ObjectAssembly


class CallAssembly(ObjectAssembly):
    """A function of a call `f(self, args, nargs, kwnames)` that finds the template of the call, or forwards it.

    After `find_template`: `template` and `line` are held, and the nodes of the operands in `nodes`; or, where nothing is to be recorded
    and all operands are known, `evaluate` has been called."""

    def __init__(self, module: ir.Module, name: str, offsets: dict[str, int]) -> None:
        super().__init__(module, name, 4, offsets)
        self.self, self.args, self.nargs, self.keywords = self.arguments
        self.words = self.array(W.MOST_WORDS)
        self.count = self.variable(0)                       # of the words
        self.nodes = self.array(W.MOST_TENSORS + W.MOST_STEPS)  # references held: of the operands, then of the steps
        self.operands = self.variable(0)
        self.seen = self.variable(0)                        # the number of writes to the storage of the last operand
        self.depth = self.variable(0)
        self.longest, self.holds = self.variable(0), self.variable(0)       # of the operands that are postponed: see graph.Node
        self.pattern = self.variable(0)
        self.needs = self.variable(0)                       # whether an operand requires a gradient
        self.filled = self.variable(0)                      # the array, of the storage of the first argument, that is being filled
        self.template = self.variable(0)                        # the array, a reference held
        self.line = self.variable(0)                        # a reference held
        self.at_once = self.variable(0)                     # whether what is recorded is to be computed
        self.target = self.variable(0)                      # what the call is forwarded to
        self.known = self.variable(1)                       # whether all operands are,
        self.settled = self.variable(1)                     # or are postponed
        self.forward, self.leave = self.block("forward"), self.block("leave")
        self.header = self.get(self.get(self.self, "EntryPoint.header"), "data")
        self.shared = self.load(self.header, W.COMMON * WORD)
        self.target.set(self.load(self.header, W.FUNCTION * WORD))

    def number_given(self, argument: Any) -> Any:
        """A new reference to the number that an argument is, as templates number it: a float, or (see WHOLE) the integer itself."""
        is_whole, number = self.less(self.number(W.WHOLE - 1), argument), self.variable(0)
        value = self.load(self.at(self.args, self.select(is_whole, self.add(argument, -W.WHOLE), argument)))
        with self.when(is_whole):
            number.set(self.held(value))
        with self.when(self.builder.not_(is_whole)):
            number.set(self.api("PyNumber_Float", value))
        return number.get()

    def find_template(self, deepest: int) -> None:
        """deepest: the depth at which the Python function takes over."""
        self.describe()
        evaluates = self.mode(deepest)
        self.find()
        self.passes()
        filling, usual = self.block("filling"), self.block("usual")
        self.builder.cbranch(self.differ(self.filled.get(), 0), filling, usual)
        self.here(filling)
        self.fill()
        self.here(usual)
        evaluated, recorded = self.block("evaluated"), self.block("recorded")
        self.builder.cbranch(evaluates, evaluated, recorded)
        self.here(evaluated)
        evaluator = self.take()
        self.at_once.set(self.select(self.same(evaluator, W.AT_ONCE), self.number(1), 0))
        self.go_if(self.either(self.same(evaluator, W.RECORDED), self.same(evaluator, W.AT_ONCE)), recorded)
        self.evaluate(evaluator)
        self.here(recorded)
        self.where()

    def evaluate(self, evaluator: Any) -> None:
        """Give what a template's evaluator gives."""
        raise NotImplementedError

    def fill(self) -> None:
        """Do what the template says with the first argument, which is being filled."""
        raise NotImplementedError

    def describe(self) -> None:
        """Describe the arguments in `words`, and hold the nodes of tensors."""
        self.go_if(self.differ(self.load(self.common("traces")), 0), self.forward)
        named = self.variable(0)
        with self.when(self.differ(self.keywords, 0)):
            named.set(self.get(self.keywords, "length"))
        self.kind = self.load(self.header, W.KIND * WORD)
        self.foresee()
        with self.loop(self.add(self.nargs, named.get())) as i:
            place = self.at(self.args, i)
            value = self.load(place)
            kind = self.get(value, "type")
            is_list, single, done = self.same(kind, self.common("list")), self.block("single"), self.block("done")
            self.foreseen(i, done)
            self.go_if(self.builder.not_(self.either(is_list, self.same(kind, self.common("tuple")))), single)
            count = self.get(value, "length")
            self.push(self.add(kind, W.PARTS))
            self.push(count)
            parts = self.variable(self.add(value, self.offset["items"]))
            with self.when(is_list):
                parts.set(self.get(value, "list items"))
            with self.loop(count) as k:
                part = self.at(parts.get(), k)
                self.part(self.load(part), part)
            self.go(done)
            self.here(single)
            self.part(value, place, self.less(i, self.nargs), i)
            self.go(done)
            self.here(done)
        with self.loop(named.get()) as i:
            self.push(self.load(self.at(self.add(self.keywords, self.offset["items"]), i)))
        self.counts = self.add(self.builder.mul(named.get(), self.number(W.NAMES)), self.nargs)
        self.go_if(self.both(self.same(self.operands.get(), 0), self.same(self.filled.get(), 0)), self.forward)

    def push(self, word: Any) -> None:
        """Add a word."""
        count = self.count.get()
        self.go_if(self.same(count, W.MOST_WORDS), self.forward)
        self.store(word, self.at(self.words, count))
        self.count.set(self.add(count, 1))

    def part(self, value: Any, place: Any, by_position: Any = None, i: Any = None) -> None:
        """Add the words of an argument, number i, or of an element of one (`by_position` is None), whose address is at `place`."""
        is_argument = by_position is not None
        kind = self.get(value, "type")
        tensor, section, other, done = [self.block(name) for name in ("tensor", "section", "other", "done")]
        self.go_if(self.either(self.same(kind, self.common("Tensor")), self.same(kind, self.common("Parameter"))), tensor)
        self.go_if(self.same(kind, self.common("slice")), section)
        if is_argument:
            is_number = self.either(self.same(kind, self.common("float")), self.same(kind, self.common("int")))
            of_numbers = self.either(self.either(self.same(self.kind, W.NUMBERS), self.same(self.kind, W.SCALED)),
                                     self.both(self.same(self.kind, W.WRITES), self.same(i, 2)))
            self.go_if(self.builder.not_(self.both(self.both(is_number, by_position), of_numbers)), other)
            self.push(self.add(kind, W.NUMBER))
            self.go(done)
        else:
            self.go(other)
        self.here(other)
        self.push(self.plain(value))
        self.go(done)
        self.here(section)
        self.push(self.add(kind, W.PARTS))
        for name in ("start", "stop", "step"):
            self.push(self.plain(self.get(value, f"slice {name}")))
        self.go(done)
        self.here(tensor)
        self.push(self.operand(value, place, is_argument))
        if is_argument:
            with self.when(self.both(self.same(i, 0), self.less(self.number(W.READS), self.kind))):
                self.written(value)
        self.go(done)
        self.here(done)

    def plain(self, value: Any) -> Any:
        """The word of an object that is no tensor: of an integer its value."""
        word = self.variable(value)
        with self.when(self.same(self.get(value, "type"), self.common("int"))):
            number = self.api("PyLong_AsSsize_t", value)
            with self.when(self.same(number, -1)):
                with self.when(self.differ(self.api("PyErr_Occurred"), 0)):
                    self.api("PyErr_Clear")
            shifted = self.builder.shl(number, self.number(W.BITS))
            is_short = self.both(self.differ(number, -1), self.same(self.builder.ashr(shifted, self.number(W.BITS)), number))
            word.set(self.select(is_short, self.add(shifted, W.INTEGER), value))
        return word.get()

    def written(self, tensor: Any) -> None:
        """Add the words of what is written to, the first argument, whose own are there."""
        raise NotImplementedError

    def foresee(self) -> None:
        """See whether the first argument is being filled, and whether the value that is written by index is there already."""
        raise NotImplementedError

    def foreseen(self, i: Any, done: Any) -> None:
        """Add the words of such an argument, number i, and go on where that is done."""
        raise NotImplementedError

    def operand(self, tensor: Any, place_of_tensor: Any, is_argument: bool) -> Any:
        """Hold a tensor's node; its word."""
        self.go_if(self.same(self.operands.get(), W.MOST_TENSORS), self.forward)
        with self.when(self.same(self.kind, W.VIEWS)):
            chain = self.api("PyObject_GetAttr", tensor, self.common("_chain"))
            self.api("Py_DecRef", chain)
            self.go_if(self.differ(self.get(chain, "length"), 0), self.forward)
        with self.when(self.less(self.number(W.NUMBERS), self.kind)):         # of a tensor that is not another's data
            tracks = self.api("PyObject_GetAttr", tensor, self.common("_tracks_version"))
            self.api("Py_DecRef", tracks)
            self.go_if(self.differ(tracks, self.common("true")), self.forward)
        storage = self.get(tensor, "Tensor._storage")
        found = self.variable(0)
        plain, ready = self.block("plain"), self.block("ready")
        # Python code that brings a tensor up to date may change the list that it is in.
        stale = self.block("stale") if is_argument else self.forward
        self.seen.set(0)
        self.go_if(self.same(storage, self.common("none")), plain)
        self.go_if(self.differ(self.load(storage, self.offset["type"]), self.common("Storage")), stale)
        with self.when(self.less(self.number(W.NUMBERS), self.kind)):         # a part of what is being filled need not wait for all
            self.go_if(self.differ(self.get(storage, "Storage.private"), self.common("none")), self.forward)
        seen = self.api("PyObject_GetAttr", tensor, self.common("_seen"))
        writes = self.api("PyLong_AsSsize_t", self.get(storage, "Storage.writes"))
        same = self.same(self.api("PyLong_AsSsize_t", seen), writes)
        self.api("Py_DecRef", seen)
        self.seen.set(writes)
        self.go_if(same, plain)
        if is_argument:
            self.renew(tensor, storage, stale)
            self.go(plain)
        else:
            self.go(stale)
        self.here(plain)
        found.set(self.held(self.get(tensor, "Tensor._node")))
        self.go(ready)
        if is_argument:
            self.here(stale)
            found.set(self.api("PyObject_VectorcallMethod", self.common("_current"), place_of_tensor, 1, 0))
            seen = self.api("PyObject_GetAttr", tensor, self.common("_seen"))
            self.seen.set(self.api("PyLong_AsSsize_t", seen))
            self.api("Py_DecRef", seen)
            self.go(ready)
        self.here(ready)
        return self.hold(found.get())

    def renew(self, tensor: Any, storage: Any, otherwise: Any) -> None:
        """Give a tensor that is all of its storage the node that it has there; go to `otherwise` with others (see Tensor._current)."""
        none = self.common("none")
        chain = self.api("PyObject_GetAttr", tensor, self.common("_chain"))
        self.api("Py_DecRef", chain)
        self.go_if(self.differ(self.get(chain, "length"), 0), otherwise)
        for name in ("private", "owner", "history"):
            self.go_if(self.differ(self.get(storage, f"Storage.{name}"), none), otherwise)
        self.api("PyObject_SetAttr", tensor, self.common("_seen"), self.get(storage, "Storage.writes"))
        # What was allocated for that may have run anything: if somebody has written, the tensor is not new.
        before = self.get(tensor, "Tensor._node")
        self.put(self.held(self.get(storage, "Storage.node")), tensor, "Tensor._node")
        self.api("Py_DecRef", before)

    def hold(self, node: Any) -> Any:
        """Take over a reference to the node of an operand; its word."""
        place = self.operands.get()
        with self.loop(place) as j:        # is it one of those before?
            same = self.same(self.load(self.at(self.nodes, j)), node)
            self.pattern.set(self.select(same, self.builder.or_(self.pattern.get(), self.builder.shl(
                self.add(j, 1), self.builder.shl(place, self.number(2)))), self.pattern.get()))
        self.store(node, self.at(self.nodes, place))
        self.operands.set(self.add(place, 1))
        depth = self.api("PyLong_AsSsize_t", self.get(node, "Node.depth"))
        self.depth.set(self.select(self.less(self.depth.get(), depth), depth, self.depth.get()))
        is_known = self.same(self.get(self.get(node, "Node.value"), "type"), self.common("ndarray"))
        self.known.set(self.select(is_known, self.known.get(), 0))
        is_postponed = self.less(depth, self.number(0))
        self.settled.set(self.select(self.either(is_known, is_postponed), self.settled.get(), 0))
        longest = self.builder.and_(self.builder.neg(depth), self.number((1 << W.HOLDS) - 1))
        self.longest.set(self.select(self.both(is_postponed, self.less(self.longest.get(), longest)), longest, self.longest.get()))
        holds = self.builder.lshr(self.builder.neg(depth), self.number(W.HOLDS))
        self.holds.set(self.add(self.holds.get(), self.select(is_postponed, holds, 0)))
        needs = self.select(self.same(self.get(node, "Node.requires_grad"), self.common("true")), W.NEEDS, 0)
        self.needs.set(self.builder.or_(self.needs.get(), needs))
        word = self.add(self.get(self.get(node, "Node.spec"), "Spec.type"), needs)
        return self.add(word, self.select(self.less(self.number(0), depth), W.PENDING, 0))

    def find(self) -> None:
        """The template of such a call; forward it where there is none."""
        b = self.builder
        mixed = self.variable(self.counts)
        with self.loop(self.count.get()) as i:
            mixed.set(b.mul(b.xor(mixed.get(), self.load(self.at(self.words, i))), self.number(W.HASH)))
        start = b.lshr(mixed.get(), self.number(40))
        table = self.load(self.header, W.TABLE * WORD)
        default, pattern = self.load(self.common("default")), self.pattern.get()
        found = self.block("found")
        entry = self.variable(0)
        with self.loop(self.number(W.TRIES)) as k:
            place = b.and_(self.add(start, k), self.load(self.header, W.MASK * WORD))
            at = b.add(table, b.mul(place, self.number(W.ENTRY * WORD)))
            entry.set(at)
            equal = self.both(self.same(self.load(at, W.COUNT * WORD), self.counts), self.both(
                self.same(self.load(at, W.DEFAULT * WORD), default), self.same(self.load(at, W.PATTERN * WORD), pattern)))
            with self.when(equal):
                different = self.variable(0)
                with self.loop(self.count.get()) as i:
                    different.set(b.or_(different.get(), b.xor(self.load(self.at(self.words, i)),
                                                               self.load(self.at(self.add(at, W.WORDS * WORD), i)))))
                self.go_if(self.same(different.get(), 0), found)
        self.target.set(self.load(self.header, W.LEARNER * WORD))
        self.go(self.forward)
        self.here(found)
        self.template.set(self.held(self.load(entry.get(), W.TEMPLATE * WORD)))

    def mode(self, deepest: int) -> Any:
        """Whether the call is to be evaluated or postponed, since there is no gradient; forward it if it is neither that nor to be
        recorded: of operands that are pending, too deep, or a view."""
        kind, without, postponed, decided = self.variable(0), self.block("without"), self.block("postponed"), self.block("decided")
        in_grad_mode = ("recording_thread", "grad_mode", "enabled", "true")
        with self.when(self.differ(self.filled.get(), 0)):
            off = self.block("off")
            self.go_if(self.same(self.settled.get(), 0), self.forward)
            kind.set(W.FILLED + W.WITHOUT)
            self.in_mode(*in_grad_mode, off)
            self.go_if(self.differ(self.needs.get(), 0), self.forward)
            kind.set(W.FILLED)
            self.go(off)
            self.here(off)
            self.go(decided)
        self.go_if(self.same(self.needs.get(), 0), without)
        self.in_mode(*in_grad_mode, postponed)
        # What is recorded with gradients refers to nothing that is postponed.
        self.go_if(self.either(self.less(self.number(deepest), self.depth.get()), self.differ(self.longest.get(), 0)), self.forward)
        self.go(decided)
        self.here(without)
        self.in_mode(*in_grad_mode, postponed)
        self.go_if(self.either(self.same(self.known.get(), 0), self.less(self.number(W.NUMBERS), self.kind)), self.forward)
        kind.set(W.VALUES)
        self.go(decided)
        self.here(postponed)
        self.go_if(self.either(self.same(self.settled.get(), 0), self.less(self.number(W.NUMBERS), self.kind)), self.forward)
        self.go_if(self.less(self.number(W.LONGEST_POSTPONED), self.longest.get()), self.forward)
        self.go_if(self.less(self.number(W.MOST_HELD), self.holds.get()), self.forward)
        holds = self.builder.shl(self.holds.get(), self.number(W.HOLDS))
        self.depth.set(self.builder.neg(self.add(self.longest.get(), holds)))
        kind.set(W.POSTPONED)
        self.go(decided)
        self.here(decided)
        self.counts = self.add(self.counts, kind.get())
        return self.differ(kind.get(), 0)

    def passes(self) -> None:
        """Forward the call if the operands do not pass the tests of the template."""
        self.head = self.variable(self.get(self.template.get(), "data"))
        with self.loop(self.take()):
            node = self.node_at(self.take())
            passed = self.api("PyObject_CallOneArg", self.take(), node)
            self.api("Py_DecRef", passed)
            self.go_if(self.differ(passed, self.common("true")), self.forward)

    def where(self) -> None:
        """The user's line, (code object, last instruction)."""
        frame = self.api("PyEval_GetFrame")
        self.go_if(self.same(frame, 0), self.forward)
        code = self.owned(self.api("PyFrame_GetCode", frame))
        last = self.builder.sext(self.builder.trunc(self.api("PyFrame_GetLasti", frame), I32), I64)
        outside, asked, done = self.block("outside"), self.block("asked"), self.block("done")
        with self.when(self.differ(code.get(), self.common("last_code"))):
            name = self.api("PyObject_GetAttr", code.get(), self.common("co_filename"))
            self.api("Py_DecRef", name)         # the code has it
            self.go_if(self.same(self.api("PySet_Contains", self.common("outside"), name), 0), asked)
            before = self.common("last_code")
            self.store(self.held(code.get()), self.shared, W.SHARED.index("last_code") * WORD)
            self.api("Py_DecRef", before)
        self.go(outside)
        self.here(outside)
        line = self.api("PyTuple_New", 2)
        self.line.set(line)
        self.store(code.get(), line, self.offset["items"])          # takes over the reference
        code.set(0)
        self.store(self.api("PyLong_FromSsize_t", last), line, self.offset["items"] + WORD)
        self.go(done)
        self.here(asked)
        self.api("Py_DecRef", code.get())
        code.set(0)
        self.line.set(self.api("PyObject_CallNoArgs", self.common("user_line")))
        self.go(done)
        self.here(done)

    # -- the words of the template -----------------------------------------------------------------------------------------

    def take(self) -> Any:
        """The next word of the template."""
        value = self.load(self.head.get())
        self.head.set(self.add(self.head.get(), WORD))
        return value

    def node_at(self, number: Any) -> Any:
        return self.load(self.at(self.nodes, number))
