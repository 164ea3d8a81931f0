"""The profiler: what it counts is exact, what it measures adds up, and it changes nothing."""

import gzip
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.badinput import BadInput
from minigrad.cli import profile as command
from minigrad.models import LSTMCell, Recurrent
from minigrad.models.tasks.cells import CELLS, example_input, forward_backward
from minigrad.ops.table import table
from minigrad.profiling import costs


def layer_of(cell, jit=False):
    layer = Recurrent(lambda: cell)
    return mg.jit(layer) if jit else layer


def lstm(steps=5, batch=2, jit=False, hidden=3):
    cell = LSTMCell(4, hidden, generator=np.random.default_rng(0))
    layer = layer_of(cell, jit)
    x = mg.tensor(example_input(cell, steps, batch, np.random.default_rng(1)))
    return layer, x


def gradients(layer, x):
    layer.zero_grad()
    loss = forward_backward(layer, x)
    return [loss.item(), *[p.grad.numpy().copy() for p in layer.parameters()]]


def named(rows):
    return {row.name: row for row in rows}


def properly_nested(spans):
    """Whether of any two spans, (start, end) in integer nanoseconds, one is in the other or they are apart."""
    open_spans = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        while open_spans and open_spans[-1] <= start:
            open_spans.pop()
        if open_spans and end > open_spans[-1]:
            return False
        open_spans.append(end)
    return True


programs = st.lists(st.sampled_from(["tanh", "exp", "mul", "matmul", "sum", "transpose", "split"]), max_size=8)


@given(programs)
def test_parts_add_up_to_the_whole_and_nest(names):
    x = mg.tensor(np.full((4, 4), 0.1, np.float32), requires_grad=True)
    with mg.profile() as p:
        y = x
        for name in names:
            if name in ("mul", "matmul"):
                y = getattr(mg, name)(y, x)
            elif name == "sum":
                y = y + y.sum(axis=0)
            elif name == "split":
                y = mg.concatenate(mg.split(y, 2), axis=0)
            else:
                y = getattr(mg, name)(y)
        y.sum().backward()
    seconds = p.seconds
    whole = seconds.pop("whole")
    assert all(part >= 0 for part in seconds.values())
    assert sum(seconds.values()) == pytest.approx(whole, rel=1e-9)
    kernels = seconds["kernels forward"] + seconds["kernels backward"]
    assert sum(row.total for row in p.by_op) == pytest.approx(kernels, rel=1e-9)
    assert sum(row.total for row in p.by_line) == pytest.approx(kernels, rel=1e-9)
    assert properly_nested([(e.start, e.end) for e in p.events])
    assert all(p.start <= e.start <= e.end <= p.end and 0 <= e.own <= e.end - e.start for e in p.events)
    calls = named(p.by_op)
    for name in {"tanh", "exp", "mul", "matmul", "transpose"}:
        assert sum(calls[name].calls if name in calls else [0]) == 2 * names.count(name)


@given(*[st.integers(1, 5)] * 4, st.sampled_from(["float32", "float64"]))
def test_work_of_a_product_is_exact(batch, m, k, n, dtype):
    a, b = np.ones((batch, m, k), dtype), np.ones((batch, k, n), dtype)
    with mg.profile() as p:
        mg.matmul(mg.tensor(a), mg.tensor(b))
    (row,) = p.by_op
    assert (row.name, row.calls) == ("matmul", [1, 0])
    assert row.flops == 2 * batch * m * k * n
    assert row.allocated == batch * m * n * np.dtype(dtype).itemsize
    assert row.bytes == a.nbytes + b.nbytes + row.allocated


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3))
def test_work_of_a_convolution_is_that_of_its_loops(channels, out, kernel, batch):
    x = mg.tensor(np.ones((batch, channels, 5, 6), np.float32))
    w = mg.tensor(np.ones((out, channels, kernel, kernel), np.float32), requires_grad=True)
    with mg.profile() as p:
        y = mg.conv2d(x, w)
        y.backward(mg.tensor(np.ones(y.shape, np.float32)))
    flops = 2 * batch * out * y.shape[2] * y.shape[3] * channels * kernel * kernel
    assert [e.flops for e in p.events if e.kind == "kernel"] == [flops, flops]
    with mg.profile() as p:
        mg.conv_transpose2d(mg.tensor(y.numpy()), w)
    assert p.by_op[0].flops == flops


def test_views_move_nothing_and_broadcast_operands_are_read_once():
    x = mg.tensor(np.ones((4, 6), np.float32))
    with mg.profile() as p:
        mg.transpose(x)
        mg.add(mg.broadcast_to(mg.tensor(np.ones(6, np.float32)), (4, 6)), x)
        mg.copy(x)
    rows = named(p.by_op)
    assert (rows["transpose"].bytes, rows["transpose"].allocated, rows["transpose"].flops) == (0, 0, 0)
    assert rows["broadcast_to"].bytes == 0
    assert (rows["add"].bytes, rows["add"].flops) == (4 * (6 + 24 + 24), 24)
    assert (rows["copy"].bytes, rows["copy"].flops) == (4 * 48, 0)


@pytest.mark.parametrize("name", [name for name, op in table.items() if op.sample is not None])
@given(data=st.data())
@settings(max_examples=3)
def test_every_op_has_a_cost(name, data):
    op = table[name]
    *inputs, params = op.sample(mg.testing.Draw(data))
    flops, moved, made = costs.work(name, inputs, op.forward(*inputs, **params))
    assert flops >= 0 and moved >= made >= 0


@pytest.mark.parametrize("jit", [False, True])
def test_results_are_the_same_bits(jit):
    layer, x = lstm(jit=jit)
    before = gradients(layer, x)
    with mg.profile(tasks=jit) as p:
        watched = gradients(layer, x)
    with mg.profile(memory=True):
        again = gradients(layer, x)
    for a, b, c in zip(before, watched, again):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert p.events
    seen = len(p.events)
    gradients(layer, x)
    assert len(p.events) == seen


def test_calls_of_a_known_cell_are_exact_and_go_to_their_lines():
    layer, x = lstm(steps=7)
    gradients(layer, x)
    with mg.profile() as p:
        gradients(layer, x)
    rows = named(p.by_op)
    assert rows["sigmoid"].calls == [21, 21] and rows["tanh"].calls == [14, 14] and rows["split"].calls == [7, 7]
    assert rows["matmul"].calls == [14, 14]
    products = 2 * 2 * (4 * 12 + 3 * 12)  # of a step, forward
    by_phase = {phase: sum(e.flops for e in p.events if (e.owner or e.name) == "matmul" and e.phase == phase)
                for phase in ("forward", "backward")}  # fmt: skip
    assert by_phase["forward"] == 7 * products
    assert by_phase["backward"] == 2 * 7 * products - 7 * 2 * 2 * 4 * 12 - 2 * 2 * 3 * 12  # x and h_0 need none
    lines = [row for row in p.by_line if "sigmoid(i)" in row.name]
    assert len(lines) == 1 and lines[0].name.startswith("lstm.py:") and lines[0].calls == [28, 28]
    assert p.seconds["compile"] == 0


def test_what_the_tape_holds_is_each_memory_once():
    x = mg.tensor(np.ones((10, 10), np.float32), requires_grad=True)
    with mg.profile() as p:
        y = mg.tanh(x)  # saves its result, which mul saves twice more
        (y * y).sum().backward()
    assert p.held == {"tanh": (1, 400)}


def test_peak_memory_is_that_of_the_arrays():
    x = mg.tensor(np.ones((1000, 1000), np.float32))
    with mg.profile(memory=True) as p:
        mg.exp(x)
        mg.exp(mg.exp(x))
    assert 8e6 <= p.peak_memory <= 9e6
    assert "8" in str(p).split("what there was before: ")[1]


def test_compilation_is_apart_and_compiled_loops_have_their_tasks():
    layer, x = lstm(steps=6, jit=True)
    with mg.profile(tasks=True) as p:
        gradients(layer, x)
    assert p.seconds["compile"] > 0
    forward, backward = [times for kernel, times in p.loops.items() if not kernel.loop.is_cluster]
    assert forward.timed is not None and forward.ticks.min() > 0 and backward.ticks.min() > 0
    rows = named(p.by_op)
    assert rows["loop1"].calls == [1, 0] and rows["loop2"].calls == [0, 1]
    tasks = [row for row in p.by_task if row.name.startswith("loop1: ")]
    assert sum(row.total for row in tasks) == pytest.approx(rows["loop1"].total, rel=1e-9)
    assert sum(row.flops for row in tasks) == rows["loop1"].flops == 6 * forward.kernel.flops
    assert all(row.measured for row in p.by_task) and "~" not in str(p)
    kernels = p.seconds["kernels forward"] + p.seconds["kernels backward"]
    assert sum(row.total for row in p.by_line) == pytest.approx(kernels, rel=1e-9)
    (gates,) = [row for row in p.by_line if "sigmoid(i)" in row.name]
    assert min(gates.seconds) > 0  # the backward of a compiled loop, too, is told by line
    with mg.profile() as p:
        gradients(layer, x)
    assert p.seconds["compile"] == 0
    assert not any(row.measured for row in p.by_task if "product" in row.name) and "~" in str(p)


def trace(p, path):
    p.save_trace(path)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


@pytest.mark.parametrize("jit", [False, True])
def test_a_trace_is_chromes_json(jit, tmp_path):
    layer, x = lstm(jit=jit)
    with mg.profile(tasks=jit, memory=True) as p:
        gradients(layer, x)
    found = trace(p, tmp_path / "trace.json.gz")
    assert set(found) == {"displayTimeUnit", "traceEvents"} and found["displayTimeUnit"] in ("ms", "ns")
    kinds = {"M": {"args"}, "X": {"ts", "dur", "cat", "tid"}, "C": {"ts", "args"}}
    for event in found["traceEvents"]:
        assert {"name", "ph", "pid"} | kinds[event["ph"]] <= set(event)
    spans = [event for event in found["traceEvents"] if event["ph"] == "X"]
    assert len(spans) >= 1 + len(p.events)
    whole = (p.end - p.start) / 1000
    assert all(e["ts"] >= 0 and e["dur"] >= 0 and e["ts"] + e["dur"] <= whole + 1e-6 for e in spans)
    assert properly_nested([(round(1000 * e["ts"]), round(1000 * (e["ts"] + e["dur"]))) for e in spans])
    counters = {}
    for event in found["traceEvents"]:
        if event["ph"] == "C":
            counters.setdefault(event["name"], []).append(event["args"])
    assert set(counters) == {"speed", "allocated by kernels", "memory of Python and NumPy"}
    assert max(args["GFLOP/s"] for args in counters["speed"]) > 0 and counters["speed"][-1] == {"GFLOP/s": 0, "GB/s": 0}
    totals = [args["bytes"] for args in counters["allocated by kernels"]]
    assert totals == sorted(totals) and totals[-1] == sum(e.allocated for e in p.events)
    named = {e["name"]: e["args"]["name"] for e in found["traceEvents"] if e["ph"] == "M"}
    assert named == {"process_name": "minigrad", "thread_name": threading.current_thread().name}


def test_a_trace_of_a_thousand_steps_is_small(tmp_path):
    layer, x = lstm(steps=1000, batch=1)
    with mg.profile() as p:
        gradients(layer, x)
    p.save_trace(tmp_path / "trace.json.gz")
    assert len(p.events) > 30_000
    assert (tmp_path / "trace.json.gz").stat().st_size < 2e6


def test_profiles_nest_and_threads_are_apart():
    before = {name: op.forward for name, op in table.items()}
    x = mg.tensor(np.ones(3, np.float32))
    with mg.profile() as outer:
        mg.exp(x)
        with mg.profile() as inner:
            mg.tanh(x)
    assert [row.name for row in inner.by_op] == ["tanh"]
    assert named(outer.by_op)["exp"].calls == named(outer.by_op)["tanh"].calls == [1, 0]

    begun, ended = threading.Event(), threading.Event()
    seen = []

    def other():
        with mg.profile() as p:
            mg.sin(x)
            begun.set()
            ended.wait(10)
            mg.sin(x)
        seen.extend(p.by_op)

    thread = threading.Thread(target=other)
    with mg.profile() as p:
        thread.start()
        begun.wait(10)
        mg.cos(x)
    ended.set()  # the other one, which came second, leaves last
    thread.join()
    assert [(row.name, row.calls) for row in p.by_op] == [("cos", [1, 0])]
    assert [(row.name, row.calls) for row in seen] == [("sin", [2, 0])]
    assert {name: op.forward for name, op in table.items()} == before


def test_an_error_in_the_profiled_code_leaves_nothing_behind():
    before = {name: op.forward for name, op in table.items()}
    x = mg.tensor(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError), mg.profile() as p:
        mg.exp(x)
        mg.matmul(x, x)
    assert {name: op.forward for name, op in table.items()} == before
    assert "exp" in str(p) and p.seconds["whole"] > 0


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name, tmp_path):
    hidden = 4 if name != "clockwork" else 8
    cell = CELLS[name](3, hidden)
    layer = layer_of(cell)
    x = mg.tensor(example_input(cell, 2, 2, np.random.default_rng(0), 3))
    with mg.profile() as p:
        gradients(layer, x)
    assert p.seconds["kernels backward"] > 0
    assert all(heading in str(p) for heading in ("op\n", "line\n", "the tape held"))
    assert properly_nested([(e.start, e.end) for e in p.events])


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "INSPECTED", 1)
    command.run("lstm", 3, 4, 5, 2, 0, True, tmp_path / "out", None)
    printed = capsys.readouterr().out
    assert "jit: x [5, 2, 3]" in printed and "loop1: product" in printed
    assert (tmp_path / "out" / "table.txt").read_text().strip() in printed
    assert (tmp_path / "out" / "profile.png").read_bytes().startswith(b"\x89PNG")
    assert trace_events(tmp_path / "out" / "trace.json.gz")
    endings = {path.suffix for path in (tmp_path / "out" / "kernels").glob("loop1.*")}
    assert endings == {".py", ".ll", ".s", ".txt"}
    assert "vectorised, " in (tmp_path / "out" / "kernels" / "loop1.txt").read_text()
    command.run("lstm", 3, 4, 5, 2, 0, False, None, "tanh")
    assert "vectorised, " in capsys.readouterr().out


def trace_events(path):
    with gzip.open(path, "rt") as file:
        return json.load(file)["traceEvents"]


def test_bad_input(tmp_path):
    with pytest.raises(BadInput, match="--kernel nothing: wanted one of"):
        command.run("lstm", 3, 4, 2, 2, 0, False, None, "nothing")
    with pytest.raises(BadInput):
        command.run("nocell", 3, 4, 2, 2, 0, False, None, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        command.run("lstm", 3, 4, 2, 2, 0, False, tmp_path / "file" / "out", None)


def test_the_command_line_ends_in_a_line_and_code_2(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "file").write_text("")
    wrong = f"{tmp_path}/broken.py:Cell", "--steps", "2"
    unwritable = "lstm", "--out", f"{tmp_path}/file/out"
    for arguments in (wrong, unwritable):
        done = subprocess.run(
            [sys.executable, "-m", "minigrad", "profile", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.startswith("minigrad: ") and done.stderr.count("\n") == 1
