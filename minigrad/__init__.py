"""minigrad: tape-based automatic differentiation on NumPy and Numba."""

from minigrad.ops.elementwise import *
from minigrad.ops.index import *
from minigrad.ops.linalg import *
from minigrad.ops.reduce import *
from minigrad.ops.shape import *
from minigrad.tape import enable_grad, no_grad
from minigrad.tensor import Tensor, tensor
