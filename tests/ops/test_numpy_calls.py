"""NumPy's functions of tensors, over their whole signatures: NumPy's result, or an error that names the parameter."""

import inspect

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.numpy.declare import compositions
from minigrad.ops.numpycall import about_arrays
from minigrad.ops.table import numpy_rules

X = np.arange(1.0, 25.0).reshape(2, 3, 4)
M = np.stack([np.eye(3) * 4 + 1, np.eye(3) * 5 + 1])
S = X[0]
CALLS = {  # the positional arguments that each wants
    np.where: (X > 3, X, 0.0), np.clip: (X, 2.0, 9.0), np.reshape: (X, (4, 6)), np.broadcast_to: (X, (5, 2, 3, 4)),
    np.expand_dims: (X, 1), np.swapaxes: (X, 0, 1), np.moveaxis: (X, 0, 1), np.roll: (X, 2),
    np.concatenate: ([X, X],), np.split: (X, 2), np.stack: ([X, X],), np.tile: (X, 2), np.repeat: (X, 2),
    np.astype: (X, "float32"), np.take: (X, np.array([1, 0]),), np.take_along_axis: (X, np.argsort(-X, 1), 1),
    np.tril: (X,), np.pad: (X, 1), np.dot: (S, S.T), np.outer: (S, S), np.einsum: ("ijk->ik", X),
    np.diag: (S[:, 0],), np.linalg.solve: (M, M), np.linalg.inv: (M,), np.linalg.cholesky: (M,), np.linalg.det: (M,),
    np.linalg.slogdet: (M,), np.linalg.norm: (S[0],), np.squeeze: (X[:1],),
    np.full_like: (X, 2.0), np.append: (X, X), np.delete: (X, 1), np.insert: (X, 1, 9.0), np.resize: (X, (5, 5)),
    np.linspace: (X, 30.0, 5), np.logspace: (X / 24, 1.0, 5), np.array_split: (X, 2), np.hsplit: (X, 3),
    np.vsplit: (X, 2),
    np.dsplit: (X, 2), np.vander: (S[0],), np.block: ([X, X],), np.quantile: (X, 0.3), np.percentile: (X, 30),
    np.nanquantile: (X, 0.3), np.nanpercentile: (X, 30), np.interp: (S[0], S[0], S[1]), np.convolve: (S[0], S[1]),
    np.correlate: (S[0], S[1]), np.polyval: (S[0], S[1]), np.polymul: (S[0], S[1]), np.polyadd: (S[0], S[1]),
    np.polysub: (S[0], S[1]), np.polyder: (S[0],), np.polyint: (S[0],), np.polyfit: (S[0], S[1], 1), np.poly: (S[0],),
    np.tensordot: (X, X.T), np.inner: (S, S), np.kron: (S, S), np.cross: (M, M + X[:, :, :3]), np.vdot: (X, X),
    np.compress: ([True, False], X), np.extract: (X > 3, X), np.choose: ([0, 1, 0], [S[:, 0], S[:, 1]]),
    np.select: ([X > 3, X > 1], [X, X + 1]), np.piecewise: (X, [X > 3], [1.0, 2.0]), np.partition: (X, 1),
    np.apply_along_axis: (np.sum, 0, X), np.apply_over_axes: (np.sum, X, [0]), np.isclose: (X, X + 1e-6),
    np.allclose: (X, X), np.trim_zeros: (S[0] - 1,), np.cov: (S,), np.corrcoef: (S + np.eye(3, 4),),
    np.rollaxis: (X, 1),
    np.cumulative_sum: (S[0],), np.cumulative_prod: (S[0],), np.linalg.tensordot: (X, X.T),
    np.linalg.cross: (M, M + X[:, :, :3]), np.linalg.vecdot: (X, X), np.linalg.matmul: (M, M),
    np.linalg.outer: (S[0], S[1]),
    np.linalg.multi_dot: ([S, S.T],), np.linalg.matrix_power: (M, 2), np.linalg.lstsq: (S.T[:, :2], S[0] ** 3),
    np.linalg.eigh: (np.diag([1.0, 3.0, 7.0]) + 0.5,), np.linalg.eigvalsh: (M,), np.linalg.cond: (M,),
    np.linalg.pinv: (M,), np.linalg.qr: (M,),
    np.linalg.svd: (M,), np.linalg.tensorsolve: (M[0], S[:, 0]), np.linalg.tensorinv: (np.eye(4).reshape(2, 2, 4),),
    np.linalg.matrix_rank: (M,), np.ediff1d: (X,), np.broadcast_arrays: (X, S), np.trapezoid: (X,),
    np.column_stack: ([S, S],), np.vstack: ([S, S],), np.hstack: ([S, S],), np.dstack: ([S, S],), np.histogram: (X,),
}  # fmt: skip
# Values of NumPy's parameters, by name: whatever is given must mean what it means for NumPy.
VALUES = {
    "axis": [None, 0, -1, (0, 1)], "dtype": [None, np.float32, "int64"], "out": [None],
    "keepdims": [False, True], "initial": [3.0], "where": [True, X > 3], "ddof": [0, 1], "mean": [0.0],
    "correction": [0, 1], "order": ["C", "F", "K", None], "copy": [None, True, False], "subok": [False, True],
    "decimals": [0, 1], "casting": ["same_kind", "unsafe"], "mode": ["raise", "clip", "constant", "edge", "mean"],
    "kind": [None, "stable"], "stable": [None, True], "k": [0, 1, -1], "offset": [0, 1, -1], "axis1": [0, 1],
    "axis2": [1, 2], "ord": [None, 1, 2, np.inf, "fro"], "upper": [False, True], "optimize": [False, True],
    "a_min": [3.0], "a_max": [5.0], "min": [3.0], "max": [5.0], "constant_values": [(5, 7), 3],
    "end_values": [1], "stat_length": [1], "reflect_type": ["even", "odd"], "device": [None, "cpu"],
    "axes": [None, (1, 0, 2)], "shape": [None], "copy_": [], "weights": [np.arange(1.0, 25.0).reshape(2, 3, 4)],
    "returned": [False, True],
    "n": [0, 1, 2], "prepend": [0.0], "append": [0.0], "q": [0.5], "overwrite_input": [False, True],
    "method": ["linear", "lower", "higher", "midpoint", "nearest", "hazen"], "interpolation": [None],
    "dx": [1.0, 0.5],
    "x": [None], "left": [None, 0.0], "right": [None, 7.0], "period": [None, 3.0], "rowvar": [False, True],
    "bias": [False, True], "y": [None], "fweights": [None, np.array([1, 2, 3, 1])], "aweights": [None,
    np.arange(1.0, 5.0)],
    "discont": [None, 2.0], "rtol": [1e-5, 1e-9], "atol": [1e-8, 1.0], "equal_nan": [False, True], "nan": [0.0, 2.0],
    "posinf": [None, 1.0], "neginf": [None, 1.0], "num": [4], "endpoint": [True, False], "retstep": [False, True],
    "base": [2.0], "N": [None, 2], "increasing": [False, True], "include_initial": [False, True], "start": [0, 2],
    "sparse": [False, True], "indexing": ["xy", "ij"], "edge_order": [1, 2], "varargs": [], "trim": ["fb", "f", "b"],
    "to_end": [None, 1.0], "to_begin": [None, [1.0, 2.0]], "return_index": [False, True],
    "return_inverse": [False, True],
    "return_counts": [False, True], "sorted": [True, False], "bins": [10, 4], "range": [None, (0, 9)],
    "density": [None, True], "default": [0, 1.0], "m": [1, 2], "rcond": [None, 1e-3], "full": [False],
    "w": [None, [1.0] * 4],
    "cov": [False], "UPLO": ["L", "U"], "full_matrices": [True, False], "compute_uv": [True, False],
    "hermitian": [False, True], "tol": [None, 1e-3], "p": [None, 1, -1, 2, -2, np.inf, "fro", "nuc"], "ind": [2, 1],
    "axisa": [-1, 0], "axisb": [-1, 0], "axisc": [-1, 0], "deg": [False, True], "fill_value": [1.0],
}  # fmt: skip
FUNCTIONS = {
    f"{f.__module__}.{f.__name__}": f
    for f in {**compositions, **numpy_rules, **about_arrays}
    if not isinstance(f, np.ufunc) and f not in (np.empty_like, np.result_type)
}
EXTRA = {np.pad: ["constant_values", "end_values", "stat_length", "reflect_type"]}


def outcome(function, *args, **kwargs):
    try:
        with np.errstate(all="ignore"):
            result = function(*args, **kwargs)
    except (TypeError, ValueError, IndexError) as error:
        return error
    return [np.asarray(r) for r in (result if isinstance(result, (list, tuple)) else [result])]


def tensors(args):
    def tensor(x):
        if isinstance(x, list):
            return [tensor(a) for a in x]
        return mg.tensor(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x

    return [tensor(x) for x in args]


def compare(function, args, kwargs, positional=()):
    """NumPy's result on arrays, or an error that names the function; NumPy's error, or one of ours."""
    wanted = outcome(function, *args, *positional, **kwargs)
    found = outcome(function, *tensors(args), *positional, **kwargs)
    if isinstance(found, Exception):
        rule = numpy_rules.get(function) or function
        assert function.__name__ in str(found) or rule.__name__ in str(found), found
        return
    what = f"{function.__name__}{positional or kwargs}"
    assert not isinstance(wanted, Exception), f"{what}: NumPy raises {wanted!r}, ours gives {found}"
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape, what
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-6, err_msg=what)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_means_what_it_means_for_numpy_or_is_refused(name):
    function = FUNCTIONS[name]
    args = CALLS.get(function, (X,))
    compare(function, args, {})
    parameters = list(inspect.signature(function).parameters.values())
    by_name = [p.name for p in parameters[len(args) :] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for parameter in [*by_name, *EXTRA.get(function, [])]:
        if parameter == "out":
            assert "takes no out" in str(outcome(function, *tensors(args), out=np.zeros(X.shape)))
        assert parameter in VALUES, f"{name} has a parameter {parameter}: give VALUES for it"
        for value in VALUES[parameter]:
            compare(function, args, {parameter: value})
            if parameter in ("keepdims", "ddof", "offset", "k"):
                for axis in (0, -1) if "axis" in by_name else ():
                    compare(function, args, {parameter: value, "axis": axis})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_by_position(name):
    """np.sum(t, 0, None, None, True): the fifth is keepdims, whatever comes fifth in ours."""
    function = FUNCTIONS[name]
    args = CALLS.get(function, (X,))
    parameters = inspect.signature(function).parameters.values()
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    given: list = []
    for parameter in by_place[len(args) :]:
        for value in VALUES.get(parameter.name, []):
            compare(function, args, {}, (*given, value))
        given.append(parameter.default)


def test_padding_with_several_values():
    x = mg.tensor(S, requires_grad=True)
    for values in ((5, 7), ((5, 7), (1, 2)), 3, ((5, 5), (0, 0))):
        y = np.pad(x, ((1, 2), (2, 1)), constant_values=values)
        np.testing.assert_array_equal(y.detach().numpy(), np.pad(S, ((1, 2), (2, 1)), constant_values=values))
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.ones_like(S))
        x.grad = None


def test_linalg_means_the_last_axes():
    t = mg.tensor(X)
    np.testing.assert_array_equal(np.linalg.diagonal(t, offset=1).numpy(), np.linalg.diagonal(X, offset=1))
    np.testing.assert_array_equal(np.linalg.trace(t).numpy(), np.linalg.trace(X))
    assert np.linalg.diagonal(t).shape == (2, 3) and np.diagonal(t).shape == (4, 2)
