"""What a code object can read, told from its instructions.

Input: code that is about to run.  Output: the names that it reads or writes as globals and as attributes, what it imports, and
whatever else of it tells where a read leads.
Invariant: an instruction that is not known here is a reason not to replay: a later Python may read in ways of its own.
"""
from __future__ import annotations

import dis
from types import CodeType

GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL")
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR", "IMPORT_FROM", "LOAD_SUPER_ATTR")
LOCALS = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
FAMILIES = ("LOAD_FAST", "STORE_FAST", "DELETE_FAST", "LOAD_CONST", "LOAD_SMALL_INT", "LOAD_COMMON_CONSTANT", "LOAD_CLOSURE",
            "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "LOAD_LOCALS", "LOAD_ASSERTION_ERROR", "LOAD_SPECIAL",
            "LOAD_BUILD_CLASS", "STORE_DEREF", "DELETE_DEREF", "STORE_NAME", "DELETE_NAME", "STORE_SUBSCR", "DELETE_SUBSCR",
            "STORE_SLICE", "MAKE_", "SET_", "COPY", "SWAP", "POP_", "PUSH_", "JUMP_", "BINARY_", "UNARY_", "COMPARE_OP",
            "CONTAINS_OP", "IS_OP", "TO_BOOL", "BUILD_", "LIST_", "DICT_", "MAP_ADD", "UNPACK_", "FORMAT_", "CONVERT_VALUE",
            "GET_ITER", "GET_LEN", "GET_YIELD_FROM_ITER", "FOR_ITER", "END_FOR", "END_SEND", "RETURN_", "YIELD_VALUE", "SEND",
            "CLEANUP_THROW", "CALL", "PRECALL", "KW_NAMES", "NOP", "NOT_TAKEN", "CACHE", "RESUME", "EXTENDED_ARG", "BEFORE_WITH",
            "WITH_EXCEPT_START", "CHECK_EXC_MATCH", "RAISE_VARARGS", "RERAISE", "INSTRUMENTED_", "IMPORT_NAME", "MATCH_CLASS",
            "MATCH_KEYS", "MATCH_MAPPING", "MATCH_SEQUENCE", "SETUP_ANNOTATIONS")
COMPUTED = {"__dict__", "__getattribute__", "__setattr__", "__delattr__", "__getattr__", "__get__", "__set__", "__dir__",
            "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__match_args__", "attrgetter", "methodcaller", "format",
            "format_map"}
HIDDEN = {"__globals__", "__closure__", "__builtins__", "f_globals", "f_locals", "f_back", "gi_frame", "tb_frame", "cr_frame",
          "__subclasses__", "cell_contents", "__traceback__"}


class Code:
    """The instructions of one code object.

    globals_: names, and whether each is read to be called at once, and for nothing else.  attributes: names; values: those that are
    read for something else; stored: those that are written.  imports: (name, level).
    own: names that are attributes of nothing but a parameter or global, by its name; loose: of anything.
    computed: whether attributes are read by names that do not stand in it; catches: whether an exception that it causes may
    stay unseen; unknown: (instruction, line) that is not understood."""

    def __init__(self, code: CodeType) -> None:
        self.globals_: dict[str, bool] = {}
        self.attributes: set[str] = set()
        self.values: set[str] = set()
        self.stored: set[str] = set()
        self.imports: list[tuple[str, int]] = []
        self.own: dict[tuple[str, str], set[str]] = {}
        self.loose: set[str] = set()
        self.unknown: tuple[str, int] | None = None
        instructions = list(dis.get_instructions(code))
        stored = {i.argval for i in instructions if i.opname.startswith(("STORE_", "DELETE_")) and isinstance(i.argval, str)}
        names = {i.opname for i in instructions}
        handlers = [i.opname for i in instructions if i.opname in ("PUSH_EXC_INFO", "WITH_EXCEPT_START")]
        self.catches = handlers.count("PUSH_EXC_INFO") > handlers.count("WITH_EXCEPT_START")
        parameters = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
        line = code.co_firstlineno
        called = False          # whether what the instruction before has loaded is called, or the last attribute of it
        for k, instruction in enumerate(instructions):
            name, value = instruction.opname, instruction.argval
            before, after = instructions[k - 1].opname, instructions[k + 1].opname if k + 1 < len(instructions) else ""
            line = (instruction.positions.lineno if instruction.positions else None) or line
            if name in GLOBALS:
                called = "NULL" in instruction.argrepr or "PUSH_NULL" in (before, after)
                self.globals_[value] = self.globals_.get(value, True) and called and after not in ATTRIBUTES
                continue
            if name in ATTRIBUTES:
                self.attributes.add(value)
                if name in ("STORE_ATTR", "DELETE_ATTR"):
                    self.stored.add(value)
                called = called or name == "LOAD_METHOD" or "NULL" in instruction.argrepr or after == "PUSH_NULL"
                if not called or after in ATTRIBUTES:
                    self.values.add(value)
                owner = instructions[k - 1].argval
                kind = "global" if before == "LOAD_GLOBAL" else "local" if before in LOCALS and owner in parameters else None
                if kind is None or owner in stored or instruction.is_jump_target or name == "IMPORT_FROM":
                    self.loose.add(value)
                else:
                    self.own.setdefault((kind, owner), set()).add(value)
                continue
            if name == "IMPORT_NAME":
                self.imports.append((value, instructions[k - 2].argval))
                self.attributes.update(value.split("."))
            elif not name.startswith(FAMILIES) and self.unknown is None:
                self.unknown = name, line
            called = False
        self.computed = bool(COMPUTED & {*self.attributes, *self.globals_}) or "MATCH_CLASS" in names
        self.catches = self.catches or "suppress" in self.attributes or "suppress" in self.globals_
