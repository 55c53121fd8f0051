"""save and load of what a checkpoint holds, in files that execute nothing when they are loaded.

A file is an archive of .npy arrays (as numpy.savez writes it) and tree.json, which says how dicts, lists and tuples hold them;
safetensors files are read and written, too.

tree.json of {"w": tensor, "step": 3}: ["dict", [["w", ["tensor", 0, "Tensor", false]], ["step", 3]]]; arrays/0.npy is the tensor's.
A list is always [kind, ...]: numbers, texts, true, false and null stand for themselves.
"""
from __future__ import annotations

import base64
import io
import json
import math
import os
import struct
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import tracing
from jitgrad.tensors.parameter import Parameter
from jitgrad.tensors.tensor import Size, Tensor, from_array
from jitgrad.types.device import device
from jitgrad.types.dtype import dtype, from_numpy_dtype

SAVED = "None, numbers, texts, bytes, tensors, NumPy arrays, and dicts, lists, tuples and sets of them"
DICTS: dict[str, Callable[[Any], Any]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": lambda pairs: Counter(dict(pairs)),
                                          "defaultdict": dict}
LISTS: dict[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "Size": Size}
SAFETENSORS = {"F64": "f8", "F32": "f4", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U8": "u1", "BOOL": "?"}


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, _use_new_zipfile_serialization: bool = True) -> None:
    """Write dicts, lists and tuples of tensors, arrays, numbers and texts to a file, by path or opened for writing in binary.

    A path that ends with .safetensors gets a dict of tensors in that format.  Objects of other classes raise TypeError: save their
    state_dict().  (The arguments about pickle are accepted for PyTorch's sake; nothing is pickled.)"""
    tracing.refuse("saves a file")
    if isinstance(f, (str, os.PathLike)) and os.fspath(f).endswith(".safetensors"):
        data = _safetensors(obj)
    else:
        arrays: list[np.ndarray] = []
        seen: dict[int, Any] = {}
        tree = _encoded(obj, "the object", arrays, seen)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("tree.json", json.dumps({"format": "jitgrad", "version": 1, "tree": tree}))
            for i, array in enumerate(arrays):
                with archive.open(f"arrays/{i}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        data = buffer.getvalue()
    if isinstance(f, (str, os.PathLike)):
        with open(f, "wb") as file:
            file.write(data)
    else:
        f.write(data)


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None,
         **pickle_load_args: Any) -> Any:
    """What `save` has written, or the dict of tensors in a safetensors file, by path or opened for reading in binary.

    Raises RuntimeError for files of torch.save, whose pickles may execute anything: write them with safetensors.  map_location: all
    tensors are on the CPU."""
    tracing.refuse("loads a file")
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            data = file.read()
    else:
        data = f.read()
    if data[:4] != b"PK\x03\x04":
        return _from_safetensors(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if "tree.json" not in names:
            what = "torch.save" if any([n.endswith("data.pkl") for n in names]) else "another program"
            raise RuntimeError(f"load: the file was written by {what}. Files of jitgrad.save and safetensors can be loaded: write "
                               f"it with "
                               "safetensors.torch.save_file(state_dict, path)")
        arrays: dict[int, np.ndarray] = {}

        def array(i: int) -> np.ndarray:
            if i not in arrays:
                with archive.open(f"arrays/{int(i)}.npy") as entry:
                    arrays[i] = np.lib.format.read_array(entry, allow_pickle=False)
            return arrays[i]

        return _decoded(json.loads(archive.read("tree.json"))["tree"], array, {})


def _encoded(value: Any, place: str, arrays: list[np.ndarray], seen: dict[int, Any]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is Tensor or kind is Parameter:
        if id(value) not in seen:
            arrays.append(value._array())
            seen[id(value)] = ["tensor", len(arrays) - 1, kind.__name__, value.requires_grad]
        return seen[id(value)]
    if kind is np.ndarray or isinstance(value, np.generic):
        if np.asarray(value).dtype.hasobject:
            raise TypeError(f"save: {place} is an array of objects: what can be saved is {SAVED}")
        arrays.append(np.asarray(value))
        return ["array" if kind is np.ndarray else "scalar", len(arrays) - 1]
    if kind is bytes:
        return ["bytes", base64.b64encode(value).decode()]         # type: ignore[arg-type]
    if isinstance(value, (dtype, device)):
        return ["dtype" if isinstance(value, dtype) else "device", str(value).removeprefix("torch.")]
    if kind in (dict, OrderedDict, Counter, defaultdict):
        pairs = [[_encoded(k, f"a key of {place}", arrays, seen), _encoded(v, f"{place}[{k!r}]", arrays, seen)] for k,
                 v in value.items()]
        own = _encoded(value._metadata, place, arrays, seen) if hasattr(value, "_metadata") else None
        return [kind.__name__, pairs] if own is None else [kind.__name__, pairs, own]
    if kind in (list, tuple, set, frozenset, Size):
        return [kind.__name__, *[_encoded(v, f"{place}[{i}]", arrays, seen) for i, v in enumerate(value)]]
    raise TypeError(f"save: {place} is a {kind.__module__}.{kind.__qualname__}: what can be saved is {SAVED}; save its state_dict()")


def _decoded(tree: Any, array: Callable[[int], np.ndarray], tensors: dict[int, Tensor]) -> Any:
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    if kind == "tensor":
        i, name, requires_grad = rest
        if i not in tensors:        # one that was there in two places is again
            cls: Any = {"Tensor": Tensor, "Parameter": Parameter}[name]
            made = from_array(array(i))
            tensors[i] = made.requires_grad_(requires_grad) if cls is Tensor else cls(made, requires_grad)
        return tensors[i]
    if kind in ("array", "scalar"):
        return array(rest[0]) if kind == "array" else array(rest[0])[()]
    if kind == "bytes":
        return base64.b64decode(rest[0])
    if kind in ("dtype", "device"):
        return _dtype(rest[0]) if kind == "dtype" else device(rest[0])
    if kind in DICTS:
        found = DICTS[kind]([(_decoded(k, array, tensors), _decoded(v, array, tensors)) for k, v in rest[0]])
        if len(rest) > 1:
            found._metadata = _decoded(rest[1], array, tensors)
        return found
    return LISTS[kind]([_decoded(v, array, tensors) for v in rest])


def _dtype(name: str) -> dtype:
    return from_numpy_dtype(np.dtype(name))


# -- safetensors -----------------------------------------------------------------------------------------------------

def _safetensors(tensors: Any) -> bytes:
    if not isinstance(tensors, dict) or not all([isinstance(k, str) and isinstance(t, Tensor) for k, t in tensors.items()]):
        raise TypeError("save: a .safetensors file holds a dict of tensors by name, and nothing else")
    header: dict[str, Any] = {}
    parts, at = [], 0
    kinds = {np.dtype(code).str.lstrip("<|"): name for name, code in SAFETENSORS.items()}
    for name, t in tensors.items():
        array = np.ascontiguousarray(t._array())
        if array.dtype.str.lstrip("<|=") not in kinds:
            raise TypeError(f"save: {name} is of {t.dtype}, for which jitgrad knows no name in safetensors")
        header[name] = {"dtype": kinds[array.dtype.str.lstrip("<|=")], "shape": list(t.shape), "data_offsets": [at, at + array.nbytes]}
        parts.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def _from_safetensors(data: bytes) -> dict[str, Tensor]:
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= length <= len(data) - 8 or data[8:9] != b"{":
        raise RuntimeError("load: this is neither a file of jitgrad.save nor of safetensors")
    header = json.loads(data[8:8 + length])
    body = data[8 + length:]
    found = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in SAFETENSORS:
            raise RuntimeError(f"load: {name} is of {about['dtype']}, which jitgrad has not: convert it to one of "
                               f"{', '.join(SAFETENSORS)} first")
        start, end = about["data_offsets"]
        kind = np.dtype(SAFETENSORS[about["dtype"]]).newbyteorder("<")
        if end - start != kind.itemsize * math.prod(about["shape"]) or not 0 <= start <= end <= len(body):
            raise RuntimeError(f"load: the place of {name} is not what its shape and dtype say")
        array = np.frombuffer(body[start:end], kind).reshape(about["shape"]).astype(kind.newbyteorder("="))
        found[name] = from_array(array)
    return found
