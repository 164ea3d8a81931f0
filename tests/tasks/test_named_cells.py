"""The cells that --cell names, and the gates that --memory starts."""

import math
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli, models, nn
from minigrad.models.tasks import cells


@pytest.mark.parametrize("name", cells.CELLS)
def test_every_cell_runs_and_is_trained(name):
    layer = models.Recurrent(cells.cell_named(name, 3, 8), 3, 8, num_layers=2)
    x = cells.example_input(layer.cells[0], 4, 5, np.random.default_rng(0))
    output, _ = layer(mg.tensor(x))
    assert output.shape == (4, 5, 8, *x.shape[3:])
    output.sum().backward()
    assert any(p.grad is not None and np.abs(p.grad.numpy()).max() > 0 for p in layer.parameters())


def test_all_cells_of_models_have_a_name():
    named = {getattr(cell, "func", cell).__name__ for cell in cells.CELLS.values()}
    assert named == {name for name in models.__all__ if name.endswith("Cell")} - {"Cell"}


@pytest.mark.parametrize("name", cells.OF_IMAGES)
def test_tasks_refuse_cells_of_images(name, tmp_path):
    from minigrad.models.tasks.adding import Adding

    with pytest.raises(cli.BadInput, match=f"--cell {name}: a cell of images, and this task has vectors"):
        Adding(cell=name, out=tmp_path / "run")
    mine = tmp_path / "mine.py"
    mine.write_text("from minigrad.models import LSTMCell\nclass Mine(LSTMCell):\n    feature_ndim = 3\n")
    with pytest.raises(cli.BadInput, match="--cell"):
        Adding(cell=f"{mine}:Mine", out=tmp_path / "run")


def test_a_size_that_a_cell_cannot_have():
    with pytest.raises(cli.BadInput, match="clockwork: .* wanted a multiple of 4"):
        cells.cell_named("clockwork", 3, 6)


def test_looking_a_cell_up_draws_nothing():
    nn.manual_seed(0)
    cells.cell_named("lstm", 3, 4)
    first = models.LSTMCell(3, 4)
    nn.manual_seed(0)
    assert (first.weight_ih.numpy() == models.LSTMCell(3, 4).weight_ih.numpy()).all()


def test_an_example_of_a_cell_that_does_not_tell_its_size():
    class Bare(nn.Module):
        pass

    assert cells.example_input(Bare(), 2, 3, np.random.default_rng(0), 4).shape == (2, 3, 4)


@pytest.mark.parametrize(
    "name, bias, order", [("lstm", "bias_ih", "ifgo"), ("gru", "bias_ih", "rzn"), ("peephole", "bias", "ifgo"),
                          ("nig", "bias", "fgo"), ("cifg", "bias", "igo"), ("rnn", "bias_ih", "n")],
)  # fmt: skip
def test_remember(name, bias, order):
    cell = cells.CELLS[name](3, 500)
    before = dict(zip(order, np.split(getattr(cell, bias).numpy().copy(), len(order))))
    cells.remember(cell, 100)
    after = dict(zip(order, np.split(getattr(cell, bias).numpy(), len(order))))
    for gate in order:
        if gate in "fzi":
            steps = np.exp(after[gate] if gate in "fz" else -after[gate])  # uniform from 1 to 99
            assert 1 <= steps.min() < 5 and 95 < steps.max() <= 99 and steps.mean() == pytest.approx(50, abs=5)
        else:
            assert (after[gate] == before[gate]).all()
    if "i" in order and "f" in order:
        assert (after["i"] == -after["f"]).all()
    cells.remember(cell, 1)  # nothing to remember
    assert math.isfinite(sum(array.sum() for array in cell.state_dict().values()))


def test_the_option(tmp_path):
    from minigrad.models.tasks.adding import Adding

    cell = Adding(memory=50, length=5, hidden=8, out=tmp_path).model.recurrent.cells[0]
    forget = cell.bias_ih.numpy()[8:16]
    assert forget.min() >= 0 and 1 < forget.max() <= math.log(49)
    assert Adding(memory=0, length=5, hidden=8, out=tmp_path).model.recurrent.bias_ih_l0.numpy()[8:16].min() < 0


@pytest.mark.parametrize("command", ["profile", "compare", "train adding --out run --cell"])
def test_a_cell_that_cannot_be_traced_is_one_line_and_exit_code_2(command, minigrad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from minigrad import nn\nclass Mine(nn.Module):\n"
        "    def __init__(self, I, H): self.hidden_size, self.l = H, nn.Linear(I, H)\n"
        "    def forward(self, x, h):\n        return self.l(x) if h.sum() > 0 else -self.l(x)\n"
    )
    code, _, err = minigrad(*command.split(), "mine.py:Mine")
    assert code == 2 and err.count("\n") == 1 and "mine.py, line 5" in err and "mg.where" in err


def test_a_file_may_import_its_neighbours_and_leaves_no_path_behind(tmp_path):
    (tmp_path / "neighbour.py").write_text("from minigrad.models import GRUCell\n")
    file = tmp_path / "newcomer.py"
    file.write_text("from neighbour import GRUCell\n\n\nclass Newcomer(GRUCell):\n    pass\n")
    before = list(sys.path)
    assert cells.cell_named(f"{file}:Newcomer", 2, 3)(2, 3).hidden_size == 3
    assert sys.path == before
