"""gradcheck notices what is wrong and says where; the strategies draw what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.ops.declare import op
from minigrad.testing import Draw, arrays, broadcastable_shapes, gradcheck, shapes, spread, tensors


def test_right_gradients_of_nested_inputs_pass():
    def cell(x, state):
        h = mg.tanh(x @ state["w"] + state["h"][0])
        return {"h": h, "norms": (h.sum(), h * h)}

    rng = np.random.default_rng(0)
    state = {"w": rng.normal(size=(3, 2)).astype("float32"), "h": [mg.tensor(rng.normal(size=(4, 2)))]}
    assert gradcheck(cell, (rng.normal(size=(4, 3)), state), second_order=True)
    assert gradcheck(mg.exp, 0.5) and gradcheck(mg.exp, mg.tensor([1.0, 2.0]))
    assert gradcheck(lambda x, index: x[index], (np.ones((3, 2)), np.array([0, 0])))


def wrong_product(scale_a=1.0, curvature=0.0):
    @op(
        shape=lambda a, b: np.broadcast_shapes(a.shape, b.shape), name="wrong_product", method=False,
        a=lambda g, b: g * b * scale_a, b=lambda g, a, b: g * a + curvature * (b - mg.stop_gradient(b)) * g,
    )  # fmt: skip
    def f(a, b, /):
        return a * b

    return f


@pytest.fixture(autouse=True)
def _table_as_it_was():
    from minigrad.ops.table import table

    yield
    table.pop("wrong_product", None)


def test_a_wrong_vjp_is_reported_with_input_element_values_and_op():
    f = wrong_product(scale_a=1.01)
    message = (
        r"derivative with respect to inputs\[0\]\['a'\], element \(0, 1\): the vjp gives \S+, central differences \S+ "
        r".*taken by wrong_product at .*test_testing\.py:\d+: \"gradcheck"
    )
    a = np.array([[1.0, 2.0]])
    with pytest.raises(AssertionError, match=message):
        gradcheck(lambda x: f(x["a"], mg.tensor([0.0, 3.0])), [{"a": a}])
    assert gradcheck(lambda x: f(mg.tensor([1.0, 3.0]), x), a)  # the other input's is right


def test_a_vjp_that_is_wrong_only_when_differentiated_is_noticed():
    f = wrong_product(curvature=1.0)
    inputs = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert gradcheck(f, inputs)
    with pytest.raises(AssertionError, match="wrong second derivative with respect to inputs"):
        gradcheck(f, inputs, second_order=True)


def test_randomness_and_lost_precision_are_reported():
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError, match="two calls of the function differ"):
        gradcheck(lambda x: mg.dropout(x, 0.5, rng), np.ones(20))
    with pytest.raises(TypeError, match="returned float32 for float64 inputs"):
        gradcheck(lambda x: x.astype("float32"), np.ones(2))
    with pytest.raises(TypeError, match="returned no float tensor"):
        gradcheck(lambda x: x > 0, np.ones(2))
    with pytest.raises(TypeError, match="no float input"):
        gradcheck(mg.exp, np.ones(2, int))
    with pytest.raises(AssertionError, match="does not depend on the inputs"):
        gradcheck(lambda x: x.detach() * 2, np.ones(2))


def test_a_modules_parameters_are_checked_and_left_as_they_were():
    layer = nn.Linear(3, 2)
    before = {name: p.numpy().copy() for name, p in layer.named_parameters()}
    assert gradcheck(layer, np.ones((2, 3)), second_order=True)
    for name, p in layer.named_parameters():
        assert p.dtype == np.float32 and p.requires_grad and p.grad is None
        np.testing.assert_array_equal(p.numpy(), before[name])

    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(mg.tensor([1.0, 2.0]))

        def forward(self, x):
            return wrong_product(scale_a=2.0)(self.weight, x)

    with pytest.raises(AssertionError, match="with respect to parameter weight"):
        gradcheck(Wrong(), np.ones(2))


@given(shape=shapes(min_side=0), seed=st.integers(0, 99))
def test_spread_values_are_apart_and_away_from_kinks(shape, seed):
    a = spread(np.random.default_rng(seed), shape, -1, 1, away=(0, 0.5))
    assert a.shape == shape
    assert (abs(a) < 1).all() and (abs(a) > 0.05).all() and (abs(a - 0.5) > 0.05).all()
    assert a.size < 2 or np.diff(np.sort(a.ravel())).min() >= 2**-8
    np.testing.assert_array_equal(a.astype("float32"), a)


@given(data=st.data())
def test_arrays_of_one_draw_have_different_values(data):
    draw = Draw(data)
    a, b = draw.array((3, 4), 0, 0.1), draw.array((4, 4), 0, 0.1)
    assert len(set(a.ravel()) | set(b.ravel())) == 28


@given(data=st.data())
def test_draws_fit(data):
    draw = Draw(data)
    ndim = draw.integer(1, 3)
    assert -ndim <= draw.axis(ndim) < ndim
    axes = draw.axes(ndim)
    assert axes is None or np.empty((2,) * ndim).sum(axes).ndim < ndim
    assert draw.axes(0) in (None, ())
    assert sorted(draw.permutation(ndim)) == list(range(ndim))
    assert draw.indices((3, 2), 4).max() < 4 and draw.mask((2,)).dtype == bool
    m = draw.positive_definite(3)
    assert (m == m.T).all() and np.linalg.eigvalsh(m).min() > 2.9
    a, b = data.draw(broadcastable_shapes(2))
    np.broadcast_shapes(a, b)


@given(x=tensors((2, 3), "float32"), a=arrays(low=3, high=4))
def test_tensors_and_arrays(x, a):
    assert x.requires_grad and x.shape == (2, 3) and x.dtype == np.float32
    assert ((a > 3) & (a < 4)).all()


@pytest.mark.parametrize(
    "x, eps, message",
    [(1.0, 0.0, "got eps=0"), (1.0, 2.0**63, "got eps=9"), (np.nan, 1e-5, r"inputs\[0\] holds NaN or infinity")],
)
def test_what_has_no_difference_quotient_is_refused(x, eps, message):
    with pytest.raises(ValueError, match=f"gradcheck: {message}"):
        gradcheck(lambda x: x * x, [x], eps=eps)
