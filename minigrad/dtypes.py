"""The dtypes that tensors have: the default one, that of a result, and those that are refused."""

import numpy as np

from minigrad.arguments import described

default_dtype = np.dtype("float32")


def common_dtype(operands) -> np.dtype:
    """Dtype of the result of an op on these (arrays, tensors, Specs or Python numbers).

    The widest float type wins. Integers and booleans take the float operand's type (as in PyTorch), Python numbers are
    weak (NEP 50).
    """
    dtypes = [x.dtype for x in operands if hasattr(x, "dtype")]
    floats = [d for d in dtypes if d.kind == "f"]
    if floats:
        return max(floats, key=lambda d: d.itemsize)
    if not dtypes or any(type(x) is float for x in operands):
        return default_dtype
    weak = [x for x in operands if type(x) is int]
    return np.result_type(*dtypes, *weak)


STORAGE = "; float16 is for storage, t.numpy().astype('float16'), and is read as float32"


def refuse_dtype(data, dtype: np.dtype):
    what = described(data) if dtype.kind == "O" else str(dtype)
    hint = STORAGE if dtype == np.float16 else ""
    raise TypeError(f"tensor: wanted float32, float64, an integer type or bool, got {what}{hint}")
