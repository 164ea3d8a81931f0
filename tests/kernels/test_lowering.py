"""Kernels from their text to LLVM: the same bits as Numba's, the same integers as Python's, and clear refusals."""

import ctypes
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

import minigrad as mg
from minigrad.kernels import build, frontend, inspection, loops, rows, sequential
from minigrad.models import LSTMCell, Recurrent
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table

pytestmark = pytest.mark.skipif(loops.INTERPRETED, reason="the JIT is off: nothing is compiled")

numbers = itertools.count()
HEAD = 'from numba import njit\ninline = njit(error_model="numpy", fastmath={"contract"}, forceinline=True)\n'


def numbas(source: str, name: str, kinds: str) -> int:
    """Address of the same kernel, of which Numba makes the LLVM code."""
    namespace: dict = {}
    exec("\n".join([loops.source_of("intrinsics"), HEAD, source]), namespace)
    for key, f in namespace.items():
        if isinstance(f, Dispatcher):
            namespace[key] = frontend.compiled_by_us(f.py_func, **f.targetoptions)
    kernel = frontend.compiled_by_us(namespace[name], nopython=True, error_model="numpy", fastmath={"contract"})
    signature = eval(f"void({kinds})", vars(types).copy())
    with global_compiler_lock:
        kernel.compile(signature)
        made = kernel.overloads[signature.args]
        module = build.llvm.parse_bitcode(made.library.bitcode())
    inner, entry = made.fndesc.llvm_func_name, f"numbas_{next(numbers)}"
    # Numba's calling convention puts a place for the result and one for an exception in front; kernels use neither.
    arguments = [f"{a.type} %a{i}" for i, a in enumerate(list(module.get_function(inner).arguments)[2:])]
    module.link_in(
        build.llvm.parse_assembly(f"""
declare i32 @{inner}({", ".join(["ptr", "ptr", *[a.split(" ")[0] for a in arguments]])})
define void @{entry}({", ".join(arguments)}) {{
  %result = alloca ptr
  %exception = alloca ptr
  %status = call i32 @{inner}({", ".join(["ptr %result", "ptr %exception", *arguments])})
  ret void
}}""")
    )
    for f in module.functions:
        if not f.is_declaration and f.name != entry:
            f.linkage = "internal"
            if "apart_" in f.name:  # what it promises about its pointers holds within it alone
                f.add_function_attribute("noinline")
    machine = build.target_machine()
    passes = build.llvm.create_pass_builder(machine, build.llvm.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(module, passes)
    return build.load(machine.emit_object(module), [entry])[0]


def called(address: int, kinds: str):
    """The C function at an address. kinds: as of build.address. Arrays are given for addresses."""
    c_types = {"float64": ctypes.c_double}
    run = ctypes.CFUNCTYPE(None, *[c_types.get(kind, ctypes.c_ssize_t) for kind in kinds.split(", ")])(address)
    return lambda *given: run(*[x.ctypes.data if isinstance(x, np.ndarray) else x for x in given])


def compiled(source: str, name: str, kinds: str):
    return called(build.address(source, name, kinds), kinds)


def both(source: str, name: str, kinds: str) -> list:
    """A kernel as we compile it, and as Numba does."""
    return [called(make(source, name, kinds), kinds) for make in (build.address, numbas)]


def draw(seed, *shape, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Numba's results


def sums_and_masks(x, w):
    """Sums and maxima along axes, masks, and products of what a step has computed, in a loop."""

    def step(h, x):
        z = x @ w + h
        z = (z - z.mean(axis=-1, keepdims=True)) / mg.sqrt((z * z).mean(axis=-1, keepdims=True) + 1e-3)
        z = mg.where((z > 0.1) & (x < 1.0), z, 0.5 * h) * mg.max(z, axis=-1, keepdims=True)
        outer = z.reshape(-1, 4, 1) @ mg.tanh(z).reshape(-1, 1, 4)
        return mg.sigmoid(z) + outer.sum(axis=2), z

    h, ys = mg.scan(step, 0 * x[0], x)
    return h.sum() + (ys * ys).sum()


def cell(kind):
    layer = Recurrent(kind(4, 4))
    return lambda x, w: (layer(x)[0] * w[0]).sum()


@pytest.mark.parametrize(("f", "dtype"), [(cell(LSTMCell), "float32"), (sums_and_masks, "float64")])
def test_loops_give_the_bits_of_numbas(f, dtype, monkeypatch):
    address, sources = build.address, []

    def address_by_numba(source, *rest):
        sources.append(source)
        return (numbas if "def loop(p, n, _)" in source else address)(source, *rest)

    def gradients():
        tensors = [mg.tensor(draw(k, *s, dtype=dtype), requires_grad=True) for k, s in enumerate([(5, 3, 4), (4, 4)])]
        y = mg.jit(f)(*tensors)
        y.backward()
        return [y.numpy(), *[t.grad.numpy() for t in tensors]]

    ours = gradients()
    monkeypatch.setattr(build, "address", address_by_numba)
    reference = gradients()
    assert len([s for s in sources if "def loop(p, n, _)" in s]) >= 2  # forward and backward, and ops around them
    for a, b in zip(ours, reference):
        assert np.array_equal(a, b)


@pytest.mark.heavy
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementwise_ops_and_their_derivatives_have_the_bits_of_numbas(dtype):
    ops = [op for op in table.values() if isinstance(op, Elementwise)]
    kernels = [(op, k) for op in ops for k in [op.kernels, *op.vjp_kernels.values()]]
    names = sorted({name for _, k in kernels for name in k.names})
    lines = [f"{name} = load(inputs, i * {len(names)} + {k}, Float)" for k, name in enumerate(names)]
    for k, (op, kernel) in enumerate(kernels):
        text = loops.kernel_expression(kernel.expression)
        for name in op.booleans:
            text = text.replace(name, f"({name} > Float(0))")
        lines.append(f"store(outputs, i * {len(kernels)} + {k}, Float({text}))")
    body = "".join(f"        {line}\n" for line in lines)
    source = loops.with_dependencies(f"def kernel(inputs, outputs, n):\n    for i in range(n):\n{body}", dtype)
    x = draw(0, 500, len(names), dtype=dtype) * 10 ** draw(1, 500, 1, dtype=dtype)
    x[:60] = np.random.default_rng(2).choice(
        [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e30, 1e-40, -3], (60, len(names))
    )
    results = []
    for run in both(f"Float = np.{dtype}\n{source}", "kernel", "intp, intp, intp"):
        y = np.zeros((len(x), len(kernels)), dtype)
        run(x, y, len(x))
        results.append(y)
    ours, reference = results
    different = [k.expression for (_, k), a, b in zip(kernels, ours.T, reference.T) if not np.array_equal(a, b, True)]
    assert not different


@pytest.mark.parametrize(
    ("source", "name", "kinds", "given"),
    [
        (rows.source("cross_entropy_pull", "float32"), "cross_entropy_pull", ["float32"] * 3 + ["int64"], (6, 9, 1, 9)),
        (rows.source("standardize_pull", "float64"), "standardize_pull", ["float64"] * 5, (6, 9, 1, 9)),
        (rows.source("standardize_pull", "float64", whole=False), "standardize_pull", ["float64"] * 5, (3, 9, 2, 27)),
        (rows.source("log_softmax", "float32"), "log_softmax", ["float32"] * 2, (6, 9, 1, 9)),
        (sequential.SOURCE, "linear_recurrence_transposed", ["float32"] * 3 + ["float64"], (2, 9, 3)),
        (sequential.SOURCE, "add_rows", ["float32", "intp", "float32"], (5, 7)),
    ],
    ids=lambda x: x if isinstance(x, str) and len(x) < 30 else "",
)
def test_fixed_loops_give_the_bits_of_numbas(source, name, kinds, given):
    arguments = [f"CPointer({kind})" for kind in kinds] + ["intp" if x == int(x) else "float64" for x in given]
    results = []
    for run in both(source, name, ", ".join(arguments)):
        arrays = [np.arange(54) % 5 if "int" in k else abs(draw(n, 54, dtype=k)) for n, k in enumerate(kinds)]
        run(*arrays, *given)
        results.append(arrays[0])
    assert np.array_equal(*results)


# Python's results

ARITHMETIC = """
def clipped(x, low, high):
    if x < low:
        return low
    elif x > high:
        return high
    return x

@njit
def collatz(n):
    count = 0
    while n != 1 and count < 50:
        if n % 2 == 0:
            n //= 2
        else:
            n = 3 * n + 1
        count += 1
    return count

def kernel(a, b, result):
    result[0], result[1], result[2] = a // b, a % b, a // 8
    result[3], result[4], result[5] = a % 8, min(a, b), max(a, b)
    result[6], result[7], result[8] = (a & b) | 3, a ^ b, (a >> 2) - (b << 3)
    result[9] = 1 if a < b and not (b == 3 or a == 2) else -a
    result[10], result[11] = a or b, a and b
    result[12] = clipped(a, -5, b)
    total = 0
    for i in range(-3, a, 2):
        for j in range(i, -2, -1):
            total += i * j - 1
    result[13], result[14] = total, collatz(max(b, 1, a - b))
    result[15] = result[14] + ~b if result[14] > 3 else result[13]
    a, b = b, a
    result[16] = 10 * a + b
"""


@given(st.integers(-40, 40), st.integers(-40, 40).filter(bool))
@settings(max_examples=60)
def test_integers_are_pythons(a, b):
    namespace: dict = {"njit": lambda f: f}
    exec(ARITHMETIC, namespace)
    expected, got = [0] * 17, np.zeros(17, np.int64)
    namespace["kernel"](a, b, expected)
    compiled(ARITHMETIC, "kernel", "intp, intp, CPointer(int64)")(a, b, got)
    assert got.tolist() == expected


def test_booleans_are_bytes_and_constants_are_pythons():
    text = """
SIZE, HALF = 4, np.float64(2.0**-1)
TABLE = np.array([1.0, 2.0, 4.0])

@inline
def polynomial(x, coefficients):
    total = np.float64(0.0)
    for c in coefficients[1:]:
        total = total * x + c
    return total, -total

def kernel(mask, y):
    for i in range(SIZE):
        positive = load(mask, i, np.bool_)
        store(mask, i, not positive)
        p, q = polynomial(load(y, i, np.float64), (9.0, 1.0, HALF, 3.0 * 2.0**-2))
        store(y, i, p * load(TABLE.ctypes.data, i % 3, np.float64) if positive else q)
"""
    mask, y = np.array([True, False, True, True]), np.arange(4.0)
    p = (y + 0.5) * y + 0.75
    compiled(text, "kernel", "intp, intp")(mask, y)
    assert mask.tolist() == [False, True, False, False]
    assert y.tolist() == [p[0], -p[1], 4 * p[2], p[3]]


# Refusals


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("y = [x]", "an expression of this kind is not in the language"),
        ("with x: pass", "a statement of this kind"),
        ("y = x + unknown", "unknown has no value here"),
        ("y = print(x)", "print has no value here"),
        ("y = np.sin(1.5)", "not in the language"),
        ("y = n + np.float32(1)", "i64 and float together"),
        ("n = np.float32(n)", "n was i64 and would become float"),
        ("y = n / n", "this operator of i64"),
        ("x[n] = helper", "helper has no value here"),
        ("y = n[0]", "`n` is no array"),
        ("y = 0 < n < 3", "one comparison"),
        ("for i in x: pass", "a loop goes over a range"),
        ("for i in range(n, 1, 0): pass", "the step of a range is not 0"),
        ("store(x)", "store takes 3 arguments, got 1"),
        ("kernel(x, n)", "kernel calls itself"),
        ("helper(n, n)", "helper takes 1 arguments, got 2"),
        ("a, b = helper(n)", "wanted 2 values"),
        ("y = x.sum(axis=0)", "arguments have no names"),
    ],
)
def test_what_the_language_lacks_is_refused_with_the_statement(statement, why):
    source = f"def helper(n):\n    return n\n\ndef kernel(x, n):\n    y = 1\n    {statement}\n"
    first = statement.split("\n")[0].split(":")[0]
    with pytest.raises(ValueError, match=why) as caught:
        build.address(source, "kernel", "CPointer(float32), intp")
    assert "kernel function kernel, line 6, `" in str(caught.value) and first[:8] in str(caught.value)


def test_a_kernel_returns_on_every_way_or_on_none():
    source = "def sign(n):\n    if n > 0:\n        return 1\n\ndef kernel(x, n):\n    x[0] = sign(n)\n"
    with pytest.raises(ValueError, match="sign returns a value on some ways and none on others"):
        build.address(source, "kernel", "CPointer(int64), intp")


def test_lines_of_the_text_are_noted():
    source = "def kernel(x, n):\n    s = 0.0\n    for i in range(n):\n        s = 0.5 * s + x[i]\n    x[0] = s\n"
    report = inspection.inspect_source("k", source, "kernel", "CPointer(float64), intp")
    [loop] = report.loops
    assert (loop.line, loop.text, loop.function, loop.width) == (3, "for i in range(n):", "kernel", 1)
