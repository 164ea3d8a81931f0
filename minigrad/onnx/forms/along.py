"""Along one axis: what integers pick and where it is added back; sorting."""

import numpy as np

from minigrad.onnx.forms.index import zeros
from minigrad.onnx.graph import INT64, same_size


def integers(g, v, k: int, name: str) -> str:
    """Operand k as integers that ONNX takes for places."""
    return name if v.inputs[k].dtype in (np.int32, np.int64) else g.cast(name, INT64)


def take(g, v, x, indices, axis):
    return g.node("Gather", x, integers(g, v, 1, indices), axis=axis)


def embedding(g, v, weight, indices):
    return g.node("Gather", weight, integers(g, v, 1, indices), axis=0)


def untake(g, v, x, indices, shape, axis):
    """Added up at places along the first axis, to which the axis is moved."""
    places = v.inputs[1]
    behind = [k for k in range(v.inputs[0].ndim) if not axis <= k < axis + places.ndim]
    moved = g.node("Transpose", x, perm=[*range(axis, axis + places.ndim), *behind])
    rest = [n for k, n in enumerate(v.shape) if k != axis]
    at = g.node("Unsqueeze", integers(g, v, 1, indices), g.sizes([-1]))
    made = g.node(
        "ScatterND", zeros(g, [v.shape[axis], *rest], v.dtype), g.cast(at, INT64), moved, reduction="add"
    )  # fmt: skip
    order = [k + 1 if k < axis else 0 if k == axis else k for k in range(v.ndim)]
    return g.node("Transpose", made, perm=order)


def fitted(g, x: str, shape, wanted) -> str:
    """x in a shape, as far as that differs."""
    if all(map(same_size, shape, wanted)):
        return x
    return g.node("Expand", x, g.sizes([1 if same_size(n, m) else m for n, m in zip(shape, wanted)]))


def take_along_axis(g, v, x, indices, axis):
    of_x, of_indices = [list(operand.shape) for operand in v.inputs]
    whole = [n if k == axis else m for k, (n, m) in enumerate(zip(of_x, v.shape))]
    places = fitted(g, integers(g, v, 1, indices), of_indices, v.shape)
    return g.node("GatherElements", fitted(g, x, of_x, whole), places, axis=axis)


def untake_along_axis(g, v, x, indices, shape, axis):
    """Where another axis has size 1 in the result and more in the operand, the sum over it is still to be taken."""
    of_x, of_indices = [operand.shape for operand in v.inputs]
    joint = [max_size(n, m) for n, m in zip(of_x, of_indices)]
    whole = [v.shape[k] if k == axis else n for k, n in enumerate(joint)]
    places = fitted(g, integers(g, v, 1, indices), of_indices, joint)
    made = g.node(
        "ScatterElements", zeros(g, whole, v.dtype), places, fitted(g, x, of_x, joint), axis=axis, reduction="add"
    )  # fmt: skip
    summed = [k for k, (n, m) in enumerate(zip(whole, v.shape)) if not same_size(n, m)]
    return g.node("ReduceSum", made, g.sizes(summed), keepdims=1) if summed else made


def max_size(n, m):
    return m if type(n) is int and n == 1 else n


def argsort(g, v, x, axis, descending):
    """TopK lets the first of equal ones come first; NaN comes last, as if infinite."""
    (given,) = v.inputs
    if given.dtype.kind == "f":
        x = g.node("Where", g.node("IsNaN", x), g.constant(np.asarray(np.inf, given.dtype)), x)
    elif given.dtype not in (np.int32, np.int64):
        x = g.cast(x, INT64)
    return g.nodes_of("TopK", x, g.size(given.shape[axis]), results=2, axis=axis, largest=int(descending), sorted=1)[1]


FORMS = {
    "take": take, "embedding": embedding, "untake": untake, "take_along_axis": take_along_axis,
    "untake_along_axis": untake_along_axis, "argsort": argsort,
}  # fmt: skip
