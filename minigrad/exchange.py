"""Arrays of other libraries: as tensors, and tensors as theirs, in one memory (DLPack)."""

from typing import Any

import numpy as np

from minigrad.arguments import checked, refuse_masked
from minigrad.modes import thread, tracing
from minigrad.tensor import Tensor, as_array

CPU = (1, 0)


@checked
def from_dlpack(x: Any) -> Tensor:
    """A tensor in the memory of an array of another library: NumPy, PyTorch, JAX and all that speak DLPack, on the CPU.

    What is written on one side is seen on the other. Where the memory is read-only (JAX's is), the tensor cannot be
    changed in place. A tensor of ours is exported in the same way, read-only for those who can be told, as
    `t.numpy()` is: the tape does not see what others write, so let them write before the forward or after the backward.

        >>> a = np.zeros(3)
        >>> t = mg.from_dlpack(a)
        >>> a[0] = 1.0
        >>> t.tolist()
        [1.0, 0.0, 0.0]

    Raises TypeError for what has no DLPack, is not on the CPU, is on another tape, or has a dtype that `tensor` does
    not take.
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: got a {type(x).__name__}, wanted an array with __dlpack__; tensor copies others")
    refuse_masked(x)
    try:
        array = np.from_dlpack(x)
    except Exception as error:  # of every library its own
        raise TypeError(f"from_dlpack: NumPy cannot look at this {type(x).__name__}: {error}") from error
    if as_array(array) is not array:  # float16, which comes as float32
        raise TypeError(f"from_dlpack: a tensor of {array.dtype} has memory of its own; tensor copies it")
    return thread.program.borrow(array) if tracing() else Tensor(array)


def dlpack(self, *, stream=None, max_version=None, dl_device=None, copy=None):
    if self.requires_grad:
        raise BufferError("a tensor that is on the tape is not exported, for its gradient would be lost; detach() it")
    array = self.numpy()
    if max_version is None and not copy:  # to one who cannot be told that it is read-only
        array = self._data
    return array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


def array_of(value: Any) -> np.ndarray:
    """The numbers of an array or a tensor, of ours or of PyTorch's, on a tape or off it, as NumPy's array."""
    value = value.detach() if hasattr(value, "detach") else value
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":  # which NumPy lacks
        value = value.float()
    return np.asarray(value)


Tensor.__dlpack__ = dlpack  # type: ignore[attr-defined]
Tensor.__dlpack_device__ = lambda self: CPU  # type: ignore[attr-defined]
