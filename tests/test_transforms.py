"""Transforms: against central differences, analytic derivatives and each other; nested; and what they refuse."""

import gc
import tracemalloc
import weakref
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import modes, tree
from minigrad.testing import gradcheck

Pair = namedtuple("Pair", "first second")
seeds = st.integers(0, 99)


def draw(seed, *shape, low=-1.0, high=1.0):
    return mg.tensor(np.random.default_rng(seed).uniform(low, high, shape))


def allclose(got, wanted, rtol=1e-12, atol=1e-14):
    got, structure = tree.flatten(got)
    wanted = tree.flatten_like(structure, wanted, "wanted")
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a._data, np.asarray(getattr(b, "_data", b)), rtol=rtol, atol=atol)


def slope(f, x, v, eps=1e-5):
    """Central difference of f along v."""
    return (f(x + eps * v)._data - f(x - eps * v)._data) / (2 * eps)


def wave(x):
    """A function (3,) -> (3,) whose derivatives of every order are dense."""
    return mg.sin(x) * x.sum() + mg.exp(-x * x)


# grad and value_and_grad


@given(seeds)
def test_grad_against_differences(seed):
    x, v = draw(seed, 3), draw(seed + 1, 3)
    f = lambda x: (wave(x) * wave(x)).sum()  # noqa: E731
    value, g = mg.value_and_grad(f)(x)
    assert value.item() == f(x).item() and not value.requires_grad and not g.requires_grad
    np.testing.assert_allclose((g._data * v._data).sum(), slope(f, x, v), rtol=1e-6)


@given(st.floats(-1.2, 1.2), st.integers(1, 5))
def test_grad_of_any_order(x, order):
    f = np.polynomial.Polynomial([0, 2, -1, 3, 0.5, -0.25, 1])

    def horner(x):
        y = 0.0 * x
        for c in f.coef[::-1]:
            y = y * x + float(c)
        return y

    g = horner
    for _ in range(order):
        g = mg.grad(g)
    assert g(mg.tensor(np.float64(x))).item() == pytest.approx(f.deriv(order)(x), rel=1e-10, abs=1e-10)


def test_argnums():
    x, y, z = draw(0, 2), draw(1, 2), draw(2, 2)
    f = lambda x, y, *, z: (x * y * y * z).sum()  # noqa: E731
    allclose(mg.grad(f)(x, y, z=z), y * y * z)
    allclose(mg.grad(f, 1)(x, y, z=z), 2 * x * y * z)
    allclose(mg.grad(f, -1)(x, y, z=z), 2 * x * y * z)
    allclose(mg.grad(f, (1,))(x, y, z=z), (2 * x * y * z,))
    allclose(mg.grad(f, (1, 0))(x, y, z=z), (2 * x * y * z, y * y * z))
    with pytest.raises(ValueError, match="argnums 2, but there are 2 positional"):
        mg.grad(f, 2)(x, y, z=z)


def test_has_aux():
    x = draw(0, 3)
    f = lambda x: ((x * x).sum(), {"double": 2 * x, "name": "aux"})  # noqa: E731
    (value, aux), g = mg.value_and_grad(f, has_aux=True)(x)
    assert value.item() == (x._data**2).sum() and aux["name"] == "aux" and not aux["double"].requires_grad
    allclose(aux["double"], 2 * x)
    allclose(g, 2 * x)
    g, aux = mg.grad(f, has_aux=True)(x)
    allclose((g, aux["double"]), (2 * x, 2 * x))
    _, pull, aux = mg.vjp(f, x, has_aux=True)
    allclose(pull(1.0), (2 * x,))
    assert aux["name"] == "aux"
    with pytest.raises(TypeError, match=r"must return \(result, aux\), got one value"):
        mg.grad(lambda x: x.sum(), has_aux=True)(x)


def test_aux_can_be_differentiated_from_outside():
    w = draw(1, 3).requires_grad_()
    x = draw(0, 3)
    g, aux = mg.grad(lambda x: ((x * x).sum(), mg.tanh(w)), has_aux=True)(x)
    (g * aux).sum().backward()
    allclose(w.grad, 2 * x * (1 - mg.tanh(w.detach()) ** 2))


def test_nested_structures():
    params = {"w": [draw(0, 2, 3), None], "pair": Pair(draw(1, 3), (draw(2), {}))}

    def f(p, scale):
        return (mg.tanh(p["w"][0] @ p["pair"].first) * p["pair"].second[0] * scale).sum()

    g = mg.grad(f)(params, 3)
    assert list(g) == ["w", "pair"] and g["w"][1] is None and type(g["pair"]) is Pair and g["pair"].second[1] == {}
    assert [x.shape for x in tree.flatten(g)[0]] == [(2, 3), (3,), ()]
    leaves, structure = tree.flatten(params)
    for k, x in enumerate(leaves):
        v = draw(9, *x.shape)
        along = lambda x, k=k: f(tree.unflatten(structure, [*leaves[:k], x, *leaves[k + 1 :]]), 3)  # noqa: E731
        difference = slope(along, x, v)
        np.testing.assert_allclose((tree.flatten(g)[0][k]._data * v._data).sum(), difference, rtol=1e-6)


def test_unused_arguments_and_constants_have_zero_gradients():
    x, y = draw(0, 2), draw(1, 3)
    allclose(mg.grad(lambda x, y: (x * x).sum(), (0, 1))(x, y), (2 * x, np.zeros(3)))
    allclose(mg.grad(lambda x: mg.tensor(1.0))(x), np.zeros(2))
    allclose(mg.grad(lambda x: mg.grad(lambda z: (z * 3).sum())(x).sum())(x), np.zeros(2))
    allclose(mg.grad(lambda x: x)(mg.tensor(2.0)), 1.0)
    allclose(mg.grad(lambda x: mg.grad(lambda y: x * y)(x))(mg.tensor(2.0)), 1.0)  # no confusion of x with y


def test_arrays_and_numbers_are_arguments_too():
    allclose(mg.grad(lambda x: (x * x).sum())(np.arange(3.0)), 2 * np.arange(3.0))
    g = mg.grad(lambda x: x * x)(3.0)
    assert g.item() == 6 and g.dtype == np.float32


def test_dtypes_are_the_arguments():
    x, y = mg.tensor(np.ones(2, np.float32)), mg.tensor(np.ones(2))
    g = mg.grad(lambda x, y: (x * y).sum(), (0, 1))(x, y)
    assert g[0].dtype == np.float32 and g[1].dtype == np.float64


def test_what_grad_refuses():
    x = draw(0, 3)
    with pytest.raises(TypeError, match=r"grad: argument 0\['n'\] is int64\[\], and only floats"):
        mg.grad(lambda p: p["x"].sum())({"x": x, "n": mg.tensor(1)})
    with pytest.raises(TypeError, match=r"grad: argument 1 is a str, wanted a tensor"):
        mg.grad(lambda x, s: x.sum(), 1)(x, "s")
    with pytest.raises(ValueError, match=r"float scalar, got float64\[3\]; reduce it with sum"):
        mg.grad(lambda x: x)(x)
    with pytest.raises(TypeError, match=r"float scalar, got bool\[\]"):
        mg.grad(lambda x: x.sum() > 0)(x)
    with pytest.raises(TypeError, match="one scalar tensor, got a tuple of 2"):
        mg.grad(lambda x: (x.sum(), x))(x)
    with pytest.raises(TypeError, match="the result is a str, wanted a tensor"):
        mg.grad(lambda x: "loss")(x)


def test_errors_leave_the_mode_as_it_was():
    def fail(x):
        raise KeyError("user")

    for transform in (mg.grad(fail), mg.checkpoint(fail), mg.jacobian(fail)):
        with mg.no_grad(), pytest.raises(KeyError):
            transform(draw(0, 2))
        assert modes.thread.mode == modes.ON and modes.thread.generators is None
    with pytest.raises(KeyError):
        mg.checkpoint(fail)(draw(0, 2).requires_grad_())
    assert modes.thread.generators is None


# vjp and jvp


@given(seeds)
def test_jvp_is_the_derivative_along_and_the_transpose_of_vjp(seed):
    x, v, u = draw(seed, 3), draw(seed + 1, 3), draw(seed + 2, 3)
    y, tangent = mg.jvp(wave, (x,), (v,))
    allclose(y, wave(x))
    np.testing.assert_allclose(tangent._data, slope(wave, x, v), rtol=1e-6, atol=1e-9)
    y, pull = mg.vjp(wave, x)
    allclose(y, wave(x))
    (cotangent,) = pull(u)
    np.testing.assert_allclose((u._data * tangent._data).sum(), (cotangent._data * v._data).sum(), rtol=1e-12)
    assert not any(t.requires_grad for t in (y, tangent, cotangent))
    allclose(pull(u), (cotangent,))  # a second time


def test_vjp_and_jvp_of_nested_results():
    x, y = draw(0, 2), draw(1, 2)

    def f(p, y):
        return {"product": p[0] * y, "rest": [p[0] + 1, None, p[0] > 0, mg.tensor(5)]}

    result, pull = mg.vjp(f, (x,), y)
    assert result["rest"][3].item() == 5
    allclose(pull({"product": np.ones(2), "rest": [np.full(2, 3.0), None, None, None]}), ((y + 3,), x))
    allclose(pull({"rest": [None, None, None, None], "product": np.ones(2)}), ((y,), x))
    _, tangent = mg.jvp(f, ((x,), y), ((2 * x,), None))
    allclose(tangent["product"], 2 * x * y)
    allclose(tangent["rest"][0], 2 * x)
    assert tangent["rest"][1:] == [None] * 3


def test_cotangents_and_tangents_must_fit():
    x = draw(0, 3)
    _, pull = mg.vjp(lambda x: {"a": x}, x)
    with pytest.raises(ValueError, match=r"the cotangent\['a'\] has shape \(2,\), wanted \(3,\)"):
        pull({"a": np.ones(2)})
    with pytest.raises(ValueError, match=r"the cotangent: wanted a dict with keys \['a'\], got .*\['b'\]"):
        pull({"b": np.ones(3)})
    with pytest.raises(ValueError, match=r"tangents\[0\] has shape \(\), wanted \(3,\)"):
        mg.jvp(wave, (x,), (1.0,))
    with pytest.raises(ValueError, match="tangents: wanted a tuple of 1, got a tuple of 2"):
        mg.jvp(wave, (x,), (x, x))
    with pytest.raises(TypeError, match="argument 0 is int64"):
        mg.jvp(wave, (mg.tensor([1, 2, 3]),), (x,))


def test_cotangents_take_the_results_dtype():
    x = mg.tensor(np.ones(2, np.float32))
    _, pull = mg.vjp(lambda x: 2 * x, x)
    assert pull(np.ones(2))[0].dtype == np.float32
    assert mg.vjp(lambda x: x, x)[1](np.ones(2))[0].dtype == np.float32
    assert mg.jvp(lambda x: 2 * x, (x,), (np.ones(2),))[1].dtype == np.float32


# jacobian, hessian, hvp, and nesting


def dense_hessian(x):
    """The Hessian of the sum of squares of wave, by differences of its gradient."""
    g = mg.grad(lambda x: (wave(x) ** 2).sum())
    return np.stack([slope(g, x, mg.tensor(e)) for e in np.eye(3)], axis=1)


@given(seeds)
def test_jacobian_and_hessian(seed):
    x = draw(seed, 3)
    J = mg.jacobian(wave)(x)
    allclose(J, np.stack([mg.jvp(wave, (x,), (e,))[1]._data for e in np.eye(3)], axis=1))
    f = lambda x: (wave(x) ** 2).sum()  # noqa: E731
    H = mg.hessian(f)(x)
    np.testing.assert_allclose(H._data, dense_hessian(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(H._data, H._data.T, rtol=1e-11, atol=1e-12)
    v = draw(seed + 1, 3)
    (product,) = mg.hvp(f, (x,), (v,))
    allclose(product, H @ v, rtol=1e-11, atol=1e-12)
    allclose(mg.jvp(mg.grad(f), (x,), (v,))[1], product, rtol=1e-11, atol=1e-12)
    allclose(mg.grad(lambda x: (mg.grad(f)(x) * v).sum())(x), product, rtol=1e-11, atol=1e-12)
    allclose(mg.grad(lambda x: mg.jvp(f, (x,), (v,))[1])(x), product, rtol=1e-11, atol=1e-12)


def test_jacobian_shapes():
    x, y = draw(0, 2, 3), draw(1, 3)
    f = lambda p, y: {"m": p["x"] @ y, "s": (y * y).sum()}  # noqa: E731
    J = mg.jacobian(f, (0, 1))({"x": x}, y)
    assert J["m"][0]["x"].shape == (2, 2, 3) and J["m"][1].shape == (2, 3)
    assert J["s"][0]["x"].shape == (2, 3) and J["s"][1].shape == (3,)
    allclose(J["m"][1], x)
    allclose(J["s"], ({"x": np.zeros((2, 3))}, 2 * y))
    empty = mg.jacobian(lambda x: x[:0])(y)
    assert empty.shape == (0, 3) and empty.dtype == np.float64
    H = mg.hessian(lambda x, y: (x @ y).sum() ** 2, (0, 1))(x, y)
    assert H[0][1].shape == (2, 3, 3) and H[1][0].shape == (3, 2, 3)
    allclose(H[0][1], np.moveaxis(H[1][0]._data, 0, -1))


def test_hessian_of_nested_arguments():
    p = {"a": draw(0, 2), "b": [draw(1)]}
    H = mg.hessian(lambda p: (p["a"] ** 2).sum() * p["b"][0])(p)
    allclose(H["a"], {"a": 2 * np.eye(2) * p["b"][0].item(), "b": [2 * p["a"]]})
    allclose(H["b"][0], {"a": 2 * p["a"], "b": [np.zeros(())]})
    (product,) = mg.hvp(lambda p: (p["a"] ** 2).sum() * p["b"][0], (p,), (p,))
    allclose(product["a"], 4 * p["a"] * p["b"][0])


def test_third_derivatives_agree_however_they_are_nested():
    x, v = draw(0, 3), draw(1, 3)
    f = lambda x: wave(x).sum()  # noqa: E731
    T = mg.jacobian(mg.hessian(f))(x)
    assert T.shape == (3, 3, 3)
    along = lambda f: lambda x: mg.jvp(f, (x,), (v,))[1]  # noqa: E731
    wanted = np.einsum("ijk,i,j,k", T._data, v._data, v._data, v._data)
    assert along(along(along(f)))(x).item() == pytest.approx(wanted, rel=1e-10)
    assert ((mg.grad(along(along(f)))(x) * v).sum()).item() == pytest.approx(wanted, rel=1e-10)
    allclose(mg.jvp(mg.hessian(f), (x,), (v,))[1], np.einsum("ijk,k", T._data, v._data), rtol=1e-10, atol=1e-12)
    allclose(mg.hessian(lambda x: along(f)(x))(x), np.einsum("ijk,k", T._data, v._data), rtol=1e-10, atol=1e-12)


def test_parameters_that_are_closed_over_see_through():
    """d/dw of |d/dx f|: the inner gradient stays on the tape of the outer backward."""
    w, x = draw(0, 3).requires_grad_(), draw(1, 3)
    for inner in (
        lambda x: mg.grad(lambda x: (mg.tanh(w * x)).sum())(x),
        lambda x: mg.vjp(lambda x: mg.tanh(w * x), x)[1](np.ones(3))[0],
        lambda x: mg.jvp(lambda x: mg.tanh(w * x), (x,), (np.ones(3),))[1],
        lambda x: mg.jacobian(lambda x: mg.tanh(w * x))(x).sum(0),
    ):
        w.grad = None
        y = inner(x)
        assert y.requires_grad
        y.sum().backward()
        t = mg.tanh(w.detach() * x)
        allclose(w.grad, (1 - t * t) - 2 * w.detach() * x * t * (1 - t * t))


def test_parameters_as_arguments_see_through():
    w = draw(0, 3).requires_grad_()
    g = mg.grad(lambda w: (w**3).sum())(w)
    assert w.grad is None
    g.sum().backward()
    allclose(w.grad, 6 * w.detach())


def test_under_no_grad_nothing_stays_recorded():
    w, x = draw(0, 3).requires_grad_(), draw(1, 3)
    with mg.no_grad():
        value, g = mg.value_and_grad(lambda x: (w * x * x).sum())(x)
        y, tangent = mg.jvp(lambda x: w * x, (x,), (x,))
        H = mg.hessian(lambda x: (w * x**3).sum())(x)
    assert not any(t.requires_grad for t in (value, g, y, tangent, H))
    allclose((g, tangent), (2 * w.detach() * x, w.detach() * x))
    allclose(H, np.diag(6 * w._data * x._data))


def test_no_grad_inside_cuts():
    def f(x):
        with mg.no_grad():
            y = x * x
        return (x * y).sum()

    x = draw(0, 3)
    allclose(mg.grad(f)(x), x * x)


def test_plain_way_back_is_on_arrays():
    """The fast way is taken if and only if nobody outside can differentiate."""
    seen = []

    @mg.custom_vjp
    def spy(x):
        return x

    spy.defvjp(lambda x: (x, None), lambda _, g: (seen.append(modes.thread.mode) or g,))
    w, x = draw(0, 3).requires_grad_(), draw(1, 3)
    mg.grad(lambda x: spy(x).sum())(x)
    mg.grad(lambda x: (spy(x) * w).sum())(x)
    with mg.no_grad():
        mg.grad(lambda x: (spy(x) * w).sum())(x)
    assert seen == [modes.OFF, modes.ON, modes.OFF]


def test_transforms_keep_no_cycle():
    x = draw(0, 1000)
    gc.collect()
    gc.disable()
    try:
        for transform in (mg.grad, mg.hessian, lambda f: lambda x: mg.jvp(f, (x,), (x,)), mg.checkpoint):
            small = mg.tensor(x._data[:3])
            watched = []

            def f(x, watched=watched):
                y = mg.tanh(x)
                watched.append(weakref.ref(y))
                return (y * y).sum()

            del transform, small
        for transform in (mg.grad(f), mg.hessian(f), mg.checkpoint(f), lambda x: mg.jvp(f, (x,), (x,))):
            transform(mg.tensor(x._data[:3]).requires_grad_())
        assert watched and all(ref() is None for ref in watched)
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parity_with_pytorch(torch):
    x, w, v = draw(0, 4), draw(1, 3, 4), draw(2, 4)
    ours = lambda x, w: {"a": mg.tanh(w @ x), "b": (w * x).sum()}  # noqa: E731
    theirs = lambda x, w: {"a": torch.tanh(w @ x), "b": (w * x).sum()}  # noqa: E731
    tx, tw, tv = (torch.tensor(t._data) for t in (x, w, v))
    scalar = lambda f: lambda x, w: (f(x, w)["a"] ** 2).sum() * f(x, w)["b"]  # noqa: E731
    pairs = [
        (mg.jacobian(ours, (0, 1))(x, w), torch.func.jacrev(theirs, (0, 1))(tx, tw)),
        (mg.hessian(scalar(ours), (0, 1))(x, w), torch.func.hessian(scalar(theirs), (0, 1))(tx, tw)),
        (mg.jvp(ours, (x, w), (v, w)), torch.func.jvp(theirs, (tx, tw), (tv, tw))),
        (mg.value_and_grad(scalar(ours))(x, w), torch.func.grad_and_value(scalar(theirs))(tx, tw)[::-1]),
    ]
    for a, b in pairs:
        allclose(a, tree.map(lambda t: t.numpy(), b), rtol=1e-11, atol=1e-13)


# custom_vjp


def scaled_exp(factor=1.0):
    """exp(x) * y and y * y as a custom_vjp; its cotangent of x is wrong by `factor`."""

    @mg.custom_vjp
    def f(x, y, power=2):
        return {"a": mg.exp(x) * y["y"], "b": (y["y"] ** power, power)}

    def fwd(x, y, power):
        e = mg.exp(x)
        return {"a": e * y["y"], "b": (y["y"] ** power, power)}, (e, [y["y"]], power)

    def bwd(residuals, g):
        e, (y,), power = residuals
        a, (b, nothing) = g["a"], g["b"]
        assert nothing is None
        return factor * a * e * y, {"y": a * e + b * power * y ** (power - 1)}, None

    f.defvjp(fwd, bwd)
    return f


@given(seeds)
def test_custom_vjp_to_second_order(seed):
    f, x, y = scaled_exp(), draw(seed, 3), draw(seed + 1, 3, low=0.5)
    assert f.__name__ == "f"

    def loss(f):
        return lambda x, y: (lambda r: (r["a"] * r["a"] + 3 * r["b"][0]).sum())(f(x, {"y": y}, power=3))

    assert gradcheck(loss(f), (x, y), second_order=True)
    plain = lambda x, y, power: {"a": mg.exp(x) * y["y"], "b": (y["y"] ** power, power)}  # noqa: E731
    allclose(mg.hessian(loss(f), (0, 1))(x, y), mg.hessian(loss(plain), (0, 1))(x, y), rtol=1e-10, atol=1e-12)
    third = lambda f: mg.grad(lambda x: mg.hessian(loss(f))(x, y).sum())(x)  # noqa: E731
    allclose(third(f), third(plain), rtol=1e-10, atol=1e-12)


def test_gradcheck_notices_a_wrong_custom_vjp():
    x, y = draw(0, 3), draw(1, 3)
    gradcheck(lambda x, y: scaled_exp()(x, {"y": y})["a"], (x, y))
    with pytest.raises(AssertionError, match="custom_vjp of f"):
        gradcheck(lambda x, y: scaled_exp(1.001)(x, {"y": y})["a"], (x, y))


def test_custom_vjp_of_one_of_two_results():
    f, x, y = scaled_exp(), draw(0, 3), draw(1, 3)
    allclose(mg.grad(lambda y: f(x, {"y": y})["b"][0].sum())(y), 2 * y)
    result = f(x.requires_grad_(), {"y": y})
    assert result["b"][1] == 2 and "custom_vjp of f" in repr(result["a"])
    result["a"].sum().backward()
    allclose(x.grad, mg.exp(x.detach()) * y)


def test_custom_vjp_records_nothing_without_need():
    f, x, y = scaled_exp(), draw(0, 3), draw(1, 3)
    assert not f(x, {"y": y})["a"].requires_grad
    with mg.no_grad():
        assert not f(x.requires_grad_(), {"y": y})["a"].requires_grad


def custom(bwd):
    @mg.custom_vjp
    def halve(x, p):
        return x / 2

    halve.defvjp(lambda x, p: (x / 2, None), bwd)
    return halve


@pytest.mark.parametrize(
    "bwd, error, message",
    [
        (
            lambda _, g: (g,),
            ValueError,
            "bwd returned 1 cotangents, wanted one for each argument: .* of x, .* of p; None",
        ),
        (lambda _, g: g, TypeError, r"bwd returned one value \(Tensor\), wanted one for each"),
        (lambda _, g: (g[0], None), ValueError, r"the cotangent of x has shape \(\), wanted \(3,\)"),
        (lambda _, g: (g, {"w": g}), ValueError, r"the cotangent of p\['w'\] has shape \(3,\), wanted \(2,\)"),
        (lambda _, g: (g, g), ValueError, r"the cotangent of p: wanted a dict with keys \['w'\], got one value"),
    ],
)
def test_custom_vjp_names_the_function_whose_cotangents_do_not_fit(bwd, error, message):
    x, p = draw(0, 3), {"w": draw(1, 2).requires_grad_()}
    with pytest.raises(error, match="custom_vjp of halve: " + message):
        mg.grad(lambda x: custom(bwd)(x, p).sum())(x)


def test_custom_vjp_takes_none_for_zero():
    x, p = draw(0, 3), {"w": draw(1, 2)}
    for zero in (None, {"w": None}):
        f = custom(lambda _, g, zero=zero: (g / 2, zero))
        allclose(mg.grad(lambda x, p: f(x, p).sum(), (0, 1))(x, p), (np.full(3, 0.5), {"w": np.zeros(2)}))


def test_custom_vjp_misuse():
    @mg.custom_vjp
    def f(x, *, k=1):
        return x

    with pytest.raises(RuntimeError, match=r"custom_vjp of f: its vjp is missing; call defvjp"):
        f(draw(0, 3))
    f.defvjp(lambda x: x, lambda r, g: (g,))
    with pytest.raises(TypeError, match=r"\['k'\] are keyword-only"):
        f(draw(0, 3))

    g = mg.custom_vjp(lambda x: x)
    g.defvjp(lambda x: x, lambda r, g: (g,))
    with pytest.raises(TypeError, match=r"fwd must return \(result, residuals\), got one value"):
        g(draw(0, 3).requires_grad_())


def test_custom_vjp_saves_arrays_that_are_watched():
    f, x, y = scaled_exp(), draw(0, 3).requires_grad_(), draw(1, 3)
    z = f(x, {"y": y})["a"]
    y.zero_()
    with pytest.raises(
        RuntimeError, match=r"backward of custom_vjp of f: .* changed in place after .*test_transforms.py"
    ):
        z.sum().backward()


def test_straight_through():
    f = mg.custom_vjp(lambda x, *more: mg.round(x))
    f.defvjp(lambda x, *more: (mg.round(x), None), lambda _, g: (g, None))
    x = mg.tensor(np.array([0.3, 1.7]), requires_grad=True)
    (f(x, 3) * 5).sum().backward()
    assert x.grad.tolist() == [5, 5]


def test_cotangents_of_what_is_not_float_are_ignored():
    f = mg.custom_vjp(lambda x, n, k: x * n)
    f.defvjp(lambda x, n, k: (x * n, n), lambda n, g: (g * n, g, g))
    x = mg.tensor(np.ones(2), requires_grad=True)
    f(x, mg.tensor([3, 4]), 2.0).sum().backward()
    assert x.grad.tolist() == [3, 4]


def test_integer_results_and_arguments_of_custom_vjp():
    f = mg.custom_vjp(lambda x, index: (x[index], index + 1))
    f.defvjp(
        lambda x, index: ((x[index], index + 1), (x, index)),
        lambda r, g: (mg.ops.index.unindex(g[0], r[0].shape, r[1]._data), None),
    )
    x, index = draw(0, 4).requires_grad_(), mg.tensor([1, 1, 3])
    y, n = f(x, index)
    assert n.tolist() == [2, 2, 4] and not n.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [0, 2, 0, 1]


# checkpoint


class Layer:
    """Something with parameters, as a module is."""

    def __init__(self, n):
        self.weight = draw(10, n, n).requires_grad_()
        self.bias = draw(11, n).requires_grad_()

    def __call__(self, x, state=None, scale=1.0):
        h = mg.tanh(x @ self.weight + self.bias) * scale
        return (
            {"h": h, "c": (h * h, 7, None)} if state is None else {"h": h + state["h"], "c": (h * state["c"], 7, None)}
        )


def checkpointed_and_not(n=3):
    layer = Layer(n)
    return layer, layer.__call__, mg.checkpoint(layer)


@given(seeds)
def test_checkpoint_changes_nothing(seed):
    layer, plain, checkpointed = checkpointed_and_not()
    x, s = draw(seed, 2, 3).requires_grad_(), {"h": draw(seed + 1, 2, 3).requires_grad_(), "c": draw(seed + 2, 2, 3)}
    leaves = [x, s["h"], layer.weight, layer.bias]
    found = []
    for f in (plain, checkpointed):
        for leaf in leaves:
            leaf.grad = None
        y = f(f(x, scale=2.0)["h"], state=s)
        assert y["c"][1:] == (7, None)
        ((y["h"] + y["c"][0]) ** 2).sum().backward()
        found.append([y["h"]._data, *[leaf.grad._data for leaf in leaves]])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_checkpoint_of_every_order():
    layer, plain, checkpointed = checkpointed_and_not()
    x = draw(0, 3)

    def loss(f, order):
        g = lambda x: (f(x)["c"][0] * f(x)["h"]).sum()  # noqa: E731
        for _ in range(order):
            g = (lambda g: lambda x: (mg.grad(g)(x) ** 2).sum())(g)
        return g

    for order in range(4):
        found = []
        for f in (plain, checkpointed):
            layer.weight.grad = layer.bias.grad = None
            y = loss(f, order)(x)
            y.backward()
            found.append([y._data, layer.weight.grad._data, layer.bias.grad._data])
        for a, b in zip(*found):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    for transform in (mg.jacobian, lambda f: lambda x: mg.jvp(f, (x,), (x,))):
        allclose(transform(lambda x: checkpointed(x)["h"])(x), transform(lambda x: plain(x)["h"])(x))


def test_checkpoint_in_checkpoint_and_closed_over_results():
    """Closed over: a parameter, and a result of the outer tape on which another result depends."""
    w = draw(0, 3).requires_grad_()
    x = draw(1, 3).requires_grad_()

    def loss(wrap):
        a = mg.exp(w)
        b = a * a
        inner = wrap(lambda x: mg.sin(x * b + a) * w)
        outer = wrap(lambda x: inner(inner(x)) + b)
        return (outer(x) * a).sum()

    found = []
    for wrap in (lambda f: f, mg.checkpoint):
        w.grad = x.grad = None
        loss(wrap).backward()
        found.append((w.grad, x.grad))
    allclose(found[0], found[1])


def test_checkpoint_passes_constants_and_tensors_of_others():
    x, w = draw(0, 3).requires_grad_(), draw(1, 3).requires_grad_()
    f = mg.checkpoint(lambda x, flag: (x, w, 2 * x if flag else x, mg.tensor(1.0), "text"))
    same, outer, double, constant, text = f(x, True)
    assert outer is w and text == "text" and not constant.requires_grad
    (same + outer + double).sum().backward()
    assert x.grad.tolist() == [3, 3, 3] and w.grad.tolist() == [1, 1, 1]
    assert not mg.checkpoint(lambda x: 2 * x)(draw(0, 3)).requires_grad
    with mg.no_grad():
        assert not f(x, True)[2].requires_grad


def test_checkpoint_with_a_retained_graph():
    layer, _, checkpointed = checkpointed_and_not()
    y = checkpointed(draw(0, 3))["h"].sum()
    y.backward(retain_graph=True)
    once = layer.weight.grad._data.copy()
    y.backward()
    allclose(layer.weight.grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def held_after(f, x, steps=20):
    """Bytes that the tape of `steps` calls holds, and the most that was held while going back."""
    tracemalloc.start()
    y = x
    for _ in range(steps):
        y = f(y)
    y = y.sum()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    y.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held, peak


def test_checkpoint_saves_memory():
    x = draw(0, 10_000).requires_grad_()

    def f(x):
        for _ in range(10):
            x = mg.sin(x)
        return x

    one = x._data.nbytes
    held, peak = held_after(f, x)
    assert held > 190 * one  # what it would be: ten arrays a step
    held, peak = held_after(mg.checkpoint(f), x)
    assert held < 22 * one and peak < 42 * one  # one array a step; and while going back, ten of one step


def coin(generator, x):
    """What dropout does, in short: a mask drawn, announced to a checkpoint that may be listening."""
    if modes.thread.generators is not None:
        modes.thread.generators.setdefault(id(generator), (generator, generator.bit_generator.state))
    return x * mg.tensor(generator.random(x.shape))


@pytest.mark.parametrize("nested", [False, True])
def test_checkpoint_repeats_random_draws(nested):
    x = draw(0, 50)
    found = []
    for wrap in (lambda f: f, mg.checkpoint):
        generator, other = np.random.default_rng(5), np.random.default_rng(6)
        f = lambda x: mg.sin(coin(generator, mg.exp(coin(other, x))))  # noqa: E731
        if nested:
            f = (lambda f, wrap: wrap(lambda x: coin(other, wrap(f)(x)) + wrap(f)(x)))(f, wrap)
        value, g = mg.value_and_grad(lambda x: (wrap(f)(wrap(f)(x))).sum())(x)
        found.append((value._data, g._data, generator.random(), other.random()))
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)
    assert modes.thread.generators is None


def test_checkpoint_with_dropout():
    x = draw(0, 50)
    gradients = []
    for wrap in (lambda f: f, mg.checkpoint):
        generator = np.random.default_rng(5)
        f = lambda x: mg.sin(mg.dropout(mg.exp(x), 0.5, generator))  # noqa: E731
        gradients.append(mg.grad(lambda x: (wrap(f)(x) ** 2).sum())(x))
    allclose(*gradients)


def test_checkpoint_refuses_what_has_changed():
    layer, _, checkpointed = checkpointed_and_not()
    x = draw(0, 3).requires_grad_()
    for change in (layer.weight, x):
        y = checkpointed(x)["h"]
        with mg.no_grad():
            change.copy_(change._data + 1)
        with pytest.raises(RuntimeError, match=r"checkpoint of .*changed in place after .*test_transforms.py"):
            y.sum().backward()

    def scratch(x):  # an in-place change of its own array is its own affair
        buffer = mg.tensor(np.zeros(3))
        buffer[1] = 5.0
        return x * buffer

    y = mg.checkpoint(scratch)(x)
    y.sum().backward()
    assert x.grad.tolist() == [0, 5, 0]


def test_checkpoint_refuses_another_course():
    calls = []

    @mg.checkpoint
    def f(x):
        calls.append(0)
        return x[: len(calls)] * 2

    x, others = draw(0, 3).requires_grad_(), [draw(1, 3).requires_grad_(), draw(2, 3).requires_grad_()]
    for y in (f(x), mg.checkpoint(lambda x: x * others.pop())(x)):
        with pytest.raises(RuntimeError, match=r"checkpoint of .*test_transforms.py.*took another course"):
            y.sum().backward()


# stop_gradient


def test_stop_gradient():
    x = draw(0, 3)
    allclose(mg.grad(lambda x: (x * mg.stop_gradient(x)).sum())(x), x)
    allclose(mg.hessian(lambda x: (x * x * mg.stop_gradient(x)).sum())(x), np.diag(2 * x._data))
    allclose(mg.jvp(mg.stop_gradient, (x,), (x,)), (x, np.zeros(3)))


# trees


def test_trees():
    t = {"b": [1, (2, None)], "a": Pair(3, {}), "c": ()}
    leaves, structure = tree.flatten(t)
    assert leaves == [1, 2, 3]
    assert tree.unflatten(structure, leaves) == t and type(tree.unflatten(structure, leaves)["a"]) is Pair
    assert tree.names(t, "t") == ["t['b'][0]", "t['b'][1][0]", "t['a'].first"]
    assert tree.map(lambda x, y: x + y, t, t) == {"b": [2, (4, None)], "a": Pair(6, {}), "c": ()}
    assert tree.flatten_like(structure, {"a": Pair(3, {}), "c": (), "b": [1, (2, None)]}, "t") == [1, 2, 3]
    with pytest.raises(ValueError, match=r"t\['a'\]: wanted a Pair of 2, got a tuple of 2"):
        tree.flatten_like(structure, {**t, "a": (3, {})}, "t")
    assert tree.flatten(5) == ([5], ...) and tree.flatten(None) == ([], None)


@pytest.mark.parametrize("wrap", [lambda f: f, mg.checkpoint, mg.jit])
def test_ordered_and_default_dicts_stay_what_they_are(wrap):
    """As arguments, results and gradients; one program does not serve two of them."""

    def f(d):
        d.copy().move_to_end("a") if isinstance(d, OrderedDict) else None
        total = d["a"] * d["b"]
        return total * d["missing"] if isinstance(d, defaultdict) else total

    a, b = mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])
    g = wrap(f)
    for factory, scale in ((lambda: 2.0, 2.0), (lambda: 5.0, 5.0)):
        assert g(defaultdict(factory, a=a, b=b)).tolist() == [3.0 * scale, 8.0 * scale]
    for kind in (dict, OrderedDict):
        assert g(kind(a=a, b=b)).tolist() == [3.0, 8.0]
        gradients = mg.grad(lambda d: g(d).sum())(kind(a=a, b=b))
        assert type(gradients) is kind and list(gradients) == ["a", "b"]


def test_dicts_as_results_keep_their_class():
    for kind in (dict, OrderedDict):
        assert type(mg.jit(lambda x, kind=kind: kind(y=x * 2.0))(mg.tensor(1.0))) is kind
        assert type(mg.tree.map(lambda x: x + 1, kind(y=1))) is kind
    mapped = mg.tree.map(lambda x: x + 1, defaultdict(list, y=1))
    assert mapped == {"y": 2} and mapped["z"] == []
