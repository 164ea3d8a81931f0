import numpy as np
import pytest

import minigrad as mg
from minigrad import cli
from minigrad.badinput import BadInput
from minigrad.cli.tasks import tasks as all_tasks
from minigrad.models import LSTMCell
from minigrad.models.compare import compare, measured
from minigrad.models.tasks.cells import CELLS

SIZES = (3, 4, 5, 2, 0)  # input, hidden, steps, batch, seed


def test_what_is_measured_of_an_lstm():
    lstm = measured("lstm", LSTMCell, *SIZES)
    assert lstm.parameters == 4 * (4 * (3 + 4) + 2 * 4)
    products = 2 * 2 * 4 * 4 * (3 + 4) * 5  # of the forward pass: 2 flops, B, 4 gates, H, I + H, T
    assert 2 * products < lstm.flops < 4 * products  # and two for each of them backward, without that for the input
    assert lstm.norms.shape == (6,) and (lstm.norms > 0).all()
    assert min(lstm.eager, lstm.jitted) > 0 and lstm.saved > 0 and lstm.peak > 0


def test_compare_prints_a_line_a_cell_and_draws_curves(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("from minigrad.models import GRUCell\n\n\nclass Mine(GRUCell):\n    pass\n")
    names = ["gru", f"{file}:Mine"]
    task = all_tasks()["temporal"][1]
    gru, mine = compare(names, *SIZES, task=task, task_steps=2, seeds=2, out=tmp_path / "out")
    told = capsys.readouterr().out
    assert "\ngru " in told and "\nmine.py:Mine " in told and "temporal" in told
    assert gru.parameters == mine.parameters and gru.flops == mine.flops
    assert [[step for step, _ in curve] for curve in gru.curves] == [[1, 2]] * 2
    assert gru.curves == mine.curves  # the same cell from the same seeds
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.heavy
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_can_be_compared(name):
    (cell,) = compare([name], *SIZES)
    assert cell.parameters and np.isfinite(cell.norms).all()


@pytest.mark.parametrize(
    "names, options, message",
    [
        (["lstn"], {}, "lstn: wanted one of"),
        (["lstm"], {"task": "draw", "out": "x"}, "--task draw: it has no --cell"),
        (["lstm"], {"task": "temporal"}, "--task wants --out"),
    ],
)
def test_bad_input_is_a_line(names, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "task" in options:
        options = {**options, "task": all_tasks()[options["task"]][1]}
    with pytest.raises(BadInput, match=message):
        compare(names, *SIZES, **options)
    assert not list(tmp_path.iterdir())


def test_steps_of_no_task(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["minigrad", "compare", "rnn", "--task-steps", "3"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capsys.readouterr() == ("", "minigrad: --task-steps wants --task NAME\n")


def test_an_untraced_layer_is_compared_with_the_jit_off():
    with mg.disable_jit():
        assert measured("rnn", CELLS["rnn"], *SIZES).jitted > 0
