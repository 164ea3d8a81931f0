"""`show`: run a cell or a function once, forward and backward, and make a page of all that happened."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.arguments import checked
from minigrad.compile.switch import disable_jit
from minigrad.nn import Module, Recurrent
from minigrad.nn.stepped import Stepped, closed_over
from minigrad.tensor import Tensor, as_tensor, tensor
from minigrad.viz.notebook import Page
from minigrad.viz.record import leaves_of, record, state_names
from minigrad.viz.tape import Tape


@checked
def show(f: Callable, *args: Any, **kwargs: Any) -> Page:
    """A page about one run of f: a notebook shows it, and `show(LSTMCell(3, 4), x).save("page.html")` writes a file.

    f: a cell, and then args is x (T, B, features...), float, which it is run over from its initial state, with
    context=... if it reads one; a `minigrad.nn.Recurrent`; or any function or Module of tensors and arrays. What the
    gradient is taken of is the sum of the squares of the last step's output, or of all that a function returns, or a
    scalar that it returns. The page has the tape, with statistics of every value and cotangent, the source of each
    node, of its vjp and of the kernel that it is a part of under `mg.jit`; of a cell also its states and the gates that
    it watches, over time.

    f runs twice, random draws included; no parameter and no gradient is changed. Raises ValueError where there is
    nothing to go back through.

    Examples
    --------
    >>> mg.viz.show(mg.models.GRUCell(3, 4), np.ones((5, 2, 3), "float32"))
    Page of GRUCell, 0.1 MB
    """
    from minigrad.viz.kernels import kernels_of  # late: they take time to import
    from minigrad.viz.page import page

    run = Run(f, args, kwargs)
    given = tree.flatten([run.args, run.kwargs])[0]
    shapes = ", ".join(f"{x.dtype}{list(x.shape)}" for x in given if isinstance(x, Tensor))
    subtitle = f"one run{' on ' * bool(shapes)}{shapes}: {len(run.tape):,} nodes"
    return page(run.name, subtitle, run.tape, kernels_of(run.objective, (run.args, run.kwargs)), run.maps)


@checked
def show_step(f: Callable, init: Any, xs: Any) -> Page:
    """The page of `show` about a function of a step, f(carry, x) -> (carry, y), as mg.scan(f, init, xs) runs it: with
    the carry after every step and what the steps watch (`mg.nn.watch`), over time.

    Examples
    --------
    >>> page = mg.viz.show_step(lambda h, x: (mg.tanh(h + x), None), np.zeros((2, 3)), np.ones((4, 2, 3)))
    """
    return show(Stepped(f), init, xs)


@checked
def trace(f: Callable, *args: Any, **kwargs: Any) -> Tape:
    """The tape of one run of f, as for `show`: drawn with time from left to right, and names of states and gates.

    Examples
    --------
    >>> mg.viz.trace(lambda x: mg.tanh(x).sum(), np.ones(3))
    Tape of 4 nodes: 1 leaf, 1 tanh, 1 sum, 1 reshape
    """
    return Run(f, args, kwargs).tape


class Run:
    """One run of f. tape: of it. maps: (name, (T, units...) of the batch's first sequence) of states and gates."""

    def __init__(self, f, args, kwargs=None):
        self.f, self.args, self.kwargs = f, tuple(tree.map(to_leaf, list(args))), tree.map(to_leaf, kwargs or {})
        self.layer = layer = layer_of(f, self.args, self.kwargs)
        self.time = 0  # the axis of the steps
        self.name = getattr(f.f if isinstance(f, Stepped) else f, "__name__", type(f).__name__)
        if layer is not None:
            self.name = type(layer.cells[0]).__name__ if layer is not f or type(f) is type(layer) else self.name
            self.batched = self.args[0].ndim == getattr(layer.cells[0], "feature_ndim", 1) + 2
            self.time = int(layer.batch_first and self.batched)
        with disable_jit():  # the tape of a jitted module is that of the module
            leaves = leaves_of(**named(f, layer, self.args, self.kwargs))
            record_, history = record(self.run, (self.args, self.kwargs), leaves)
        self.maps = [] if history is None else self.maps_of(record_, history)
        self.tape = Tape(record=record_)

    def run(self, args, kwargs):
        """(what the gradient is taken of, what was recorded of the cells)."""
        if isinstance(self.f, Stepped):
            result, steps = self.f.recorded(*args)
            return scalar(result), [steps]
        if self.layer is None:
            return scalar(self.f(*args, **kwargs)), None
        output, _, history = self.layer(*args, **kwargs, return_states=True)
        return self.last(output), history

    def objective(self, args, kwargs):
        if self.layer is None:
            return scalar(self.f(*args, **kwargs))
        return self.last(self.layer(*args, **kwargs)[0])

    def last(self, output):
        return scalar(output[:, -1] if self.time else output[-1])

    def maps_of(self, record_, history) -> list[tuple[str, np.ndarray]]:
        maps: list[tuple[str, np.ndarray]] = []
        for k, steps in enumerate(history):
            of = f", cell {k}" if len(history) > 1 else ""
            states = tree.flatten(steps.state)[0]
            for name, x in [*zip(state_names(len(states)), states), *steps.gates.items()]:
                record_.name(x, name)
                batched = x.ndim > 2 if self.layer is None else self.batched
                maps.append((name + of, x.numpy().take(0, axis=1 - self.time) if batched else x.numpy()))
        return maps


def to_leaf(x):
    """Float arrays and tensors as leaves of their own, so that what reaches them is seen too."""
    if isinstance(x, (Tensor, np.ndarray)):
        x = as_tensor(x)
        return tensor(x.numpy().copy(), requires_grad=True) if x.dtype.kind == "f" else x
    return x


def layer_of(f, args, kwargs):
    """The `Recurrent` that f is, or that runs the cell f; None if it is neither."""
    if not isinstance(f, Module) or len(args) != 1:
        return None
    if isinstance(f, Recurrent):
        return f
    try:
        inspect.signature(f.forward).bind(*args, **kwargs)
    except TypeError:  # it wants a state as well
        return Recurrent(f)
    return None


def named(f, layer, args, kwargs) -> dict:
    """What may require a gradient, by name: arguments, and the modules and tensors that f is or closes over."""
    found: dict = {}
    for name, value in kwargs.items():
        found |= dict(zip(tree.names(value, name), tree.flatten(value)[0]))
    if layer is not None:
        return {"x": args[0], **found, "cell": layer.cells[0] if len(layer.cells) == 1 else layer}
    try:
        names = list(inspect.signature(f.forward if isinstance(f, Module) else f).parameters)
    except (TypeError, ValueError):
        names = []
    for k, x in enumerate(args):
        name = names[k] if k < len(names) else f"argument {k}"
        found |= dict(zip(tree.names(x, name), tree.flatten(x)[0]))
    if isinstance(f, Module):
        return found | {"module": f}
    return found | closed_over(f.f if isinstance(f, Stepped) else f)


def scalar(result) -> Tensor:
    """What the gradient is taken of: the result if it is a scalar, else the sum of the squares of all in it."""
    tensors = [x for x in tree.flatten(result)[0] if isinstance(x, Tensor) and x.dtype.kind == "f"]
    if not tensors:
        raise ValueError(f"show: the function returns no float tensor but {tree.describe(result)}")
    if len(tensors) == 1 and tensors[0].size == 1:
        return tensors[0].reshape(())
    total = tensors[0].square().sum()
    for x in tensors[1:]:
        total = total + x.square().sum()
    return total
