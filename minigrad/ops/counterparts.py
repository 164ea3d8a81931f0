"""What to write in place of what a tensor does not have: for the errors that name a NumPy function or a method."""

from minigrad.ops.table import composites, table
from minigrad.tensor import Tensor

IN_PLACE = "tensors are changed by t[index] = values, t += values, t.copy_(values)"
COMPLEX = "there are no complex tensors; take t.detach().numpy() if no gradient is wanted"
# By NumPy's name, or its module's.
INSTEAD = {
    "np.put": IN_PLACE, "np.place": IN_PLACE, "np.putmask": IN_PLACE, "np.copyto": IN_PLACE,
    "np.fill_diagonal": IN_PLACE, "np.put_along_axis": IN_PLACE, "np.fft": COMPLEX, "np.roots": COMPLEX,
    "np.linalg.eig": COMPLEX + "; of symmetric matrices use np.linalg.eigh",
    "np.linalg.eigvals": COMPLEX + "; of symmetric matrices use np.linalg.eigvalsh",
}  # fmt: skip
# Methods of PyTorch's tensors that have one meaning, as an expression of the tensor t.
TORCH = {
    "unsqueeze": "mg.expand_dims(t, axis)", "permute": "t.transpose(axes)", "view": "t.reshape(shape)",
    "view_as": "t.reshape(other.shape)", "masked_fill": "mg.where(mask, value, t)", "t": "t.T",
    "expand": "mg.broadcast_to(t, shape)", "expand_as": "mg.broadcast_to(t, other.shape)",
    "contiguous": "t, which is always as if contiguous", "clamp": "t.clip(low, high)", "mm": "t @ other",
    "bmm": "t @ other", "mv": "t @ other", "numel": "t.size", "dim": "t.ndim", "float": 't.astype("float32")',
    "double": 't.astype("float64")', "long": 't.astype("int64")', "clone": "t.copy()",
    "index_select": "t.take(index, axis)",
    "repeat_interleave": "t.repeat(repeats, axis)", "cpu": "t: there are no devices",
    "type": "t.astype(dtype)", "to": "t.astype(dtype): there are no devices", "absolute": "t.abs()",
}  # fmt: skip


def instead_of(function, name: str) -> str:
    """What an error about a NumPy function of this name says: what to write in its place, if that is known."""
    own = function.__name__
    if own in composites or (own in table and table[own].public):
        return f"use minigrad.{own}"
    for known in (name, name.rpartition(".")[0]):
        if known in INSTEAD:
            return INSTEAD[known]
    return "it has no counterpart; write it with ops of minigrad, or take t.detach().numpy() if no gradient is wanted"


def _missing(self, name: str):
    """Called for an attribute that there is not."""
    hint = f"; PyTorch's t.{name} is {TORCH[name]}" if name in TORCH else ""
    raise AttributeError(f"'Tensor' object has no attribute {name!r}{hint}", name=name, obj=self)


Tensor.__getattr__ = _missing
