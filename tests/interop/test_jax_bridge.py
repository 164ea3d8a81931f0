"""`interop.jax`: a function of ours in JAX's programs. Skipped where there is no JAX (the extra `parity` has it)."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import LSTM

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.parity
from minigrad.interop import jax as bridge  # noqa: E402

jnp = jax.numpy


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def ours(x, w):
    return {"y": mg.tanh(x @ w) * x.sum(), "count": (x > 0).sum(), "pair": (x * 2.0, w)}


def theirs(x, w):
    return {"y": jnp.tanh(x @ w) * x.sum(), "count": (x > 0).sum(), "pair": (x * 2.0, w)}


def loss_of(f):
    def loss(x, w):
        made = f(x, w)
        return (made["y"] ** 2).sum() + (made["pair"][0] ** 3).sum()

    return loss


def draw(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def close(a, b, rtol=1e-10):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol), a, b)


WAYS = {
    "value": lambda f: f,
    "grad": jax.grad,
    "both": lambda f: jax.value_and_grad(f, (0, 1)),
    "jit of grad": lambda f: jax.jit(jax.grad(f, 1)),
    "grad of jit": lambda f: jax.grad(jax.jit(f)),
    "second": lambda f: jax.grad(lambda x, w: (jax.grad(f)(x, w) ** 2).sum(), (0, 1)),
    "second, jit": lambda f: jax.jit(jax.grad(lambda x, w: (jax.grad(f, 1)(x, w) ** 2).sum())),
    "third": lambda f: jax.grad(
        lambda x, w: (jax.grad(lambda x, w: (jax.grad(f)(x, w) ** 2).sum(), 1)(x, w) ** 2).sum()
    ),
    "jacrev of grad": lambda f: jax.jacrev(jax.grad(f), 1),
    "vmap": lambda f: lambda x, w: jax.vmap(f, (0, None))(jnp.stack([x, x + 1]), w),
    "vmap of grad": lambda f: lambda x, w: jax.jit(jax.vmap(jax.grad(f), (0, None)))(jnp.stack([x, x + 1]), w),
    "grad of vmap": lambda f: jax.grad(lambda x, w: jax.vmap(f, (0, None))(jnp.stack([x, x + 1]), w).sum(), 1),
    "remat": lambda f: jax.jit(jax.grad(jax.checkpoint(f))),
    "scan": lambda f: jax.grad(lambda x, w: jax.lax.scan(lambda c, _: (c + f(x * c, w), None), 1.0, None, 3)[0]),
}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_transforms_of_it_are_those_of_the_same_function_in_jax(way, jit):
    f = bridge.function(mg.jit(ours) if jit else ours)
    x, w = draw(4, 3), draw(3, 2, seed=1)
    close(WAYS[way](loss_of(f))(x, w), WAYS[way](loss_of(theirs))(x, w))


@given(shape=st.tuples(st.integers(0, 4), st.integers(1, 3)), single=st.booleans())
def test_results_have_jaxs_shapes_dtypes_and_structure(shape, single):
    f = bridge.function(mg.jit(ours))
    dtype = "float32" if single else "float64"
    x, w = draw(*shape, dtype=dtype), draw(shape[1], 2, dtype=dtype)
    for a, b in ((f(x, w), theirs(jnp.asarray(x), jnp.asarray(w))), (jax.jit(f)(x, w), jax.jit(theirs)(x, w))):
        assert jax.tree.map(lambda a: (a.shape, a.dtype), a) == jax.tree.map(lambda a: (a.shape, a.dtype), b)
        close(a, b, 1e-5 if single else 1e-12)


def test_without_64_bits_results_are_what_jax_makes_of_them():
    with jax.enable_x64(False):
        f = bridge.function(lambda x: (x.astype("float64"), x.argmax()))
        wide, index = jax.jit(f)(draw(3))
        assert wide.dtype == "float32" and index.dtype == "int32"


def test_a_layer_is_a_function_of_its_parameters():
    layer = mg.jit(LSTM(3, 4).astype("float64"))
    parameters = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    f, x = bridge.function(layer), draw(5, 2, 3)

    def loss(parameters):
        output, (h, _) = f(parameters, x)
        return (output**2).sum() + h.sum()

    output, (h, _) = layer(mg.tensor(x))
    ((output**2).sum() + h.sum()).backward()
    gradients = jax.jit(jax.grad(loss))(parameters)
    close(gradients, {name: p.grad.numpy() for name, p in layer.named_parameters()})
    np.testing.assert_array_equal(f(parameters, x)[0], output.detach().numpy())

    def penalty(f):  # a second derivative, through parameters that are in the module for the time of a call
        return jax.grad(lambda p: sum((g**2).sum() for g in jax.tree.leaves(jax.grad(lambda p: f(p, x)[0].sum())(p))))

    close(penalty(f)(parameters), penalty(bridge.function(LSTM(3, 4).astype("float64")))(parameters))
    trained = {name: jnp.asarray(p) for name, p in parameters.items()}
    before = loss(trained)
    for _ in range(20):
        trained = jax.tree.map(lambda p, g: p - 0.05 * g, trained, jax.jit(jax.grad(loss))(trained))
    assert loss(trained) < before
    np.testing.assert_array_equal(layer.weight_hh_l0.numpy(), parameters["weight_hh_l0"])  # ours are as they were


def test_large_arrays_and_two_threads():
    f = bridge.function(mg.jit(lambda x: mg.tanh(x) * 2.0))
    g = jax.jit(jax.grad(lambda x: f(x * 1.0).sum()))
    x = draw(2_000_000, dtype="float32")
    close(g(x)[:5], 2 / np.cosh(x[:5]) ** 2, 1e-4)
    found = {}

    def work(k):
        found[k] = [g(x[:1000] + k) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        for one in found[k]:
            np.testing.assert_array_equal(one, g(x[:1000] + k))


def test_a_backward_whose_tape_is_gone_computes_the_forward_again():
    f = bridge.function(mg.jit(lambda x: mg.tanh(x) * 2.0))
    x = draw(3)
    _, first = jax.vjp(f, x)
    for _ in range(bridge.TAPES + 1):
        jax.vjp(f, x)
    assert len(bridge.tapes.waiting) <= bridge.TAPES
    for _ in range(2):
        np.testing.assert_allclose(first(np.ones(3))[0], 2 / np.cosh(x) ** 2, rtol=1e-12)


def test_what_it_refuses():
    free = mg.tensor(draw(3, 2), requires_grad=True)
    with pytest.raises(Exception, match="requires a gradient and is not among what it was given"):
        jax.grad(lambda x: bridge.function(lambda x: x @ free)(x).sum())(draw(4, 3))
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(bridge.function(mg.tanh), (draw(3),), (draw(3),))
    with pytest.raises(TypeError, match="function: wanted a layer or a function, got int"):
        bridge.function(3)
    with pytest.raises(ValueError, match="has no parameter 'other'"):
        bridge.function(nn.Linear(2, 2))({"other": draw(2)}, draw(2, 2))
