"""Gradient clipping, in place."""

import math
from collections.abc import Iterable

import numpy as np

from minigrad.tape import no_grad
from minigrad.tensor import Tensor


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float, error_if_nonfinite: bool = False) -> float:
    """Scale all gradients together so that their joint 2-norm is at most max_norm (Pascanu et al. 2013,
    arXiv:1211.5063). Returns the norm as it was, summed in float64.

    A norm that is NaN or infinite makes gradients NaN or 0, as in PyTorch; with error_if_nonfinite it raises
    RuntimeError, and the gradients stay as they were.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = math.sqrt(sum([_square_sum(g._data) for g in gradients]))
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm: the norm of the gradients is {norm}")
    factor = max_norm / (norm + 1e-6)  # PyTorch's guard against 0
    if not factor >= 1:  # NaN too
        with no_grad(), np.errstate(invalid="ignore"):  # inf * 0
            for g in gradients:
                g._change("clip_grad_norm", lambda array: np.multiply(array, factor, out=array))
    return norm


def clip_grad_value(parameters: Iterable[Tensor], limit: float) -> None:
    """Clip every element of every gradient to [-limit, limit]; NaN stays NaN."""
    with no_grad():
        for p in parameters:
            if p.grad is not None:
                p.grad._change("clip_grad_value", lambda array: np.clip(array, -limit, limit, out=array))


def _square_sum(array: np.ndarray) -> float:
    flat = array.reshape(-1)
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))
