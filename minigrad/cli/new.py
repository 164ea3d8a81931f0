"""`minigrad new`: a cell of one's own to start from, and its test."""

import importlib.util
import keyword
import re
from pathlib import Path

CELL = '''"""CLASS: what it is for, in a line (the paper: authors and year, where it is found).

It works as it is. The places to change are marked "<-".
"""

import minigrad as mg
from minigrad import nn


class CLASS(nn.Module):
    """One gate f that keeps the old state where it is 1:                           <- the equations of the paper

    f = σ(x W_f^T + h U_f^T + b_f)
    n = tanh(x W_n^T + h U_n^T + b_n)
    h' = f ⊙ h + (1 - f) ⊙ n

    x (..., I), h (..., H) -> h' (..., H).                                          <- the shapes
    W (2H, I), U (2H, H), b (2H,), in the order f n. 2H(I + H + 1) numbers.
    """

    state_shape = "hidden_size"  # <- of the state before the first step, zeros; of (h, c): "hidden_size", "hidden_size"

    def __init__(self, input_size: int, hidden_size: int, *, generator=None):
        self.input_size, self.hidden_size = input_size, hidden_size
        I, H = input_size, hidden_size
        shapes = (2 * H, I), (2 * H, H), (2 * H,)  # <- the parameters; here U(±1/√H)
        self.W, self.U, self.b = [
            nn.Parameter(nn.init.uniform(shape, H**-0.5, generator=generator)) for shape in shapes
        ]

    def forward(self, x, h):
        # <- one step: from x and the state to the next state, or to (output, next state)
        f, n = mg.split(x @ self.W.T + h @ self.U.T + self.b, 2, axis=-1)
        f, n = mg.sigmoid(f), mg.tanh(n)
        nn.watch(f=f, n=n)  # <- the gates that you want to see
        return f * h + (1 - f) * n
'''

TEST = '''"""Run with: pytest test_NAME.py"""

import numpy as np
from NAME import CLASS

import minigrad as mg
from minigrad.testing import check_cell


def test_what_holds_for_every_cell():
    check_cell(CLASS)


def test_a_step_is_that_of_the_paper():
    """Only this test knows which cell you mean: it would see, say, a transposed square weight."""
    rng = np.random.default_rng(0)
    cell = CLASS(3, 4, generator=rng).astype("float64")
    x, h = rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    W_f, W_n = np.split(cell.W.numpy(), 2)
    U_f, U_n = np.split(cell.U.numpy(), 2)
    b_f, b_n = np.split(cell.b.numpy(), 2)
    for row in range(2):  # <- the equations again, written from the paper, for one row
        f = 1 / (1 + np.exp(-(W_f @ x[row] + U_f @ h[row] + b_f)))
        n = np.tanh(W_n @ x[row] + U_n @ h[row] + b_n)
        wanted = f * h[row] + (1 - f) * n
        np.testing.assert_allclose(cell(mg.tensor(x), mg.tensor(h)).numpy()[row], wanted, rtol=1e-9)
'''


def new(name: str, folder: Path) -> str:
    """Write NAME.py, a cell, and test_NAME.py into a folder; returns what to tell the user.

    The class is called as NAME without its underscores, each part with a capital.

    Raises ValueError for a name that cannot be a module's, or is one already, FileExistsError for files that are there.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or keyword.iskeyword(name):
        raise ValueError(f"{name}: wanted a name of letters, digits and underscores, such as my_cell")
    cell, test = folder / f"{name}.py", folder / f"test_{name}.py"
    there = [path.name for path in (cell, test) if path.exists()]
    if there:
        raise FileExistsError(f"{' and '.join(there)}: there already, and not to be overwritten; choose another name")
    if importlib.util.find_spec(name):
        raise ValueError(f"{name}: a module of that name is installed, and your file would hide it; choose another")
    class_name = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    for path, text in ((cell, CELL), (test, TEST)):
        path.write_text(text.replace("CLASS", class_name).replace("NAME", name), encoding="utf-8")
    made = f"{name}.py:{class_name}"
    return f"""wrote {cell.name} and {test.name}; try

  minigrad check {made}
  minigrad profile {made}
  minigrad train adding --cell {made}"""
