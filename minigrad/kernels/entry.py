"""What a kernel asks of the arrays that it is given, before machine code reads them by their addresses."""

import ctypes
from typing import NoReturn

import numpy as np

FLOATS = (np.dtype("float32"), np.dtype("float64"))


def in_order(x: np.ndarray) -> np.ndarray:
    """The array, or a copy of it, with its elements side by side in C order and at a multiple of their size."""
    flags = x.flags
    return x if flags.c_contiguous and flags.aligned else np.array(x, order="C")


def spec(x: np.ndarray) -> str:
    flags = x.flags
    return f"{x.dtype}{list(x.shape)}" + ("" if flags.c_contiguous and flags.aligned else f" of strides {x.strides}")


def refuse(kernel: str, wanted: str, *arrays: np.ndarray) -> NoReturn:
    raise ValueError(f"kernel {kernel}: got {', '.join(map(spec, arrays))}; wanted {wanted}")


def require_indices(what: str, of: str, indices: np.ndarray, n: int) -> None:
    """Raise IndexError unless all of them are in [0, n)."""
    if indices.size:
        low, high = indices.min(), indices.max()
        if low < 0 or high >= n:
            raise IndexError(f"{what} from {low} to {high}, wanted {of} from 0 to {n - 1}")


def address_of(array: np.ndarray) -> int:
    """Where an array's numbers are: the first field of NumPy's array object, behind Python's own."""
    return ctypes.c_int64.from_address(id(array) + object.__basicsize__).value


_probe = np.empty(1)
if address_of(_probe) != _probe.ctypes.data:  # another Python or NumPy than we know

    def address_of(array: np.ndarray) -> int:
        return array.ctypes.data
