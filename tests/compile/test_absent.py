"""Absent is not zero: results that nobody uses, under jit and in compiled loops, against eager code.

Eager code never computes what no cotangent leads to. Zeros in the place of an absent cotangent show as NaN where a
derivative is infinite, as a call of a hook, or as a gradient of zeros where there is none.
"""

import numpy as np
import pytest
from programs import draw

import minigrad as mg
from minigrad import nn
from minigrad.ir.absent import Steps, there
from minigrad.models import LSTM
from minigrad.ops.table import Spec
from minigrad.tape import Leaf, Node

pytestmark = pytest.mark.usefixtures("quick_kernels")

EDGE, XS = np.array([0.0, 1.0]), np.array([[0.0, 1.0], [0.5, 0.0], [0.3, 0.7]])


def tensor(a):
    return mg.tensor(a, dtype="float64", requires_grad=True)


def gradients(f, arrays, used):
    """Of the sum of some of the results of f, for each of the arrays; None where there is none."""
    given = [tensor(a) for a in arrays]
    results = mg.tree.flatten(f(*given))[0]
    some = [(results[k] * (k + 1.0)).sum() for k in used if results[k].requires_grad]
    if some:
        sum(some).backward()
    return [None if x.grad is None else x.grad.numpy() for x in given]


def agree(got, wanted, about=""):
    for a, b in zip(got, wanted, strict=True):
        assert (a is None) == (b is None), about
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=str(about))


def check(f, arrays, sets, **options):
    """One jitted function serves every set of results that are used, again and again."""
    jitted = mg.jit(f, **options)
    for used in [*sets, *sets]:
        agree(gradients(jitted, arrays, used), gradients(f, arrays, used), used)


twice = mg.custom_vjp(lambda x: (x * 2.0, mg.sqrt(x)))
twice.defvjp(lambda x: ((x * 2.0, mg.sqrt(x)), x), lambda x, g: (g[0] * 2.0 + g[1] * mg.where(x > 0, 0.5, 7.0) + 1.0,))


def hooked(x):
    y = x * 2.0
    y.register_hook(lambda g: g + 1.0)
    return y


@pytest.mark.parametrize(
    "f",
    [
        lambda x, p: (mg.sqrt(x), x * 2.0),
        lambda x, p: (mg.sqrt(x) * p, x * 2.0),
        lambda x, p: (mg.sqrt(x * p), x * p, p),
        lambda x, p: (mg.split(mg.concatenate([mg.sqrt(x), p]), 2)[0], mg.log(p), x),
        lambda x, p: (hooked(x) * p, x * 3.0),
        lambda x, p: (*twice(x), x * p),
        lambda x, p: (twice(x * p)[1], x, p),
        lambda x, p: mg.checkpoint(lambda x: (mg.sqrt(x), x * p))(x),
        lambda x, p: mg.jit(lambda x: (mg.sqrt(x), x * p))(x),
        lambda x, p: (mg.grad(lambda x: (mg.sqrt(x) * x * x).sum())(p), mg.sqrt(x), p * x),
        lambda x, p: {"a": [mg.max(mg.sqrt(x)), x], "b": (mg.stop_gradient(x), p * p)},
    ],
)
def test_some_results_of_a_jitted_function_are_used(f):
    count = len(mg.tree.flatten(f(tensor(EDGE), tensor(EDGE)))[0])
    sets = [[k for k in range(count) if n >> k & 1] for n in range(1, 1 << count)]
    check(f, [EDGE, EDGE[::-1].copy()], sets)


LOOPS = {
    "ys alone reach x": lambda p: lambda c, x: ((c[0] + x, c[1]), mg.sqrt(x) * c[0]),
    "a carry of its own": lambda p: lambda c, x: ((c[0] * x, mg.sqrt(x) * c[1]), c[0] * x),
    "a carry that another reads": lambda p: lambda c, x: ((c[0] * x + c[1], mg.sqrt(x) * c[1]), c[0] * x),
    "a carry that y reads": lambda p: lambda c, x: ((mg.sqrt(x) * p, c[1] * p), c[0] * x),
    "a carry made anew at each step": lambda p: lambda c, x: ((mg.sqrt(x), c[1] + c[0] * x), c[1] * p),
    "carries that change places": lambda p: lambda c, x: ((c[1] * mg.sqrt(x), c[0] * x), c[0] * p),
    "a carry that stays": lambda p: lambda c, x: ((c[0], c[1] * mg.sqrt(c[0])), c[0] * x),
    "a parameter of one carry": lambda p: lambda c, x: ((c[0] * mg.sqrt(p), c[1] * x), c[1]),
    "a hook": lambda p: lambda c, x: ((hooked(c[0]) * x, c[1] * p), c[1] + c[0]),
    "several results": lambda p: lambda c, x: ((twice(c[0])[1], twice(x)[0] * c[1]), twice(p)[0] * c[0]),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", LOOPS)
def test_some_results_of_a_loop_are_used(name, reverse):
    def f(p, a, b, xs):
        return mg.scan(LOOPS[name](p), (a, b), xs, reverse=reverse)

    sets = [[0], [1], [2], [0, 1], [1, 2], [0, 1, 2]]
    check(f, [EDGE, EDGE, EDGE[::-1].copy(), XS], sets)
    for used in sets[:4]:  # in the program, which then knows it
        check(lambda *args, used=used: [mg.tree.flatten(f(*args))[0][k] for k in used], [EDGE, EDGE, EDGE, XS], [[0]])
    check(f, [EDGE, EDGE, EDGE[::-1].copy(), np.concatenate([XS, XS])], sets, checkpoint=2)


def test_a_tensor_that_a_loop_is_given_twice_gets_both_cotangents():
    """Of its two places one has a cotangent at every step of the loop around, the other one at the last step alone."""

    def inner(c, _):
        return (c[0], c[0]), c[1]

    def step(_, x):
        carries, ys = mg.scan(inner, (x, x), None, length=2)
        return ys[1], carries[0]

    check(lambda a, xs: mg.scan(step, a, xs), [EDGE, XS], [[0], [1], [0, 1]])


CHAINS = {  # carries of which each comes of another one of the step before
    "in a ring": lambda c, x: ((c[2], c[0], c[0] * c[0]), None),
    "with a hook": lambda c, x: ((c[2], hooked(c[0]), c[0] * mg.sqrt(c[0])), None),
    "with a vjp of its own": lambda c, x: ((c[2], twice(c[0])[1], twice(c[0] * c[2])[0]), None),
}


@pytest.mark.parametrize("checkpoint", [None, 2, 3])
@pytest.mark.parametrize("name", CHAINS)
def test_second_derivatives_reach_the_steps_that_a_carry_was_read_in(name, checkpoint):
    """Each of the carries that a loop keeps is read in other steps: checkpoint makes loops of loops."""

    def f(*carries):
        return (mg.scan(CHAINS[name], carries, None, length=6)[0][2] ** 2).sum()

    for k in range(3):
        check(lambda *c, k=k: [mg.grad(f, k)(*c)], [EDGE + 0.5, EDGE + 0.3, EDGE], [[0]], checkpoint=checkpoint)


def programs(rng, depth):
    """A random loop, as (number of its carries, of its ys, function of a parameter, carries and xs)."""
    ops = ["sqrt", "root", "mul", "add", "half", "split", "hook", "twice", "stop", *["scan"] * (depth > 0)]
    count, made = int(rng.integers(1, 4)), []
    values = count + 3
    for _ in range(int(rng.integers(2, 7))):
        op = rng.choice(ops)
        made.append((op, *rng.integers(values, size=2), programs(rng, depth - 1) if op == "scan" else None))
        values += 2 if op in ("split", "twice", "scan") else 1
    outs, ys = rng.integers(values, size=count), rng.integers(values, size=int(rng.integers(1, 3)))
    reverse = bool(rng.integers(2))

    def apply(op, a, b, inner, p):
        if op == "scan":
            carries, stacks = inner[2](p, (a,) * inner[0], mg.stack([b, a]))
            return [carries[0], stacks[0][1]]
        if op == "split":
            return mg.split(mg.concatenate([a, b]), 2)
        if op == "twice":
            return twice(a * b)
        if op == "hook":
            return [hooked(a) if a.requires_grad else a * 2.0]
        if op == "stop":
            return [mg.stop_gradient(a) * b]
        if op == "root":
            return [(a * a) ** 0.25]
        return [{"sqrt": lambda: mg.sqrt(a), "mul": lambda: a * b, "add": lambda: a + b, "half": lambda: a * 0.5}[op]()]

    def loop(p, carries, xs):
        def step(carries, x):
            v = [*carries, x, p, x * p]
            for op, a, b, inner in made:
                v += apply(op, v[a], v[b], inner, p)
            return tuple(v[k] for k in outs), tuple(v[k] for k in ys)

        return mg.scan(step, carries, xs, reverse=reverse)

    return count, len(ys), loop


def check_random(seed, depth):
    rng = np.random.default_rng(seed)
    carries, ys, loop = programs(rng, depth)
    rooted, every = rng.integers(2), [None, 2][rng.integers(2)]

    def f(p, xs, *carries):
        return loop(p, carries, mg.sqrt(xs) if rooted else xs)

    steps = int(rng.integers(1, 5))
    arrays = [rng.choice([0.0, 0.0, 0.3, 1.0], size=s) for s in ((2,), (steps, 2), *[(2,)] * carries)]
    used = np.flatnonzero(rng.random(carries + ys) < 0.4).tolist() or [0]
    check(f, arrays, [used], checkpoint=every)


def check_second(seed, depth):
    """A gradient inside of the jitted function, so that its loops are pulled back twice in one program."""
    rng = np.random.default_rng(seed)
    carries, ys, loop = programs(rng, depth)
    rooted, steps = rng.integers(2), int(rng.integers(1, 6))
    used = np.flatnonzero(rng.random(carries + ys) < 0.4).tolist() or [0]

    def f(p, xs, *carries):
        results = mg.tree.flatten(loop(p, carries, mg.sqrt(xs) if rooted else xs))[0]
        return sum((results[k] * results[k]).sum() for k in used)

    numbers = [0.0, 0.0, 0.3, 1.0] if seed % 2 else [0.2, 0.5, 1.0, 1.3]
    arrays = [rng.choice(numbers, size=s) for s in ((2,), (steps, 2), *[(2,)] * carries)]
    everything, every = range(2 + carries), [None, 2][rng.integers(2)]
    check(lambda *args: list(mg.grad(f, tuple(everything))(*args)), arrays, [[0], [1], everything], checkpoint=every)


@pytest.mark.parametrize("depth", [0, 1])
def test_random_loops(depth):
    for seed in range(25):
        check_random(seed, depth)


def test_second_derivatives_of_random_loops():
    for seed in (4, 32, 39, 69):
        check_second(seed, 0)


@pytest.mark.heavy
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_many_random_loops(depth):
    for seed in range(1000):
        check_random(seed, depth)
    for seed in range(200):
        check_second(seed, depth)


def test_what_is_compiled_is_for_all_results_unless_zeros_would_differ():
    layer = LSTM(2, 3, num_layers=2, generator=np.random.default_rng(0)).astype("float64")
    f = mg.jit(layer)
    x = draw(0, 4, 1, 2)
    for pick in (lambda y: y[0], lambda y: y[1][0], lambda y: y[1][0] + y[1][1]):
        pick(f(x)).sum().backward()
    [[compiled]] = f.known.values()
    assert not compiled.variants  # zeros meet no derivative before they meet a cotangent that is there
    g = mg.jit(lambda x: (mg.sqrt(x), x - 2.0, x * x))
    for used in ([0, 2], [1], [1, 2], [0, 1, 2], [1]):
        gradients(g, [EDGE], used)
    [[compiled]] = g.known.values()
    assert set(compiled.variants) == {frozenset({1}), frozenset({1, 2})} and g.traces == 1


def test_parameters_that_nothing_leads_to_have_no_gradient():
    """So that an optimizer leaves them alone: the head of a task that a step does not train."""
    body, heads = nn.Linear(2, 3), [nn.Linear(3, 1) for _ in range(2)]
    f = mg.jit(lambda x: [head(mg.tanh(body(x))) for head in heads])
    f(np.ones((4, 2), "float32"))[1].sum().backward()
    assert heads[0].weight.grad is None and heads[1].weight.grad is not None and body.weight.grad is not None


def test_two_backwards_of_one_call():
    p = tensor(EDGE)
    f = mg.jit(lambda x: (mg.sqrt(x) * p, x * p))

    def both(f):
        p.grad = None
        x = tensor(EDGE + 0.5)
        a, b = f(x)
        a.sum().backward(retain_graph=True)
        first = x.grad.numpy().copy()
        b.sum().backward()
        return [first, x.grad.numpy(), p.grad.numpy()]

    agree(both(f), both(f.f))


def test_random_numbers_and_arrays_are_those_of_the_call():
    generator, scale, p = np.random.default_rng(0), np.array([2.0, 3.0]), tensor(EDGE + 0.5)

    def f(x):
        return mg.sqrt(x) * p, mg.dropout(x, 0.5, generator=generator) * scale * p, x * scale

    def one(f, k):
        generator.bit_generator.state = np.random.default_rng(1).bit_generator.state
        scale[:] = 2.0, 3.0
        p.grad, x = None, tensor(EDGE + 0.5)
        y = f(x)[k]
        scale[:] = 100.0
        y.sum().backward()
        return [x.grad.numpy(), None if p.grad is None else p.grad.numpy()]

    jitted = mg.jit(f)
    for k in (1, 0, 2, 1, 1):
        agree(one(jitted, k), one(f, k), k)


def test_a_change_between_a_call_and_a_backward_that_runs_it_again():
    p = tensor(EDGE + 0.5)
    y = mg.jit(lambda x: (mg.sqrt(x) + p, x - p))(tensor(EDGE))
    with mg.no_grad():
        p.copy_(EDGE)
    with pytest.raises(RuntimeError, match="was changed after the call .*the gradients of some of its results"):
        y[1].sum().backward()


def test_presence_through_the_steps_of_a_loop():
    """Carries a and b change places, and y reads a third one, which reads a; the last a and y have cotangents."""
    scale = Spec((), np.dtype("float64"))

    def node(*inputs):
        return Node(None, inputs, {}, (1.0,), scale.shape, scale.dtype, None)

    a, b, c, x, w = [Leaf(scale.shape, scale.dtype) for _ in range(5)]
    roots = [node(b), node(a, x), node(a, c), node(c, w)]
    steps = Steps(roots, [0, 1, 2, 3], {0: a, 1: b, 2: c}, {a, b, c, x, w}, 4, False, {})
    present = steps.follow([np.True_, np.False_, np.False_, np.False_]).roots
    assert [present[k].tolist() for k in range(3)] == [[0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]]
    present = steps.follow([np.False_, np.False_, np.False_, np.True_]).roots
    assert [present[k].tolist() for k in range(4)] == [[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert there(present, steps.origins[x]).tolist() == [1, 0, 0, 0]
    assert steps.through([a, b, c, x, w], [a, b, c]) == [
        frozenset({0, 2, 3}), frozenset({1, 2, 3}), frozenset({2, 3}), frozenset({0, 1, 2, 3}), frozenset({3})
    ]  # fmt: skip
