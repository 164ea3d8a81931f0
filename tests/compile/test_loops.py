"""Compiled scans: lengths, batches, structures, nested loops; processes, threads, bits."""

import inspect
import itertools
import multiprocessing
import sys
import threading

import numpy as np
import pytest
from interpreter import divided_batches
from programs import B, H, Pair, T, draw, leaves, looped, same

import minigrad as mg
from minigrad import nn
from minigrad.kernels import build
from minigrad.models import GRU, LSTM, RNN

# Loops

pytestmark = pytest.mark.usefixtures("quick_kernels")


def test_lengths_and_batches_compile_nothing_new(compiled, monkeypatch):
    """50 lengths and 5 batch sizes in turn, forward and backward, with and without a gradient, once both have varied.
    (What is small outside of the loop is a kernel of the sizes that have not varied.)"""
    layer = LSTM(2, 3)
    f = mg.jit(layer)

    def step(length, batch):
        x = draw(0, length, batch, 2, dtype="float32")
        y, (h, c) = f(x)
        (y.sum() + h.sum() + c.sum()).backward()
        with mg.no_grad():
            f(x)

    for length, batch in [(4, 2), (5, 2), (6, 3), (1, 1), (1, 2), (2, 1)]:
        step(length, batch)
    made = []
    compile_object = build.compile_object
    monkeypatch.setattr(build, "compile_object", lambda *args: made.append(args) or compile_object(*args))
    monkeypatch.setattr(build.cache, "read", lambda key: None)  # what an earlier run has compiled does not count
    for length in range(1, 51):
        step(length, [1, 2, 3, 5, 8][length % 5])
    assert not made


def test_lengths_and_batches_of_other_loops_compile_nothing_new(compiled, monkeypatch):
    embedding = nn.Embedding(7, 3)
    layer = GRU(3, 3, num_layers=2, bidirectional=True)
    f = mg.jit(lambda tokens, lengths: layer(embedding(tokens), mask=lengths))

    def step(length, batch):
        tokens = np.random.default_rng(length).integers(0, 7, (length, batch))
        y, h = f(tokens, np.arange(length)[:, None] < np.arange(batch))
        (y.sum() + h.sum()).backward()

    for length, batch in [(5, 4), (6, 4), (7, 5), (1, 1), (1, 2), (2, 1)]:
        step(length, batch)
    made = []
    compile_object = build.compile_object
    monkeypatch.setattr(build, "compile_object", lambda *args: made.append(args) or compile_object(*args))
    monkeypatch.setattr(build.cache, "read", lambda key: None)  # what an earlier run has compiled does not count
    for length, batch in [(2, 2), (3, 1), (9, 7), (1, 3), (17, 4)]:
        step(length, batch)
    assert not made


def test_nested_loops():
    """A sum over pairs, a loop in a loop, both with carries that come from outside."""
    w = draw(0, 3)

    def f(h, xs):
        def outer(h, x):
            def inner(g, z):
                g = mg.tanh(g * w + z * x + h)
                return g, g * z

            g, ys = mg.scan(inner, h, xs)
            return g, ys.sum(axis=0)

        return mg.scan(outer, h, xs, reverse=True)

    h, xs = draw(1, 3), draw(2, T, 3)
    same(f, [w, h, xs], h, xs)


def test_stacked_loops_and_a_loop_over_results():
    w = draw(0, 3, 3)

    def layer(xs, reverse):
        return mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h), xs[0] * 0, xs, reverse=reverse)

    def f(xs):
        h, ys = layer(xs, False)
        g, zs = layer(ys, True)
        return h, g, layer(mg.concatenate([ys, zs]), False)[1]

    same(f, [w, xs := draw(1, T, B, 3)], xs)


@pytest.mark.parametrize("layer", [LSTM, GRU, RNN])
@pytest.mark.parametrize("options", [{"lengths": [5, 0, 2]}, {"mask": np.arange(T)[:, None] != [1, 4, 9]}])
def test_padding(layer, options):
    layer = layer(2, 3, bidirectional=True).astype("float64")
    x = draw(0, T, B, 2)
    same(lambda x: layer(x, **options), [x, *layer.parameters()], x)


def test_lengths_as_an_argument_of_jit():
    layer = GRU(2, 3).astype("float64")
    x = draw(0, T, B, 2)
    mask = np.arange(T)[:, None] < [5, 0, 2]
    f = same(mg.jit(layer), [x, *layer.parameters()], x, mask=mask)
    f(x, mask=~mask)
    assert f.traces == 1


def test_loops_of_no_and_of_one_step():
    for length in (0, 1):
        h, xs = draw(0, B, H), draw(1, length, B, H)
        same(looped, [h, xs] if length else [h], h, xs)
        same(lambda h: mg.scan(lambda h, x: (mg.tanh(h), h), h, None, length=length), [h], h)


def test_a_loop_without_inputs_and_without_outputs():
    h = draw(0, B, H)
    same(lambda h: mg.scan(lambda h, x: (mg.sin(h) + 1, None), h, None, length=4), [h], h)
    same(lambda h: mg.scan(lambda h, x: (h, mg.sin(h)), h, None, length=4), [h], h)
    same(lambda h: mg.scan(lambda h, x: (h, None), h, None, length=4)[0], [h], h)
    xs = draw(1, T, B, H)
    same(lambda xs: mg.scan(lambda _, x: (None, mg.tanh(x)), None, xs)[1], [xs], xs)
    same(lambda xs: mg.scan(lambda n, x: (n + 1, mg.tanh(x) * n), 0, xs), [xs], xs)  # an integer carry


def changing(new, init) -> str:
    def step(carry, x):
        return new(carry), x

    with pytest.raises(ValueError) as error:
        mg.jit(lambda init, xs: mg.scan(step, init, xs))(init, mg.tensor([0.0, 1.0, 2.0]))
    message = str(error.value)
    assert f"changing.<locals>.step ({__file__}:{inspect.getsourcelines(step)[1]})" in message and "\n" not in message
    return message


def test_a_carry_that_changes_is_one_sentence():
    one = mg.tensor(np.zeros(2))
    message = changing(lambda c: (c[0], mg.tensor(np.zeros(3))), (one, one))
    assert "the carry[1] was float64[2] and became float64[3]" in message and "start it so (init), or cast" in message
    message = changing(lambda c: {"h": c["h"].astype("float32")}, {"h": one})
    assert "the carry['h'] was float64[2] and became float32[2]" in message
    assert "the carry: wanted a tuple of 2, got a list of 2" in changing(list, (one, one))
    assert "the carry.b was float64[2] and became None" in changing(lambda c: Pair(one, None), Pair(one, one))
    assert "the carry was float64[2] and became float64[]" in changing(lambda c: c.sum(), one)
    with pytest.raises(TypeError, match=r"wanted \(carry, y\) from .*test_loops.py:\d+\), got one value"):
        mg.jit(lambda xs: mg.scan(lambda c, x: c, one, xs))(mg.tensor([0.0, 1.0]))


@pytest.fixture
def shallow_stack():
    """Python's stack ends after 250 more calls."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 250)
    yield
    sys.setrecursionlimit(limit)


def test_programs_of_more_ops_in_a_row_than_the_stack_has_calls(shallow_stack):
    w = draw(0, 2, 2)

    def f(x):
        y = x
        for _ in range(100):
            y = mg.tanh(y) @ w + mg.sin(y) @ w + x
        return y

    same(f, [w], draw(1, 3, 2))
    weights = [draw(k, 2, 2) for k in range(300)]  # more than a function may have had arguments

    def g(x):
        y = mg.sin(x) @ weights[0]
        for k, v in enumerate(weights[1:]):
            y = y + mg.tanh(x * k) @ v
        return y

    same(g, weights[:2], draw(1, 3, 2))


def test_empty_batches():
    layer = LSTM(2, 3).astype("float64")
    same(layer, list(layer.parameters()), draw(0, T, 0, 2))


def test_lengths_that_do_not_fit():
    f = mg.jit(lambda a, b: mg.scan(lambda c, x: (c, None), 0.0, {"a": a, "b": [b]}))
    with pytest.raises(ValueError, match=r"xs\['a'\] has 3, xs\['b'\]\[0\] has 4"):
        f(np.zeros((3, 2)), np.zeros((4, 2)))


def test_strided_and_broadcast_inputs():
    """Arrays as they come: swapped axes, every second row, one row many times, read-only, of Fortran's order."""
    w = draw(0, H, H)

    def f(h, xs):
        return mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h), h, xs)

    base = np.random.default_rng(1).normal(size=(2 * T, 2 * B, 2 * H))
    for xs in (
        base[::2, ::2, ::2], base[:T, :B, :H][::-1], base[:T, :B, ::-2], np.broadcast_to(base[0, :B, :H], (T, B, H)),
        np.asfortranarray(base[:T, :B, :H]), base[:B, :T, :H].swapaxes(0, 1), base[:H, :B, :T].T,
        np.broadcast_to(base[:T, :1, :1], (T, B, H)),
    ):  # fmt: skip
        h = np.broadcast_to(base[0, 0, :H], (B, H))
        same(f, [w], h, xs)
        view = mg.Tensor(xs)
        same(f, [w], mg.Tensor(h.T.copy().T), view)


def test_an_input_that_is_also_a_weight():
    x = draw(0, H, H)
    same(lambda x: mg.scan(lambda h, row: (mg.tanh(h @ x + row), h), x, x), [x], x)


def test_results_have_memory_of_their_own():
    """A change of one of them in place, of a state between two sequences say, changes no other and no argument."""

    def f(h, xs):
        h, (a, b, c) = mg.scan(lambda h, x: ((new := mg.tanh(h + x)), (new, new, h)), h, xs)
        return h, a, b, c, h.copy(), xs * 1, xs + 0, h * 2, h * 2

    h, xs = draw(0, B, H, grad=False), draw(1, T, B, H, grad=False)
    results = mg.jit(f)(h, xs)
    for a, b in itertools.combinations([h, xs, *results], 2):
        assert not np.shares_memory(a._data, b._data)
    first = [y.numpy().copy() for y in results]
    for y in results:
        y.zero_()
    for a, b in zip(mg.jit(f)(h, xs), first):
        np.testing.assert_array_equal(a.numpy(), b)


def test_a_state_changed_in_place_between_two_calls():
    layer = GRU(2, 3).astype("float64")
    f = mg.jit(layer)
    x = draw(0, T, B, 2)
    y, h = f(x)
    h = h.detach()
    h[:, 0] = 0.0
    y.sum().backward()
    gradient, x.grad = x.grad.numpy(), None
    layer(x)[0].sum().backward()
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-10)


def test_results_are_not_overwritten_by_the_next_call():
    """Buffers are used again; results are not among them."""
    layer = LSTM(2, 3).astype("float64")
    f = mg.jit(layer)
    x, z = draw(0, T, B, 2), draw(1, T, B, 2)
    first = f(x)
    values = [y.detach().numpy().copy() for y in leaves(first)]
    second = f(z)
    for y, value in zip(leaves(first), values):
        np.testing.assert_array_equal(y.detach().numpy(), value)
    total = sum(y.sum() for y in leaves(first))
    other = sum(y.sum() for y in leaves(second))
    other.backward()  # in another order than they were made
    total.backward()
    gradient = x.grad.numpy().copy()
    x.grad = None
    sum(y.sum() for y in leaves(layer(x))).backward()
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-10)


# Processes, threads, bits


def jobs():
    layer = LSTM(3, 4, num_layers=2, generator=np.random.default_rng(0))
    f = mg.jit(layer)

    def job(seed):
        x = draw(seed, 6, 5, 3, dtype="float32")
        y = f(x)[0]
        (gradient,) = mg.vjp(lambda x: f(x)[0], x)[1](y.detach())
        return y.detach().numpy(), gradient.numpy()

    return f, job


def test_several_threads_call_one_jitted_function(compiled):
    f, job = jobs()
    wanted = {seed: job(seed) for seed in range(8)}
    f.known.clear()  # so that they trace it at the same time as well
    wrong = []

    def work(seeds):
        for _ in range(10):
            for seed in seeds:
                for a, b in zip(job(seed), wanted[seed]):
                    if not np.array_equal(a, b):
                        wrong.append(seed)

    workers = [threading.Thread(target=work, args=(np.roll(range(8), k),)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def in_child(job, queue):
    queue.put(job(3))


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_after_fork(compiled):
    _, job = jobs()
    wanted = job(3)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=in_child, args=(job, queue)) for _ in range(2)]
    for child in children:
        child.start()
    for _ in children:
        for a, b in zip(queue.get(timeout=120), wanted):
            np.testing.assert_array_equal(a, b)
    for child in children:
        child.join(60)
        assert child.exitcode == 0


def test_the_same_bits_each_time(compiled):
    """Large enough for two threads."""
    layer = GRU(32, 64, generator=np.random.default_rng(0))
    x = draw(0, 20, 16, 32, dtype="float32")
    f = mg.jit(layer)

    def step():
        layer.zero_grad()
        x.grad = None
        y, h = f(x)
        ((y * y).sum() + h.sum()).backward()
        return [y.detach().numpy(), h.detach().numpy(), x.grad.numpy(), *[p.grad.numpy() for p in layer.parameters()]]

    first = [a.copy() for a in step()]
    for _ in range(5):
        for a, b in zip(step(), first):
            np.testing.assert_array_equal(a, b)


def test_reductions_of_bools_are_no_floats():
    h, xs = draw(1, 6, 5), draw(2, 4, 6, 5)
    same(lambda h: mg.scan(lambda s, _: (mg.tanh(s), (s > 0).max(axis=0)), h, None, length=4), [h], h)
    same(lambda h: mg.scan(lambda s, _: (mg.tanh(s), (s > 0).sum(axis=-1)), h, None, length=4), [h], h)
    choice = lambda s, x: (mg.where((x > 0).min(-1, keepdims=True), s, x), s)  # noqa: E731
    same(lambda h, xs: mg.scan(choice, h, xs), [h, xs], h, xs)


def test_a_product_that_mixes_the_batch_is_not_divided():
    h, xs = draw(1, 4, 4), draw(2, 3, 4, 4, 4)
    with divided_batches():
        same(lambda h, xs: mg.scan(lambda s, x: (mg.tanh((s @ x).sum(1)), None), h, xs), [h, xs], h, xs)


def test_a_checkpoint_around_a_loop_keeps_nothing_of_it():
    h, xs = draw(1, B, H), draw(2, T, B, H)

    def plain(h, xs):
        return mg.scan(lambda s, x: (mg.tanh(s * 1.5 + x), mg.sin(s)), h, xs)

    def checkpointed(h, xs):
        return mg.checkpoint(plain)(h, xs)

    saved = [same(f, [h, xs], h, xs).explain(h, xs).saved for f in (plain, checkpointed)]
    assert saved == [T * B * H * 8, 0]


@pytest.mark.parametrize("every", [1, 2, 3])
def test_checkpoints_of_nested_loops(every):
    h, xs = draw(1, B, H), draw(2, T, B, H)

    def outer(s, x):
        return mg.scan(lambda u, v: (mg.tanh(u + v), u), s, mg.stack([x, s, x * s]))[0], None

    jitted = mg.jit(lambda h, xs: mg.scan(outer, h, xs), checkpoint=every)
    same(jitted, [h, xs], h, xs)


def test_writes_in_place_are_part_of_the_kernel():
    """A memory of which each step overwrites a row, adds to a stepped part, and sets a column to a number."""
    xs, w = draw(0, T, B, H), draw(1, H, H)

    def step(carry, x):
        memory, h = carry
        h = mg.tanh(x @ w + h + memory[:, 1])
        memory = memory.copy()
        memory[:, 0] = h
        memory[:, 1:3, ::2] += h[:, None, : H // 2]
        memory[..., -1] = 0.5
        return (memory, h), h

    def f(xs):
        (memory, _), hs = mg.scan(step, (np.zeros((B, 4, H)), np.zeros((B, H))), xs)
        return memory, hs

    loops = mg.jit(f).explain(xs).loops
    assert [(loop.why_not, loop.divided, [t for t in loop.tasks if "call of Python" in t]) for loop in loops] == [
        (None, True, [])
    ] * 2
    same(f, [xs, w], xs)
