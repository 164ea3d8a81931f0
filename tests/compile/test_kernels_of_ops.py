"""Ops that were not always part of kernels: along an axis, of integers, picking by an index; and what Python is called
for from a kernel. Compiled, with the batch divided between threads and not."""

import threading

import numpy as np
import pytest
from interpreter import divided_batches
from programs import calls_of_python, draw, same, without_kernels

import minigrad as mg
from minigrad.kernels import pieces, threads
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table

pytestmark = pytest.mark.usefixtures("compiled")
T, B, H = 4, 6, 5
SEQUENCE, START = (T, B, H), (B, H)


def check(step, *states, called=(), dtype="float64", rtol=1e-10, divided=True):
    """The loop of a step (h, x, *more) -> (h, *more), y against eager code; Python is called for these ops alone."""
    xs, h = draw(0, *SEQUENCE, dtype=dtype), draw(1, *START, dtype=dtype)

    def f(h, xs):
        def one(carry, x):
            carry, y = step(*carry, x)
            return carry, y

        (h, *_), ys = mg.scan(one, (h, *states), xs)
        return h, ys

    for loop in mg.jit(f).explain(h, xs).loops:
        assert loop.why_not is None and loop.divided == divided
        assert calls_of_python(loop) <= set(called), loop.tasks
    same(f, [h, xs], h, xs, rtol=rtol)
    with divided_batches():
        same(f, [h, xs], h, xs, rtol=rtol)


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-10), ("float32", 2e-5)])
def test_along_an_axis(dtype, rtol):
    def step(h, x):
        p = mg.cumsum(mg.softmax(h + x), axis=-1)
        q = mg.cumprod(1 + 0.1 * x, axis=1)
        order = mg.argsort(mg.stop_gradient(x), axis=1)
        best = mg.argmax(x, axis=1, keepdims=True)
        worst = mg.argmin(x, axis=1, keepdims=True)
        picked = mg.take_along_axis(p * q, order, axis=1) + mg.take_along_axis(h, best, 1)
        return (mg.tanh(picked * mg.take_along_axis(x, worst, 1)),), mg.prod(p + 0.5, axis=1) + h.sum(1)

    check(step, dtype=dtype, rtol=rtol)


@pytest.mark.parametrize("ways", [1, 3, 9])
@pytest.mark.parametrize("keepdims", [False, True])
def test_folds_over_what_the_step_stacks(ways, keepdims):
    def step(h, x):
        stacked = mg.stack([h * (k + 1) + x for k in range(ways)])
        likely = mg.logsumexp(stacked, axis=0, keepdims=keepdims).reshape(h.shape)
        most = mg.max(stacked * x, axis=0, keepdims=keepdims).reshape(h.shape)
        return (mg.tanh(likely - most),), mg.prod(stacked, axis=0) + mg.sum(mg.exp(-stacked * stacked), axis=0)

    check(step)


def test_nan_is_the_largest_of_an_order():
    x = np.array([[3.0, np.nan, 1.0, np.nan, 1.0]])

    def f(h):
        return mg.scan(lambda h, _: (h + 1, (mg.argsort(h, 1), mg.argmax(h, 1), mg.argmin(h, 1))), h, None, length=2)[1]

    for got, wanted in zip(mg.jit(f)(mg.tensor(x)), f(mg.tensor(x))):
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def test_a_counter_and_masks():
    def step(h, t, x):
        late, odd = t >= 2, t * 2 - 1 == 1
        some, every = mg.any(x > 0, axis=1, keepdims=True), mg.all(x > -2, axis=1, keepdims=True)
        h = mg.where(late, mg.tanh(h + x), h * 0.5) + 0.1 * mg.astype((odd | some) & every, "float64")
        count = mg.sum(x > 0, axis=1, keepdims=True)
        return (h + 0.01 * mg.astype(count + t, "float64"), t + 1), mg.where(x > 0, t, -t)

    check(step, np.array(0))


def test_greedy_decoding():
    table = draw(2, 7, H)

    def step(h, k, x):
        e = mg.embedding(table, k) + mg.take(table, k, axis=0)
        h = mg.tanh(h + x + e)
        return (h, mg.argmax(h @ table.T, axis=1)), k

    check(step, np.zeros(B, int))


def test_the_way_back_through_a_table_of_integers():
    """Viterbi's: each step reads where the best path came from."""
    origins = np.random.default_rng(0).integers(0, H, (T, B, H))

    def f(last):
        return mg.scan(lambda tag, origin: (mg.take_along_axis(origin, tag, axis=1), tag), last, origins, reverse=True)

    jitted, last = mg.jit(f), mg.tensor(np.arange(B)[:, None] % H)
    assert [t for loop in jitted.explain(last).loops for t in loop.tasks if "call of Python" in t] == []
    for got, wanted in zip(jitted(last), f(last)):
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def test_slices_with_steps_and_reshapes_of_strided_memory():
    def step(h, x):
        turned = mg.reshape(mg.transpose(mg.reshape(h[:, :4], (B, 2, 2)), (0, 2, 1)), (B, 4))
        spread = mg.concatenate([turned, x[:, ::-1][:, :1]], axis=1)
        return (mg.tanh(spread + mg.roll(x, 2, axis=1) + mg.repeat(h[:, ::2][:, :1], H, axis=1)),), h[:, ::2]

    check(step)


def test_integers_that_are_sorted_summed_and_made_one_hot():
    def step(h, x):
        places = mg.astype(mg.floor(3 * x), "int64")
        order = mg.argsort(mg.argsort(places, axis=1), axis=1)
        best = mg.argmax(places, axis=1)
        counts = mg.cumsum(x > 0, axis=1) + mg.cumprod(places, axis=1)
        one = mg.one_hot(best, H) + mg.sum(mg.one_hot(order, H), axis=1)
        return (mg.tanh(h * mg.astype(one, h.dtype) + x),), mg.astype(counts, h.dtype) + mg.astype(
            best[:, None], h.dtype
        )

    check(step)


def test_floats_that_no_integer_has_become_the_least_one():
    x = np.array([[np.nan, np.inf, -np.inf, 1e30, -2.7, 2.7]])

    def f(h):
        return mg.scan(lambda h, _: (h * 1.0, mg.astype(h, "int64")), h, None, length=2)[1]

    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(mg.jit(f)(mg.tensor(x)).numpy(), np.stack([x.astype("int64")] * 2))


def test_places_along_an_axis_that_an_array_gives():
    order, table = np.array([3, -1, 0, 0, 2]), np.array([[0, 1, 4], [2, 2, 3]])

    def step(h, x):
        y = h[:, order] * x[..., [4, 3, 2, 1, 0]]
        z = mg.take(h, table, axis=1)
        return (mg.tanh(y + z.sum((1, 2))[:, None] * x),), mg.take(y, table[0], axis=1)

    check(step)


@pytest.mark.parametrize("n, k, m", [(1, 5, 1), (1, 5, 3), (3, 5, 1), (2, 1, 3), (3, 5, 4), (8, 17, 18)])
def test_products_of_matrices_of_every_row(n, k, m):
    """Vectors and matrices, in order and transposed, small and so large that they are packed."""
    w, v, u = draw(2, H, n * k), draw(3, H, k * m), draw(4, n * m, H)

    def step(h, x):
        a, b = mg.tanh(h @ w).reshape(B, n, k), mg.tanh((h + x) @ v).reshape(B, k, m)
        at, bt = mg.tanh(x @ w).reshape(B, k, n), mg.tanh(x @ v).reshape(B, m, k)
        y = a @ b + mg.swapaxes(at, 1, 2) @ b + a @ mg.swapaxes(bt, 1, 2)
        y = y + mg.einsum("bkn,bmk->bnm", at, bt) + mg.einsum("bnk,bk->bn", a, b[:, :, 0])[..., None]
        return (mg.tanh(y.reshape(B, n * m) @ u + x),), y

    check(step)


def test_heads_and_images_keep_their_rows_in_front():
    w, v, u = draw(2, 3, H, H), draw(3, 4, 2), draw(4, 3, H, H)

    def step(h, x):
        each = mg.einsum("bd,nde->bne", h, w)
        each = mg.tanh(mg.einsum("bnd,nde->bne", each, u) + x[:, None])
        image = mg.stack([h, x], axis=1)
        made = mg.einsum("bcp,dc->bdp", image, v)
        return (mg.tanh(mg.sum(each, axis=1) + mg.sum(made, axis=1)),), made

    check(step)


def test_einsum_takes_the_product_of_matrices():
    w = draw(3, H, H)

    def step(h, x):
        outer = mg.einsum("bi,bj->bij", h, x)
        return (mg.tanh(mg.einsum("ij,bj->bi", w, x) + mg.einsum("bij,bj->bi", outer, h)),), mg.einsum("bij->b", outer)

    check(step)


def test_python_is_called_for_an_op_that_no_kernel_has(monkeypatch):
    without_kernels(monkeypatch, "inv", "det", "cofactor")
    eye = np.eye(H)

    def step(h, x):
        m = mg.einsum("bi,bj->bij", h, h) + eye
        return (mg.tanh(mg.einsum("bij,bj->bi", mg.inv(m), x) + mg.det(m)[:, None]),), h

    with pytest.warns(UserWarning, match=r"no kernel has inv of these operands; .*mg\.inv\(m\)"):
        check(step, called={"inv", "det", "cofactor"})


def mixed(main, other):
    """A loop of one float type that computes in the other one too: masks, sums, a bias that is not as wide."""
    bias = draw(2, H, dtype=other)

    def f(h, xs, bias):
        def step(h, x):
            noise = mg.astype(x, other) + bias
            part = mg.where(noise * noise - 0.25 >= 0.1, noise, bias / 3)
            row = mg.sum(part, axis=1, keepdims=True) * mg.max(noise, axis=1, keepdims=True)
            h = mg.tanh(h * mg.astype(row, main) + mg.astype(x > 0, main)) + x
            return h, part * mg.astype(h, other)

        return mg.scan(step, h, xs)

    return f, [draw(1, *START, dtype=main), draw(0, *SEQUENCE, dtype=main), bias]


@pytest.mark.parametrize("main, other", [("float64", "float32"), ("float32", "float64")])
def test_both_float_types_in_one_loop(main, other):
    f, args = mixed(main, other)
    for loop in mg.jit(f).explain(*args).loops:
        assert loop.why_not is None and loop.divided
        assert not any("call of Python" in task for task in loop.tasks), loop.tasks
    same(f, args, *args, rtol=2e-5)
    with divided_batches():
        same(f, args, *args, rtol=2e-5)


SIZES = pytest.mark.parametrize("dtype, rtol", [("float64", 1e-9), ("float32", 2e-4)])


@SIZES
def test_matrices_of_every_row(dtype, rtol):
    eye = np.eye(H, dtype=dtype)

    def step(h, x):
        m = mg.einsum("bi,bj->bij", h, x) + 2 * eye
        spd = mg.einsum("bij,bkj->bik", m, m) + eye
        sides = mg.stack([h, x], axis=2)
        y = mg.einsum("bij,bj->bi", mg.inv(m), x) + mg.sum(mg.solve(spd, sides), axis=2) + mg.cholesky(spd)[:, :, 0]
        sign, logarithm = mg.slogdet(m)
        return (mg.tanh(y + 1e-3 * mg.det(m)[:, None] + (sign * logarithm)[:, None]),), mg.solve(
            eye + h[0, 0] ** 2, h.T
        )

    check(step, dtype=dtype, rtol=rtol, divided=False)  # the last solve has all rows on its right


@pytest.mark.parametrize("n", [1, 2, 5, 23])
def test_matrices_are_as_exact_as_in_eager_code(n):
    """Both compute in float64, of float32 too."""
    rng = np.random.default_rng(n)
    m = mg.tensor(rng.normal(size=(B, n, n)).astype("float32"))

    def f(m):
        made = (
            mg.inv(m),
            mg.det(m),
            mg.slogdet(m)[1],
            mg.cholesky(m @ mg.swapaxes(m, 1, 2) + np.eye(n, dtype="float32")),
        )
        return mg.scan(lambda c, _: (c, made), np.float32(0), None, length=1)[1]

    def g(m):  # in the step
        def step(c, _):
            a = m + c
            spd = a @ mg.swapaxes(a, 1, 2) + np.eye(n, dtype="float32")
            return c, (mg.inv(a), mg.det(a), mg.slogdet(a)[1], mg.cholesky(spd))

        return mg.scan(step, np.float32(0), None, length=1)[1]

    for got, wanted in zip(mg.jit(g)(m), f(m)):
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-6 * abs(wanted.numpy()).max())


def test_cofactors_of_matrices_without_an_inverse():
    rng = np.random.default_rng(0)
    ranks = [rng.normal(size=(4, r)) @ rng.normal(size=(r, 4)) for r in (4, 3, 2, 1, 0)]
    m = mg.tensor(np.stack(ranks), requires_grad=True)

    def f(m):
        return mg.scan(lambda c, x: (0.5 * c + mg.sum(mg.det(x + c)), None), np.float64(0), m)[0]

    def g(m):
        return mg.scan(lambda c, x: (c + mg.det(m * x), None), np.zeros(5), np.ones(2))[0].sum()

    for h in (f, g):
        assert not any(calls_of_python(loop) for loop in mg.jit(h).explain(m).loops)
        same(h, [m], m, rtol=1e-9)


def test_determinants_whose_products_are_too_large_on_the_way():
    m = np.diag([1e200, 1e200, 1e-200, 1e-200, -3.0])

    def f(c):
        return mg.scan(lambda c, _: (c, mg.det(m * c)), c, None, length=1)[1]

    np.testing.assert_allclose(mg.jit(f)(mg.tensor(1.0)).numpy(), [-3.0], rtol=1e-12)


@SIZES
def test_pooling(dtype, rtol):
    w = draw(2, 2 * H * H, H, dtype=dtype)

    def step(h, x):
        image = mg.einsum("bi,bcj->bcij", h, mg.stack([x, h], axis=1))
        large = mg.max_pool2d(image, 3, stride=(2, 1), padding=1, dilation=(1, 2), ceil_mode=True)
        mean = mg.avg_pool2d(image, (2, 3), stride=2, padding=(0, 1), ceil_mode=True, count_include_pad=False)
        smooth = mg.avg_pool2d(image, 3, stride=1, padding=1)
        y = mg.reshape(smooth, (B, 2 * H * H)) @ w
        return (mg.tanh(y + mg.max(large, axis=(1, 2, 3))[:, None] + mg.sum(mean, axis=(1, 2, 3))[:, None]),), large

    check(step, dtype=dtype, rtol=rtol)


def test_the_place_of_the_largest_is_that_of_eager_code():
    """Of ties, of NaN and of -inf."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (B, 2, 6, 7)).astype("float64")
    x[x == 0] = -np.inf
    x[0, 0, 2:5, 3] = np.nan

    def f(x):
        def step(c, _):
            return c, mg.max_pool2d_indices(x + c, 3, 2, 1, (2, 1), True)

        return mg.scan(step, np.float64(0), None, length=1)[1]

    np.testing.assert_array_equal(mg.jit(f)(mg.tensor(x)).numpy(), f(mg.tensor(x)).numpy())


IMAGE = (B, 4, 5, 6)


@SIZES
@pytest.mark.parametrize("how", [
    {"stride": 2, "padding": 1}, {"dilation": (2, 1), "padding": (2, 1)}, {"groups": 2, "padding": 1},
    {"groups": 4, "padding": 1}, {"stride": (1, 2), "dilation": 2, "groups": 2, "padding": 2},
])  # fmt: skip
def test_convolutions(how, dtype, rtol):
    """Of a weight that stays, and of one that each step makes; and back by their transpose."""
    rng = np.random.default_rng(0)
    w = mg.tensor(rng.normal(size=(4, 4 // how.get("groups", 1), 3, 3)).astype(dtype), requires_grad=True)
    bias, u = draw(1, 4, dtype=dtype), draw(2, H, 120, dtype=dtype)
    back = {name: n for name, n in how.items() if name != "padding"} | {"padding": how["padding"]}

    def step(h, x):
        image = mg.reshape(mg.tanh((h + x) @ u), IMAGE)
        y = mg.conv2d(image, w, bias, **how)
        again = mg.conv_transpose2d(y, w, draw(3, 4, dtype=dtype).detach(), **back)
        return (mg.tanh(h * mg.mean(again, axis=(1, 2, 3))[:, None] + x),), y

    check(step, dtype=dtype, rtol=rtol)

    def changing(h, x):
        image = mg.reshape(mg.tanh((h + x) @ u), IMAGE)
        made = w * mg.tanh(mg.mean(h))
        y = mg.conv2d(mg.flip(image, axis=3), made, None, **how)
        return (mg.tanh(h * mg.mean(y, axis=(1, 2, 3))[:, None] + x),), mg.conv_transpose2d(y, made, None, **back)

    check(changing, dtype=dtype, rtol=rtol, divided=False)


def test_order_of_many_and_of_equal_ones():
    """More than are sorted by counting; along any axis."""
    x = np.random.default_rng(0).integers(0, 40, (3, 150, 2)) / 7
    x[0, ::17] = np.nan

    def f(x):
        return mg.scan(lambda c, _: (c, (mg.argsort(x + c, 1), mg.sort((x + c).reshape(-1)))), 0.0, None, length=1)[1]

    for got, wanted in zip(mg.jit(f)(mg.tensor(x)), f(mg.tensor(x))):
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())


@pytest.mark.parametrize("index, shape", [
    ([0, 2, 2], (3, H)), ((slice(None), [1, 1, 4]), (B, 3)), ((slice(None), [1, 1, 4]), ()),
    (([0, 1, 0], [2, 3, 2]), (3,)), (np.eye(B, H) > 0, ()), (np.eye(B, H) > 0, (H,)), ([[0, 1], [2, 3]], (2, 2, H)),
    ((..., [[0, 1], [1, 3]]), (B, 2, 2)), ((1, [0, 0]), (2,)), ([], (0, H)),
])  # fmt: skip
def test_what_is_written_at_several_places(index, shape):
    """The last of several values at one place stays."""
    value = draw(2, *shape)

    def f(h, xs, value):
        def step(h, x):
            h = mg.tanh(h + x)
            new = h.copy()
            new[index] = value * h[0, 0]
            return new, h

        return mg.scan(step, h, xs)

    args = draw(1, *START), draw(0, *SEQUENCE), value
    assert not any(calls_of_python(loop) for loop in mg.jit(f).explain(*args).loops)
    same(f, list(args), *args)


def test_elements_along_an_axis_of_what_is_broadcast():
    def step(h, x):
        some = mg.take_along_axis(x, np.array([[0, 3, 3]]), 1)
        others = mg.take_along_axis(h[:, :1] * np.ones((1, H)), np.arange(B)[:, None] % H, 1)
        return (mg.tanh(h + mg.sum(some, axis=1)[:, None] + others),), some

    check(step)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_integers_of_every_width_are_carried_and_looked_up(dtype):
    table = draw(2, 200, H)

    def f(k, xs):
        def step(carry, x):
            k, h = carry
            h = mg.tanh(h + x + mg.take(table, k, axis=0) + mg.one_hot(k, 200)[:, :H])
            return (k, h), (mg.astype(k, "float64"), mg.astype(k, bool), mg.astype(mg.astype(k, "int64"), dtype), h)

        return mg.scan(step, (k, np.zeros(START)), xs)

    k, xs = (
        mg.tensor(np.array([0, 127, 3, 100, 1, 2] if dtype == "int8" else [0, 199, 3, 150, 1, 2]).astype(dtype)),
        draw(0, *SEQUENCE),
    )
    assert not any(calls_of_python(loop) for loop in mg.jit(f).explain(k, xs).loops)
    same(f, [xs, table], k, xs)


ELEMENTWISE = sorted(name for name, op in table.items() if isinstance(op, Elementwise))


def test_every_elementwise_op_of_float32_in_a_loop_of_float64():
    rng = np.random.default_rng(0)
    h, xs = mg.tensor(rng.uniform(0.2, 0.8, START)), mg.tensor(rng.uniform(0.2, 0.8, SEQUENCE))

    def f(h, xs):
        def step(h, x):
            small = mg.astype(h, "float32")
            kinds = {True: small > 0.5, False: small + 0.1}
            made = [op.call(*[kinds[n in op.booleans] for n in op.inputs]) for op in map(table.get, ELEMENTWISE)]
            return 0.5 * h + 0.1 * mg.tanh(mg.matmul(x, np.eye(H))), made

        return mg.scan(step, h, xs)

    (loop,) = mg.jit(f).explain(h, xs).loops
    assert not any("call of Python" in task for task in loop.tasks), loop.tasks
    for name, got, wanted in zip(
        ["h", *ELEMENTWISE], mg.tree.flatten(mg.jit(f)(h, xs))[0], mg.tree.flatten(f(h, xs))[0]
    ):
        assert got.dtype == wanted.dtype, name
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=2e-5, atol=1e-6, err_msg=name)


def test_the_type_of_a_kernel_is_that_with_which_python_is_called_least():
    xs, h, w = draw(0, *SEQUENCE, dtype="float32"), draw(1, *START, dtype="float32"), draw(2, H, H, dtype="float32")

    def called(products):
        def f(h, xs):
            def step(h, x):
                wide = mg.exp(mg.astype(h, "float64"))
                h = h + x * mg.astype(wide, "float32")
                for _ in range(products):
                    h = mg.tanh(h @ w)
                return h, wide

            return mg.scan(step, h, xs)

        forward, _ = mg.jit(f).explain(h, xs).loops
        same(f, [h, xs], h, xs, rtol=2e-5)
        return [task.split()[3] for task in forward.tasks if "call of Python" in task]

    assert called(0) == []  # float64, which has tanh of float32, too
    assert called(2) == ["exp,"]  # products are of the kernel's type alone


def test_a_loop_in_a_loop_is_a_kernel_that_a_kernel_calls():
    xs, h = draw(0, *SEQUENCE), draw(1, *START)

    def f(h, xs):
        def step(h, x):
            inner, zs = mg.scan(lambda c, _: ((c := mg.tanh(c * x + h)), c), h, None, length=3)
            return inner, zs.sum(0)

        return mg.scan(step, h, xs)

    assert [loop.why_not for loop in mg.jit(f).explain(h, xs).loops] == [None, None]
    same(f, [h, xs], h, xs)


@pytest.mark.parametrize("every", [None, 1, 2])
def test_an_index_of_several_places_in_a_loop_that_is_computed_again(every):
    """The places are a constant of the loop, and of the loops that compute its steps again."""
    xs, h = draw(0, *SEQUENCE), draw(1, *START)
    places = np.array([0, 3, 3, 1, 4])

    def f(h, xs):
        return mg.scan(lambda h, x: ((h := mg.tanh(h[..., places] + mg.sin(x))), h * h), h, xs)

    same(mg.jit(f, checkpoint=every), [h, xs], h, xs)


# What goes wrong in a kernel is raised when it returns


def picks(table, k):
    return mg.scan(lambda k, _: (k + 1, mg.take(table, k, axis=0)), k, None, length=3)[1]


@pytest.mark.parametrize("first", [[0, 9], [-3, 0]])
def test_an_index_that_there_is_not_raises_as_in_eager_code(first):
    table, f = mg.tensor(np.arange(8.0).reshape(4, 2)), mg.jit(picks)
    with pytest.raises(IndexError):
        picks(table, mg.tensor([0, 9]))
    if first == [0, 9]:
        with pytest.raises(IndexError, match=r"take: index 9 does not fit an axis of 4 elements, at .*picks|mg.take"):
            f(table, mg.tensor(first))
    k = mg.tensor([-2, 1])
    np.testing.assert_array_equal(f(table, k).numpy(), picks(table, k).numpy())  # and the next call is right


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("name, words", [
    ("cholesky", "not positive definite"), ("inv", "singular"), ("solve", "singular")
])  # fmt: skip
@pytest.mark.parametrize("batch", [1, B])
def test_a_matrix_that_is_refused_raises_as_in_eager_code(monkeypatch, name, words, batch, python):
    """By a kernel, and by Python where one calls it."""
    if python:
        without_kernels(monkeypatch, name)
    sides = (np.ones((2, 1)),) * (name == "solve")

    def f(m):
        return mg.scan(lambda m, _: (m - 0.5 * np.eye(2), getattr(mg, name)(m, *sides)), m, None, length=3)[1]

    bad = np.eye(2) * np.where(np.arange(batch) == batch - 1, 1.0, 5.0)[:, None, None]
    jitted, good = mg.jit(f), mg.tensor(np.broadcast_to(np.eye(2) * 5.0, bad.shape).copy())
    with divided_batches():
        with pytest.raises(np.linalg.LinAlgError, match=words):
            f(mg.tensor(bad))
        with pytest.raises(np.linalg.LinAlgError, match=rf"{name}: .*{words}.*, at .*{name}|{words}"):
            jitted(mg.tensor(bad))
        np.testing.assert_allclose(jitted(good).numpy(), f(good).numpy())


def test_errors_of_two_threads_go_to_the_thread_that_made_them():
    table, f = mg.tensor(np.arange(8.0).reshape(4, 2)), mg.jit(picks)
    good, bad = mg.tensor([0, 1]), mg.tensor([0, 3])
    f(table, good)
    outcomes: dict = {}

    def work(name, k):
        for _ in range(200):
            try:
                f(table, k)
                outcomes.setdefault(name, set()).add("fine")
            except IndexError:
                outcomes.setdefault(name, set()).add("raised")

    threads = [threading.Thread(target=work, args=args) for args in (("good", good), ("bad", bad))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"good": {"fine"}, "bad": {"raised"}}


def test_threads_share_a_large_elementwise_op_outside_of_loops(monkeypatch):
    calls = []
    call = threads.call
    monkeypatch.setattr(threads, "count", 3)
    monkeypatch.setattr(threads, "call", lambda *args: (calls.append(len(args[1])), call(*args)))
    x = mg.tensor(np.random.default_rng(0).normal(size=(3, pieces.SHARED)))
    fast = mg.jit(lambda x: mg.tanh(x))
    y = fast(x)
    calls.clear()
    np.testing.assert_array_equal(fast(x).numpy(), y.numpy())
    assert calls == [3 * pieces.SHARED // pieces.PIECE]
    np.testing.assert_array_equal(mg.tanh(x).numpy(), y.numpy())
