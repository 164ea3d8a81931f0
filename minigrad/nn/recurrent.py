"""`Recurrent` makes a layer of any cell: stacked, in both directions, reversed, over sequences of different lengths.

A cell is a module that takes the input and the state of one step and returns the next state:

    class MGUCell(nn.Module):                                   # Zhou et al. 2016, arXiv:1603.09420
        def __init__(self, input_size, hidden_size):
            self.input_size, self.hidden_size = input_size, hidden_size
            self.forget, self.new = [nn.Linear(input_size + hidden_size, hidden_size) for _ in range(2)]

        def forward(self, x, h):
            f = mg.sigmoid(self.forget(mg.concatenate([x, h], axis=-1)))
            n = mg.tanh(self.new(mg.concatenate([x, f * h], axis=-1)))
            watch(f=f)                                          # optional: return_states shows it
            return (1 - f) * h + f * n

    layer = Recurrent(MGUCell, 10, 20, num_layers=2, bidirectional=True)
    output, state = layer(x, lengths=[7, 3, 0])

The state is a tensor or a nested tuple of tensors; its first tensor is the step's output, unless the cell returns
(output, next state). A cell that is a `Cell` in place of an `nn.Module` refuses a state of another shape where it is
called alone. What else a cell may have:

    hidden_size         needed to stack it, and for the initial state unless it declares or makes its own
    input_size          then a wrong input is refused with a clear error
    output_size         of the output, if it is not hidden_size
    state_shape         shapes of the state before the first step, which is zeros: "hidden_size", "slots width" stands
                        for a pair of (*batch, hidden_size) and (*batch, slots, width); see minigrad/nn/declared.py
    initial_state(x)    that state, if it is not zeros, from a step's input (its batch axes, its dtype)
    output(state)       what it shows of a state, if that is not its first tensor
    shared(x)           what all steps of a call share, from a step's input, as masks of dropout: each step is then
                        cell(x, state, shared)
    context_shape       of a cell whose steps read what is the same for all of them, `forward(x, state, context)`, which
                        the caller gives: layer(x, context=memory). "places batch memory_size" is a memory
    feature_ndim        how many axes of x are not batch axes, 1 if it does not say; of several (images), the first is
                        the channels
"""

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

from minigrad import tree
from minigrad.arguments import Count, Generator, Probability, Size, checked, plain_array
from minigrad.creation import arange
from minigrad.modes import tracing
from minigrad.nn import init
from minigrad.nn.cell import AXES, described, first_step, initial_state, output_size, take_step
from minigrad.nn.declared import batched_context, check_context
from minigrad.nn.module import Module, Parameter
from minigrad.nn.sequences import takes_packed
from minigrad.nn.stream import Stream
from minigrad.ops.elementwise import where
from minigrad.ops.join import concatenate, stack
from minigrad.ops.neural import dropout
from minigrad.ops.table import Spec
from minigrad.random import default_generator
from minigrad.scan import scan
from minigrad.tensor import Tensor, as_tensor, tensor


class Steps(NamedTuple):
    """What one cell did: its state after every step and the gates that it watched, as tensors (T, B, ...).

    Where a sequence is padded the state stands still and the gates are zero.
    """

    state: Any
    gates: dict


MERGES: dict[str, Callable] = {
    "concat": lambda y, z, axis: concatenate([y, z], axis=axis),
    "sum": lambda y, z, axis: y + z,
    "ave": lambda y, z, axis: (y + z) / 2,
    "mul": lambda y, z, axis: y * z,
}


BUILT = ("input_size", "hidden_size", "num_layers", "bidirectional", "reverse", "merge_mode")


class Recurrent(Module):
    """A layer of cells.

    cell: the class of a cell or any function that makes one; it is called with `sizes` (input size first) and `options`
    for each layer and direction, the upper layers with the width of the output below as their input size. Or, for one
    layer in one direction, a cell.
    reverse: run from the last step to the first. bidirectional: run both ways (Schuster & Paliwal 1997).
    merge_mode: of the outputs y and z of the two directions, by Keras' names: "concat", side by side; "sum", y + z;
    "ave", (y + z) / 2; "mul", y ⊙ z. dropout: on the output of every layer but the last, while training. generator: of
    the initial weights and of dropout; default, that of init.

    `dropout` and `batch_first` may be set later. What says how the layer is built (num_layers, bidirectional, reverse,
    merge_mode and the sizes) may not: that raises AttributeError.

    A parameter `weight` of a cell is called `weight_l0` in the first layer, `weight_l0_reverse` in its backward
    direction, and so on, as in PyTorch.

    Examples
    --------
    >>> layer = nn.Recurrent(mg.models.GRUCell, 3, 4, num_layers=2, bidirectional=True)
    >>> output, state = layer(mg.zeros((10, 2, 3)))
    >>> output.shape, state.shape
    ((10, 2, 8), (4, 2, 4))
    """

    @checked
    def __init__(
        self, cell: Any, *sizes: Any, num_layers: Size = 1, bidirectional: bool = False, reverse: bool = False,
        batch_first: bool = False, dropout: Probability = 0.0, merge_mode: str = "concat", generator: Generator = None,
        **options: Any,
    ):  # fmt: skip
        if bidirectional and reverse:
            raise ValueError(f"{type(self).__name__}: bidirectional runs both ways already; leave reverse out")
        if merge_mode not in MERGES:
            raise ValueError(f"{type(self).__name__}: got merge_mode={merge_mode!r}, wanted one of {', '.join(MERGES)}")
        if merge_mode != "concat" and not bidirectional:
            raise ValueError(
                f"{type(self).__name__}: merge_mode={merge_mode!r} wants two directions, bidirectional=True"
            )
        directions = 2 if bidirectional else 1
        if isinstance(cell, Module):
            if sizes or options or num_layers * directions > 1:
                raise ValueError(
                    f"{type(self).__name__}: every layer and direction wants a cell of its own, and this one is made "
                    "already; give its class and sizes, as in Recurrent(LSTMCell, 10, 20, num_layers=2)"
                )
            cells: list = [cell]
        else:
            options |= {} if generator is None else {"generator": generator}
            cells = []
            for layer in range(num_layers):
                if layer:
                    sizes = ((directions if merge_mode == "concat" else 1) * output_size(cells[-1]), *sizes[1:])
                cells += [cell(*sizes, **options) for _ in range(directions)]
            if not isinstance(cells[0], Module):
                raise TypeError(f"{type(self).__name__}: wanted a cell, an nn.Module, got {type(cells[0]).__name__}")
        self.input_size = getattr(cells[0], "input_size", None)
        self.hidden_size: Any = getattr(cells[0], "hidden_size", None)
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.reverse = reverse
        self.merge_mode = merge_mode
        self.batch_first = batch_first
        self.dropout = dropout
        self.generator = generator
        # The cells own the parameters; this layer only names them, so the cells stay out of the names' sight.
        self.inner = SimpleNamespace(cells=cells)

    @property
    def cells(self) -> list:
        """The cells: layer by layer, forward before backward."""
        return self.inner.cells

    def _parts(self, prefix: str = ""):
        yield from super()._parts(prefix)
        directions = 2 if self.bidirectional else 1
        for k, cell in enumerate(self.cells):
            suffix = f"_l{k // directions}" + "_reverse" * (k % directions)
            yield from ((name + suffix, parameter) for name, parameter in cell._every_name(prefix))

    def _owner(self, name: str):
        """What the name `weight_l0` stands for: (the first cell, "weight"). None if it is no such name."""
        found = re.fullmatch(r"(\w+)_l(\d+)(_reverse)?", name)
        if not found or (found[3] and not self.bidirectional):
            return None
        k = int(found[2]) * (2 if self.bidirectional else 1) + bool(found[3])
        return (self.cells[k], found[1]) if k < len(self.cells) and hasattr(self.cells[k], found[1]) else None

    def __getattr__(self, name: str):
        owner = self._owner(name)
        if owner is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(*owner)

    def __setattr__(self, name: str, value):
        if name in BUILT and name in vars(self):
            raise AttributeError(f"{type(self).__name__}: {name} is fixed when the layer is made; make another layer")
        owner = self._owner(name)
        if owner is None:
            super().__setattr__(name, value)
        else:
            cell, attribute = owner
            setattr(cell, attribute, value)

    def named_modules(self, prefix: str = "", seen: dict | None = None) -> Iterator[tuple[str, Module]]:
        """As of every module, with the cells."""
        seen = {} if seen is None else seen
        yield from super().named_modules(prefix, seen)
        for k, cell in enumerate(self.cells):
            yield from cell.named_modules(f"{prefix}.cells.{k}" if prefix else f"cells.{k}", seen)

    @checked
    @takes_packed
    def forward(
        self, x: Any, state: Any = None, *, context: Any = None, lengths: Any = None, mask: Any = None,
        return_states: bool = False,
    ) -> Any:  # fmt: skip
        """Run over x; returns (output, state), with return_states (output, state, [a `Steps` for each cell]).

        x: (T, B, input_size), with batch_first (B, T, input_size), or unbatched (T, input_size); float, of the
        parameters' dtype; or an `nn.PackedSequence`, and then the output is one. state: as a cell's, each of its
        tensors with a leading axis over the cells, (num_layers * directions, B, ...); by default the cells' initial
        states. context: what every step of every cell reads, as a memory, cell(x, state, context=context): any
        structure of tensors, laid out as the cell wants it; where the cell says which axis is the batch
        (`context_shape`), without that axis if x is unbatched. lengths: B integers from 0 to T. mask: bool, (T, B), or
        (B, T) with batch_first; True where there is a step. What is padding changes nothing: the state passes it
        unchanged, the output there is 0, and no gradient comes from it.

        output: of the last layer, (T, B, hidden_size), of two directions side by side (T, B, 2 * hidden_size), laid out
        as x; of a cell whose output is several tensors, all of them. state: after each cell's last step (which for the
        backward direction is the sequence's first), laid out as the state given.

        Raises ValueError for shapes that do not fit and lengths out of range, TypeError for wrong dtypes.
        """
        x = x if isinstance(x, Tensor) else tensor(x)
        batched = self._check_input(x, getattr(self.cells[0], "feature_ndim", 1))
        x = x[:, None] if not batched else x.swapaxes(0, 1) if self.batch_first else x
        given = self._context(context, batched, x.shape[1])
        valid = self._valid_steps(lengths, mask, batched, *x.shape[:2])
        if valid is not None:
            x = keep(valid, x, 0)  # a NaN in the padding, too, changes nothing
        states = None if state is None else self._cell_states(state, x, batched)
        y, finals, history = self._run(x, states, given, valid, return_states)
        final = tree.map(lambda *leaves: stack(leaves), *finals)
        if not batched:
            final, y, history = tree.map(lambda leaf: leaf[:, 0], (final, y, history))
        elif self.batch_first:
            y, history = tree.map(lambda leaf: leaf.swapaxes(0, 1), (y, history))
        return (y, final, history) if return_states else (y, final)

    def _run(self, x, states, given: dict, valid, record: bool):
        """(output of the last layer, the cells' last states, their `Steps`)."""
        directions = 2 if self.bidirectional else 1
        finals, history = [], []
        for layer in range(self.num_layers):
            if layer and self.training and self.dropout:
                x = dropout(x, p=self.dropout, generator=self.generator or default_generator)
            outputs = []
            for k in range(directions * layer, directions * (layer + 1)):
                cell = self.cells[k]
                initial = initial_state(cell, x) if states is None else states[k]
                shared = [cell.shared(first_step(x))] if hasattr(cell, "shared") else []
                backward = self.reverse or k % directions == 1
                step = partial(masked_step, cell, shared, given, record)
                final, (y, *steps) = scan(step, initial, (x, valid), reverse=backward)
                outputs.append(y)
                finals.append(final)
                history.append(Steps(*steps))
            axis = -getattr(self.cells[0], "feature_ndim", 1)
            x = MERGES[self.merge_mode](*outputs, axis) if self.bidirectional else y
        return x, finals, history

    @checked
    def stream(self, batch: Size | None = None, *, context: Any = None) -> Stream:
        """The layer one step at a time: `step = layer.stream(batch)`, then `y = step(x)` for each x (batch, input_size)
        as it comes, or (input_size,) if no batch is given. context: as of a call. See `minigrad.nn.stream.Stream`.

        Raises ValueError for a layer that runs backwards.
        """
        if self.bidirectional or self.reverse:
            how = "bidirectional" if self.bidirectional else "reversed"
            raise ValueError(
                f"{self._name}: got a {how} layer, whose first output waits for the last step; wanted one that runs "
                "forwards to stream"
            )
        return Stream(self, batch, context)

    @property
    def _name(self) -> str:
        name = type(self).__name__
        return f"{name}({type(self.cells[0]).__name__})" if type(self) is Recurrent else name

    def _check_input(self, x, features: int) -> bool:
        """Whether x has a batch axis."""
        size = self.input_size if features else None
        if x.ndim not in (features + 1, features + 2) or (size is not None and x.shape[-features] != size):
            inner = ["input_size" if size is None else f"input_size={size}", *AXES[features - 1]][:features]
            batch = "B, T" if self.batch_first else "T, B"
            raise ValueError(
                f"{self._name}: got x of shape {x.shape}, wanted ({batch}, {', '.join(inner)}), "
                f"or unbatched (T, {', '.join(inner)})"
            )
        dtype = next((p.dtype for p in self.parameters()), x.dtype)
        if x.dtype != dtype and (x.dtype.kind == "f" or size is not None):
            other = f" or layer.astype({str(x.dtype)!r})" if x.dtype.kind == "f" else ""
            raise TypeError(
                f"{self._name}: got x of {x.dtype}, its parameters are {dtype}; use x.astype({str(dtype)!r}){other}"
            )
        return x.ndim == features + 2

    def _context(self, context, batched: bool, batch: int) -> dict:
        """What each step is given besides x and the state, by name."""
        cell = self.cells[0]
        if context is None:
            if hasattr(cell, "context_shape"):
                raise TypeError(
                    f"{self._name}: got no context, which its cell reads; "
                    f"give layer(x, context=...), of {cell.context_shape}"
                )
            return {}
        context = tree.map(as_tensor, context)
        context = context if batched else batched_context(cell, context)
        check_context(cell, context, batch)
        return {"context": context}

    def _valid_steps(self, lengths, mask, batched: bool, T: int, B: int):
        """A bool tensor (T, B) from lengths or a mask; None if there is neither."""
        if lengths is None and mask is None:
            return None
        if lengths is not None and mask is not None:
            raise ValueError(f"{self._name}: got lengths and a mask, wanted one of them")
        if lengths is not None:
            traced = tracing() and isinstance(lengths, Tensor)
            lengths = lengths if isinstance(lengths, Tensor) else plain_array(lengths)
            if lengths.dtype.kind not in "iu":
                raise TypeError(f"{self._name}: got lengths of {lengths.dtype}, wanted integers")
            if lengths.shape != ((B,) if batched else ()):
                wanted = f"({B},), one for each sequence of the batch" if batched else "(), one number"
                raise ValueError(f"{self._name}: got lengths of shape {lengths.shape}, wanted {wanted}")
            if not traced and ((lengths < 0) | (lengths > T)).any():
                raise ValueError(f"{self._name}: got lengths {lengths.tolist()}, wanted each from 0 to T={T}")
            return arange(T)[:, None] < lengths
        mask = mask if isinstance(mask, Tensor) else tensor(mask)
        if mask.dtype != bool:
            raise TypeError(f"{self._name}: got a mask of {mask.dtype}, wanted bool, True where there is a step")
        shape = (T,) if not batched else (B, T) if self.batch_first else (T, B)
        if mask.shape != shape:
            raise ValueError(f"{self._name}: got a mask of shape {mask.shape}, wanted {shape}")
        return mask[:, None] if not batched else mask.T if self.batch_first else mask

    def _cell_states(self, state, x, batched: bool) -> list:
        """The initial state of each cell, from one with a leading axis over the cells."""
        cells = len(self.cells)
        zero = initial_state(self.cells[0], x)
        wanted = tree.map(lambda z: Spec((cells, *(z.shape if batched else z.shape[1:])), z.dtype), zero)
        if specs_of(state) != specs_of(wanted):
            raise ValueError(
                f"{self._name}: got a state {described(state)}, wanted {described(wanted)}: the cell's state with a "
                "leading axis over layers and directions"
            )
        leaves = [s if batched else s[:, None] for s in tree.flatten(state)[0]]
        return [tree.unflatten(tree.flatten(zero)[1], [leaf[k] for leaf in leaves]) for k in range(cells)]


def specs_of(state):
    """Shapes and dtypes of a state, in its structure."""
    if isinstance(state, (tuple, list)):
        return [specs_of(part) for part in state]
    return (state.shape, state.dtype) if hasattr(state, "dtype") else type(state)


def masked_step(cell, shared, given, record: bool, state, inputs):
    """One step of the scan: (next state, (output, next state, gates)); what is not recorded is None."""
    x, valid = inputs
    gates: dict | None = {} if record else None
    outer, watching.gates = watching.gates, gates
    try:
        y, new = take_step(cell, x, state, *shared, **given)
    finally:
        watching.gates = outer
    if valid is not None:
        new = tree.map(partial(keep, valid), new, state)
        y = tree.map(lambda part: keep(valid, part, 0), y)
        gates = tree.map(lambda gate: keep(valid, gate, 0), gates)
    return new, (y, new if record else None, gates)


def keep(valid, new, old):
    """`new` where there is a step, `old` where there is padding."""
    return where(valid.reshape((*valid.shape, *[1] * (new.ndim - valid.ndim))), new, old)


class _Watching(threading.local):
    gates: dict | None = None


watching = _Watching()


def watch(**gates: Any) -> None:
    """Name values inside a cell's step: `watch(i=i, f=f)`. `Recurrent(...)(x, return_states=True)` returns them all;
    otherwise nothing happens. A name that comes again in the same step (a cell made of cells) is numbered: i, i_2.
    """
    if watching.gates is None:
        return
    for name, value in gates.items():
        count = 1
        while (numbered := name if count == 1 else f"{name}_{count}") in watching.gates:
            count += 1
        watching.gates[numbered] = value


@checked
def uniform_parameter(shape: tuple[Count, ...], hidden_size: Count, generator: Generator) -> Parameter:
    """U(-1/√H, 1/√H): how PyTorch's recurrent cells start every parameter."""
    return Parameter(init.uniform(shape, hidden_size**-0.5 if hidden_size else 0.0, generator=generator))
