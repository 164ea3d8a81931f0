"""Reductions: over a tuple of axes counted from the front, or along one axis."""

from functools import partial

from minigrad.ops.shape import axes_of, axis_of


def reduction(name: str, p, x, axis=None, keepdims=False):
    axes = tuple(sorted(axes_of(axis, x.ndim)))
    if axes == ():
        whole = p.apply("astype", x, dtype="int64") if x.dtype.kind != "f" and name in ("sum", "prod") else x
        return p.apply("not_equal", x, 0) if name in ("any", "all") and x.dtype != bool else whole
    return p.apply(name, x, axis=axes, keepdims=bool(keepdims)) if (axis, keepdims) != (axes, bool(keepdims)) else None


def along_axis(name: str, p, x, *others, axis=None, **params):
    if axis is None and not params.get("keepdims"):
        return p.apply(name, p.apply("reshape", x, shape=(x.size,)), axis=0, **params)
    if axis is None:
        return None
    k = axis_of(axis, x.ndim)
    return None if type(axis) is int and axis == k else p.apply(name, x, *others, axis=k, **params)


def sum_to(p, x, shape):
    lead = x.ndim - len(shape)
    axes = [*range(lead), *[lead + k for k, n in enumerate(shape) if n == 1 and x.shape[lead + k] != 1]]
    return p.apply("reshape", p.apply("sum", x, axis=tuple(axes), keepdims=False) if axes else x, shape=tuple(shape))


CANONICAL = {"sum_to": sum_to}
CANONICAL |= {name: partial(reduction, name) for name in ("sum", "max", "min", "prod", "any", "all")}
ONE_AXIS = ("argmax", "argmin", "cumsum", "cumprod", "linear_recurrence")
CANONICAL |= {name: partial(along_axis, name) for name in ONE_AXIS}
