"""Gradient clipping, in place."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from minigrad.arguments import NonNegative, checked
from minigrad.kernels import many
from minigrad.modes import actions, no_grad, tracing
from minigrad.mutations import mutations
from minigrad.ops.table import Spec
from minigrad.optim.optimizer import parameter_list
from minigrad.tensor import Tensor

NORM = Spec((), np.dtype(np.float64))  # of clip_grad_norm in a jitted function


@checked
def clip_grad_norm(
    parameters: Iterable[Tensor] | Tensor, max_norm: NonNegative, error_if_nonfinite: bool = False
) -> Any:
    """Scale all gradients together so that their joint 2-norm is at most max_norm.

    This is the clipping of Pascanu et al. 2013, arXiv:1211.5063.

    Parameters
    ----------
    parameters
        One tensor, or several, `module.parameters()` say. Those without a gradient are left alone.
    max_norm
        A number of at least 0.
    error_if_nonfinite
        A norm that is NaN or infinite makes gradients NaN or 0, as in PyTorch; with this it raises RuntimeError, and
        the gradients stay as they were.

    Returns
    -------
    The norm as it was, summed in float64; in a jitted function, as a tensor.

    Raises
    ------
    TypeError
        For what is no tensor (a module).
    ValueError
        For no parameter at all and for max_norm below 0.

    Examples
    --------
    >>> w = nn.Parameter(np.zeros(2, "float32"))
    >>> w.grad = mg.tensor([3.0, 4.0])
    >>> optim.clip_grad_norm([w], 1.0)
    5.0
    >>> w.grad.norm().round(decimals=3).item()
    1.0
    """
    parameters = parameter_list("clip_grad_norm", parameters)
    gradients = gradients_of(parameters)
    if tracing():
        return actions("clip_grad_norm").call(
            "clip_grad_norm", partial(clip_grad_norm, parameters, max_norm, error_if_nonfinite), gradients, [], NORM
        )
    norm = math.sqrt(many.square_sum([g._data for g in gradients]))
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm: the norm of the gradients is {norm}")
    factor = max_norm / (norm + 1e-6)  # PyTorch's guard against 0
    if not factor >= 1:  # NaN too
        numbers = [{"factor": factor}] * len(gradients)
        many.update("clip_grad_norm", ("g",), (("g", "g * factor"),), [(g._data,) for g in gradients], numbers)
        for g in gradients:
            mutations.note(g._data)
    return norm


@checked
def clip_grad_value(parameters: Iterable[Tensor] | Tensor, limit: NonNegative) -> None:
    """Clip every element of every gradient to [-limit, limit]; NaN stays NaN.

    Parameters
    ----------
    parameters
        As of `clip_grad_norm`, with its errors.
    limit
        A number of at least 0.

    Examples
    --------
    >>> w = nn.Parameter(np.zeros(2, "float32"))
    >>> w.grad = mg.tensor([3.0, -0.5])
    >>> optim.clip_grad_value([w], 1.0)
    >>> w.grad.tolist()
    [1.0, -0.5]
    """
    parameters = parameter_list("clip_grad_value", parameters)
    gradients = gradients_of(parameters)
    if tracing():
        actions("clip_grad_value").call("clip_grad_value", partial(clip_grad_value, parameters, limit), gradients, [])
        return
    with no_grad():
        for g in gradients:
            g.copy_(np.clip(g._data, -limit, limit))


def gradients_of(parameters: list[Tensor]) -> list[Tensor]:
    """The gradients of the parameters that have one. Each is read once: another thread may be taking it away."""
    gradients = [p.grad for p in parameters]
    return [g for g in gradients if g is not None]
