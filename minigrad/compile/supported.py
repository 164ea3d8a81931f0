"""What kernels can do: which ops, of which types and shapes. For the rest they call Python."""

import ast

import numpy as np

from minigrad.ir.rewrite import is_elementwise, is_op, is_view
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Pick, Value
from minigrad.ops.conv import _geometry

INT64, BOOL = np.dtype("int64"), np.dtype(bool)
OF_BOOLEANS = ("logical_and", "logical_or", "logical_xor", "logical_not", "equal", "not_equal", "where", "add", "mul")
MOST = 256  # elements along an axis that are sorted by counting, for each, those that come before it


def main_dtype(order) -> np.dtype:
    """The float type of most of what is computed: what a kernel computes with."""
    sizes: dict = {}
    for v in order:
        if v.dtype is not None and v.dtype.kind == "f":
            sizes[v.dtype] = sizes.get(v.dtype, 0) + v.size
    return max(sizes, key=lambda dtype: sizes[dtype], default=np.dtype("float32"))


def require_kernel(v: Value, constants, main: np.dtype) -> None:
    """Raise Unsupported for what no kernel can do. main: the float type that the kernel computes with."""
    if v.op is None or v.op is Pick or is_view(v) or is_op(v, "concatenate"):
        return
    operands = [x for x in v.inputs if isinstance(x, Value)]
    if goes_along(v, main) or picks(v):
        return
    kinds = {x.dtype for x in (v, *operands)}
    if is_elementwise(v):
        fits = kinds <= {main, BOOL} or (kinds <= {INT64, BOOL} and of_integers(v.op))
        if all(x.dtype == BOOL for x in v.inputs):
            fits = v.op.name in OF_BOOLEANS
    elif is_op(v, "astype"):
        fits = kinds <= {main, INT64, BOOL} and (v.dtype.kind != "i" or operands[0].dtype.kind != "f")
    elif is_op(v, "sum", "prod", "max", "min", "any", "all"):
        fits = kinds <= {main, BOOL} or kinds <= {INT64, BOOL}
    elif is_op(v, "conv2d", "conv_transpose2d") and v.inputs[1] in constants:
        geometry_of(v)
        fits = kinds == {main}
    else:
        fits = is_op(v, "matmul") and kinds == {main}
    if not fits:
        raise Unsupported(f"{v.op.name} of {', '.join(sorted({str(x.dtype) for x in operands}))}", v)


def of_integers(op) -> bool:
    """Whether the expression of an elementwise op means for integers what it means for floats: operators alone."""
    calls = [node for node in ast.walk(ast.parse(op.expression)) if isinstance(node, ast.Call | ast.Div | ast.Pow)]
    return all(isinstance(node, ast.Call) and ast.unparse(node.func) == "where" for node in calls)


def picks(v: Value) -> bool:
    """Whether it is what integers pick along an axis."""
    return is_op(v, "take", "embedding") and v.inputs[1].dtype.kind in "iu" and v.inputs[0].size > 0


def goes_along(v: Value, main: np.dtype) -> bool:
    """Whether it is an op along an axis that kernels can have: of the operands' types and shapes."""
    if not is_op(v, "cumsum", "cumprod", "linear_recurrence", "argmax", "argmin", "argsort", "take_along_axis",
                 "untake_along_axis"):  # fmt: skip
        return False
    axis, (x, *others) = v.params["axis"], v.inputs
    of_main = x.dtype == main and (v.dtype.kind != "f" or v.dtype == main)
    of_main = of_main or is_op(v, "take_along_axis")  # which moves numbers of any type
    if type(axis) is not int or axis < 0 or not of_main or any(y.size == 0 for y in v.inputs):
        return False
    if is_op(v, "argsort"):
        return x.shape[axis] <= MOST
    if is_op(v, "take_along_axis", "untake_along_axis"):
        whole = v if is_op(v, "untake_along_axis") else x
        shapes = {(*y.shape[:axis], *y.shape[axis + 1 :]) for y in (whole, *others)}
        return others[0].dtype.kind in "iu" and len(shapes) == 1
    return all(y.dtype == main for y in others)


def geometry_of(v: Value) -> tuple:
    """What kernels/conv.py wants to know of a convolution of stride 1; raises Unsupported for others."""
    x, w, *bias = v.inputs
    stride, padding, dilation = _geometry(w.shape[2:], v.params["stride"], v.params["padding"], v.params["dilation"])
    if stride != (1, 1) or dilation != (1, 1) or v.params["groups"] != 1 or bias != [None]:
        raise Unsupported(f"{v.op.name} with stride, dilation or groups", v)
    (top, _), (left, _) = padding
    kh, kw = w.shape[2:]
    if v.op.name == "conv_transpose2d":
        top, left = kh - 1 - top, kw - 1 - left
    if top < 0 or left < 0:
        raise Unsupported(f"{v.op.name} with padding beyond the kernel", v)
    return (*x.shape[1:], v.shape[1], kh, kw, top, left, *v.shape[2:])
