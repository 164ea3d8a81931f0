"""A cell that is called alone refuses what is not its state, and says what is."""

import inspect
import re

import numpy as np
import pytest
from test_every_cell import EVERY, B, H, I

import minigrad as mg
from minigrad import models, nn
from minigrad.models import Cell, Recurrent, RecurrentDropout, VariationalDropout, Zoneout
from minigrad.nn.cell import described, take_step

pytestmark = pytest.mark.eager_only("cells called alone")
WRAPPED = EVERY | {
    "zoneout": lambda i, h: Zoneout(EVERY["lstm"](i, h), 0.5, 0.5),
    "variational": lambda i, h: VariationalDropout(EVERY["gru"](i, h), 0.5, 0.5),
    "recurrent dropout": lambda i, h: RecurrentDropout(EVERY["gru"](i, h), 0.5),
}


def case(name, batch=B):
    cell = WRAPPED[name](I, H)
    image = (2, 3) if getattr(cell, "feature_ndim", 1) == 3 else ()
    return cell, mg.tensor(np.ones((batch, I, *image), "float32"))


def refused(cell, x, *state):
    with pytest.raises((ValueError, TypeError), match=rf"^{type(cell).__name__}: got ") as error:
        cell(x, *state)
    return str(error.value)


@pytest.mark.parametrize("name", WRAPPED)
def test_a_state_that_would_be_broadcast_or_cast_is_refused(name):
    cell, x = case(name)
    state = cell.initial_state(x)
    assert described(take_step(cell, x, state)[1]) == described(state)
    leaves, structure = mg.tree.flatten(state)
    for k, leaf in enumerate(leaves):
        ones = np.ones(leaf.shape, "float32")
        for wrong in (ones[:1], np.ones((1,) * leaf.ndim, "float32"), ones.astype("float64"), ones[0], 0.0):
            changed = list(leaves)
            changed[k] = wrong if type(wrong) is float else mg.tensor(wrong)
            assert described(state) in refused(cell, x, mg.tree.unflatten(structure, changed))
    for wrong in ((state,), [state, state], leaves[0] if len(leaves) > 1 else (state, state), "h", 0):
        refused(cell, x, wrong)
    one_row = case(name, 1)[1]
    refused(cell, one_row, state)  # x would be broadcast


@pytest.mark.parametrize("name", WRAPPED)
def test_without_a_state_the_error_names_initial_state(name):
    cell, x = case(name)
    assert "cell.initial_state(x)" in refused(cell, x)
    cell(x, cell.initial_state(x))


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrong_x_is_refused(name):
    cell, x = case(name)
    state = cell.initial_state(x)
    wider = np.ones((B, I + 1, *x.shape[2:]), "float32")
    for wrong in (mg.tensor(wider), x.astype("float64"), x.numpy().tolist(), None, "x", x[0][..., 0]):
        refused(cell, wrong, state)


def test_a_jitted_cell_refuses_when_it_is_traced():
    cell, x = case("gru")
    with pytest.raises(ValueError, match="GRUCell: got the state"):
        mg.jit(cell)(x, mg.tensor(np.ones((1, H), "float32")))


def test_every_cell_of_the_library_is_a_cell():
    named = [c for n, c in vars(models).items() if inspect.isclass(c) and re.search(r"Cell$", n)]
    assert len(named) > 15
    assert all(issubclass(c, Cell) for c in [*named, Zoneout, VariationalDropout, RecurrentDropout])


def test_a_cell_of_ones_own_need_not_be_one_of_these():
    class Plain(nn.Module):
        hidden_size = 2

        def __init__(self):
            self.weight = nn.Parameter(np.ones((2, 2)))

        def forward(self, x, h):
            return mg.tanh(x @ self.weight + h)

    output, _ = Recurrent(Plain())(mg.tensor(np.ones((3, 1, 2))))
    assert output.shape == (3, 1, 2)


def test_an_error_of_the_step_itself_stays():
    class Broken(Cell):
        input_size, hidden_size = 2, 2

        def forward(self, x, h):
            raise ValueError("of the step")

    x = mg.tensor(np.ones((1, 2)))
    with pytest.raises(ValueError, match="of the step"):
        Broken()(x, Broken().initial_state(x))
