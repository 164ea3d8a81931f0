"""minigrad: tape-based automatic differentiation on NumPy and Numba.

Type checkers and editors read __init__.pyi, which `python tests/stubs.py` writes from this file.
"""

from importlib import import_module

from minigrad.modes import enable_grad, no_grad, tracing
from minigrad.tensor import Tensor, tensor
from minigrad import ops
from minigrad.ops import *  # every op of the table is public
from minigrad.creation import arange, eye, full, full_like, ones, ones_like, zeros, zeros_like
from minigrad.custom import checkpoint, custom_vjp
from minigrad.exchange import from_dlpack
from minigrad.scan import scan
from minigrad.control import cond, switch, while_loop
from minigrad.vmap import vmap
from minigrad.transforms import grad, jvp, value_and_grad, vjp
from minigrad.jacobians import hessian, hvp, jacobian
from minigrad import io, nn, optim, random, tree
from minigrad.compile.jit import jit
from minigrad.compile.switch import disable_jit
from minigrad.kernels.threads import set_num_threads

__version__ = "0.1.0"

WORKBENCH = {
    "debug": "debug", "detect_anomaly": "debug", "export": "onnx", "inspect_kernel": "kernels.inspection",
    "distributed": "distributed", "interop": "interop", "models": "models", "profile": "profiling", "sweep": "sweeps",
    "testing": "testing", "training": "training", "viz": "viz",
}  # fmt: skip

__all__ = [
    "Tensor",
    "arange",
    "checkpoint",
    "cond",
    "custom_vjp",
    "disable_jit",
    "enable_grad",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "grad",
    "hessian",
    "hvp",
    "io",
    "jacobian",
    "jit",
    "jvp",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "random",
    "scan",
    "set_num_threads",
    "switch",
    "tensor",
    "tracing",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
    "zeros",
    "zeros_like",
    *WORKBENCH,
    *ops.__all__,
]


def __getattr__(name):  # the workbench is imported when it is asked for
    if name not in WORKBENCH:
        raise AttributeError(f"module 'minigrad' has no attribute {name!r}")
    module = import_module(f"minigrad.{WORKBENCH[name]}")
    globals()[name] = value = getattr(module, name, module)
    return value


def __dir__():
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
