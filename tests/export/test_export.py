"""What an exported model is: loops and branches, sizes, names, and what is refused."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx_running import close, eager, run, session_of

import minigrad as mg
from minigrad import nn
from minigrad.models import LSTM, LSTMCell, Recurrent
from minigrad.onnx.graph import Names
from minigrad.ops.table import table


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def normal(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape)


def check(f, path, *inputs, others=(), **options):
    model = mg.export(f, inputs[0] if others else inputs, path, **options)
    session = session_of(model)
    for given in (inputs[0], *others) if others else (inputs,):
        leaves = mg.tree.flatten(given)[0]
        close(run(session, *leaves), eager(f, *mg.tree.map(mg.tensor, given)))
    return model


def ops_in(graph):
    """The ops of a graph, and of those in it."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from ops_in(attribute.g)


def count(model, kind: str) -> int:
    return list(ops_in(model.graph)).count(kind)


# Loops


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("given", ["streams", "a length", "a length and streams"])
def test_a_scan(path, reverse, given):
    W = mg.tensor(normal(3, 3) / 2)

    def step(h, x):
        h = mg.tanh(h @ W + (0 if x is None else x))
        return h, (h, 2 * h.sum(axis=-1))

    def f(h, xs):
        return mg.scan(step, h, None if given == "a length" else xs, length=None if given == "streams" else 4,
                       reverse=reverse)  # fmt: skip

    model = check(f, path, normal(2, 3), normal(4, 2, 3))
    assert count(model, "Loop" if given == "a length" else "Scan") == 1


def test_loops_in_loops_and_what_all_steps_read(path):
    def f(xs, W):
        def inner(h, x):
            return mg.tanh(h + x @ W), None

        def outer(h, x):
            h, _ = mg.scan(inner, h, x)
            return h, h.sum()

        return mg.scan(outer, xs[0, 0], xs)

    model = check(f, path, (normal(4, 3, 2), normal(2, 2)), others=[(normal(5, 6, 2), normal(2, 2))])
    assert count(model, "Scan") == 2


def test_a_loop_of_no_step(path):
    """What is known is that there are at least two; onnxruntime takes one."""
    check(lambda x: mg.scan(lambda h, x: (h + x, h * x), x[0], x[1:]), path, (normal(4, 3),), others=[(normal(1, 3),)])


def test_a_while_loop_and_branches(path):
    def f(x):
        y, steps = mg.while_loop(lambda c: c[0].sum() > 1, lambda c: (c[0] / 2, c[1] + 1), (x, 0))
        y = mg.cond(steps > 3, lambda y: y + 1, lambda y: (y * 2).astype(y.dtype), y)
        return y, steps, mg.switch(steps, [mg.sin, mg.exp, mg.tanh], y)

    model = check(f, path, (np.array([9.0, 3.0]),), others=[(np.array([0.1, 0.2]),), (np.array([2.0, 1.0]),)])
    assert count(model, "Loop") == 1 and count(model, "If") == 5


def test_a_while_loop_with_a_bound_and_branches_in_steps(path):
    def step(h, x):
        h = mg.cond(x.sum() > 0, lambda h, x: h + x, lambda h, x: h - mg.exp(x), h, x)
        h = mg.while_loop(lambda h: mg.abs(h).max() > 1, lambda h: h / 3, h, 2)
        return h, h

    model = check(lambda h, xs: mg.scan(step, h, xs), path, normal(2), 5 * normal(6, 2))
    assert count(model, "Loop") == 1 and count(model, "If") == 2


def test_a_gradient_is_a_program_too(path):
    """In the backward of a scan the weight's gradient is a sum over the steps."""

    def last(W, xs):
        return mg.scan(lambda h, x: (mg.tanh(h @ W + x), None), xs[0], xs)[0].sum()

    def f(W, xs):
        return mg.grad(last)(W, xs)

    model = check(f, path, (normal(3, 3), normal(5, 2, 3)), others=[(normal(3, 3), normal(8, 4, 3))])
    assert count(model, "Scan") == 2


def test_what_is_written_in_place(path):
    def f(x):
        table = mg.tensor(np.eye(3), dtype="float64")
        table[1] = x
        table += 1
        return table @ x

    check(f, path, normal(3))


# Sizes


def dims(model, name: str) -> list:
    (found,) = [x for x in (*model.graph.input, *model.graph.output) if x.name == name]
    return [d.dim_param or d.dim_value for d in found.type.tensor_type.shape.dim]


def test_axes_that_the_function_leaves_open_are_dynamic(path):
    layer = LSTM(3, 4)
    model = mg.export(layer, (normal(6, 5, 3).astype("float32"),), path)
    assert dims(model, "x") == ["x_0", "x_1", 3]
    assert dims(model, "output[0]") == ["x_0", "x_1", 4]


def test_sizes_that_are_equal_have_one_name_and_expressions_are_told(path):
    model = mg.export(lambda x, y: mg.concatenate([x + y, x]).reshape(-1), (normal(3, 3), normal(3, 3)), path)
    assert dims(model, "x") == ["x_0", "x_1"] == dims(model, "y")
    close(run(session_of(model), normal(2, 5), normal(2, 5)), [np.tile(2 * normal(2, 5), (2, 1)).reshape(-1)][:0] or
          eager(lambda x: mg.concatenate([x + x, x]).reshape(-1), mg.tensor(normal(2, 5))))  # fmt: skip


def test_a_size_that_happens_to_be_that_of_a_weight_stays_open(path):
    cell = LSTMCell(3, 4)
    check(Recurrent(cell), path, (normal(4, 4, 3).astype("float32"),), others=[(normal(2, 7, 3).astype("float32"),)])


def test_dynamic_axes_names_them_and_fixes_the_others(path):
    layer = LSTM(3, 4)
    x, h = normal(6, 1, 3).astype("float32"), normal(1, 1, 4).astype("float32")
    axes = {"x": {0: "time", 1: "batch"}, "state[0]": {1: "batch"}, "state[1]": {-2: "batch"}}
    model = mg.export(layer, (x, (h, h)), path, dynamic_axes=axes, output_names=("output", "last"))
    assert dims(model, "x") == ["time", "batch", 3] and dims(model, "state[1]") == [1, "batch", 4]
    assert [o.name for o in model.graph.output] == ["output", "last[0]", "last[1]"]
    others = normal(3, 5, 3).astype("float32"), normal(1, 5, 4).astype("float32")
    got = run(session_of(model), others[0], others[1], others[1])
    close(got, eager(lambda x, h: layer(x, (h, h)), *map(mg.tensor, others)))


def test_what_depends_on_a_size_follows_it(path):
    def f(x):
        T, B = x.shape[:2]
        pairs = x[:-1].reshape((T - 1) * B, 2)[::-1]
        return x.mean(axis=0) / T**0.5, pairs, mg.arange(T // 2) * B, x[::2, 1:, 0], x[T // 2], mg.eye(2) @ x[-1].T

    check(f, path, (normal(6, 5, 2),), others=[(normal(9, 2, 2),), (normal(2, 3, 2),)])


def test_a_size_that_python_takes_for_a_number_is_fixed_or_refused(path):
    def f(x):
        for t in range(x.shape[0]):
            x = x + t
        return x

    model = mg.export(f, (normal(3, 2),), path)
    assert dims(model, "x") == [3, "x_1"]
    with pytest.raises(ValueError, match=r"asks for x.shape\[0\] at .*range\(x.shape\[0\]\).* serve 3 alone.*mg.scan"):
        mg.export(f, (normal(3, 2),), path, dynamic_axes={"x": {0: "T"}})


def test_sizes_that_follow_from_others_stay_open(path):
    def f(x, y, z):
        return mg.concatenate([x[:-1] * y, x[-1:]]) + x[::2].sum(), x[::2] + z

    def inputs(n, m):
        return normal(n, m), normal(n - 1, m), normal((n + 1) // 2, m)

    model = check(f, path, inputs(5, 4), others=[inputs(8, 2), inputs(2, 3)])
    assert dims(model, "z") == ["z_0", "x_1"]


def test_what_takes_no_symbols_fixes_its_own_axis_alone(path):
    """NumPy raises something of slices that end at one, whatever that is."""
    with pytest.raises(TypeError, match="no attribute 'step'"):
        mg.export(lambda x: x * np.mgrid[:1, : x.shape[2]][1], (normal(3, 3, 2),), path, dynamic_axes={"x": {2: "n"}})
    model = mg.export(lambda x: mg.tanh(x) * np.mgrid[:1, : x.shape[2]][1], (normal(3, 3, 2),), path)
    assert dims(model, "x") == ["x_0", "x_1", 2]


def test_a_choice_that_depends_on_a_size_fixes_it(path):
    model = mg.export(lambda x: x * 2 if x.shape[0] > 10 else x * 3, (normal(3, 2),), path)
    assert dims(model, "x") == [3, "x_1"]
    model = mg.export(lambda x: x if x.shape[0] != 4 else 3 * x, (normal(3, 2),), path)
    assert dims(model, "x") == [3, "x_1"]


@pytest.mark.parametrize(
    ("axes", "error", "says"),
    [
        ({"y": {0: "T"}}, ValueError, "names 'y'; the inputs are x"),
        ({"x": {2: "T"}}, ValueError, "x has no axis 2"),
        ({"x": ["T"]}, TypeError, "wanted a dict from axes to names"),
        ({"x": {0: "T", 1: "T"}}, ValueError, "two axes are called 'T'"),
    ],
)
def test_wrong_dynamic_axes(path, axes, error, says):
    with pytest.raises(error, match=says):
        mg.export(mg.exp, (normal(3, 2),), path, dynamic_axes=axes)


def test_what_must_be_equal_needs_one_name(path):
    with pytest.raises(ValueError, match="got a state.*traced with B=.*needs one name in dynamic_axes"):
        mg.export(LSTM(3, 4), (normal(6, 2, 3).astype("float32"), (normal(1, 2, 4).astype("float32"),) * 2), path,
                  dynamic_axes={"x": {1: "B"}})  # fmt: skip


# Names and modes


class Model(nn.Module):
    def __init__(self):
        self.layer = LSTM(2, 3)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(3, 2)
        self.twin = nn.Linear(3, 2)
        self.twin.weight = self.out.weight
        self.register_buffer("shift", np.ones(2, "float32"))

    def forward(self, x, *, scale):
        y, state = self.layer(x["a"])
        return {"y": self.out(self.drop(y)) * scale + self.twin(y) + self.shift, "state": state}


def test_parameters_inputs_and_outputs_have_their_names(path):
    model = Model()
    x = {"a": normal(4, 3, 2).astype("float32")}
    exported = mg.export(mg.jit(model), (x,), path, {"scale": np.float32(2)})
    stored = {i.name: onnx.numpy_helper.to_array(i) for i in exported.graph.initializer}
    for name, value in model.state_dict().items():
        if name != "twin.weight":  # a parameter that has two names is stored once
            np.testing.assert_array_equal(stored[name], value)
    assert [i.name for i in exported.graph.input] == ["x['a']"]
    assert [o.name for o in exported.graph.output] == ["output['y']", "output['state'][0]", "output['state'][1]"]


def test_modules_are_exported_in_eval_mode_and_stay_in_theirs(path):
    model = Model()
    model.drop.eval()
    before = [module.training for module in model.modules()]
    x = normal(4, 3, 2).astype("float32")
    for f in (lambda x: model({"a": x}, scale=2.0), model.layer):
        mg.export(f, (x,), path)
    assert [module.training for module in model.modules()] == before
    model.eval()
    f = lambda x: model({"a": x}, scale=2.0)  # noqa: E731
    check(f, path, (x,), others=[(x[:2],)])


def test_a_method_and_tensors_that_are_closed_over_are_named(path):
    W = mg.tensor(normal(2, 2))
    exported = mg.export(lambda x: x @ W, (normal(3, 2),), path)
    assert [i.name for i in exported.graph.initializer] == ["W"]
    layer = nn.Linear(2, 2)
    exported = mg.export(layer.forward, (normal(3, 2),), path)
    assert {"weight", "bias"} <= {i.name for i in exported.graph.initializer}


def test_the_file_is_the_model(path):
    model = mg.export(nn.Linear(2, 3), (normal(4, 2).astype("float32"),), path)
    assert onnx.load(path) == model


def test_without_the_onnx_package_the_rest_works():
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from minigrad import *\n"
        "try: export(exp, (ones(2),), 'model.onnx')\n"
        "except ImportError as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'minigrad-rnn[onnx]'" in told


def test_names_are_all_different():
    names = Names()
    assert [names.new("x") for _ in range(3)] == ["x", "x_2", "x_3"]


# What is refused


def test_random_numbers_are_refused_with_the_line(path):
    generator = np.random.default_rng(0)
    with pytest.raises(NotImplementedError, match=r"mg.random.normal.*random numbers.*as an argument"):
        mg.export(lambda x: x + mg.random.normal(x.shape, generator=generator), (normal(3),), path)


def test_an_op_without_a_form_is_refused_with_its_line(path):
    with pytest.raises(
        NotImplementedError, match=r"export: qr\(float64\[x.shape\[0\], x.shape\[0\]\]\) at .*mg.qr.*no op for it"
    ):
        mg.export(lambda x: mg.qr(x @ x.T), (normal(2, 2),), path)


def test_what_would_stand_still_is_refused(path):
    with pytest.raises(RuntimeError, match="np.random"):
        mg.export(lambda x: x + np.random.normal(), (normal(3),), path)
    assert not path.exists()


def test_no_tensor_in_args_or_results(path):
    with pytest.raises(TypeError, match="wanted a tuple"):
        mg.export(mg.exp, normal(3), path)
    with pytest.raises(ValueError, match="returns no tensor"):
        mg.export(lambda x: 3, (normal(3),), path)
    with pytest.raises(ValueError, match="wanted 2, one for each result"):
        mg.export(lambda x: (x, x), (normal(3),), path, output_names=["y"])


# Numbers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f", [mg.expm1, mg.log1p, mg.softplus, mg.log_sigmoid, mg.rsqrt, mg.arcsinh, mg.cbrt])
def test_functions_that_onnx_lacks_are_exact_near_0_and_far_off(f, dtype, path):
    x = np.array([0.0, 1e-30, 1e-12, -1e-12, 1e-5, -1e-5, 0.3, 0.49, 0.51, 1.0, 30.0, np.inf, np.nan], dtype)
    if f not in (mg.log1p, mg.rsqrt):
        x = np.concatenate([x, -x])
    (got,), (wanted,) = run(session_of(mg.export(f, (x,), path)), x), eager(f, mg.tensor(x))
    np.testing.assert_allclose(got, wanted, rtol=16 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
def test_integers_and_booleans(dtype, path):
    a, b = np.array([0, 1, 5, 7]).astype(dtype), np.array([1, 1, 2, 3]).astype(dtype)

    def f(a, b):
        c = (a + b, a * b, mg.maximum(a, b), a == b, a < b, mg.where(a < b, a, b), a.sum(), a.max(), mg.cumsum(a))
        return c if dtype == "bool" else (*c, a // b, a % b, abs(a), a / b, a.astype("float32"))

    check(f, path, a, b)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_recurrence_in_both_directions(transposed, path):
    op = table["linear_recurrence"]
    check(lambda b, a: op.call(b, a, axis=1, transposed=transposed), path, normal(2, 4), normal(4, 2).T)


def test_equations_of_which_the_first_pivot_is_0(path):
    a, b = np.array([[[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [3.0, 1.0, 0.0]]] * 2), normal(3, 2)
    check(lambda a, b: (mg.solve(a, b), mg.inv(a), mg.solve(a[0], b[:, 0])), path, a, b)


def test_remainders_have_the_sign_of_the_divisor(path):
    a, b = np.array([5.5, -5.5, 5.5, -5.5, 0.0, 6.0]), np.array([2.0, 2.0, -2.0, -2.0, 3.0, -3.0])
    check(lambda a, b: (a % b, a // b, a.astype("int64") % b.astype("int64"), a.astype("int64") // b.astype("int64")),
          path, a, b)  # fmt: skip
