"""Cells by name: all that are made by (input_size, hidden_size), and those of the user's files."""

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import disk, models, nn
from minigrad.badinput import BadInput
from minigrad.nn.cell import described, example_input, has_output, initial_state, output_size
from minigrad.nn.declared import example_context

OF_VECTORS: dict[str, Callable] = {
    "rnn": models.RNNCell,
    "irnn": models.IRNNCell,
    "lstm": models.LSTMCell,
    "lstm1": partial(models.LSTMCell, unit_forget_bias=True),  # which remembers at first
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
    "gatedrnn": models.GatedRNNCell,
}
OF_IMAGES: dict[str, Callable] = {
    "convlstm": partial(models.ConvLSTMCell, kernel_size=3),
    "convgru": partial(models.ConvGRUCell, kernel_size=3),
}
CELLS = OF_VECTORS | OF_IMAGES


def remember(cell, steps: int) -> None:
    """Start the gates of an LSTM or a GRU so that its units remember, some for a few steps and some for up to `steps`.

    Chrono initialisation (Tallec & Ollivier 2018, arXiv:1804.11188): b_f = log U(1, steps - 1), b_i = -b_f; in a GRU z
    has the part of f. Other modules are left as they are.
    """
    bias: Any
    if isinstance(cell, models.LSTMVariantCell):
        bias, blocks = cell.bias, cell.blocks
    else:
        bias = getattr(cell, "bias_ih", None)
        blocks = "ifgo" if isinstance(cell, models.LSTMCell) else "rzn" if isinstance(cell, models.GRUCell) else ""
    memory = np.log(nn.default_generator.uniform(1, max(steps - 1, 1), getattr(cell, "hidden_size", 0)))
    with mg.no_grad():
        for gate, start in (
            ("f", memory),
            ("z", memory if getattr(cell, "z_keeps", True) else -memory),
            ("i", -memory),
        ):
            if gate in blocks:
                k = blocks.index(gate) * len(memory)
                bias[k : k + len(memory)] = start


def forward_backward(layer, x, context=None):
    """Run a layer of `Recurrent` on x and go back from the mean square of its outputs, which it returns."""
    output, _ = layer(x, context=context)
    loss = (output * output).mean()
    loss.backward()
    return loss


def vector_cell_named(name: str, input_size: int, hidden_size: int):
    """`cell_named` for a task, which feeds vectors: images are refused."""
    try:
        make = cell_named(name, input_size, hidden_size)
    except BadInput as error:
        raise BadInput(f"--cell {error}") from error
    if getattr(getattr(make, "func", make), "feature_ndim", 1) != 1:
        raise BadInput(f"--cell {name}: a cell of images, and this task has vectors; wanted {', '.join(OF_VECTORS)}")
    drawn = nn.default_generator.bit_generator.state
    cell = make(input_size, hidden_size)
    nn.default_generator.bit_generator.state = drawn
    if hasattr(cell, "context_shape") or output_size(cell) != hidden_size:
        raise BadInput(f"--cell {name}: a task gives a cell no context, and wants outputs of its hidden_size")
    return make


def cell_named(name: str, input_size: int, hidden_size: int):
    """What makes a cell: that of CELLS, or the class of one of your own, `path/to/file.py:Class`.

    Raises BadInput if it cannot be found, or does not make cells that can be run and trained.
    """
    if name in CELLS:
        try:
            CELLS[name](input_size, hidden_size, generator=np.random.default_rng(0))
        except ValueError as error:
            raise BadInput(f"{name}: {error}") from error
        return CELLS[name]
    path, colon, class_name = name.rpartition(":")
    if not (colon and class_name):
        raise BadInput(f"{name}: wanted one of {', '.join(CELLS)}, or path/to/file.py:Class")
    try:
        disk.check(os.stat(path), path, disk.TEXT)
    except FileNotFoundError:
        raise BadInput(f"{name}: there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{name}: {getattr(error, 'strerror', error)}") from error
    spec = importlib.util.spec_from_file_location(f"cells_of_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{name}: {path} is not a Python file")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.append(str(Path(path).parent))  # the file may import its neighbours
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BadInput(f"{name}: running {path} raised {told(error, path)}") from error
    finally:
        sys.path.remove(str(Path(path).parent))
    make = getattr(module, class_name, None)
    if make is None:
        classes = [n for n, c in vars(module).items() if inspect.isclass(c) and c.__module__ == module.__name__]
        raise BadInput(f"{name}: {path} defines no {class_name}; it has {', '.join(classes) or 'no class'}")
    drawn = nn.default_generator.bit_generator.state
    try:
        cell = make(input_size, hidden_size)
        layer = models.Recurrent(lambda: cell)
        x = mg.tensor(example_input(cell, 2, 3, np.random.default_rng(0), input_size))
        context = example_context(cell, 3, np.random.default_rng(0))
        state = initial_state(cell, x)
        shared = [cell.shared(x[0])] if hasattr(cell, "shared") else []
        given = {} if context is None else {"context": mg.tree.map(mg.tensor, context)}
        returned = cell(x[0], state, *shared, **given)
        before, after = described(state), described(returned[1] if has_output(returned, state) else returned)
        if before != after:
            raise ValueError(f"a step makes {after} of a state {before}; wanted the same tuples, shapes and dtypes")
        output, _ = layer(x, context=context)
        wanted = (2, 3, output_size(cell), *x.shape[3:])
        if output.shape != wanted:
            raise ValueError(
                f"a step gives {output.shape[1:]}, wanted (batch, hidden_size, ...) = {wanted[1:]}, "
                "or of another size that the cell calls output_size"
            )
        output.sum().backward()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BadInput(
            f"{name}: {class_name} is not a cell, a Module made by {class_name}(input_size, hidden_size) and "
            f"called as cell(x, state), giving the next state: {told(error, path)}"
        ) from error
    finally:
        nn.default_generator.bit_generator.state = drawn  # a trial changes nothing
    return make


def told(error: BaseException, path: str) -> str:
    """An exception in a line, with the last line of the file at `path` that had to do with it."""
    lines = lines_of(error, path)
    return f"{type(error).__name__}: {error}" + (f" ({Path(path).name}, line {lines[-1]})" if lines else "")


def lines_of(error: BaseException, path: str) -> list:
    """The lines of the file at `path` that an exception came through."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.lineno for frame in frames if Path(frame.filename).absolute() == Path(path).absolute()]


@contextmanager
def running(name: str):
    """While a cell runs that `cell_named` found: what its own file raises, at other sizes or traced, is BadInput."""
    path = name.rpartition(":")[0]
    try:
        yield
    except BaseException as error:
        if isinstance(error, (BadInput, KeyboardInterrupt)) or not (path and lines_of(error, path)):
            raise
        raise BadInput(f"{name}: {told(error, path)}") from error


def cell_path(cell: str) -> str:
    """A cell's file as an absolute path, so that the run can be resumed from another folder."""
    path, colon, name = cell.rpartition(":")
    return f"{Path(path).absolute()}:{name}" if colon else cell
