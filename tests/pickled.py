"""Functions that others are made of, by name; run as a program: what is made here, in other processes (see test_pickling.py)."""
from __future__ import annotations

import multiprocessing
import sys

import numpy as np

import jitgrad


@jitgrad.compile
def decorated(x: jitgrad.Tensor) -> jitgrad.Tensor:
    return (x * x).sum()


def plain(x: jitgrad.Tensor) -> jitgrad.Tensor:
    return (x * x * x).sum()


class Net(jitgrad.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = jitgrad.nn.Parameter(jitgrad.ones(3))

    def forward(self, x: jitgrad.Tensor) -> jitgrad.Tensor:
        return (self.w.detach() * x).sum()


X = np.arange(3.0)
compiled = jitgrad.compile(plain)
value = jitgrad.value_and_grad(plain)
gradient = jitgrad.grad(plain)
jacobian = jitgrad.jacobian(plain)
hessian = jitgrad.hessian(plain)
product = jitgrad.hvp(plain)
net = jitgrad.compile(Net())
ARGUMENTS = {"decorated": (jitgrad.tensor(X),), "compiled": (jitgrad.tensor(X),), "value": (X,), "gradient": (X,), "jacobian": (X,),
             "hessian": (X,), "product": (X, X), "net": (jitgrad.ones(3),)}


def text(result: object) -> str:
    """A result, in a form that is equal where the results are."""
    return str(result)


def called(name: str, function: object) -> str:
    return text(function(*ARGUMENTS[name]))     # type: ignore[operator]


def main(way: str) -> None:
    names = [*ARGUMENTS]
    functions = [globals()[name] for name in names]
    expected = [text(function(*ARGUMENTS[name])) for name, function in zip(names, functions, strict=True)]
    tasks = [*zip(names, functions, strict=True)] * 2
    if way in ("spawn", "fork"):
        with multiprocessing.get_context(way).Pool(1) as pool:
            found = pool.starmap(called, tasks)
    else:
        k = 2.0
        names, expected = [*names, "value"], [*expected, text(jitgrad.value_and_grad(lambda x: k * plain(x))(X))]
        tasks = [*tasks[:len(functions)], ("value", jitgrad.value_and_grad(lambda x: k * plain(x)))] * 2
        if way == "joblib":
            import joblib
            found = joblib.Parallel(n_jobs=2)([joblib.delayed(called)(*task) for task in tasks])
        else:
            import dask
            found = dask.compute(*[dask.delayed(called)(*task) for task in tasks], scheduler="processes", num_workers=1)     # type: ignore
    assert [*found] == expected * 2, (found, expected)
    print("the same")


if __name__ == "__main__":
    main(sys.argv[1])
