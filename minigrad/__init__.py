"""minigrad: tape-based automatic differentiation on NumPy and Numba."""

from importlib import import_module
from typing import Any

from minigrad.modes import enable_grad, no_grad, tracing
from minigrad.tensor import Tensor, tensor
from minigrad.ops import *  # every op of the table is public
from minigrad.creation import arange, eye, full, full_like, ones, ones_like, zeros, zeros_like
from minigrad.custom import checkpoint, custom_vjp
from minigrad.scan import scan
from minigrad.control import cond, switch, while_loop
from minigrad.vmap import vmap
from minigrad.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from minigrad import io, nn, optim, random, tree
from minigrad.compile.jit import jit
from minigrad.compile.switch import disable_jit
from minigrad.kernels.threads import set_num_threads

__version__ = "0.1.0"

WORKBENCH = {
    "debug": "debug", "detect_anomaly": "debug", "inspect_kernel": "kernels.inspection", "profile": "profiling",
    "testing": "testing", "training": "training", "viz": "viz",
}  # fmt: skip


def __getattr__(name: str) -> Any:  # the workbench is imported when it is asked for; (for type checkers) the ops, too
    if name not in WORKBENCH:
        raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
    module = import_module(f"minigrad.{WORKBENCH[name]}")
    globals()[name] = value = getattr(module, name, module)
    return value


def __dir__():
    return sorted({*globals(), *WORKBENCH})
