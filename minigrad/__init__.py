"""minigrad: tape-based automatic differentiation on NumPy and Numba."""

from typing import TYPE_CHECKING, Any

from minigrad.tape import enable_grad, no_grad, tracing
from minigrad.tensor import Tensor, tensor
from minigrad.ops import *  # every op of the table is public
from minigrad.custom import checkpoint, custom_vjp
from minigrad.scan import scan
from minigrad.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from minigrad import debug, io, nn, optim, testing, tree, viz
from minigrad.compile.jit import disable_jit, jit
from minigrad.debug import detect_anomaly
from minigrad.kernels.inspection import inspect_kernel
from minigrad.kernels.threads import set_num_threads
from minigrad.profiling import profile

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...  # the ops
