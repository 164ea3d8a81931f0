"""Cells by name: all that take (input_size, hidden_size), and those of the user's files."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import models, nn
from minigrad.cli import BadInput

CELLS: dict[str, Callable] = {
    "rnn": models.RNNCell,
    "irnn": models.IRNNCell,
    "lstm": models.LSTMCell,
    **{name: partial(models.LSTMVariantCell, **options) for name, options in models.VARIANTS.items()},
    "lnlstm": models.LayerNormLSTMCell,
    "depthgated": models.DepthGatedLSTMCell,
    "gridlstm": models.GridLSTMCell,
    "gru": models.GRUCell,
    "gru2014": partial(models.GRUCell, reset_after=False),
    "mgu": models.MGUCell,
    "mut1": models.MUT1Cell,
    "mut2": models.MUT2Cell,
    "mut3": models.MUT3Cell,
    "mingru": models.MinGRUCell,
    "minlstm": models.MinLSTMCell,
    "clockwork": models.ClockworkCell,
}


def remember(cell, steps: int) -> None:
    """Start the gates of an LSTM or a GRU so that its units remember, some for a few steps and some for up to `steps`.

    Chrono initialisation (Tallec & Ollivier 2018, arXiv:1804.11188): b_f = log U(1, steps - 1), b_i = -b_f; in a GRU z
    has the part of f. Other modules are left as they are.
    """
    if isinstance(cell, models.LSTMVariantCell):
        bias, blocks = cell.bias, cell.blocks
    else:
        bias = getattr(cell, "bias_ih", None)
        blocks = "ifgo" if isinstance(cell, models.LSTMCell) else "rzn" if isinstance(cell, models.GRUCell) else ""
    memory = np.log(nn.default_generator.uniform(1, max(steps - 1, 1), getattr(cell, "hidden_size", 0)))
    with mg.no_grad():
        for gate, start in (("f", memory), ("z", memory), ("i", -memory)):
            if gate in blocks:
                k = blocks.index(gate) * len(memory)
                bias[k : k + len(memory)] = start


def cell_named(name: str, input_size: int, hidden_size: int):
    """What makes a cell: that of CELLS, or the class of one of your own, `path/to/file.py:Class`.

    Raises BadInput if it cannot be found, or does not make cells that can be run and trained.
    """
    if name in CELLS:
        try:
            CELLS[name](input_size, hidden_size, generator=np.random.default_rng(0))
        except ValueError as error:
            raise BadInput(f"--cell {name}: {error}") from error
        return CELLS[name]
    path, colon, class_name = name.rpartition(":")
    if not colon:
        raise BadInput(f"--cell {name}: wanted one of {', '.join(CELLS)}, or path/to/file.py:Class")
    if not Path(path).is_file():
        raise BadInput(f"--cell {name}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"cells_of_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"--cell {name}: {path} is not a Python file")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.append(str(Path(path).parent))  # the file may import its neighbours
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BadInput(f"--cell {name}: running {path} raised {told(error, path)}") from error
    cell = getattr(module, class_name, None)
    if cell is None:
        classes = [n for n, c in vars(module).items() if inspect.isclass(c) and c.__module__ == module.__name__]
        raise BadInput(f"--cell {name}: {path} defines no {class_name}; it has {', '.join(classes) or 'no class'}")
    try:
        output, _ = models.Recurrent(cell, input_size, hidden_size)(mg.tensor(np.zeros((2, 3, input_size), np.float32)))
        if output.shape != (2, 3, hidden_size):
            raise ValueError(f"a step gives {output.shape[1:]}, wanted (batch, hidden_size) = (3, {hidden_size})")
        output.sum().backward()
    except Exception as error:
        raise BadInput(
            f"--cell {name}: {class_name} is not a cell, a Module made by {class_name}(input_size, hidden_size) and "
            f"called as cell(x, state), giving the next state: {told(error, path)}"
        ) from error
    return cell


def told(error: BaseException, path: str) -> str:
    """An exception in a line, with the last line of the file at `path` that had to do with it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{type(error).__name__}: {error}" + (f" ({Path(path).name}, line {lines[-1]})" if lines else "")


def cell_path(cell: str) -> str:
    """A cell's file as an absolute path, so that the run can be resumed from another folder."""
    path, colon, name = cell.rpartition(":")
    return f"{Path(path).absolute()}:{name}" if colon else cell
