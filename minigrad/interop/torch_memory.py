"""Tensors, parameters and buffers of PyTorch and of ours in one memory."""

import numpy as np
import torch

from minigrad import modes
from minigrad.nn.module import Buffer, Parameter
from minigrad.tape import Leaf

NARROW = (torch.float16, torch.bfloat16)


def plain(t: torch.Tensor) -> np.ndarray:
    """The array of a tensor's memory."""
    if t.device.type != "cpu" or t.layout is not torch.strided or t.dtype in NARROW or t.is_complex():
        raise TypeError(
            f"interop.torch: got a tensor of {t.dtype} on {t.device}, wanted float32, float64, integers or bool on the "
            "CPU; use x.float(), x.cpu() or x.to_dense()"
        )
    return t.detach().numpy()


class Shared:
    """A parameter or buffer of two modules, in one memory. owner, name: where PyTorch has it. ours: here.

    home: the tensor that PyTorch has there, unless it puts another one in its place for a call (`functional_call`, a
    parametrization). array, address: the memory, as both sides had it when they were last looked at."""

    def __init__(self, owner: torch.nn.Module, name: str, ours: Parameter | Buffer):
        self.owner, self.name, self.ours = owner, name, ours
        self.settle()

    def settle(self) -> None:
        self.home: torch.Tensor = getattr(self.owner, self.name)
        self.array, self.address = None, -1
        self.meet()

    def meet(self) -> None:
        """If one side has got another memory since, the other one gets it, too."""
        theirs, ours = self.home, self.ours
        moved = theirs.data_ptr() != self.address
        if not moved and ours._data is self.array and theirs.requires_grad == (ours._node is not None):
            return
        with modes.lock:
            if moved:
                ours._data = plain(theirs)
            elif ours._data is not self.array:
                with torch.no_grad():
                    theirs.data = torch.from_numpy(ours._data)
            node = ours._node if theirs.requires_grad else None
            if theirs.requires_grad and (node is None or node.dtype != ours.dtype):
                node = Leaf(ours.shape, ours.dtype)
            ours._node = node
            self.array, self.address = ours._data, theirs.data_ptr()

    def __getstate__(self):
        return {**vars(self), "array": None, "address": -1}  # a copy of both sides is not one memory
