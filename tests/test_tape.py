"""The tape: long chains, memory, threads, modes, in-place changes, freed graphs, hooks, the same bits each time."""

import gc
import os
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import modes, tape


def draw(seed, *shape):
    return mg.tensor(np.random.default_rng(seed).uniform(-1, 1, shape))


def leaf(*values):
    return mg.tensor(np.array(values), requires_grad=True)


# size and memory


def test_long_chains_forward_backward_and_freed_without_recursion():
    """The stack has three bytes for each op of the chain: what recurses, in Python or in C, does not get through."""
    done = []

    def run():
        x = y = leaf(1.0)
        for _ in range(100_000):
            y = -y
        y.sum().backward(retain_graph=True)
        node = weakref.ref(y._node)
        del y  # the whole tape goes with its last tensor, a chain of deallocations
        done.append((x.grad.item(), node()))

    (-leaf(1.0)).sum().backward()  # compiling takes more of a stack
    before = threading.stack_size(300_000)
    try:
        worker = threading.Thread(target=run)
        worker.start()
    finally:
        threading.stack_size(before)
    worker.join()
    assert done == [(1.0, None)]


def test_a_diamond_of_many_paths_is_visited_once():
    x = y = leaf(1.0)
    for _ in range(60):  # 2^60 paths
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


def resident() -> int:
    """Bytes that the process holds in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_training_does_not_grow_the_process():
    w, b = draw(0, 32, 32).requires_grad_(), draw(1, 32).requires_grad_()
    x = draw(2, 16, 32)

    def step():
        h = x
        for _ in range(4):
            h = mg.tanh(h @ w + b)
        (h * h).sum().backward()
        with mg.no_grad():
            for p in (w, b):
                p -= 0.01 * p.grad
                p.grad = None

    for _ in range(100):
        step()
    gc.collect()
    before = resident()
    for _ in range(1900):
        step()
    grown = resident() - before
    assert grown < 200_000, f"{grown} bytes in 1900 steps"  # one array kept a step would be 8 MB


def test_what_nobody_holds_is_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        x, w = draw(0, 8).requires_grad_(), draw(1, 8, 8).requires_grad_()
        watched = []

        def watch(t):
            watched.append(weakref.ref(t._data))
            watched.append(weakref.ref(t._node))
            return t

        for _ in range(2):
            y = watch(mg.tanh(watch(watch(x @ w) * 2)))
            y = watch(mg.concatenate(watch(y[2:]).reshape(2, 3), axis=0).sum())
            y.backward(create_graph=_ == 1)
            x.grad = w.grad = None
        watch(mg.exp(x)).sum()  # never pulled back
        with pytest.raises(RuntimeError):
            watch(mg.exp(x)).backward()
        mg.scan(lambda c, x: (watch(mg.sin(c * x)), c), x, draw(3, 5, 8))[0].sum().backward()
        del y
        assert [ref for ref in watched if ref() is not None] == []
    finally:
        gc.enable()


def test_backward_gives_memory_back_as_it_passes():
    alive = []

    def spy(x):
        y = mg.sin(x)
        saved = weakref.ref(x._data)
        y.register_hook(lambda g: alive.append(saved() is not None) and None)
        return y

    x = leaf(*np.ones(3))
    y = x * 1.0
    first = weakref.ref(y._data)
    y = spy(mg.exp(y))
    last = y * 2.0
    held = weakref.ref(last._node)
    gone = []
    x.register_hook(lambda g: gone.append(first() is None) and None)
    y = last.sum()
    del last
    y.backward()
    assert alive == [True] and gone == [True]
    assert held() is None  # y's node let go of its inputs


# what backward is


@given(st.integers(0, 99))
def test_gradients_accumulate(seed):
    x = draw(seed, 3).requires_grad_()
    (x * 2).sum().backward()
    (x * x).sum().backward()
    np.testing.assert_allclose(x.grad._data, 2 + 2 * x._data, rtol=1e-15)
    x.grad = None
    (x * x).backward(np.arange(3.0))
    np.testing.assert_allclose(x.grad._data, 2 * x._data * np.arange(3.0), rtol=1e-15)


def test_gradients_of_two_leaves_share_no_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = mg.tensor(np.ones(2))
    (x + y).backward(g)
    with mg.no_grad():
        x.grad += 1
    assert y.grad.tolist() == [1, 1] and g.tolist() == [1, 1]


def test_backward_wants_a_cotangent():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\) wants a cotangent"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"cotangent of shape \(3,\) for a tensor of shape \(2,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="depends on nothing that requires a gradient"):
        mg.tensor(1.0).backward()


def test_a_freed_graph_is_refused_by_name_and_line():
    x = leaf(1.0, 2.0)
    h = mg.sin(x)
    y = h.sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"backward through sum a second time.*test_tape.py.*retain_graph=True"):
        y.backward()
    with pytest.raises(RuntimeError, match=r'backward through sin .*test_tape.py:\d+: "h = mg.sin\(x\)"'):
        (h * 2).sum().backward()
    y = mg.sin(x).sum()
    for _ in range(3):
        x.grad = None
        y.backward(retain_graph=True)
        np.testing.assert_allclose(x.grad._data, np.cos(x._data), rtol=1e-15)


def test_create_graph():
    x = leaf(2.0)
    (x * x * x).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    assert first.requires_grad
    first.sum().backward()
    assert first.item() == 12 and x.grad.item() == 12


def test_detach_and_leaves():
    x = leaf(2.0)
    y = x * x
    assert x.is_leaf and not y.is_leaf and y.detach().is_leaf and not y.detach().requires_grad
    (y.detach() * x).sum().backward()
    assert x.grad.item() == 4
    with pytest.raises(RuntimeError, match="result of mul; detach"):
        y.requires_grad_()
    with pytest.raises(TypeError, match="only float tensors"):
        mg.tensor([1, 2]).requires_grad_()


# modes


def test_no_grad_as_context_and_decorator():
    x = leaf(1.0)

    @mg.no_grad()
    def double(x):
        return x * 2

    with mg.no_grad():
        assert not (x * 2).requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad and not double(x).requires_grad and (x * 2).requires_grad
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_one_no_grad_entered_twice():
    x, off = leaf(1.0), mg.no_grad()
    with off:
        with off:
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_a_recursive_function_under_no_grad():
    x = leaf(1.0)

    @mg.no_grad()
    def f(n):
        return f(n - 1) if n else x * 2

    assert not f(5).requires_grad and (x * 2).requires_grad


def in_threads(*functions):
    """Run them at once; what each returns."""
    results, barrier = [None] * len(functions), threading.Barrier(len(functions))

    def run(k):
        barrier.wait()
        try:
            results[k] = functions[k]()
        except BaseException as error:
            results[k] = error

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def test_threads_record_their_own_tapes():
    w = draw(0, 16, 16)

    def train(seed):
        def run():
            x, found = draw(seed, 16).requires_grad_(), []
            for k in range(100):
                h = x
                for _ in range(10):
                    h = mg.tanh(h @ w) + x
                h.sum().backward(create_graph=k % 2 == 1)
                found.append(x.grad._data.copy())
                x.grad = None
            return np.stack(found)

        return run

    alone = [train(seed)() for seed in (1, 2, 3)]
    for a, b in zip(alone, in_threads(*[train(seed) for seed in (1, 2, 3)])):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def switching():
    """Threads that take turns after every few instructions."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit], ids=["eager", "jit"])
def test_what_threads_add_to_a_leaf_is_never_lost(switching, wrap, create_graph):
    w, b = leaf(1.0, 1.0, 1.0), leaf(2.0)
    f = wrap(lambda w, b, x: (w * x + b).sum())
    f(w, b, mg.tensor(1.0, "float64")).backward(create_graph=create_graph)
    w.grad = b.grad = None

    def work(k):
        def run():
            for _ in range(100):
                f(w, b, mg.tensor(float(k), "float64")).backward(create_graph=create_graph)

        return run

    assert in_threads(*map(work, range(8))) == [None] * 8
    assert w.grad.numpy().tolist() == [100.0 * sum(range(8))] * 3 and b.grad.item() == 8 * 100 * 3
    w.grad = b.grad = None


class Meanwhile(mg.Tensor):
    """A gradient that calls a function while something is added to it, as another thread may."""

    __slots__ = ("call",)

    def __add__(self, other):
        total = super().__add__(other)
        self.call()
        return total


@pytest.mark.parametrize("then, total", [(None, 3.0), ([5.0], 8.0)])
def test_a_gradient_that_is_set_during_a_backward_is_neither_lost_nor_undone(then, total):
    w = leaf(1.0)
    w.grad = Meanwhile(np.array([100.0]))
    w.grad.call = lambda: setattr(w, "grad", then)
    (w * 3).backward()
    assert w.grad.item() == total


def test_hooks_that_threads_register_and_remove_are_all_there(switching):
    w, calls = leaf(1.0), []

    def register():
        removals = [w.register_hook(lambda g: calls.append(1)) for _ in range(200)]
        for remove in removals[::2]:
            remove()

    for _ in range(5):
        w._node.hooks = None
        assert in_threads(*[register] * 4) == [None] * 4
        calls.clear()
        w.backward()
        assert len(calls) == 4 * 100


def test_backwards_that_share_a_graph_are_right_or_refused(switching):
    for keep in (False, True):
        for _ in range(30):
            w = h = leaf(1.0, 1.0, 1.0)
            for _ in range(20):
                first, *_ = mg.split(h + 1.0, 3)
                h = first * 0.1 + h
            h.sum().backward(retain_graph=True)
            alone, w.grad = w.grad.numpy().copy(), None
            outputs = [(h * k).sum() for k in (1.0, 2.0, 4.0)]
            found = in_threads(*[lambda y=y: y.backward(retain_graph=keep) for y in outputs])
            done = [k for k, error in zip((1.0, 2.0, 4.0), found) if error is None]
            assert all("a second time" in str(error) for error in found if error is not None)
            assert len(done) == 3 if keep else done
            np.testing.assert_allclose(w.grad.numpy(), sum(done) * alone, rtol=1e-12)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_fork_adds_gradients_though_a_thread_of_its_parent_held_the_lock():
    held, done = threading.Event(), threading.Event()

    def hold():
        with modes.lock:
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    child = os.fork()
    if child == 0:
        threading.Timer(20, os._exit, [1]).start()
        w = leaf(1.0)
        (w * 3).backward()
        os._exit(0 if w.grad.item() == 3 else 1)
    status = os.waitpid(child, 0)[1]
    done.set()
    holder.join()
    assert status == 0


def test_no_grad_is_the_threads_own():
    x, inside, done = leaf(1.0), threading.Event(), threading.Event()

    def off():
        with mg.no_grad():
            inside.set()
            done.wait(10)
            return (x * 2).requires_grad

    def on():
        inside.wait(10)
        recorded = (x * 2).requires_grad
        done.set()
        return recorded

    assert in_threads(off, on) == [False, True]


def test_one_decorated_function_in_two_threads():
    """Entered by the first, entered by the second, left by the first, left by the second: no stack holds that."""
    x, entered, left = leaf(1.0), [threading.Event(), threading.Event()], threading.Event()

    @mg.no_grad()
    def f(k):
        entered[k].set()
        (left if k else entered[1]).wait(10)
        return (x * 2).requires_grad

    def first():
        found = f(0), (x * 2).requires_grad
        left.set()
        return found

    def second():
        entered[0].wait(10)
        with mg.no_grad():
            found = f(1), (x * 2).requires_grad
        return *found, (x * 2).requires_grad

    assert in_threads(first, second) == [(False, True), (False, False, True)]


# in-place changes


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.zero_(),
        lambda a: a.copy_(np.ones(4)),
        lambda a: a.__setitem__(0, 5.0),
        lambda a: a.__iadd__(1.0),
        lambda a: a[1:].zero_(),
        lambda a: a.reshape(2, 2)[1].__imul__(2.0),
        lambda a: a.detach().zero_(),
    ],
)
def test_a_change_of_what_backward_needs_is_refused_by_op_and_line(change):
    x, a = leaf(1.0, 2.0, 3.0, 4.0), draw(0, 4)
    y = x * a
    with mg.no_grad():
        change(a)
    with pytest.raises(
        RuntimeError, match=r'backward of mul: .*float64\[4\].*test_tape.py:\d+: "y = x \* a" recorded it; change a'
    ):
        y.sum().backward()


def test_a_change_of_the_base_of_a_view_is_refused_where_they_meet():
    x, a = leaf(1.0, 2.0), draw(0, 4)
    y = mg.sin(x) * a[:2]
    a[3] = 1.0
    a[2:] *= 2.0
    y.sum().backward(retain_graph=True)
    a[1:3] = 1.0
    with pytest.raises(RuntimeError, match="backward of mul"):
        y.sum().backward()


def test_a_parameter_may_change_between_steps_but_not_within():
    w = leaf(1.0, 2.0)
    for _ in range(2):
        y = (w * w).sum()
        y.backward()
        with mg.no_grad():
            w -= 0.1
    y = (w * w).sum()
    with mg.no_grad():
        w -= 0.1
    with pytest.raises(RuntimeError, match="backward of mul"):
        y.backward()


def test_a_change_that_backward_does_not_need_is_allowed():
    x, a = leaf(1.0, 2.0), draw(0, 2)
    y = x + a
    a.zero_()
    b = draw(1, 2)
    b.zero_()
    z = y * b
    z.sum().backward()
    assert x.grad.tolist() == [0, 0]


def test_the_result_of_an_op_may_not_change_either():
    x = leaf(1.0, 2.0)
    y = mg.exp(x)
    with mg.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match="backward of exp"):
        y.sum().backward()


def test_changes_of_a_leaf_on_the_tape_are_refused_at_once():
    x = leaf(1.0, 2.0)
    for change in (
        lambda: x.zero_(), lambda: x.__setitem__(0, 1.0), lambda: x.__iadd__(1), lambda: x[:1].zero_(),
        lambda: x.reshape(2, 1)[0].__imul__(2), lambda: x.copy_(x * 2),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="on the tape; do it under no_grad"):
            change()
    assert x.tolist() == [1, 2]
    with pytest.raises(ValueError):
        x.numpy()[0] = 3


# hooks


def test_hooks_see_and_replace_the_complete_gradient():
    x = leaf(1.0, 2.0)
    h = x * 3
    seen = []
    remove = h.register_hook(lambda g: seen.append(g.tolist()))
    h.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: seen.append(g.tolist()))
    (h + h * 2).sum().backward(retain_graph=True)
    assert seen == [[3, 3], [90, 90]] and x.grad.tolist() == [90, 90]
    remove()
    x.grad = None
    (h * 1).sum().backward()
    assert seen[2:] == [[30, 30]] and x.grad.tolist() == [30, 30]
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        mg.tensor(1.0).register_hook(print)


def test_a_removal_removes_its_own_registration_alone():
    x, seen = leaf(1.0), []
    first, second = [x.register_hook(seen.append) for _ in range(2)]  # two methods that are equal
    first()
    first()
    (x * 1).sum().backward()
    assert len(seen) == 1
    second()
    (x * 1).sum().backward()
    assert len(seen) == 1


def test_hooks_in_a_recorded_backward_are_recorded():
    x = leaf(2.0)
    h = x * x
    h.register_hook(lambda g: g * x)
    h.sum().backward(create_graph=True)  # 2 x * x
    first, x.grad = x.grad, None
    first.sum().backward()
    assert first.item() == 8 and x.grad.item() == 8


def test_hooks_do_not_keep_a_tape_alive():
    x = leaf(2.0)
    h = x * x
    h.register_hook(lambda g: None)
    node = weakref.ref(h._node)
    del h
    assert node() is None


# the same bits, and what the tape shows


def test_the_same_bits_each_time():
    def run():
        w, x = draw(0, 300, 300).requires_grad_(), draw(1, 200, 300).requires_grad_()
        h = mg.tanh(x @ w) * mg.exp(x)
        (mg.sigmoid(h @ w.T) * h.sum(axis=1, keepdims=True)[:, :1]).sum().backward()
        return h._data.tobytes(), w.grad._data.tobytes(), x.grad._data.tobytes()

    first = run()
    for _ in range(4):
        assert run() == first


def test_nodes_know_their_place():
    x = leaf(1.0, 2.0)
    y = mg.sin(x * 2)
    assert [n.op.name if n.op else "leaf" for n in tape.tape_of([y._node])] == ["leaf", "mul", "sin"]
    assert y._node.line.endswith('"y = mg.sin(x * 2)"') and __file__ in y._node.line
    assert repr(y._node) == f"<sin float64[2] #{y._node.seq}>"
    assert "op=sin" in repr(y) and "requires_grad=True" in repr(x)


def test_a_numpy_operand_that_changes_later_changes_no_gradient():
    w, a, i = mg.tensor(np.ones(3), requires_grad=True), np.full(3, 2.0), np.array([0, 0])
    y = (w * a).sum() + (a * w).sum() + w[i].sum() + mg.matmul(w, a) + w[i, ...].sum()
    a[:] = 0
    i[:] = 2
    y.backward()
    assert w.grad.tolist() == [10, 6, 6]


def test_a_hook_cannot_change_the_gradient_of_another_tensor():
    a, b = (mg.tensor(np.ones(3), requires_grad=True) for _ in range(2))

    def spoil(g):
        with pytest.raises(ValueError, match="read-only"):
            g *= 0

    b.register_hook(spoil)
    (a + b).backward(np.ones(3))
    assert a.grad.tolist() == b.grad.tolist() == [1, 1, 1]


def test_what_a_hook_returns_is_checked_copied_and_cast():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    mine = np.array([10.0, 20.0])
    remove = x.register_hook(lambda g: mine)
    x.sum().backward()
    assert x.grad.dtype == np.float32
    mine[:] = 0
    assert x.grad.tolist() == [10, 20]
    remove()
    remove()
    x.register_hook(lambda g: np.ones(5))
    with pytest.raises(ValueError, match=r"returned shape \(5,\), wanted \(2,\)"):
        x.sum().backward()


def test_a_hook_that_names_its_own_tensor_is_collected():
    x = mg.tensor([1.0], requires_grad=True)
    h = x * 2
    h.register_hook(lambda g: g * float(h.ndim))
    node = weakref.ref(h._node)
    h.backward(np.ones(1))
    h = None
    gc.collect()
    assert node() is None


def test_gradients_of_create_graph_are_the_leaves_own():
    a, b = (mg.tensor(np.ones(2), requires_grad=True) for _ in range(2))
    given = mg.tensor(np.full(2, 10.0))
    (a + b).backward(given, create_graph=True)
    with mg.no_grad():
        a.grad.copy_(np.zeros(2))
    assert b.grad.tolist() == given.tolist() == [10, 10]


def test_weight_gradients_of_a_deep_model_do_not_keep_its_activations():
    tracemalloc = pytest.importorskip("tracemalloc")
    weights = [mg.tensor(np.eye(64), requires_grad=True) for _ in range(20)]

    def peak() -> int:
        y = mg.tensor(np.ones((2000, 64)))
        for w in weights:
            w.grad = None
            y = mg.tanh(y @ w)
        tracemalloc.start()
        y.sum().backward()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak()
    assert peak() < 8 * 2000 * 64 * 8


def test_a_weight_used_at_many_steps_gets_the_sum_of_its_products():
    rng = np.random.default_rng(0)
    w = mg.tensor(rng.standard_normal((5, 7)), requires_grad=True)
    xs = [rng.standard_normal((k % 3 + 1, 7)) for k in range(9)]
    gs = [rng.standard_normal((len(x), 5)) for x in xs]
    for keep in (True, False):
        w.grad = None
        total = (w * 2).sum() + sum(((mg.tensor(x) @ w.T) * g).sum() for x, g in zip(xs, gs))
        total.backward(retain_graph=keep)
        assert np.allclose(w.grad.numpy(), sum(g.T @ x for x, g in zip(xs, gs)) + 2, rtol=1e-12)


def test_deferred_products_are_folded_when_they_grow(monkeypatch):
    from minigrad import deferred

    folded = []
    value = deferred.DeferredProduct.value
    monkeypatch.setattr(deferred.DeferredProduct, "value", lambda self: folded.append(self.kept) or value(self))
    monkeypatch.setattr(deferred, "MOST", 40)
    test_a_weight_used_at_many_steps_gets_the_sum_of_its_products()
    assert sum(kept > 0 for kept in folded) > 4


def test_no_grad_on_a_generator_function_is_refused():
    with pytest.raises(TypeError, match="generator"):

        @mg.no_grad()
        def numbers():
            yield 1


CALLS = [
    lambda a, b: a + b, lambda a, b: a.reshape(4) + b.reshape(4), lambda a, b: a.T + b, lambda a, b: a - b,
    lambda a, b: a + b.sum(), lambda a, b: a[0] + b[1], lambda a, b: (a + b) + a, lambda a, b: a @ b,
    lambda a, b: a * b,
    lambda a, b: mg.stack([a, b]), lambda a, b: mg.split(mg.concatenate([a, b]), 2)[0], lambda a, b: a.reshape(1, 4).T,
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_a_gradient_is_memory_of_its_own(call):
    """It is copied unless nothing else refers to it: to the caller's cotangent, to what was sent to another leaf."""
    a, b = [mg.tensor(np.arange(4.0).reshape(2, 2) + k, requires_grad=True) for k in range(2)]
    y = call(a, b)
    cotangent = np.ones(y.shape)
    seen = []
    y.register_hook(lambda g: seen.append(g.numpy()))
    y.backward(cotangent, retain_graph=True)
    kept = [p.grad._data for p in (a, b) if p.grad is not None]
    values = [x.detach().numpy().copy() for x in (a, b, y)]
    others = [cotangent, a.detach().numpy(), b.detach().numpy(), y.detach().numpy(), *seen]
    for k, gradient in enumerate(kept):
        assert not any(np.shares_memory(gradient, x) for x in others + kept[:k])
        assert gradient.flags.writeable
        gradient[...] = np.nan
    for x, value in zip((a, b, y), values):
        np.testing.assert_array_equal(x.detach().numpy(), value)
    y.backward(cotangent)


def test_a_gradient_that_nothing_else_refers_to_is_not_copied():
    from minigrad.kernels import memory
    from minigrad.mutations import held_once

    x = np.empty(3)
    assert held_once(x)
    view = x.reshape(3, 1)
    assert not held_once(x) and not held_once(view)
    del x
    assert held_once(view)
    part = view[:1]
    assert not held_once(view) and not held_once(part)
    del part
    kept = [view]
    assert not held_once(view)
    kept.clear()
    assert held_once(view) and not held_once(np.broadcast_to(np.ones(1), 1000))
    again = memory.empty((memory.LARGE,), np.dtype(np.uint8))  # of which there is a list
    assert held_once(again)
    part = again[:10]
    assert not held_once(again) and not held_once(part)
    del again
    assert not held_once(part)  # it would hold all of the memory
