"""What a Tensor does: construction, dtypes, NumPy's protocols, indexing, in-place changes, backward."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.testing import arrays, shapes, spread

f32, f64 = np.float32, np.float64


# Construction


@pytest.mark.parametrize(
    "data, dtype",
    [
        (1.5, f32),
        ([1.0, 2.0], f32),
        ([1, 2.5], f32),
        (3, np.int64),
        ([1, 2], np.int64),
        ([True, False], np.bool_),
        (np.float64(1.5), f64),
        (np.ones(2), f64),
        (np.ones(2, f32), f32),
        (np.ones(2, np.int16), np.int16),
        ([np.float64(1), 2.0], f64),
        ([np.ones(2), np.ones(2)], f64),
        ([], f32),
    ],
)
def test_dtype_of_what_it_is_made_of(data, dtype):
    assert mg.tensor(data).dtype == dtype
    assert mg.tensor(data, dtype=f64).dtype == f64


def test_a_tensor_is_a_copy():
    a = np.ones(3)
    t = mg.tensor(a)
    a[0] = 5
    assert t.tolist() == [1, 1, 1]
    assert mg.tensor([mg.tensor(1.0), 2.0]).tolist() == [1, 2]


@pytest.mark.parametrize("bad", [1j, np.ones(2, complex), "text", None, np.ones(2, np.longdouble), object()])
def test_what_is_not_float_integer_or_bool_is_refused(bad):
    with pytest.raises(TypeError, match="wanted float32, float64, an integer type or bool"):
        mg.tensor(bad)


def test_float16_is_read_as_float32_and_is_no_dtype_of_tensors():
    """By constructors, ops, assignment and jitted functions; a list of such numbers, too."""
    half, t = np.array([[1.5, 2.25]], "float16"), mg.tensor([[2.0, 4.0]])
    product = mg.jit(lambda x: x * half)
    for found in (mg.tensor(half) * t, t * half, half * t, mg.mul(half, t), product(t), mg.jit(mg.mul)(half, t)):
        assert found.dtype == np.float32 and found.tolist() == [[3, 9]]
    half[0, 0] = 2
    assert product(t).tolist() == [[4, 9]]
    assert mg.tensor(list(half[0])).dtype == mg.nn.Parameter(half).dtype == mg.grad(mg.sum)(half).dtype == np.float32
    assert (mg.tensor(np.ones(2)) * half).dtype == np.float64
    t[...] = half
    assert t.tolist() == [[2, 2.25]]
    for make in (lambda: mg.tensor(half, dtype="float16"), lambda: t.astype("float16")):
        with pytest.raises(TypeError, match=r"float16 is for storage, t.numpy\(\).astype\('float16'\)"):
            make()


def test_ragged_lists_are_refused():
    with pytest.raises(ValueError, match="lists of equal lengths"):
        mg.tensor([[1.0, 2.0], [3.0]])


def test_only_floats_require_gradients():
    with pytest.raises(TypeError, match="only float tensors have gradients, got int64"):
        mg.tensor([1, 2], requires_grad=True)


# Dtypes of expressions


@pytest.mark.parametrize(
    "result, dtype",
    [
        (lambda: mg.tensor([1.0]) * 2.5, f32),
        (lambda: 2.5 / mg.tensor([1.0]), f32),
        (lambda: mg.tensor(np.ones(1)) - 1, f64),
        (lambda: mg.tensor([1.0]) + mg.tensor(np.ones(1)), f64),
        (lambda: mg.tensor([1.0]) + np.ones(1), f64),
        (lambda: np.ones(1, f32) + mg.tensor([1.0]), f32),
        (lambda: mg.tensor([1.0]) * np.float64(2), f64),
        (lambda: mg.tensor([1]) + 1, np.int64),
        (lambda: mg.tensor([1]) + 1.5, f32),
        (lambda: mg.tensor([1]) / mg.tensor([2]), f32),
        (lambda: mg.tensor([1]) * mg.tensor([1.0]), f32),
        (lambda: mg.tensor(np.ones(1, np.int8)) + 1, np.int8),
        (lambda: mg.tensor([True]) + 1.0, f32),
        (lambda: mg.tensor([1.0]) > 0, np.bool_),
        (lambda: -mg.tensor([1]), np.int64),
        (lambda: mg.tensor([1.0]) ** 2, f32),
        (lambda: 2 ** mg.tensor([1.0]), f32),
    ],
)
def test_python_numbers_are_weak_and_the_wider_float_wins(result, dtype):
    assert result().dtype == dtype


def test_a_gradient_has_the_dtype_of_its_leaf():
    x, y = mg.tensor([1.0], requires_grad=True), mg.tensor(np.ones(1), requires_grad=True)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (f32, f64)


# NumPy's protocols


@given(a=arrays((3, 4)), seed=st.integers(0, 9))
def test_numpy_functions_of_tensors_stay_on_the_tape(a, seed):
    b = spread(np.random.default_rng(seed), (4, 2))
    t, u = mg.tensor(a, requires_grad=True), mg.tensor(b, requires_grad=True)
    pairs = [
        (np.tanh(t), np.tanh(a)),
        (np.add(t, a), a + a),
        (np.add(a, t), a + a),
        (a.T @ t, a.T @ a),
        (t @ b, a @ b),
        (np.matmul(t, u), a @ b),
        (a * t, a * a),
        (a - t, a - a),
        (np.concatenate([t, a]), np.concatenate([a, a])),
        (np.stack([t, t], 1), np.stack([a, a], 1)),
        (np.mean(t), np.mean(a)),
        (np.sum(t, axis=0), np.sum(a, axis=0)),
        (np.max(t, axis=1, keepdims=True), np.max(a, axis=1, keepdims=True)),
        (np.where(a > 0, t, 0.0), np.where(a > 0, a, 0.0)),
        (np.reshape(t, (4, 3)), np.reshape(a, (4, 3))),
        (np.transpose(t), a.T),
        (np.exp(t)[None, 1], np.exp(a)[None, 1]),
        (np.float64(2) * t, 2 * a),
        (np.sqrt(np.square(t)), np.abs(a)),
        (np.linalg.norm(t), np.linalg.norm(a)),
        (np.split(t, 2, axis=1)[1], np.split(a, 2, axis=1)[1]),
    ]
    for ours, theirs in pairs:
        assert isinstance(ours, mg.Tensor) and ours.requires_grad
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-14, atol=1e-15)
        ours.sum().backward()
    assert t.grad.shape == a.shape and u.grad.shape == b.shape


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t: np.fft.fft(t), r"np\.fft\.fft has no rule for tensors"),
        (lambda t: np.add.reduce(t), r"np\.add\.reduce has no rule for tensors; use minigrad\.sum"),
        (lambda t: np.multiply.reduce(t), r"use minigrad\.prod"),
        (lambda t: np.i0(t), r"np\.i0 has no rule for tensors; it has no counterpart; write it with ops"),
        (lambda t: np.add(t, t, out=np.empty(2)), "takes no .*out"),
        (lambda t: np.asarray(t), r"use the op of minigrad, or t\.detach\(\)\.numpy\(\)"),
    ],
)
def test_numpy_functions_without_a_rule_name_the_op_to_use(call, message):
    with pytest.raises(TypeError, match=message):
        call(mg.tensor([1.0, 2.0], requires_grad=True))


def test_a_constant_becomes_an_array():
    t = mg.tensor([1.0, 2.0])
    assert np.asarray(t).dtype == f32
    np.testing.assert_array_equal(np.asarray(t, f64), [1.0, 2.0])
    a = np.zeros(2)
    a[:] = t
    assert a.tolist() == [1, 2]


def test_numpy_is_a_read_only_view():
    t = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="read-only"):
        t.numpy()[0] = 3
    assert np.shares_memory(t.numpy(), t.detach().numpy())


# Views of itself


def test_repr_shows_values_dtype_and_op():
    assert repr(mg.tensor([1.0, 2.5])) == "tensor([1. , 2.5], dtype=float32)"
    x = mg.tensor(np.ones((1, 2)), requires_grad=True)
    assert repr(x) == "tensor([[1., 1.]], dtype=float64, requires_grad=True)"
    assert repr(mg.tanh(x * 0)) == "tensor([[0., 0.]], dtype=float64, op=tanh)"
    assert repr(mg.tensor([True])) == "tensor([ True], dtype=bool)"
    assert len(repr(mg.tensor(np.zeros((500, 500))))) < 2000
    assert f"{mg.tensor(1.25):.1f}" == "1.2" and str(mg.tensor(2)) == "tensor(2, dtype=int64)"


def test_python_protocols():
    t = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(t) == 2 and [row.tolist() for row in t] == [[1, 2], [3, 4]]
    assert float(t[1, 1]) == 4.0 and int(t[0, 1]) == 2 and t[0, 0].item() == 1.0
    assert 3.0 in t and 7.0 not in t
    assert bool(mg.tensor(0.0)) is False and bool(mg.tensor([2])) is True
    assert [10, 20, 30][mg.tensor(1)] == 20
    assert t.T.shape == (2, 2) and t.T[0, 1] == 3 and t.mT[1, 0] == 2
    assert {t: 1}[t] == 1
    with pytest.raises(TypeError, match="0-d"):
        len(mg.tensor(1.0))
    with pytest.raises(TypeError, match="0-d"):
        iter(mg.tensor(1.0))
    with pytest.raises(ValueError, match="ambiguous; use mg.any or mg.all"):
        bool(t)
    with pytest.raises(ValueError, match="wanted a tensor with one element"):
        t.item()
    with pytest.raises(TypeError, match="an index must be an integer"):
        [1, 2][mg.tensor(1.0)]


def test_iteration_is_on_the_tape():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    a, b = x
    (a * b).sum().backward()
    assert x.grad.tolist() == [[3, 4], [1, 2]]


def test_copies_and_pickles():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = copy.deepcopy(x)
    assert y.requires_grad and y.tolist() == [1, 2] and not np.shares_memory(x.numpy(), y.numpy())
    for made in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match="result of exp; detach"):
            made(mg.exp(x))
    for z in (x, x.detach(), x.detach()[1:], mg.tensor([1, 2]), mg.tensor(True), nn.Parameter(np.ones(2))):
        again = pickle.loads(pickle.dumps(z))
        assert type(again) is (nn.Parameter if isinstance(z, nn.Parameter) else mg.Tensor)
        assert again.dtype == z.dtype and again.tolist() == z.tolist() and again.requires_grad == z.requires_grad


# Indexing


def indices(shape):
    """Everything that NumPy takes as an index of an array of this shape."""
    from hypothesis.extra.numpy import array_shapes, basic_indices, integer_array_indices

    basic = basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
    mask = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).random(shape) < 0.5)
    if 0 in shape or not shape:
        return st.one_of(basic, mask)
    several = integer_array_indices(shape, result_shape=array_shapes(max_dims=2, max_side=4))
    return st.one_of(basic, mask, several)


@given(data=st.data())
def test_indexing_is_numpys_and_repeated_indices_add_up(data):
    shape = data.draw(shapes(max_side=4))
    a = data.draw(arrays(shape))
    index = data.draw(indices(shape))
    x = mg.tensor(a, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), a[index])
    assert y.shape == a[index].shape
    g = np.asarray(np.arange(1.0, y.size + 1).reshape(y.shape))
    y.backward(g)
    wanted = np.zeros(shape)
    np.add.at(wanted, index, g)
    np.testing.assert_array_equal(x.grad.numpy(), wanted)


def test_an_index_may_be_a_tensor_or_a_list():
    x = mg.tensor([10.0, 20.0, 30.0], requires_grad=True)
    x[mg.tensor([2, 2, 0])].sum().backward()
    assert x.grad.tolist() == [1, 0, 2]
    assert x[[0, 1]].tolist() == [10, 20] and x[x > 15].tolist() == [20, 30] and x[mg.tensor(1)].item() == 20
    with pytest.raises(IndexError, match=r"getitem\(float32\[3\]\).*out of bounds"):
        x[5]
    with pytest.raises(IndexError, match="too many indices"):
        x[0, 0]


def test_a_later_change_of_the_index_is_refused():
    index = mg.tensor([0, 0, 2])
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[index]
    index.zero_()
    with pytest.raises(RuntimeError, match=r"backward of (getitem|take): .*int64\[3\].*changed in place"):
        y.sum().backward()


# In-place changes


def test_a_parameter_changes_in_place_under_no_grad():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    memory = x.numpy()
    with mg.no_grad():
        x -= 0.5
        x *= 2
        x[0] = 7.0
        x += mg.tensor([1.0, 1.0])
    assert x.requires_grad and x.is_leaf and memory.tolist() == [8, 4]
    with mg.no_grad():
        x.copy_(np.array([1.0, 2.0], f32))
        assert memory.tolist() == [1, 2]
        x.zero_()
    assert memory.tolist() == [0, 0]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.__iadd__(1.0),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.copy_(np.ones(2, f32)),
        lambda x: x.zero_(),
    ],
)
def test_in_place_changes_on_the_tape_are_refused(change):
    with pytest.raises(RuntimeError, match=r"on the tape; do it under no_grad\(\)"):
        change(mg.tensor([1.0, 2.0], requires_grad=True))


def test_wrong_in_place_operands_are_refused():
    t = mg.tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"add\(float32\[2\], float32\[3\]\)"):
        t += mg.tensor([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"copy_: got shape \(3,\), wanted \(2,\)"):
        t.copy_(np.ones(3))
    with pytest.raises(IndexError, match=r"setitem .*float32\[2\].*out of bounds"):
        t[5] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        mg.broadcast_to(t, (3, 2)).zero_()
    assert t.tolist() == [1, 2]


def test_backward_refuses_an_array_that_was_changed_and_names_op_and_line():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    w = mg.tensor([3.0, 4.0])
    y = x * w  # the line that recorded it
    w += 1.0
    with pytest.raises(RuntimeError, match=r"backward of mul: .*float32\[2\].*test_tensor\.py:\d+: \"y = x \* w"):
        y.sum().backward()


@pytest.mark.parametrize("change", [lambda t: t.zero_(), lambda t: t[:1].zero_(), lambda t: t.T.copy_(t.T * 2)])
def test_a_change_through_a_view_is_noticed(change):
    x, w = mg.tensor([[1.0], [2.0]], requires_grad=True), mg.tensor([[3.0], [4.0]])
    y = (x * w.detach()).sum()
    change(w)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_change_of_what_backward_does_not_need_is_allowed():
    x, b = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([3.0, 4.0])
    y = x + b
    b.zero_()
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]
    w = mg.tensor([1.0, 1.0])
    w.zero_()
    (x * w).sum().backward()
    assert x.grad.tolist() == [1, 1]


# Backward


def test_gradients_accumulate_until_they_are_cleared():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    (x * 3).sum().backward()
    first = x.grad
    (x * 4).sum().backward()
    assert x.grad.tolist() == [7, 7] and first.tolist() == [3, 3]
    x.grad = None
    (x * 5).sum().backward()
    assert x.grad.tolist() == [5, 5]
    x.grad = np.zeros(2, f32)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]
    with pytest.raises(ValueError, match=r"got shape \(3,\), wanted the tensor's own, \(2,\)"):
        x.grad = np.zeros(3)
    with pytest.raises(RuntimeError, match="on a leaf"):
        mg.tensor(1.0).grad = np.zeros(())


def test_gradients_of_two_leaves_do_not_share_memory():
    x, y = mg.tensor([1.0], requires_grad=True), mg.tensor([1.0], requires_grad=True)
    g = np.ones(1, f32)
    (x + y).backward(g)
    with mg.no_grad():
        x.grad.zero_()
    assert y.grad.tolist() == [1] and g.tolist() == [1]


def test_a_tensor_used_twice_gets_both_gradients():
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    (y * y + y).backward()
    assert x.grad.item() == 4 * 27 + 6


def test_a_cotangent_of_the_tensors_shape():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"shape \(2,\) wants a cotangent .*y\.sum\(\)\.backward\(\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"cotangent of shape \(3,\) for a tensor of shape \(2,\)"):
        (x * 2).backward(np.ones(3))
    for g in ([1.0, 10.0], np.array([1, 10]), mg.tensor(np.array([1.0, 10.0]))):
        x.grad = None
        (x * 2).backward(g)
        assert x.grad.tolist() == [2, 20] and x.grad.dtype == f32
    one = mg.tensor([[2.0]], requires_grad=True)
    (one * one).backward()
    assert one.grad.tolist() == [[4]]


def test_the_graph_is_freed_unless_it_is_kept():
    x = mg.tensor(2.0, requires_grad=True)
    y = mg.exp(x) * x
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.item(), 2 * 3 * np.exp(2), rtol=1e-6)
    with pytest.raises(RuntimeError, match=r"backward through mul a second time.*y = mg\.exp\(x\) \* x.*retain_graph"):
        y.backward()


def test_backward_of_a_constant_is_refused():
    with pytest.raises(RuntimeError, match="depends on nothing that requires a gradient"):
        mg.tensor(1.0).backward()


def test_backward_of_a_leaf_is_its_cotangent():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    x.backward([3.0, 4.0])
    assert x.grad.tolist() == [3, 4]


def test_leaf_non_leaf_and_detach():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    assert x.is_leaf and not y.is_leaf and y.requires_grad and y.grad is None
    z = y.detach()
    assert z.is_leaf and not z.requires_grad and np.shares_memory(z.numpy(), y.numpy())
    (y * z).sum().backward()
    assert x.grad.tolist() == [4, 8] and y.grad is None


def test_requires_grad_can_be_switched_on_leaves():
    x = mg.tensor([1.0])
    assert x.requires_grad_() is x and x.requires_grad and x.grad is None
    with pytest.raises(RuntimeError, match="result of mul; detach"):
        (x * 2).requires_grad_(False)
    x.requires_grad = False
    assert not (x * 2).requires_grad
    x.requires_grad = True
    y = x * 2
    x.requires_grad_(True)
    y.backward()
    assert x.grad.tolist() == [2]


def test_no_grad_is_a_context_and_a_decorator_and_nests():
    x = mg.tensor(1.0, requires_grad=True)

    @mg.no_grad()
    def f(x):
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
        return x * 2

    assert not f(x).requires_grad and not f(x).requires_grad
    with mg.no_grad(), mg.no_grad():
        assert not (x * 2).requires_grad
    with pytest.raises(ValueError), mg.no_grad():
        int("no")
    assert (x * 2).requires_grad


def test_hooks_see_and_replace_gradients():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    seen = []
    y = x * 3
    y.register_hook(lambda g: seen.append(g.tolist()))
    remove = y.register_hook(lambda g: g * 10)
    (y + y).sum().backward(retain_graph=True)
    assert seen == [[2, 2]] and x.grad.tolist() == [60, 60]  # once, with the whole gradient
    remove()
    x.grad = None
    x.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert x.grad.tolist() == [4, 4]
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        mg.tensor(1.0).register_hook(print)


def test_create_graph_gives_gradients_on_the_tape():
    x = mg.tensor(2.0, dtype=f64, requires_grad=True)
    (x**4).backward(create_graph=True)
    first = x.grad
    assert first.requires_grad and first.item() == 32
    x.grad = None
    first.backward(create_graph=True)
    second, x.grad = x.grad, None
    second.backward()
    assert (second.item(), x.grad.item()) == (48, 48)


@given(data=st.data())
def test_gradients_of_constants_are_not_computed(data):
    """A constant on either side leaves the other's gradient as it is, and has none."""
    a, b = data.draw(arrays((2, 2))), data.draw(arrays((2, 2)))
    both = [mg.tensor(v, requires_grad=True) for v in (a, b)]
    (both[0] @ both[1] * both[0]).sum().backward()
    for k in range(2):
        x = [mg.tensor(v, requires_grad=k == j) for j, v in enumerate((a, b))]
        (x[0] @ x[1] * x[0]).sum().backward()
        np.testing.assert_array_equal(x[k].grad.numpy(), both[k].grad.numpy())
        assert x[1 - k].grad is None


def test_python_numbers_take_the_type_of_what_they_meet():
    x = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    x[0].backward(0.1)
    assert x.grad.numpy()[0] == 0.1
    assert ([0.1, 0.2] * x).numpy().tolist() == [0.1, 0.4]
    assert 0.1 in mg.tensor(np.array([0.1]))
    with mg.no_grad():
        x.copy_([0.1, 0.2])
    assert x.tolist() == [0.1, 0.2]
    second = mg.hessian(lambda x: (2.0**x).sum())(mg.tensor(np.array(1.5))).item()
    assert abs(second - 2**1.5 * np.log(2) ** 2) < 1e-12


def test_lists_of_tensors_on_the_tape_are_refused():
    x = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"use minigrad\.stack"):
        mg.tensor([x[0], x[0]])
    with mg.no_grad():
        assert mg.tensor([x[0], x[0]]).tolist() == [1, 1]


def test_logical_operators_want_bools_or_integers():
    with pytest.raises(TypeError, match="& wants bool or integer tensors, got float32; compare first"):
        mg.tensor([6.0]) & 3
    with pytest.raises(TypeError, match="~ wants bool"):
        ~mg.tensor([6.0])
    six = mg.tensor([6])
    assert [x.tolist() for x in (six & 3, six | 1, 5 ^ six, ~six, six << 1, six >> 1)] == [
        [2],
        [7],
        [3],
        [-7],
        [12],
        [3],
    ]
    with pytest.raises(TypeError, match="jit: .*while a function is traced"):
        mg.jit(lambda x: x & 1)(six)
    assert (~mg.tensor([True]) | mg.tensor([False])).tolist() == [False]


def test_comparison_with_what_is_no_number_is_pythons():
    assert (mg.tensor([1.0]) == None) is False  # noqa: E711
    assert (mg.tensor([1.0]) != "a") is True


def test_numbers_alone_and_missing_bounds():
    x = mg.tensor([-1.0, 0.5, 3.0])
    assert mg.where(x > 0, 1.0, 0.0).tolist() == [0, 1, 1]
    assert mg.maximum(2.0, 3.0).item() == 3
    assert np.clip(x, None, 1).tolist() == [-1, 0.5, 1]
    assert mg.clip(x, low=0).tolist() == [0, 0.5, 3]
    assert mg.clip(mg.tensor([1, 5]), high=3).tolist() == [1, 3]
    assert mg.leaky_relu(x).tolist()[0] == pytest.approx(-0.01)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: mg.matmul(x, None), "matmul: input 'b' is a NoneType"),
        (lambda x: mg.add(x, "a"), "add: input 'b' is a str"),
        (lambda x: x @ None, "unsupported operand .* for @: 'Tensor' and 'NoneType'"),
        (lambda x: x + "a", "unsupported operand .* for .: 'Tensor' and 'str'"),
        (lambda x: mg.stack(3), "stack: wanted a sequence of tensors, got 3"),
        (lambda x: mg.stack([x, None]), "stack: input 'arrays' is a NoneType"),
        (lambda x: mg.where(x, 1, 2), "a condition must be bool"),
        (lambda x: mg.leaky_relu(x, scale=3), r"wanted leaky_relu\(x, slope\)"),
        (lambda x: mg.mean("a"), "mean: input 'x' is a str"),
        (lambda x: mg.tensor(1.0, dtype="flaot32"), "no dtype 'flaot32'"),
        (lambda x: x.register_hook(3), "wanted a function"),
    ],
)
def test_errors_name_the_op_and_the_input(call, message):
    with pytest.raises(TypeError, match=message):
        call(mg.tensor([1.0, 2.0], requires_grad=True))


def test_foreign_byte_order_becomes_the_machines():
    x = mg.tensor(np.array([1, 2], dtype=">f4"))
    assert (x * 2).tolist() == [2, 4]
