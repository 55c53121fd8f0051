"""The layout of the integers that Python and machine code share: headers, tables and templates.

An entry of the table is `ENTRY` words: how many arguments there are by position and by name (0: an empty entry), the default
dtype, which tensors are one (PATTERN), the array that is the template (see templates.py), the words of each argument, and one for each
name.  An argument is one word: of a tensor the address of its type and what it needs, of an integer its value, of another object
its address; a list or tuple its type, its length and its elements; a slice its type and its three bounds.  A tensor that is
written to has its steps as another word, and if there are any that of its base.
"""
from __future__ import annotations

MOST_TENSORS = 6
MOST_STEPS = 40
ENTRIES = 256           # of one operator, a power of two; at first and at most of views and writes, whose indices a loop counts:
FEW_ENTRIES, MOST_ENTRIES = 64, 4096
TRIES = 4               # neighbours that are looked at
MOST_WORDS = 20
COUNT, DEFAULT, PATTERN, TEMPLATE, WORDS = 0, 1, 2, 3, 4
ENTRY = WORDS + MOST_WORDS
NAMES = 16              # in COUNT: times the number of names, and that of arguments by position,
VALUES = 1 << 12        # and this where nothing is to be recorded, or
POSTPONED = 1 << 13     # that without gradient mode, or
FILLED = 1 << 14        # the first argument is being filled (Storage.private), with this
WITHOUT = 1 << 15       # where there is no gradient mode;
LONGEST_POSTPONED = 128         # operations one after another, from which on what is postponed is computed,
MOST_HELD = 256                 # or from so many pieces of HELD bytes of operands on,
HELD = 1 << 16
HOLDS = 20                      # whose number is in a node's depth from this bit on
FUNCTION, TABLE, KIND, COMMON, LEARNER, MASK = 0, 1, 2, 3, 4, 5       # words of a header; MASK: the number of entries - 1
HEADER = 6
# Kinds of operators: NUMBERS among the arguments by position are run-time arguments (those by name, such as alpha, may change
# the formula); results are VIEWS, for tensors that are none themselves; results are views, of CHAINS too; the first argument is
# written to: by an operator in place (UPDATES), also of NUMBERS (SCALED), or by index (WRITES).  READS are views by index.
PLAIN, NUMBERS, VIEWS, CHAINS, READS, UPDATES, SCALED, WRITES = range(8)
NEEDS, PENDING = 1, 2   # bits added to the address of a tensor's type: it requires a gradient; it is not a leaf
NUMBER = 1              # added to the address of `float` or `int`: any such number
INTEGER, BITS = 4, 3    # an integer that takes less than 64 - BITS bits: itself, shifted, and INTEGER, which no address has
PRIVATE = 6             # added to the address of the type of a tensor that is being filled
BEFORE = 5              # added to the address of its steps: a view, of what is written to, that has itself been written to
PARTS = 1               # added to that of a type: its parts follow
HASH = -7046029254386353131     # an odd number with its bits spread: the golden ratio's fraction of 2**64
WHOLE = 1 << 8          # added to the number of an argument: an integer, which an evaluator takes as it is, not as a float
NOTHING, LITERAL, ARGUMENT = 0, 1, 2    # where the value of a step comes from
NO_DEPTH = 1 << 62      # instead of how much deeper a node lies: it is known
# What a template does with its results: tensors; written to the first argument, which is the result, or None is; or nothing is
# made, and what is there counts as written.
MADE, UPDATED, WRITTEN, COUNTED = 0, 1, 2, 3
NOT_WRITTEN, WRITTEN_WHOLE = -1, -2     # Extra.in_place, False and True, where it is no node's number
MOST_WAITING = 128              # values that wait to be written, see Storage.wait
READ, UPDATE, SET, COUNT_ALONE, APPLY = range(5)    # what is done with what is being filled
RECORDED, AT_ONCE = 1, 2        # instead of an evaluator: the template of what is postponed follows, or recorded to be computed at once
# Of matching.py and backward.py: the header of a pattern, what its nodes are (matcher.py), the layouts of arrays, who owns a node, how
# it was written in place, and how many nodes and stops there may be.
(PATTERN_COMMON, PATTERN_WORDS, PATTERN_LEAVES, PATTERN_VALUES, PATTERN_PROGRAM, PATTERN_ENTRY, PATTERN_ERA) = range(7)
PATTERN_HEADER = 7
OPERATION, ARRAY, KNOWN, OUTPUT = 0, 1, 2, 3
ANY, CONTIGUOUS, STRIDED = 0, 1, 2
ALONE, NOBODY = 0, 1
IN_PLACE, OVER = 1, 2
MOST_NODES = 10_000
MOST_STOPS = 1000
SHARED = (
    # addresses of words that Python writes
    "traces", "default", "recording_thread", "compiling_thread", "hits", "era",
    # the code object last seen that is the user's
    "last_code",
    # objects
    "none", "true", "false", "grad_mode", "interpreting", "config", "outside", "user_line", "detached", "pending",
    "accumulate", "release", "value", "attach", "quiet",
    # classes
    "Tensor", "Parameter", "list", "tuple", "slice", "Node", "Extra", "Composite", "Storage", "Run", "float", "int", "ndarray",
    "PyFunction",
    # names
    "_seen", "_current", "_chain", "_tracks_version", "_ensure_storage", "_state", "drain", "_leaf", "_grad", "enabled", "active",
    "interpret", "wanted", "extra", "co_filename", "_edges", "_freed",
    # functions of Python's C interface
    "PyThreadState_Get", "PyObject_GetAttr", "PyObject_SetAttr", "PyObject_VectorcallMethod", "PyObject_Vectorcall",
    "PyObject_CallNoArgs", "PyObject_CallOneArg", "PyLong_AsSsize_t", "PyLong_FromSsize_t", "PyNumber_Float", "PyTuple_New",
    "PyTuple_SetItem", "PyType_GenericAlloc", "PyEval_GetFrame", "PyFrame_GetCode", "PyFrame_GetLasti", "PySet_Contains",
    "PySet_Size", "PySequence_Concat", "PyMem_Malloc", "PyMem_Free", "PyErr_NoMemory",
    "PyWeakref_NewRef", "PyObject_SetItem", "PyErr_Occurred", "PyErr_Clear", "PyObject_GetItem", "PyList_New", "PyList_Append",
    "PyList_Size", "PyList_SetItem", "PyList_GetItem", "PyDict_Size", "Py_IncRef", "Py_DecRef")
# Offsets: of the slots of classes, and of what CPython and NumPy have in their objects.
SLOTS = (
    *[f"Node.{name}" for name in ("spec", "inputs", "requires_grad", "depth", "value", "line", "run", "position", "extra")],
    *[f"Extra.{name}" for name in ("fn", "watch", "leaf", "cell", "version", "in_place", "held", "reach", "grad_fn")],
    *[f"Composite.{name}" for name in ("name", "inputs", "saves", "saves_result", "number")],
    "Spec.type", "Spec.op", "Tensor._node", "Tensor._storage",
    *[f"Storage.{name}" for name in ("node", "writes", "cell", "private", "waiting", "owner", "history")],
    "Version.value", "Version.writer", "Run.entry", "Run.freed", "Run.reason", "Watch.hooks", "Watch.tensor", "PyFunction.ctx",
    "PyFunction.number", "Spec.sig",
    "Accumulator.tensor", "Accumulator.hooks", "Accumulator.post_hooks", "PatternWords.header", "EntryPoint.header",
    "type", "length", "items", "list items", "slice start", "slice stop", "slice step", "data", "flags", "strides")
# The names of the functions.
RECORD, MATCH, AGAIN, DELIVER, USUAL = [f"jitgrad_{name}" for name in ("record", "match", "again", "deliver", "usual")]
