"""Inside a PyTorch program: a layer of ours as a `torch.nn.Module`, and a module of PyTorch's within ours.

    rnn = minigrad.interop.torch.module(mg.jit(Recurrent(MyCell, 10, 20)))     # for PyTorch's programs
    encoder = minigrad.interop.torch.function(torch_encoder)                   # for ours

Tensors cross without a copy: both sides look at the same memory. A call is one node of the other side's tape, and the
gradient is differentiable to any order, in both directions.
"""

from collections.abc import Callable

import torch

from minigrad.interop.recorded import module_of
from minigrad.interop.torch_function import Foreign
from minigrad.interop.torch_layer import Layer
from minigrad.nn.module import Module

__all__ = ["function", "module"]


def module(f: Callable) -> torch.nn.Module:
    """A layer of ours, or a function of tensors, jitted or not, as a `torch.nn.Module` that takes and returns PyTorch's
    tensors, in nested tuples, lists and dicts.

    Parameters and buffers are those of the layer, or of the modules that the function names, under their names here:
    each is a `torch.nn.Parameter` that shares its memory with ours. So PyTorch's optimizers, state dicts, clipping and
    checkpoints train, save and load the layer, and it can be used from here at the same time. If either side gets other
    memory (`.double()`, `layer.astype("float64")`), the other one follows at the next call. What PyTorch says of
    `requires_grad` holds. `train()` and `eval()` reach the layer. It runs on the CPU, in float32 or float64; under
    `torch.autocast` narrower floats are widened.

    The gradient is one node of PyTorch's tape and differentiable itself, to any order. An in-place change of what it
    was given, of its parameters or of its results between the forward and the backward is an error, as for layers of
    PyTorch that save them. `torch.compile` leaves its call to Python.

    Raises TypeError for tensors that NumPy cannot look at; at the backward RuntimeError, where the result depends on a
    tensor that requires a gradient and is no parameter.
    """
    if not callable(f):
        raise TypeError(f"module: wanted a layer or a function, got {type(f).__name__}")
    return Layer(module_of(f), f)


def function(f: Callable) -> Module:
    """A module of PyTorch, or a function of its tensors, as a module of ours, which takes and returns our tensors.

    Its parameters and buffers share memory with PyTorch's, and have their names; our optimizers and state dicts train,
    save and load them. A call is one node of our tape, differentiable to any order. A checkpoint around it repeats the
    draws of PyTorch's generator.

    Raises RuntimeError in a jitted function and under `vmap`: nobody can trace it; call it outside.
    """
    if not callable(f):
        raise TypeError(f"function: wanted a torch.nn.Module or a function, got {type(f).__name__}")
    return Foreign(f)
