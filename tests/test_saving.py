"""save and load: what a checkpoint holds comes back, nothing is executed; safetensors, copies, pickles."""
from __future__ import annotations

import copy
import io
import pickle
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import nn


@pytest.fixture(autouse=True)
def _interpreted():
    with jitgrad.interpret():
        yield


def again(value: Any) -> Any:
    buffer = io.BytesIO()
    jitgrad.save(value, buffer)
    buffer.seek(0)
    return jitgrad.load(buffer)


def test_trees_come_back() -> None:
    shared = jitgrad.ones(2)
    value = {"a": [1, 2.5, None, True, "text", b"\x00\xff", float("inf")], 3: (jitgrad.tensor([[1, 2]]), jitgrad.Size((2, 3))),
             ("k", 1): {"x": np.arange(3, dtype=np.int16), "y": np.float32(2)}, "set": {1, 2}, "kinds": [jitgrad.float64,
                                                                                                         jitgrad.device("cpu")],
             "twice": [shared, shared], "leaf": jitgrad.ones(1, requires_grad=True), "ordered": OrderedDict(b=1, a=2)}
    found = again(value)
    assert found["a"] == value["a"] and found["set"] == {1, 2} and list(found["ordered"].items()) == [("b", 1), ("a", 2)]
    numbers, size = found[3]
    assert numbers.tolist() == [[1, 2]] and numbers.dtype is jitgrad.int64 and size == (2, 3) and type(size) is jitgrad.Size
    assert found[("k", 1)]["x"].dtype == np.int16 and type(found[("k", 1)]["y"]) is np.float32
    assert found["kinds"] == value["kinds"] and found["twice"][0] is found["twice"][1] and found["leaf"].requires_grad
    assert not found["twice"][0].requires_grad


def test_training_goes_on_from_a_checkpoint(tmp_path: Any) -> None:
    def setting() -> tuple[Any, Any, Any]:
        jitgrad.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        optimizer = jitgrad.optim.Adam(model.parameters(), lr=0.1)
        return model, optimizer, jitgrad.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])

    def train(model: Any, optimizer: Any, schedule: Any, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (model(jitgrad.ones(2, 3)) ** 2).sum().backward()
            optimizer.step()
            schedule.step()

    whole, part, resumed = setting(), setting(), setting()
    train(*whole, 8)
    train(*part, 4)
    jitgrad.save({name: x.state_dict() for name, x in zip("abc", part, strict=True)}, tmp_path / "checkpoint.npz")
    kept = jitgrad.load(tmp_path / "checkpoint.npz", map_location="cpu", weights_only=True)
    jitgrad.manual_seed(2)
    for name, x in zip("abc", resumed, strict=True):
        x.load_state_dict(kept[name])
    train(*resumed, 4)
    for a, b in zip(whole[0].parameters(), resumed[0].parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)


def test_what_cannot_be_saved_is_named() -> None:
    with pytest.raises(TypeError, match=r"save: the object\['model'\]\[1\] is a jitgrad.nn.layers.Linear: .* save its state_dict\(\)"):
        again({"model": [1, nn.Linear(1, 1)]})
    with pytest.raises(TypeError, match="array of objects"):
        again(np.array([object()]))


def test_nothing_is_executed() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(print))
    buffer.seek(0)
    with pytest.raises(RuntimeError, match="was written by torch.save.*safetensors"):
        jitgrad.load(buffer)
    with pytest.raises(RuntimeError, match="neither a file of jitgrad.save nor of safetensors"):
        jitgrad.load(io.BytesIO(pickle.dumps([1])))


def test_safetensors(tmp_path: Any) -> None:
    state = {"w": jitgrad.arange(6.0, dtype=jitgrad.float64).reshape(2, 3), "b": jitgrad.tensor([True, False]),
             "n": jitgrad.tensor(3), "e": jitgrad.zeros(0, 2)}
    jitgrad.save(state, tmp_path / "a.safetensors")
    found = jitgrad.load(tmp_path / "a.safetensors")
    assert {k: (v.tolist(), v.dtype, tuple(v.shape)) for k, v in found.items()} == {
        k: (v.tolist(), v.dtype, tuple(v.shape)) for k, v in state.items()}
    bad = (tmp_path / "a.safetensors").read_bytes().replace(b'"F64"', b'"F16"')
    with pytest.raises(RuntimeError, match="w is of F16, which jitgrad has not"):
        jitgrad.load(io.BytesIO(bad))
    with pytest.raises(TypeError, match="holds a dict of tensors by name"):
        jitgrad.save([1], tmp_path / "b.safetensors")


def test_safetensors_of_others(tmp_path: Any) -> None:
    library = pytest.importorskip("safetensors.numpy")
    library.save_file({"w": np.arange(6.0).reshape(2, 3)}, tmp_path / "c.safetensors", {"format": "pt"})
    assert jitgrad.load(tmp_path / "c.safetensors")["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    jitgrad.save({"w": jitgrad.ones(2)}, tmp_path / "d.safetensors")
    assert library.load_file(tmp_path / "d.safetensors")["w"].tolist() == [1, 1]


def test_copies_and_pickles() -> None:
    leaf = jitgrad.ones(2, requires_grad=True)
    shallow, deep = copy.copy(leaf), copy.deepcopy(leaf)
    assert shallow.requires_grad and shallow.is_leaf and shallow is not leaf
    with jitgrad.no_grad():
        shallow[0] = 5
    assert leaf.tolist() == [5, 1] and deep.tolist() == [1, 1] and deep.requires_grad
    parameter = copy.copy(nn.Parameter(jitgrad.ones(1)))
    assert type(parameter) is nn.Parameter and parameter.requires_grad
    with pytest.raises(RuntimeError, match=r"Only Tensors created explicitly by the user \(graph leaves\) support the deepcopy "
                                           r"protocol"):
        copy.deepcopy(leaf * 2)
    found = pickle.loads(pickle.dumps(leaf))
    assert found.tolist() == [5, 1] and found.requires_grad
    model = copy.deepcopy(nn.LSTM(2, 3))
    assert [n for n, _ in model.named_parameters()] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
