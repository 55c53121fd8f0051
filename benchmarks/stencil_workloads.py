"""Numerical kernels on grids: stencils in time, sweeps, convolutions, written as slices in place.  JAX's versions are loops of
jax.lax over whole arrays.  `steps` is an array of zeros as long as there are steps: all that a workload is given are arrays."""
from __future__ import annotations

from typing import Any

import numpy as np

from .workloads import Arrays, Workload


def uniform(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Arrays of numbers between .5 and 1.5, of these shapes."""
    rng = np.random.default_rng(0)
    return [rng.uniform(0.5, 1.5, size=shape) for shape in shapes]


def count(c: Arrays) -> int:
    """The number of steps."""
    return c["steps"].shape[0]


def _pair(dims: int) -> Any:
    def inputs(n: int, steps: int) -> tuple[Arrays, Arrays]:
        return dict(zip("ab", uniform(*[(n,) * dims] * 2), strict=True)), {"steps": np.zeros(steps)}

    return inputs


def _alternating(interior: tuple[slice, ...], smooth: Any) -> tuple[Any, Any]:
    """Two arrays, of which each in turn becomes the smoothed other one inside its borders."""
    def torch_style(xp: Any, p: Arrays, c: Arrays) -> Any:
        a, b = p["a"].clone(), p["b"].clone()
        for _ in range(count(c)):
            b[interior] = smooth(a)
            a[interior] = smooth(b)
        return xp.sum(a * a)

    def jax_style(np_: Any, p: Arrays, c: Arrays) -> Any:
        import jax

        def step(_: Any, state: Any) -> Any:
            a, b = state
            b = b.at[interior].set(smooth(a))
            return a.at[interior].set(smooth(b)), b

        a, _ = jax.lax.fori_loop(0, count(c), step, (p["a"], p["b"]))
        return np_.sum(a * a)

    return torch_style, jax_style


INSIDE = slice(1, -1)


def _mean_of_three(a: Any) -> Any:
    return 0.33333 * (a[:-2] + a[1:-1] + a[2:])


def _mean_of_five(a: Any) -> Any:
    return 0.2 * (a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1])


def _heat(a: Any) -> Any:
    middle = a[1:-1, 1:-1, 1:-1]
    return (0.125 * (a[2:, 1:-1, 1:-1] - 2.0 * middle + a[:-2, 1:-1, 1:-1])
            + 0.125 * (a[1:-1, 2:, 1:-1] - 2.0 * middle + a[1:-1, :-2, 1:-1])
            + 0.125 * (a[1:-1, 1:-1, 2:] - 2.0 * middle + a[1:-1, 1:-1, :-2]) + middle)


def _fields(n: int, steps: int) -> tuple[Arrays, Arrays]:
    ex, ey, hz = uniform(*[(n, n + 2)] * 3)
    return {"ex": ex, "ey": ey, "hz": hz}, {"steps": np.zeros(steps)}


def fdtd_2d(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Maxwell's equations in the plane by finite differences in time: three fields, each updated from the others."""
    ex, ey, hz = p["ex"].clone(), p["ey"].clone(), p["hz"].clone()
    for k in range(count(c)):
        ey[0, :] = float(k)
        ey[1:, :] -= 0.5 * (hz[1:, :] - hz[:-1, :])
        ex[:, 1:] -= 0.5 * (hz[:, 1:] - hz[:, :-1])
        hz[:-1, :-1] -= 0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1])
    return xp.sum(hz * hz)


def _fdtd_2d_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax

    def step(k: Any, fields: Any) -> Any:
        ex, ey, hz = fields
        ey = ey.at[0, :].set(k.astype(ey.dtype))
        ey = ey.at[1:, :].add(-0.5 * (hz[1:, :] - hz[:-1, :]))
        ex = ex.at[:, 1:].add(-0.5 * (hz[:, 1:] - hz[:, :-1]))
        hz = hz.at[:-1, :-1].add(-0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1]))
        return ex, ey, hz

    _, _, hz = jax.lax.fori_loop(0, count(c), lambda k, fields: step(np_.asarray(k), fields), (p["ex"], p["ey"], p["hz"]))
    return np_.sum(hz * hz)


def _square(n: int, steps: int) -> tuple[Arrays, Arrays]:
    return {"x": uniform((n, n))[0]}, {"steps": np.zeros(steps), "zeros": np.zeros((n, n))}


def tridiagonal(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Sweeps of an alternating direction method: one tridiagonal system for each row, eliminated forwards and solved backwards."""
    u, n = p["x"], p["x"].shape[1]
    for _ in range(count(c)):
        high, right, new = c["zeros"].clone(), c["zeros"].clone(), c["zeros"].clone()
        right[:, 0] = 1.0
        for j in range(1, n - 1):
            pivot = 0.4 * high[:, j - 1].clone() + 1.7
            high[:, j] = -0.3 / pivot
            right[:, j] = (0.3 * u[:, j] + 0.2 * u[:, j - 1] - 0.4 * right[:, j - 1]) / pivot
        for j in range(n - 2, 0, -1):
            new[:, j] = high[:, j].clone() * new[:, j + 1].clone() + right[:, j]
        u = new
    return xp.sum(u * u)


def _tridiagonal_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    zero = np_.zeros(p["x"].shape[0])

    def eliminate(carry: Any, columns: Any) -> Any:
        (high, right), (here, before) = carry, columns
        pivot = 0.4 * high + 1.7
        both = -0.3 / pivot, (0.3 * here + 0.2 * before - 0.4 * right) / pivot
        return both, both

    def solve(new: Any, both: Any) -> Any:
        new = both[0] * new + both[1]
        return new, new

    def sweep(_: Any, u: Any) -> Any:       # u is transposed: scans go along the first axis
        _, both = jax.lax.scan(eliminate, (zero, zero + 1.0), (u[1:-1], u[:-2]))
        _, new = jax.lax.scan(solve, zero, both, reverse=True)
        return np_.concatenate([zero[None], new, zero[None]])

    u = jax.lax.fori_loop(0, count(c), sweep, p["x"].T)
    return np_.sum(u * u)


def gauss_seidel(xp: Any, p: Arrays, c: Arrays) -> Any:
    """Nine-point Gauss-Seidel: what depends on old values row by row, what depends on the left neighbour by element."""
    a, n = p["x"].clone(), p["x"].shape[0]
    for _ in range(count(c)):
        for i in range(1, n - 1):
            a[i, 1:-1] += (a[i - 1, :-2] + a[i - 1, 1:-1] + a[i - 1, 2:] + a[i, 2:] + a[i + 1, :-2] + a[i + 1, 1:-1]
                           + a[i + 1, 2:])
            for j in range(1, n - 1):
                a[i, j] += a[i, j - 1]
                a[i, j] /= 9.0
    return xp.sum(a * a)


def _gauss_seidel_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax

    def along(left: Any, old: Any) -> Any:
        left = (left + old) / 9.0
        return left, left

    def row(above: Any, rows: Any) -> Any:
        here, below = rows
        old = (here[1:-1] + above[:-2] + above[1:-1] + above[2:] + here[2:] + below[:-2] + below[1:-1] + below[2:])
        new = here.at[1:-1].set(jax.lax.scan(along, here[0], old)[1])
        return new, new

    def step(_: Any, a: Any) -> Any:
        return a.at[1:-1].set(jax.lax.scan(row, a[0], (a[1:-1], a[2:]))[1])

    a = jax.lax.fori_loop(0, count(c), step, p["x"])
    return np_.sum(a * a)


def _conv_inputs(n: int, kernel: int, channels: int) -> tuple[Arrays, Arrays]:
    x, w = uniform((n, n, channels), (kernel, kernel, channels))
    size = n - kernel + 1
    return {"x": x, "w": w}, {"zeros": np.zeros((size, size)), "zero_sums": np.zeros((size, size, channels))}


def conv2d(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A convolution, depth by depth, added up in place from shifted slices."""
    x, w, out = p["x"], p["w"], c["zero_sums"].clone()
    size = out.shape[0]
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            out += x[i:i + size, j:j + size] * w[i, j]
    return xp.sum(out * out)


def _conv2d_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    x, w, zero = p["x"], p["w"], c["zero_sums"]
    columns = w.shape[1]

    def step(k: Any, out: Any) -> Any:
        i, j = k // columns, k % columns
        return out + jax.lax.dynamic_slice(x, (i, j, 0), zero.shape) * w[i, j]

    out = jax.lax.fori_loop(0, w.shape[0] * columns, step, zero)
    return np_.sum(out * out)


def conv2d_windows(xp: Any, p: Arrays, c: Arrays) -> Any:
    """A convolution, each element of its result summed from its window and written to its place."""
    x, w, out = p["x"], p["w"], c["zeros"].clone()
    kernel, size = w.shape[0], out.shape[0]
    for i in range(size):
        for j in range(size):
            out[i, j] = xp.sum(x[i:i + kernel, j:j + kernel] * w)
    return xp.sum(out * out)


def _conv2d_windows_jax(np_: Any, p: Arrays, c: Arrays) -> Any:
    import jax
    x, w, size = p["x"], p["w"], c["zeros"].shape[0]
    at = np_.arange(size)
    one = lambda i, j: np_.sum(jax.lax.dynamic_slice(x, (i, j, 0), w.shape) * w)     # noqa: E731
    out = jax.lax.map(lambda i: jax.vmap(lambda j: one(i, j))(at), at)
    return np_.sum(out * out)


_JACOBI_1D = _alternating((INSIDE,), _mean_of_three)
_JACOBI_2D = _alternating((INSIDE,) * 2, _mean_of_five)
_HEAT_3D = _alternating((INSIDE,) * 3, _heat)


# "tiny" is for agreement, "small" takes eager PyTorch milliseconds, "medium" .1 to 1 s.
STENCIL_WORKLOADS = {
    "jacobi_1d": Workload({"tiny": {"n": 12, "steps": 5}, "small": {"n": 200, "steps": 60}, "medium": {"n": 4000, "steps": 1000}},
                          _pair(1), *_JACOBI_1D),
    "jacobi_2d": Workload({"tiny": {"n": 6, "steps": 5}, "small": {"n": 40, "steps": 30}, "medium": {"n": 150, "steps": 300}},
                          _pair(2), *_JACOBI_2D),
    "heat_3d": Workload({"tiny": {"n": 5, "steps": 5}, "small": {"n": 12, "steps": 20}, "medium": {"n": 40, "steps": 60}},
                        _pair(3), *_HEAT_3D),
    "fdtd_2d": Workload({"tiny": {"n": 6, "steps": 5}, "small": {"n": 30, "steps": 40}, "medium": {"n": 150, "steps": 200}},
                        _fields, fdtd_2d, _fdtd_2d_jax),
    "tridiagonal": Workload({"tiny": {"n": 7, "steps": 3}, "small": {"n": 20, "steps": 4}, "medium": {"n": 100, "steps": 20}},
                            _square, tridiagonal, _tridiagonal_jax),
    "gauss_seidel": Workload({"tiny": {"n": 6, "steps": 2}, "small": {"n": 12, "steps": 3}, "medium": {"n": 24, "steps": 8}},
                             _square, gauss_seidel, _gauss_seidel_jax),
    "conv2d": Workload({"tiny": {"n": 8, "kernel": 3, "channels": 2}, "small": {"n": 40, "kernel": 7, "channels": 3},
                        "medium": {"n": 160, "kernel": 15, "channels": 4}}, _conv_inputs, conv2d, _conv2d_jax),
    "conv2d_windows": Workload({"tiny": {"n": 8, "kernel": 3, "channels": 2}, "small": {"n": 16, "kernel": 3, "channels": 3},
                                "medium": {"n": 66, "kernel": 5, "channels": 8}}, _conv_inputs, conv2d_windows,
                               _conv2d_windows_jax),
}
