import linecache
import math
import traceback

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import LSTM, Recurrent


class Growing(nn.Module):
    """exp of exp: infinite after a few steps."""

    input_size = hidden_size = 2

    def forward(self, x, h):
        return mg.exp(h + x)


def line_with(text: str) -> str:
    lines = linecache.getlines(__file__)
    return f"{__file__}:{next(k for k, line in enumerate(lines, 1) if text in line)}"


@pytest.mark.parametrize("jitted", [False, True])
def test_the_op_the_line_and_the_step_that_made_the_first_infinity(jitted):
    x = np.zeros((6, 1, 2), np.float32)
    h, t = 0.0, -1
    while h < math.log(np.finfo(np.float32).max):  # the step in which exp overflows
        t, h = t + 1, math.exp(h)
    layer = mg.jit(Recurrent(Growing())) if jitted else Recurrent(Growing())
    with pytest.raises(FloatingPointError) as raised, mg.detect_anomaly():
        layer(x)
    message = str(raised.value)
    assert "forward, exp gave inf in 2 of 2 places" in message
    assert f"at step {t + 1}" in message
    assert line_with("return mg.exp(h + x)") in message
    layer(x)  # outside, nobody looks


def test_a_loop_of_ones_own_has_no_steps_but_counts_its_lines():
    x = mg.tensor(1.0)
    with pytest.raises(FloatingPointError, match=r"exp gave inf .* which ran for the 4th time"), mg.detect_anomaly():
        for _ in range(9):
            x = mg.exp(x)


@given(st.integers(0, 4))
def test_backward_names_the_op_and_the_step_that_recorded_it(zero):
    x = np.ones(5)
    x[zero] = 0
    x = mg.tensor(x, requires_grad=True)
    _, ys = mg.scan(lambda c, x: (c, mg.sqrt(x)), mg.tensor(0.0), x)
    with mg.detect_anomaly():
        _, ys = mg.scan(lambda c, x: (c, mg.sqrt(x)), mg.tensor(0.0), x)
        with pytest.raises(FloatingPointError, match=f"backward, the vjp of sqrt gave inf .* at step {zero};"):
            ys.sum().backward()


def test_infinities_that_are_given_are_no_anomaly_and_nans_are():
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with mg.detect_anomaly():
        masked = mg.where(np.array([True, False, True]), x, -np.inf)
        mg.softmax(masked, axis=-1)[0].backward()
        with pytest.raises(FloatingPointError, match="the NaN was there before"):
            x * mg.tensor([1.0, np.nan, 1.0])
    np.testing.assert_allclose(x.grad.numpy()[1], 0)


@given(st.integers(0, 2**32 - 1))
def test_sound_programs_are_left_alone(seed):
    x = mg.tensor(np.random.default_rng(seed).normal(size=(3, 2, 4)).astype("float32"))
    layer = LSTM(4, 3, generator=np.random.default_rng(0))
    expected = layer(x)[0].numpy()
    with mg.detect_anomaly():
        output, _ = layer(x)
        output.sum().backward()
    np.testing.assert_array_equal(output.numpy(), expected)


class Wrong(nn.Module):
    input_size, hidden_size = 3, 5

    def __init__(self):
        self.w = nn.Parameter(np.ones((3, 6), np.float32))

    def forward(self, x, h):
        z = x @ self.w
        return mg.tanh(z + h)  # six and five


@pytest.mark.parametrize("wrap", [lambda layer: layer, mg.jit])
def test_an_error_of_shapes_ends_with_the_line_of_the_cell(wrap):
    layer = wrap(Recurrent(Wrong()))
    with pytest.raises(ValueError, match=r"add\(float32\[2, 6\], float32\[2, 5\]\)") as raised:
        layer(np.ones((4, 2, 3), np.float32))
    told = "".join(traceback.format_exception_only(raised.value)).splitlines()
    assert told[1].startswith(f"at {line_with('return mg.tanh(z + h)  # six')}")
    assert told[2].startswith(f"from {line_with('layer(np.ones((4, 2, 3), np.float32))')}")


def test_summary(capsys):
    mg.debug.summary(mg.jit(LSTM(3, 5, num_layers=2)), np.ones((4, 2, 3), np.float32))
    assert capsys.readouterr().out.splitlines() == [
        "layer               output                              parameters calls",
        "LSTM                ([4, 2, 5], ([2, 2, 5], [2, 2, 5]))        440     1",
        "  cells.0: LSTMCell ([2, 5], [2, 5])                           200     4",
        "  cells.1: LSTMCell ([2, 5], [2, 5])                           240     4",
        "440 parameters, 0.00176 MB",
    ]
    with pytest.raises(TypeError, match="summary: got module=a function, wanted a Module"):
        mg.debug.summary(lambda x: x, np.ones(3))
