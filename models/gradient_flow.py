"""How much of the gradient reaches the past: ‖∂L/∂h_t‖ at every step, for any cell, as numbers and as a picture.

Where the products of Jacobians ∂h_{t+1}/∂h_t shrink or grow, so does the gradient with the number of steps: it vanishes
or explodes (Bengio, Simard & Frasconi 1994, IEEE Transactions on Neural Networks 5(2); Pascanu, Mikolov & Bengio 2013,
arXiv:1211.5063).

    cells = {"RNN": RNNCell(1, 64), "LSTM": LSTMCell(1, 64), "GRU": GRUCell(1, 64)}
    flows = {name: gradient_flow(cell, x, lambda outputs: outputs[-1].square().sum()) for name, cell in cells.items()}
    draw_flow(flows, "flow.png", max_norm=1.0)
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad.arguments import Finite, checked
from minigrad.nn.cell import first_step, has_output, initial_state, output_of


class Flow(NamedTuple):
    """norms: ‖∂L/∂h_t‖ for t from 0, the initial state, to T, as an array (T + 1,); where the state has several parts,
    one for each, in the state's structure. total: ‖∂L/∂θ‖ over all parameters θ of the cell."""

    norms: Any
    total: float

    def clipped(self, max_norm: float) -> "Flow":
        """What clipping by the global norm leaves of it (Pascanu et al. 2013, algorithm 1). ∂L/∂θ is linear in the
        ∂L/∂h_t, so the factor that shortens the one shortens the others."""
        factor = min(1.0, max_norm / self.total) if self.total else 1.0
        return Flow(mg.tree.map(lambda norms: norms * factor, self.norms), self.total * factor)


@checked
def gradient_flow(cell, x, loss, state=None, context=None) -> Flow:
    """The norm of the gradient of a loss with respect to the state at every step.

    cell: as `Recurrent` takes them. x: (T, B, ...), its inputs. loss: a function that takes the outputs (T, B, H) and
    returns a scalar. state: the initial one; default, the cell's own. context: what every step reads, of a cell that
    does. The norm is over batch and units, and the gradient is the total one: through the loss at that step, where it
    sees the state, and through all that comes after it. Gradients that the cell's parameters hold are left as they
    were.

    Raises ValueError for a loss that is no scalar.

    Examples
    --------
    >>> flow = models.gradient_flow(models.RNNCell(3, 4), mg.ones((5, 2, 3)), lambda y: y[-1].sum())
    >>> flow.norms.shape
    (6,)
    """
    x = x if isinstance(x, mg.Tensor) else mg.tensor(x)
    state = initial_state(cell, x) if state is None else state
    # Zeros that are added to each state: the loss has the same derivatives with respect to them.
    zeros = mg.tree.map(lambda s: mg.tensor(np.zeros((len(x) + 1, *s.shape), s.dtype), requires_grad=True), state)

    shared = [cell.shared(first_step(x))] if hasattr(cell, "shared") else []
    given = {} if context is None else {"context": mg.tree.map(mg.tensor, context)}

    def step(state, inputs):
        x, zero = inputs
        returned = cell(x, state, *shared, **given)
        pair = has_output(returned, state)
        state = mg.tree.map(mg.add, returned[1] if pair else returned, zero)
        return state, returned[0] if pair else output_of(cell, state)

    first, later = [mg.tree.map(lambda z: z[part], zeros) for part in (0, slice(1, None))]
    _, outputs = mg.scan(step, mg.tree.map(mg.add, state, first), (x, later))
    value = loss(outputs)
    if value.size != 1:
        raise ValueError(f"gradient_flow: got a loss of shape {value.shape}, wanted a scalar; reduce it with sum()")
    parameters = list(cell.parameters())
    before = [p.grad for p in parameters]
    cell.zero_grad()
    value.backward()
    total = float(np.sqrt(sum(np.square(norms_of(p)).sum() for p in parameters)))
    for p, gradient in zip(parameters, before):
        p.grad = gradient
    return Flow(mg.tree.map(norms_of, zeros), total)


def norms_of(x) -> np.ndarray:
    """The norm of the gradient of each slice of x, in float64."""
    gradient = np.zeros(x.shape) if x.grad is None else x.grad.numpy().astype(np.float64)
    return np.sqrt(np.square(gradient.reshape(len(gradient), -1)).sum(axis=1))


@checked
def draw_flow(flows: dict[str, Flow], path, max_norm: Finite | None = None) -> None:
    """A PNG of flows side by side, by name, against steps back in time. With max_norm, a second panel shows them
    clipped. The first part of a state (h) is a solid line, the others (an LSTM's c) are dashed.

    Examples
    --------
    >>> flow = models.gradient_flow(models.RNNCell(3, 4), mg.ones((5, 2, 3)), lambda y: y[-1].sum())
    >>> models.draw_flow({"rnn": flow}, "flow.png")
    """
    from matplotlib.figure import Figure

    panels = {"no clipping": flows}
    if max_norm is not None:
        panels[f"clipped to a norm of {max_norm:g}"] = {name: flow.clipped(max_norm) for name, flow in flows.items()}
    figure = Figure(figsize=(5 * len(panels) + 1, 4), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, shown) in zip(all_axes, panels.items()):
        for k, (name, flow) in enumerate(shown.items()):
            parts = mg.tree.flatten(flow.norms)[0]
            for part, norms in enumerate(parts):
                label = name if len(parts) == 1 else f"{name}, {'hc'[part] if len(parts) == 2 else f'part {part}'}"
                norms = np.where(norms > 0, norms, np.nan)[::-1]  # a log scale has no zero
                axes.plot(norms, f"C{k}", linestyle="--" if part else "-", label=label)
        axes.set(title=title, yscale="log", xlabel="steps back in time")
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("‖∂L/∂state‖ (logarithmic)")
    all_axes[0].legend()
    figure.savefig(Path(path), format="png", dpi=120)
