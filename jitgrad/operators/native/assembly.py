"""Writing machine code that reads and makes Python objects: a thin layer over llvmlite's IR builder.

All values are 64-bit integers, addresses among them.  Functions of Python's C interface are called by address, so that the
code refers to nothing outside itself.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from jitgrad.operators.native.layout import SHARED

I64 = ir.IntType(64)
I32 = ir.IntType(32)
WORD = 8
# How functions of Python's C interface say that they have failed, and set an exception: by NULL, or by a negative C int.  The
# others that are called cannot fail for what they are given.
NULL = frozenset("""PyObject_GetAttr PyObject_VectorcallMethod PyObject_Vectorcall PyObject_CallNoArgs PyObject_CallOneArg
    PyLong_FromSsize_t PyNumber_Float PyTuple_New PyType_GenericAlloc PySequence_Concat PyWeakref_NewRef PyObject_GetItem PyList_New
    PyList_GetItem""".split())
NEGATIVE = frozenset("PyObject_SetAttr PyObject_SetItem PyTuple_SetItem PyList_SetItem PyList_Append PySet_Contains".split())


class Assembly:
    """One function of integers that returns one."""

    def __init__(self, module: ir.Module, name: str, arguments: int) -> None:
        self.function = ir.Function(module, ir.FunctionType(I64, [I64] * arguments), name)
        self.arguments = self.function.args
        self.entry = self.function.append_basic_block("entry")
        self.builder: Any = ir.IRBuilder(self.function.append_basic_block("start"))
        self._allocations: Any = ir.IRBuilder(self.entry)
        self._start = self.builder.block

    def finish(self) -> None:
        """All is written."""
        self._allocations.branch(self._start)

    # -- values ------------------------------------------------------------------------------------------------------

    def number(self, value: int) -> Any:
        """A literal."""
        return ir.Constant(I64, value)

    def variable(self, value: Any = 0) -> StackWord:
        """What is assigned again."""
        found = StackWord(self, self._allocations.alloca(I64))
        found.set(value)
        return found

    def array(self, count: int) -> Any:
        """The address of so many words."""
        return self._allocations.ptrtoint(self._allocations.alloca(I64, count), I64)

    def value(self, value: Any) -> Any:
        return self.number(value) if isinstance(value, int) else value

    def load(self, address: Any, offset: int = 0) -> Any:
        """The word at address + offset."""
        return self.builder.load(self._pointer(address, offset), typ=I64)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        """Write the word at address + offset."""
        self.builder.store(self.value(value), self._pointer(address, offset))

    def _pointer(self, address: Any, offset: int) -> Any:
        return self.builder.inttoptr(self.add(address, offset) if offset else address, I64.as_pointer())

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.add(a, self.value(b))

    def at(self, base: Any, index: Any) -> Any:
        """The address of word number `index`."""
        return self.builder.add(base, self.builder.shl(self.value(index), self.number(3)))

    def same(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_unsigned("==", a, self.value(b))

    def differ(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_unsigned("!=", a, self.value(b))

    def less(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_signed("<", a, self.value(b))

    def select(self, condition: Any, a: Any, b: Any) -> Any:
        return self.builder.select(condition, self.value(a), self.value(b))

    def either(self, a: Any, b: Any) -> Any:
        return self.builder.or_(a, b)

    def both(self, a: Any, b: Any) -> Any:
        return self.builder.and_(a, b)

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call the function at an address."""
        kind = ir.FunctionType(I64, [I64] * len(arguments)).as_pointer()
        return self.builder.call(self.builder.inttoptr(function, kind), [self.value(a) for a in arguments])

    # -- flow --------------------------------------------------------------------------------------------------------

    def block(self, name: str) -> Any:
        return self.function.append_basic_block(name)

    def go(self, block: Any) -> None:
        self.builder.branch(block)

    def go_if(self, condition: Any, block: Any) -> None:
        """Go to a block, or on."""
        on = self.block("on")
        self.builder.cbranch(condition, block, on)
        self.builder.position_at_end(on)

    def here(self, block: Any) -> None:
        """What follows is in this block."""
        self.builder.position_at_end(block)

    @contextmanager
    def when(self, condition: Any) -> Iterator[None]:
        """`if`: what is inside may go elsewhere."""
        inside, after = self.block("when"), self.block("after")
        self.builder.cbranch(condition, inside, after)
        self.here(inside)
        yield
        if not self.builder.block.is_terminated:
            self.go(after)
        self.here(after)

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """`for i in range(count)`."""
        i = self.variable(0)
        head, body, after = self.block("head"), self.block("body"), self.block("after")
        self.go(head)
        self.here(head)
        self.builder.cbranch(self.less(i.get(), count), body, after)
        self.here(body)
        index = i.get()
        yield index
        if not self.builder.block.is_terminated:
            i.set(self.add(index, 1))
            self.go(head)
        self.here(after)

    def back(self, value: Any) -> None:
        """Return."""
        self.builder.ret(self.value(value))


class StackWord:
    """A word on the stack, which LLVM turns into a register."""

    def __init__(self, assembly: Assembly, place: Any) -> None:
        self._assembly = assembly
        self.place = place

    def get(self) -> Any:
        """Its value as of now."""
        return self._assembly.builder.load(self.place)

    def set(self, value: Any) -> None:
        """Assign."""
        self._assembly.builder.store(self._assembly.value(value), self.place)


class ObjectAssembly(Assembly):
    """A function that works on the package's objects.

    offsets: of layout.SLOTS, in bytes.  shared: the address of words.SHARED.  failed: where the function goes on when a call into
    Python has failed, with an exception set; it lets go of what is held.

    A call into Python may run the garbage collector, a call of Python code anything.  So what is going to be replaced is read
    after all that is needed for it has been made."""

    shared: Any

    def __init__(self, module: ir.Module, name: str, arguments: int, offsets: dict[str, int]) -> None:
        super().__init__(module, name, arguments)
        self.offset = offsets
        self.failed = self.block("failed")
        self._owned: list[StackWord] = []

    def common(self, name: str) -> Any:
        """A word of layout.SHARED."""
        return self.load(self.shared, SHARED.index(name) * WORD)

    def api(self, name: str, *arguments: Any) -> Any:
        """Call a function of Python's C interface; where it fails, go to `failed`."""
        result = self.call(self.common(name), *arguments)
        if name in NULL:
            self.go_if(self.same(result, 0), self.failed)
        elif name in NEGATIVE:
            result = self.builder.sext(self.builder.trunc(result, I32), I64)
            self.go_if(self.less(result, 0), self.failed)
        return result

    def memory(self, count: Any) -> Any:
        """So many words, for PyMem_Free.  (Not on the stack: Windows has a function called for frames of more than a page, to
        which object code could not refer.)"""
        result = self.api("PyMem_Malloc", self.builder.shl(count, self.number(3)))
        with self.when(self.same(result, 0)):
            self.api("PyErr_NoMemory")
            self.go(self.failed)
        return result

    def owned(self, value: Any = None) -> StackWord:
        """A variable for a reference, 0 while there is none, of which `let_go` lets go."""
        found = StackWord(self, self._allocations.alloca(I64))
        self._allocations.store(self.number(0), found.place)
        self._owned.append(found)
        if value is not None:
            found.set(value)
        return found

    def let_go(self) -> None:
        """Of the references of all variables that `owned` has made so far."""
        for variable in self._owned:
            self.api("Py_DecRef", variable.get())

    def get(self, what: Any, slot: str) -> Any:
        """What a slot refers to; no reference is added."""
        return self.load(what, self.offset[slot])

    def put(self, value: Any, what: Any, slot: str) -> None:
        """Write a slot of a new object; the reference is taken over."""
        self.store(value, what, self.offset[slot])

    def held(self, value: Any) -> Any:
        """The same, with one more reference."""
        self.api("Py_IncRef", value)
        return value

    def in_mode(self, word: str, owner: str, name: str, wanted: str, otherwise: Any) -> None:
        """Go to `otherwise` unless an attribute of a thread-local object is what is wanted.

        word: where the thread is noted that was last seen in that mode, since a thread-local is read slowly."""
        thread, known = self.api("PyThreadState_Get"), self.block("known")
        self.go_if(self.same(self.load(self.common(word)), thread), known)
        found = self.api("PyObject_GetAttr", self.common(owner), self.common(name))
        self.api("Py_DecRef", found)
        self.go_if(self.differ(found, self.common(wanted)), otherwise)
        self.store(thread, self.common(word))
        self.go(known)
        self.here(known)

    def in_usual_mode(self, otherwise: Any) -> None:
        """Go to `otherwise` where graphs are traced, or interpreted, instead of compiled."""
        self.go_if(self.differ(self.load(self.common("traces")), 0), otherwise)
        self.in_mode("compiling_thread", "interpreting", "active", "false", otherwise)
        always = self.api("PyObject_GetAttr", self.common("config"), self.common("interpret"))
        self.api("Py_DecRef", always)
        self.go_if(self.differ(always, self.common("false")), otherwise)

    def blank_node(self) -> Any:
        """A node of which what is mostly None is so already."""
        node = self.api("PyType_GenericAlloc", self.common("Node"), 0)
        for slot in ("Node.run", "Node.extra"):
            self.put(self.held(self.common("none")), node, slot)
        return node
