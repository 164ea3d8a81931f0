"""The workbench takes any function of a step for `mg.scan`: `check_step` passes on what is right, and finds faults."""

import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.models import BahdanauAttention, GRUCell
from minigrad.nn.stepped import Stepped
from minigrad.testing import check_step
from minigrad.viz.show import Run

T, B, H = 3, 2, 3
rng = np.random.default_rng(0)
W = mg.tensor(rng.normal(size=(H, H)).astype("float32"), requires_grad=True)
INIT, XS = np.zeros((B, H)), rng.normal(size=(T, B, H))
wrong = mg.custom_vjp(mg.sin)
wrong.defvjp(lambda x: (mg.sin(x), x), lambda x, g: (1.01 * g * mg.cos(x),))
wrong_again = mg.custom_vjp(mg.sin)
wrong_again.defvjp(lambda x: (mg.sin(x), x), lambda x, g: (g * mg.stop_gradient(mg.cos(x)),))
count = [0.0]


def right(h, x):
    h = mg.tanh(mg.matvec(W, h) + x)
    nn.watch(half=h / 2)
    return h, h * 2


def leaving(carry, x):
    count[0] += 0.1
    return carry * count[0] + x, None


def changing(h, x):
    h._data[...] += 1.0  # behind the engine's back
    return h + x, None


FAULTS = {
    "no change in place": (changing, "the step changes init"),
    "determinism": (lambda h, x: (h + np.random.normal(size=h.shape), None), "run twice: the carry"),
    "vjp and jvp": (lambda h, x: (wrong(h + x), None), "element|jvp"),
    "second derivatives": (lambda h, x: (wrong_again(h + x), None), "second"),
}


def test_a_right_step_passes():
    before = W.numpy().copy()
    report = check_step(right, INIT, XS)
    assert report and len(report.results) == 6 and W.dtype == np.float32
    np.testing.assert_array_equal(W.numpy(), before)


def test_attention_over_streams_and_carries_of_several_parts():
    attention, cell = BahdanauAttention(H, 2, 3), GRUCell(H + 2, H)
    memory = mg.tensor(rng.normal(size=(3, B, 2)), requires_grad=True)
    mask = np.arange(3)[:, None] < [3, 2]

    def step(carry, inputs):
        x, noise = inputs
        read, weights = attention(carry["h"], memory, mask)
        h = cell(mg.concatenate([x, read + noise], axis=-1), carry["h"])
        return {"h": h, "seen": carry["seen"] + weights}, weights

    init = {"h": INIT, "seen": np.zeros((3, B))}
    assert check_step(step, init, (XS[:2], rng.normal(size=(2, B, 2))))
    leaves = dict(Stepped(step).named_parameters())
    assert {"memory", "attention.W.weight", "cell.weight_hh"} <= set(leaves) and not any(
        p.dtype == np.float64 for name, p in leaves.items() if name != "memory"
    )


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name):
    f, what = FAULTS[name]
    with pytest.raises(AssertionError, match=rf"FAIL  {name}(.|\n)*({what})") as error:
        check_step(f, INIT, XS)
    others = [line for line in str(error.value).splitlines() if re.match("FAIL", line)]
    assert len(others) == 1


@pytest.mark.parametrize(
    "f, xs, message",
    [
        (lambda h, x: ((h + x).sum(axis=0), None), XS, "scan: the carry was float64.2, 3. and became float64.3."),
        (lambda h, x: (h + x, None), XS[:, :, :2], "add.float64"),
        (lambda h, x: (h, None), 3.0, "scan: xs is a scalar"),
        (lambda h, x: (h, None), None, "scan: xs holds no tensor"),
    ],
)
def test_an_example_that_cannot_be_run_is_refused(f, xs, message):
    with pytest.raises((ValueError, TypeError), match=f"check_step: {message}"):
        check_step(f, INIT, xs)


def test_what_steps_leave_to_the_next_beside_the_carry_is_found():
    with pytest.raises(AssertionError, match="FAIL"):
        check_step(leaving, INIT, XS)


def test_a_page_of_a_step():
    page = mg.viz.show_step(right, INIT, XS)
    assert "right" in page and "half" in page
    run = Run(Stepped(right), (INIT, XS))
    assert [name for name, _ in run.maps] == ["h", "half"] and run.maps[0][1].shape == (T, H)
    assert {"init", "xs", "W"} <= set(run.tape.record.names.values())


def test_a_profile_of_a_step():
    fast = mg.jit(lambda init, xs: mg.scan(right, init, xs))
    with mg.profile() as p:
        fast(mg.tensor(INIT.astype("float32")), mg.tensor(XS.astype("float32")))[1].sum().backward()
    assert p.kernels and any("loop" in name for name in p.kernels)
