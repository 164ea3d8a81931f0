"""A call of a NumPy function on tensors, restated as a call of the op that stands for it.

NumPy's parameters and ours agree by name, not by place: np.sum(t, 0, None, None, True) means keepdims. A parameter that
the op lacks may have NumPy's default; any other value is refused, never taken to mean something else.
"""

import functools
import inspect

import numpy as np

from minigrad.ops.counterparts import instead_of
from minigrad.ops.numpy import arithmetic, calculus, linalg, polynomial, product, reduce, shape, statistics  # noqa: F401
from minigrad.ops.numpy.declare import compositions, off_the_tape
from minigrad.ops.numpy.select import OFF_THE_TAPE
from minigrad.ops.shape import astype
from minigrad.ops.table import numpy_rules
from minigrad.tensor import Tensor, tensor

WITHOUT_EFFECT = {"optimize", "kind", "stable"}  # on the result: what sorts does so stably


@functools.cache
def signature(function) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:
        return None


@functools.cache
def places(function, rule) -> list[str]:
    """NumPy's names of the rule's inputs: the same, or (as `a` for x) the parameter at the same place."""
    ours = list(inspect.signature(rule).parameters.values())
    inputs = [p.name for p in ours if p.kind is p.POSITIONAL_ONLY] or [p.name for p in ours[:1]]
    return list(signature(function).parameters)[: len(inputs)]  # type: ignore[union-attr]


def name_of(function) -> str:
    module = (getattr(function, "__module__", None) or "numpy").replace("numpy", "np", 1)
    return f"{module}.{function.__name__}"


def call(function, rule, args: tuple, kwargs: dict):
    """rule(*args, **kwargs), where these are the arguments of a call of a NumPy function."""
    theirs, ours = signature(function), signature(rule)
    if theirs is None or ours is None:
        return rule(*args, **kwargs)
    try:
        bound = theirs.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name_of(function)}: {error}") from None
    inputs, given = [], {}
    all_inputs = any(p.kind is p.VAR_POSITIONAL for p in ours.parameters.values())
    for name, value in bound.arguments.items():
        kind = theirs.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            inputs += value
        elif kind is inspect.Parameter.VAR_KEYWORD:
            given.update(value)
        elif name in places(function, rule) or (all_inputs and kind is not inspect.Parameter.KEYWORD_ONLY):
            inputs.append(value)
        elif value is not theirs.parameters[name].default:
            given[name] = value
    for name in [name for name in given if name not in ours.parameters]:
        value, parameter = given.pop(name), theirs.parameters.get(name)
        defaults = [parameter.default if parameter else inspect.Parameter.empty, True if name == "where" else None]
        same = any(value is d or (type(value) is type(d) and value == d) for d in defaults)
        if name not in WITHOUT_EFFECT and not same:
            raise TypeError(f"{name_of(function)} of tensors takes no {name}={value!r}; {hint(name)}")
    try:
        return rule(*inputs, **given)
    except (TypeError, ValueError, IndexError) as error:
        if function.__name__ in str(error) or rule.__name__ in str(error):
            raise
        raise type(error)(f"{name_of(function)}: {error}") from None


def hint(name: str) -> str:
    return {
        "dtype": "use astype",
        "out": "ops do not write into arrays",
        "where": "use minigrad.where before",
    }.get(name, "there is no counterpart")


# NumPy's protocols: np.tanh(t), np.concatenate([t, u]), array @ t are the ops of the table.


def array_ufunc(self, ufunc, method, *inputs, **kwargs):
    rule = compositions.get(ufunc) or numpy_rules.get(ufunc)
    if method != "__call__":
        fix = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}.get(ufunc.__name__)
        hint = f"use minigrad.{fix}" if method == "reduce" and fix else "use an op of minigrad"
        raise TypeError(f"np.{ufunc.__name__}.{method} has no rule for tensors; {hint}")
    if rule is None:
        raise no_rule(ufunc)
    if not kwargs:
        return rule(*inputs)
    dtype = kwargs.pop("dtype", None)
    own = signature(rule)
    options = {name: kwargs.pop(name) for name in list(kwargs) if own is not None and name in own.parameters}
    for name, value in kwargs.items():
        default = UFUNC_DEFAULTS.get(name, value)
        if name not in UFUNC_DEFAULTS or not (value is default or (type(value) is str and value == default)):
            raise TypeError(f"np.{ufunc.__name__} of tensors takes no {name}={value!r}: ops do not write into arrays")
    if dtype is None:
        return rule(*inputs, **options)
    return rule(*[in_dtype(ufunc, x, np.dtype(dtype)) for x in inputs], **options)


UFUNC_DEFAULTS = {"out": None, "where": True, "casting": "same_kind", "order": "K", "subok": True}


def in_dtype(ufunc, x, dtype: np.dtype):
    """An operand in the dtype that a ufunc is to compute in."""
    if dtype.kind != "f":
        raise TypeError(f"np.{ufunc.__name__} of tensors takes no dtype={dtype}; use astype")
    return astype(x, dtype) if isinstance(x, Tensor) else np.asarray(x, dtype)


def array_function(self, function, types, args, kwargs):
    if function in OFF_THE_TAPE:
        return off_the_tape(function, *args, **kwargs)
    rule = compositions.get(function) or numpy_rules.get(function) or about_arrays.get(function)
    if rule is None:
        raise no_rule(function)
    return call(function, rule, args, kwargs)


about_arrays = {
    np.shape: lambda t: t.shape,
    np.ndim: lambda t: t.ndim,
    np.size: lambda t: t.size,
    np.zeros_like: lambda t: tensor(np.zeros(t.shape, t.dtype)),
    np.ones_like: lambda t: tensor(np.ones(t.shape, t.dtype)),
}  # NumPy functions that look at no values


def no_rule(function) -> TypeError:
    """The error for a NumPy function that no op stands for."""
    return TypeError(f"{name_of(function)} has no rule for tensors; {instead_of(function, name_of(function))}")


Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
