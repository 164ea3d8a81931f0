"""The stages behind the passes, each alone: partition, schedule, emission, of a loop that is given as text."""

import re
from itertools import pairwise
from textwrap import dedent, indent
from types import SimpleNamespace

import numpy as np
import pytest
from programs import without_kernels

from minigrad.compile.explain import describe
from minigrad.compile.native import Kernel, emitted
from minigrad.compile.partition import partition
from minigrad.compile.schedule import schedule
from minigrad.compile.tasks import Buffer
from minigrad.ir.rewrite import order_of
from minigrad.ir.rules.partition import PARTIAL, REPLICATE, SHARD, TRANSPOSED
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.text import read


def loop_of(body: str):
    """A loop of five steps over rows x_t (2, 3), i_t (2, 1) with a carry h (2, 3) and constants W (3, 3), B (3,)."""
    head = """
        x = input float32[5, 2, 3]
        i = input int64[5, 2, 1]
        w = captured float32[3, 3]
        b = captured float32[3]
        h0 = input float32[2, 3]
        r = loop 5 steps
            const W = w
            const B = b
            each x_t = x
            each i_t = i
            carry h = h0
    """
    given = [name for line in body.splitlines() if line.split()[:1] in (["give"], ["sum"]) for name in line.split(",")]
    names = ", ".join(["r", *[f"r{k}" for k in range(len(given))]])
    text = dedent(head).strip().replace("r = loop", f"{names} = loop")
    _, roots = read(f"{text}\n{indent(dedent(body).strip(), '    ')}\nreturn {names}\n")
    return roots[0].inputs[0].op


def order(loop):
    return [v for v in order_of(loop.outputs) if v.dtype is not None or v.op is not None]


@pytest.mark.parametrize(
    "lines, kinds",
    [
        ("y = tanh(x_t)", [SHARD]),
        ("y = matmul(x_t, W)", [SHARD]),
        ("V = transpose(W, axes=(1, 0))\ny = matmul(x_t, V)", [REPLICATE, SHARD]),
        ("y = reshape(x_t, shape=(2, 3, 1))", [SHARD]),
        ("y = softmax(x_t, axis=(1,))", [SHARD]),
        ("y = cumsum(x_t, axis=1)", [SHARD]),
        ("y = take_along_axis(x_t, i_t, axis=1)", [SHARD]),
        ("y = take(W, i_t, axis=0)", [SHARD]),
    ],
)
def test_partition_shards_what_each_row_has_of_its_own(lines, kinds):
    loop = loop_of(f"{lines}\nnext h\ngive y")
    found = partition(loop, order(loop))
    assert [found[v] for v in order(loop) if v.op is not None] == kinds
    assert found[loop.carries[0]] == SHARD


def test_sums_over_the_rows_are_partial():
    loop = loop_of("""
        t = transpose(x_t, axes=(1, 0))
        g = matmul(t, h)
        s = sum(h, axis=(0,), keepdims=False)
        next h
        sum g, s
    """)
    found = partition(loop, order(loop))
    assert [found[v] for v in order(loop) if v.op is not None] == [TRANSPOSED, PARTIAL, PARTIAL]


@pytest.mark.parametrize(
    "lines, reason",
    [
        ("m = max(x_t, axis=(0,), keepdims=True)\ny = add(h, m)", "max mixes the batch"),
        ("m = sum(x_t, axis=(0,), keepdims=True)\ny = add(h, m)", "add mixes the batch"),
        (
            "a = concatenate(x_t, h, axis=0)\ny = getitem(a, index=(slice(0, 2, 1), slice(0, 3, 1)))",
            "mixes the batch",
        ),
        ("a = getitem(x_t, index=(slice(0, 1, 1), slice(0, 3, 1)))\ny = add(h, a)", "getitem mixes the batch"),
        ("y = cumsum(x_t, axis=0)", "cumsum mixes the batch"),
    ],
)
def test_what_mixes_the_rows_is_not_divided(lines, reason):
    loop = loop_of(f"{lines}\nn = add(h, y)\nnext n")
    with pytest.raises(Unsupported, match=reason):
        partition(loop, order(loop))
    assert not schedule(loop).rows


@pytest.mark.parametrize(
    "lines, tasks",
    [
        (
            "p = matmul(x_t, W)\ns = add(p, B)\ny = tanh(s)",
            ["product [2, 3] @ [3, 3], packed once a call", "fused over [2, 3]: 2 ops (add, tanh), 1 written"],
        ),
        ("a = exp(x_t)\ny = sum(a, axis=(1,), keepdims=True)",
         ["fused over [2, 3]: 1 ops (exp), 0 written, 1 summed"]),
        ("a = exp(x_t)\ny = max(a, axis=(1,), keepdims=True)",
         ["fused over [2, 3]: 1 ops (exp), 1 written", "max over axes (1,) of [2, 3]"]),
        ("a = reshape(x_t, shape=(1, 2, 3))\nb = neg(a)\nc = concatenate(a, b, axis=0)\nd = exp(c)\n"
         "e = sum(d, axis=(0,), keepdims=True)\ny = reshape(e, shape=(2, 3))",
         ["fused over [1, 2, 3]: 0 ops (copy), 1 written", "fused over [1, 2, 3]: 1 ops (neg), 1 written",
          "fused over [2, 2, 3]: 1 ops (exp), 0 written, 1 summed", "fused over [2, 3]: 0 ops (copy), 1 written"]),
        ("y = sum(x_t, axis=(1,), keepdims=True)", ["sum over axes (1,) of [2, 3]"]),
        ("y = cumsum(x_t, axis=1)", ["cumsum along axis 1 of [2, 3]"]),
        ("y = take(W, i_t, axis=0)", ["take of [2, 1] along axis 0 of [3, 3]"]),
        ("y = transpose(x_t, axes=(0, 1))", ["fused over [2, 3]: 0 ops (copy), 1 written"]),
        ("a = exp(x_t)\nb = neg(x_t)\ny = concatenate(a, b, axis=1)",
         ["fused over [2, 3]: 2 ops (exp, neg), 2 written"]),
        ("y = unindex(x_t, shape=(2, 6), index=(slice(0, 2, 1), slice(0, 6, 2)))",
         ["zeros over [2, 6]", "fused over [2, 3]: 0 ops (copy), 1 written"]),
    ],
)  # fmt: skip
def test_the_schedule_of_a_step(lines, tasks):
    loop = loop_of(f"{lines}\nnext h\ngive y")
    planned = schedule(loop)
    copies = [f"fused over {list(loop.carries[0].shape)}: 0 ops (copy), 1 written"]  # of the carry that stays
    assert sorted(map(describe, planned.tasks)) == sorted(tasks + copies)
    assert planned.rows


def test_what_has_no_kernel_is_called(monkeypatch):
    without_kernels(monkeypatch, "inv")
    loop = loop_of("m = reshape(x_t, shape=(2, 3, 1))\nq = mul(m, W)\ny = inv(q)\nnext h\ngive y")
    (task,) = [describe(task) for task in schedule(loop).tasks if describe(task).startswith("call")]
    assert task.startswith("call of Python: inv")


def test_the_text_of_a_step():
    text = emitted(loop_of("p = matmul(x_t, W)\ns = add(p, B)\nn = tanh(s)\nnext n")).text
    functions, step = text.split("    for step in range(steps):\n")
    (fused,) = [f for f in functions.split("@njit") if "# add, tanh" in f]
    assert re.findall(r"v\d = .*", fused) == ["v0 = x0 + x1", "v1 = tanh(v0)"]
    assert re.findall(r"store\(.*", fused) == ["store(a2_2, j, Float(v1))"]
    lines = [line.strip() for line in step.splitlines()]
    assert lines[:2] == ["t = step", "input2_t = input2 + t * input2_step"]
    assert [line.split("(")[0] for line in lines[2:4]] == ["call", "apart_0"]
    assert lines[2].startswith("call(matmul, input2_t + first * input2_row, ")
    assert lines[4] == "pair3_in, pair3_out = pair3_out, pair3_in"
    assert len(lines) == 5


def test_a_loop_back_in_time_counts_down_and_sums_are_flushed():
    loop = loop_of("s = sum(x_t, axis=(0,), keepdims=False)\nnext h\nsum s").replace(reverse=True)
    text = emitted(loop).text
    assert "        t = steps - 1 - step\n" in text
    assert "every = max(1, 64 // max(1, last - first))" in text
    assert text.rstrip().splitlines()[-1].strip().startswith("flush_float32(sum")


@pytest.mark.parametrize(
    "kilobytes, of_weights, count",
    [
        (1, 0, 1),  # all rows fit
        (8, 0, 4),
        (8, 256, 1),  # each block would read all weights
        (100, 0, 4),
        (200, 256, 8),  # where a step of 16 rows does not fit, weights are little to read
        (200, 1024, 1),
    ],
)
def test_rows_go_in_blocks_that_stay_in_the_cache(kilobytes, of_weights, count):
    weights = Buffer("packed", 0, (of_weights << 8,), np.dtype("float32"))
    kernel = SimpleNamespace(touched=64 * (kilobytes << 10), batch=64, buffers=[weights], results=[])
    blocks = Kernel.blocks(kernel, 0, 64)
    assert len(blocks) == count
    assert blocks[0][0] == 0 and blocks[-1][1] == 64 and all(a[1] == b[0] for a, b in pairwise(blocks))
