"""Every op that PyTorch's own op database has in common with ours, on its sample inputs: values, gradients, second
derivatives; eager and jitted. The heavy run takes every sample, the quick one a few of each entry.

An adapter reads the arguments as PyTorch's op takes them. `differs` says of a sample why ours has no answer to it, or
another one. The heavy run checks that no reason is stale: of the samples that an entry skips for a reason, one at least
fails without it.
"""

import math
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import composites, table

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")  # PyTorch's op database imports it
pytestmark = pytest.mark.parity
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

DATABASE = {op.name + (f"/{op.variant_test_name}" if op.variant_test_name else ""): op for op in op_db}
SAMPLES = 6
inf = float("inf")


class Differs(Exception):
    pass


IGNORED: set | None = None  # while a set, reasons are collected in it, and nothing is skipped


def differs(condition, reason):
    if not condition:
        return
    if IGNORED is None:
        raise Differs(reason)
    IGNORED.add(reason)


def axis_of(x, dim):
    differs(x.ndim == 0 and dim not in (None, (), []), "NumPy has no axis 0 of a 0-d array")
    return tuple(dim) if isinstance(dim, (tuple, list)) else dim


def reduction(f):
    def adapter(x, dim=None, keepdim=False, dtype=None):
        return f(x, axis_of(x, dim), keepdims=keepdim)

    return adapter


def along(f):
    return lambda x, dim, dtype=None: f(x, axis_of(x, dim))


def deviation(f):
    def adapter(x, dim=None, unbiased=None, *, correction=None, keepdim=False):
        if isinstance(dim, bool):  # x.var(unbiased)
            dim, unbiased = None, dim
        ddof = correction if correction is not None else 0 if unbiased is False else 1
        n = x.size if dim is None else np.prod([x.shape[k] for k in np.atleast_1d(dim)]) if x.ndim else 1
        differs(n <= ddof, "no degree of freedom is left")
        return f(x, axis_of(x, dim), ddof=ddof, keepdims=keepdim)

    return adapter


def extreme(value, index):
    def adapter(x, dim=None, keepdim=False):
        if dim is None:
            return value(x)
        axis = axis_of(x, dim)
        return [value(x, axis, keepdims=keepdim), index(x, axis, keepdims=keepdim)]

    return adapter


def norm(x, ord=None, dim=None, keepdim=False, dtype=None):
    axes = x.ndim if dim is None else np.size(dim)
    differs(isinstance(ord, str) or (axes == 2 and ord is not None), "matrix norms are not ours")
    return vector_norm(x, 2 if ord is None else ord, dim, keepdim)


def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    differs(ord == inf and x.size == 0, "the maximum of nothing")
    differs(ord < 0 and x.size == 0, "the norm of nothing")
    return mg.norm(x, ord, axis_of(x, dim), keepdims=keepdim)


def pad(mode):
    def adapter(x, widths, given=mode, value=None):
        differs(min(widths, default=0) < 0, "negative widths crop in PyTorch only")
        pairs = list(zip(widths[::2], widths[1::2]))[::-1]
        width = [(0, 0)] * (x.ndim - len(pairs)) + pairs
        return mg.pad(x, width, mode, **({"constant_values": value or 0} if mode == "constant" else {}))

    return adapter


def batched(f, ndim):
    """f of images or sequences, of one without a batch axis too."""

    def adapter(x, *args, **kwargs):
        if x.ndim == ndim:
            return f(x, *args, **kwargs)
        results = f(mg.expand_dims(x, 0), *args, **kwargs)
        return [mg.squeeze(y, 0) for y in results] if isinstance(results, (list, tuple)) else mg.squeeze(results, 0)

    return adapter


def pool(f):
    return lambda x, kernel_size, stride=None, *window, **options: f(x, kernel_size, stride or None, *window, **options)


def unpool(f, ndim):
    def adapter(x, indices, *args, **options):
        flat = indices.numpy().reshape(*x.shape[: x.ndim - ndim], -1)
        differs(any(len(np.unique(row)) < len(row) for row in flat.reshape(-1, flat.shape[-1])), "of repeated indices "
                "PyTorch takes any one, but sends gradients to all")  # fmt: skip
        images = [y if x.ndim == ndim + 2 else mg.expand_dims(y, 0) for y in (x, indices)]
        y = f(*images, *args, **options)
        return y if x.ndim == ndim + 2 else mg.squeeze(y, 0)

    return adapter


def cross_entropy(x, target, weight=None, reduction="mean", ignore_index=-100, label_smoothing=0.0):
    return mg.cross_entropy(x, target, weight, reduction, ignore_index, label_smoothing)


def nll_loss(x, target, weight=None, reduction="mean", ignore_index=-100):
    return mg.nll_loss(x, target, weight, reduction, ignore_index)


def logits_loss(x, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
    return mg.binary_cross_entropy_with_logits(x, target, weight, pos_weight, reduction)


def loss(f):
    def adapter(x, target, size_average=None, reduce=None, reduction="mean", weight=None, **options):
        differs(weight is not None, "weights are not ours: multiply")
        differs(x.shape != target.shape, "shapes that broadcast are refused")
        return f(x, target, reduction, **options)

    return adapter


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    differs(eps < 0, "a negative eps makes roots of negative numbers")
    return mg.layer_norm(x, weight, bias, tuple(range(-len(shape), 0)), eps)


def rms_norm(x, shape, weight=None, eps=None):
    differs(eps is not None and eps < 0, "a negative eps makes roots of negative numbers")
    return mg.rms_norm(x, weight, tuple(range(-len(shape), 0)), eps)


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    differs(eps < 0, "a negative eps makes roots of negative numbers")
    return mg.group_norm(x, weight, bias, num_groups, eps)


def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    differs(x.ndim < 2, "PyTorch takes a tensor of one empty axis")
    return mg.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)


def interpolate(x, size=None, recompute_scale_factor=None, **options):
    if recompute_scale_factor:
        factors = np.broadcast_to(options.pop("scale_factor"), x.ndim - 2)
        size = [math.floor(n * f) for n, f in zip(x.shape[2:], factors)]
    return mg.interpolate(x, size, **options)


def einsum(tensors, equation):
    differs("..." in equation and "..." not in equation.split("->")[-1], "NumPy does not sum over an ellipsis")
    return mg.einsum(equation, *tensors)


def concatenate(tensors, dim=0):
    differs(any(x.shape == (0,) and x.ndim != tensors[-1].ndim for x in tensors), "PyTorch skips tensors of shape (0,)")
    return mg.concatenate(tensors, dim)


def one_hot(x, num_classes=-1):
    differs(num_classes < 0, "the number of classes is not guessed")
    return mg.one_hot(x, num_classes)


def solve(a, b, left=True):
    differs(not left, "ours solves a x = b only")
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and a.shape[:-1] == b.shape)
    return mg.squeeze(mg.solve(a, mg.expand_dims(b, -1)), -1) if vector else mg.solve(a, b)


def cholesky(a, upper=False):
    symmetric = (a + a.mT) * 0.5  # PyTorch's gradient is the symmetric one
    return mg.cholesky(symmetric).mT if upper else mg.cholesky(symmetric)


def argsort(x, dim=-1, descending=False, stable=None):
    return mg.argsort(x, axis_of(x, dim), descending)


def sort(x, dim=-1, descending=False, stable=None):
    axis = axis_of(x, dim)
    return [mg.sort(x, axis, descending), mg.argsort(x, axis, descending)]


def topk(x, k, dim=-1, largest=True, sorted=True):
    return list(mg.topk(x, k, axis_of(x, dim), largest))


def clamp(x, min=None, max=None):
    return mg.clip(x, -inf if min is None else min, inf if max is None else max)


def embedding(weight, indices, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    differs(padding_idx is not None or max_norm is not None, "padding and renormalisation are not ours")
    differs(scale_grad_by_freq or sparse, "scaled and sparse gradients are not ours")
    return mg.embedding(weight, indices)


def gather(x, dim, index):
    differs(x.ndim == 0, "NumPy has no axis 0 of a 0-d array")
    differs(x.ndim != index.ndim, "PyTorch takes an empty index of any shape")
    return mg.gather(x, dim, index)


def scatter_add(x, dim, index, src):
    differs(x.ndim == 0, "NumPy has no axis 0 of a 0-d array")
    return mg.scatter_add(x, dim, index, src)


def take_along_dim(x, index, dim=None):
    return (
        mg.take_along_axis(x, index, dim) if dim is not None else mg.take_along_axis(x.reshape(-1), index.reshape(-1))
    )


def repeat(x, reps):
    return mg.tile(x, reps)


def repeat_interleave(x, repeats, dim=None, output_size=None):
    return mg.repeat(x, repeats.numpy() if isinstance(repeats, mg.Tensor) else repeats, dim)


def flip(x, dims):
    differs(x.ndim == 0 and dims, "NumPy has no axis 0 of a 0-d array")
    return mg.flip(x, tuple(dims))


def roll(x, shifts, dims=None):
    return mg.roll(x, shifts, axis_of(x, dims))


def expand(x, shape):
    lead = len(shape) - x.ndim
    return mg.broadcast_to(x, tuple(x.shape[k - lead] if n == -1 else n for k, n in enumerate(shape)))


def softplus(x, beta=1, threshold=20):
    return mg.where(x * beta > threshold, x, mg.softplus(x * beta) / beta)


def hardtanh(x, min_val=-1.0, max_val=1.0):
    return mg.hard_tanh(x) if (min_val, max_val) == (-1.0, 1.0) else mg.clip(x, min_val, max_val)


def elu(x, alpha=1.0):
    differs(alpha != 1, "ours has alpha = 1")
    return mg.elu(x)


def gelu(x, approximate="none"):
    differs(approximate != "none", "ours is the exact one")
    return mg.gelu(x)


def rounded(x, decimals=0):
    differs(decimals != 0, "ours rounds to integers")
    return mg.round(x)


def squeeze(x, dim=None):
    if dim is None:
        return mg.squeeze(x)
    dims = [d % max(x.ndim, 1) for d in np.atleast_1d(np.array(dim, int))] if x.ndim else []
    return mg.squeeze(x, tuple(d for d in dims if x.shape[d] == 1))  # PyTorch leaves the other axes as they are


def split(x, size, dim=0):
    if isinstance(size, int):
        n = x.shape[dim]
        size = [min(size, n - start) for start in range(0, n, size)]
    return mg.split(x, list(size), dim)


def binary(f, name="alpha"):
    return lambda a, b, alpha=1: f(a, b if alpha == 1 else b * alpha)


def of_one(f):
    return lambda x: f(x)


def same(f):
    return lambda *args: f(*args)


UNARY = {
    "acos": "arccos", "asin": "arcsin", "atan": "arctan", "asinh": "arcsinh", "nn.functional.logsigmoid": "log_sigmoid",
    "nn.functional.hardsigmoid": "hard_sigmoid", "nn.functional.relu": "relu", "nn.functional.silu": "silu",
    "linalg.inv": "inv", "linalg.det": "det", "linalg.slogdet": "slogdet", "clone": "copy",
    **{f: f for f in ["abs", "neg", "sign", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "square", "reciprocal"]},
    **{f: f for f in ["sin", "cos", "tan", "sinh", "cosh", "tanh", "sigmoid", "erf", "floor", "ceil"]},
    **{f: f for f in ["isnan", "isfinite", "logical_not"]},
}  # fmt: skip
BINARY = {
    "mul": "mul", "div/no_rounding_mode": "div", "true_divide": "div", "pow": "pow", "atan2": "arctan2",
    "maximum": "maximum", "minimum": "minimum", "max/binary": "maximum", "min/binary": "minimum", "eq": "equal",
    "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "outer": "outer",
    "logical_and": "logical_and", "logical_or": "logical_or", "logical_xor": "logical_xor", "matmul": "matmul",
    "mm": "matmul", "bmm": "matmul", "mv": "matmul", "dot": "dot", "logaddexp": "logaddexp", "remainder": "remainder",
}  # fmt: skip
# PyTorch's name -> (ours, adapter of arguments)
ADAPTERS = {
    **{theirs: (ours, of_one(getattr(mg, ours))) for theirs, ours in UNARY.items()},
    **{theirs: (ours, same(getattr(mg, ours))) for theirs, ours in BINARY.items()},
    "add": ("add", binary(mg.add)),
    "sub": ("sub", binary(mg.sub)),
    "__radd__": ("add", lambda x, a: a + x),
    "__rsub__": ("sub", lambda x, a: a - x),
    "__rmul__": ("mul", lambda x, a: a * x),
    "__rdiv__": ("div", lambda x, a: a / x),
    "__rpow__": ("pow", lambda x, a: a**x),
    "__rmatmul__": ("matmul", lambda x, a: a @ x),
    "round": ("round", rounded),
    "nn.functional.softplus": ("softplus", softplus),
    "nn.functional.hardtanh": ("hard_tanh", hardtanh),
    "nn.functional.elu": ("elu", elu),
    "nn.functional.gelu": ("gelu", gelu),
    "nn.functional.leaky_relu": ("leaky_relu", lambda x, negative_slope=0.01: mg.leaky_relu(x, negative_slope)),
    "where": ("where", lambda x, condition, other: mg.where(condition, x, other)),
    "clamp": ("clip", clamp),
    "sum": ("sum", reduction(mg.sum)),
    "mean": ("mean", reduction(mg.mean)),
    "prod": ("prod", reduction(mg.prod)),
    "amax": ("max", reduction(mg.max)),
    "amin": ("min", reduction(mg.min)),
    "max/reduction_no_dim": ("max", extreme(mg.max, mg.argmax)),
    "min/reduction_no_dim": ("min", extreme(mg.min, mg.argmin)),
    "max/reduction_with_dim": ("max", extreme(mg.max, mg.argmax)),
    "min/reduction_with_dim": ("min", extreme(mg.min, mg.argmin)),
    "argmax": ("argmax", reduction(mg.argmax)),
    "argmin": ("argmin", reduction(mg.argmin)),
    "any": ("any", reduction(mg.any)),
    "all": ("all", reduction(mg.all)),
    "logsumexp": ("logsumexp", reduction(mg.logsumexp)),
    "cumsum": ("cumsum", along(mg.cumsum)),
    "cumprod": ("cumprod", along(mg.cumprod)),
    "var": ("var", deviation(mg.var)),
    "std": ("std", deviation(mg.std)),
    "var/unbiased": ("var", deviation(mg.var)),
    "std/unbiased": ("std", deviation(mg.std)),
    "linalg.norm": ("norm", norm),
    "linalg.vector_norm": ("norm", vector_norm),
    "einsum": ("einsum", einsum),
    "linalg.solve": ("solve", solve),
    "linalg.cholesky": ("cholesky", cholesky),
    "linalg.svdvals": ("svd", lambda x: mg.svd(x)[1]),
    "trace": ("trace", of_one(mg.trace)),
    "diag": ("diag", lambda x, diagonal=0: mg.diag(x, diagonal)),
    "diagonal": ("diagonal", lambda x, offset=0, dim1=0, dim2=1: mg.diagonal(x, offset, dim1, dim2)),
    "linalg.diagonal": ("diagonal", lambda x, offset=0, dim1=-2, dim2=-1: mg.diagonal(x, offset, dim1, dim2)),
    "tril": ("tril", lambda x, k=0: mg.tril(x, k)),
    "triu": ("triu", lambda x, k=0: mg.triu(x, k)),
    "reshape": ("reshape", lambda x, shape: mg.reshape(x, shape)),
    "view": ("reshape", lambda x, shape: mg.reshape(x, shape)),
    "broadcast_to": ("broadcast_to", lambda x, shape: mg.broadcast_to(x, shape)),
    "expand": ("broadcast_to", expand),
    "permute": ("transpose", lambda x, dims: mg.transpose(x, dims)),
    "transpose": ("swapaxes", lambda x, a, b: x if x.ndim == 0 else mg.swapaxes(x, a, b)),
    "movedim": ("moveaxis", lambda x, a, b: mg.moveaxis(x, a, b)),
    "unsqueeze": ("expand_dims", lambda x, dim: mg.expand_dims(x, dim)),
    "squeeze": ("squeeze", squeeze),
    "squeeze/multiple": ("squeeze", squeeze),
    "cat": ("concatenate", concatenate),
    "stack": ("stack", lambda tensors, dim=0: mg.stack(tensors, dim)),
    "split": ("split", split),
    "split/list_args": ("split", split),
    "split_with_sizes": ("split", split),
    "chunk": ("chunk", lambda x, chunks, dim=0: mg.chunk(x, chunks, dim)),
    "unbind": ("unstack", lambda x, dim=0: mg.unstack(x, dim)),
    "flip": ("flip", flip),
    "roll": ("roll", roll),
    "tile": ("tile", lambda x, reps: mg.tile(x, reps)),
    "repeat": ("tile", repeat),
    "repeat_interleave": ("repeat", repeat_interleave),
    "nn.functional.pad/constant": ("pad", pad("constant")),
    "nn.functional.pad/reflect": ("pad", pad("reflect")),
    "nn.functional.pad/replicate": ("pad", pad("edge")),
    "nn.functional.pad/circular": ("pad", pad("wrap")),
    "__getitem__": ("getitem", lambda x, index: x[index]),
    "take": ("take", lambda x, index: mg.take(x, index)),
    "index_select": ("take", lambda x, dim, index: mg.take(x, index, axis_of(x, dim))),
    "take_along_dim": ("take_along_axis", take_along_dim),
    "gather": ("gather", gather),
    "scatter_add": ("scatter_add", scatter_add),
    "nn.functional.embedding": ("embedding", embedding),
    "nn.functional.one_hot": ("one_hot", one_hot),
    "sort": ("sort", sort),
    "argsort": ("argsort", argsort),
    "topk": ("topk", topk),
    "cummax": ("cummax", lambda x, dim: list(mg.cummax(x, axis_of(x, dim)))),
    "cummin": ("cummin", lambda x, dim: list(mg.cummin(x, axis_of(x, dim)))),
    "softmax": ("softmax", along(mg.softmax)),
    "log_softmax": ("log_softmax", along(mg.log_softmax)),
    "nn.functional.cross_entropy": ("cross_entropy", cross_entropy),
    "nn.functional.nll_loss": ("nll_loss", nll_loss),
    "nn.functional.binary_cross_entropy_with_logits": ("binary_cross_entropy_with_logits", logits_loss),
    "nn.functional.mse_loss": ("mse", loss(mg.mse)),
    "nn.functional.huber_loss": ("huber", loss(mg.huber)),
    "nn.functional.conv1d": ("conv1d", batched(mg.conv1d, 3)),
    "nn.functional.conv2d": ("conv2d", batched(mg.conv2d, 4)),
    "nn.functional.conv3d": ("conv3d", batched(mg.conv3d, 5)),
    "nn.functional.conv_transpose1d": ("conv_transpose1d", batched(mg.conv_transpose1d, 3)),
    "nn.functional.conv_transpose2d": ("conv_transpose2d", batched(mg.conv_transpose2d, 4)),
    "nn.functional.conv_transpose3d": ("conv_transpose3d", batched(mg.conv_transpose3d, 5)),
    **{
        f"nn.functional.{name}{n}d": (f"{name}{n}d", batched(pool(getattr(mg, f"{name}{n}d")), n + 2))
        for name in ("max_pool", "avg_pool")
        for n in (1, 2, 3)
    },
    **{
        f"nn.functional.max_unpool{n}d": (f"max_unpool{n}d", unpool(getattr(mg, f"max_unpool{n}d"), n))
        for n in (1, 2, 3)
    },
    **{
        f"nn.functional.max_unpool{n}d/grad": (f"max_unpool{n}d", unpool(getattr(mg, f"max_unpool{n}d"), n))
        for n in (1, 2, 3)
    },
    "nn.functional.layer_norm": ("layer_norm", layer_norm),
    "nn.functional.rms_norm": ("rms_norm", rms_norm),
    "nn.functional.group_norm": ("group_norm", group_norm),
    "nn.functional.instance_norm": ("instance_norm", mg.instance_norm),
    "nn.functional.batch_norm": ("batch_norm", batch_norm),
    **{f"nn.functional.interpolate/{mode}": ("interpolate", interpolate)
       for mode in ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic")},
}  # fmt: skip
ONCE: dict = {}  # entries of which second derivatives are not compared, and why


def linear(x, weight, bias=None):
    y = x @ weight.mT if weight.ndim > 1 else x @ weight
    return y if bias is None else y + bias


def add_product(f):
    """addmm and its kin: beta times a tensor, plus alpha times a product."""
    return lambda x, a, b, beta=1, alpha=1: beta * x + alpha * f(a, b)


def tensordot(a, b, dims=2):
    left, right = (range(a.ndim - dims, a.ndim), range(dims)) if isinstance(dims, int) else dims
    of_a, of_b = list("abcdefgh"[: a.ndim]), list("ijklmnop"[: b.ndim])
    for i, j in zip(left, right):
        of_b[j] = of_a[i]
    free = [c for c in of_a + of_b if (of_a + of_b).count(c) == 1]
    return mg.einsum(f"{''.join(of_a)},{''.join(of_b)}->{''.join(free)}", a, b)


def beside(axis):
    def adapter(tensors):
        tensors = [mg.reshape(t, (1,)) if t.ndim == 0 else t for t in tensors]
        if axis == 0:
            tensors = [t if t.ndim > 1 else mg.reshape(t, (1, -1)) for t in tensors]
        return mg.concatenate(tensors, 0 if axis == 0 or tensors[0].ndim == 1 else 1)

    return adapter


def flatten(x, start_dim=0, end_dim=-1):
    if x.ndim == 0:
        return mg.reshape(x, (1,))
    first, last = start_dim % x.ndim, end_dim % x.ndim
    return mg.reshape(x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def select(x, dim, index):
    return x[(slice(None),) * (dim % x.ndim) + (index,)]


def narrow(x, dim, start, length):
    start = int(start.numpy()) if isinstance(start, mg.Tensor) else start
    start = start + x.shape[dim] if start < 0 else start
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, start + length),)]


def cast_first(f):
    return lambda x, dim, dtype=None: f(mg.astype(x, "float64"), axis_of(x, dim))


def smaller_and_larger(x, dim=None, keepdim=False):
    return [f(x, axis_of(x, dim), keepdims=keepdim) for f in (mg.min, mg.max)]


def vdot(a, b, dim=-1):
    return mg.sum(a * b, axis_of(a, dim))


def l1(x, target, reduction="mean"):
    losses = mg.abs(x - target)
    return {"none": losses, "sum": mg.sum(losses), "mean": mg.mean(losses)}[reduction]


def both(f):
    """std_mean, var_mean."""
    spread = deviation(f)

    def adapter(x, dim=None, unbiased=None, *, correction=None, keepdim=False):
        axis = None if isinstance(dim, bool) else axis_of(x, dim)
        return [
            spread(x, dim, unbiased, correction=correction, keepdim=keepdim),
            mg.mean(x, axis, keepdims=keepdim),
        ]

    return adapter


OWN = list(ADAPTERS)
# Entries that are made of several of ours, or are ours under another name.
ADAPTERS |= {
    **{f"{name}_copy": (ADAPTERS[name][0], ADAPTERS[name][1]) for name in (
        "permute", "transpose", "squeeze", "unsqueeze", "view", "expand", "unbind", "diagonal", "split_with_sizes",
    ) if f"{name}_copy" in DATABASE},
    **{name: ("swapaxes", lambda x: x if x.ndim < 2 else mg.swapaxes(x, -1, -2)) for name in (
        "t", "t_copy", "mT", "mH",
    )},
    **{name: ("copy", of_one(mg.copy)) for name in (
        "alias_copy", "positive", "resolve_conj", "resolve_neg", "contiguous",
    )},
    **{name: ("reshape", lambda x, other: mg.reshape(x, other.shape)) for name in ("reshape_as", "view_as")},
    "expand_as": ("broadcast_to", lambda x, other: mg.broadcast_to(x, other.shape)),
    "sum_to_size": ("sum_to", lambda x, *shape: mg.ops.reduce.sum_to(x, shape[0] if np.ndim(shape[0]) else shape)),
    "ravel": ("reshape", lambda x: mg.reshape(x, (-1,))),
    "flatten": ("reshape", flatten),
    "clamp_min": ("clip", lambda x, low: mg.clip(x, low)),
    "clamp_max": ("clip", lambda x, high: mg.clip(x, None, high)),
    "masked_fill": ("where", lambda x, mask, value: mg.where(mask, value, x)),
    "rsub": ("sub", lambda a, b, alpha=1: b - a * alpha),
    "sgn": ("sign", of_one(mg.sign)),
    "float_power": ("pow", lambda a, b: mg.pow(mg.astype(a, "float64") if isinstance(a, mg.Tensor) else a, b)),
    "softmax/with_dtype": ("softmax", cast_first(mg.softmax)),
    "log_softmax/with_dtype": ("log_softmax", cast_first(mg.log_softmax)),
    "nn.functional.softmin": ("softmax", lambda x, dim, dtype=None: mg.softmax(-x, axis_of(x, dim))),
    "nn.functional.relu6": ("hard_tanh", lambda x: 3 * mg.hard_tanh(x / 3 - 1) + 3),
    "nn.functional.l1_loss": ("abs", l1),
    "nn.functional.linear": ("matmul", linear),
    "inner": ("matmul", lambda a, b: a * b if 0 in (a.ndim, b.ndim) else tensordot(a, b, ([-1], [-1]))),
    "tensordot": ("einsum", tensordot),
    "vdot": ("dot", same(mg.dot)),
    "linalg.vecdot": ("sum", vdot),
    **{name: ("matmul", add_product(mg.matmul)) for name in ("addmm", "addmv", "baddbmm", "addmm/decomposed")},
    "addbmm": ("matmul", add_product(lambda a, b: mg.sum(a @ b, 0))),
    "addr": ("outer", add_product(mg.outer)),
    "hstack": ("concatenate", beside(1)),
    "vstack": ("concatenate", beside(0)),
    "fliplr": ("flip", lambda x: mg.flip(x, 1)),
    "flipud": ("flip", lambda x: mg.flip(x, 0)),
    "select": ("getitem", select),
    "narrow": ("getitem", narrow),
    "logdet": ("slogdet", lambda x: mg.where(mg.det(x) < 0, np.nan, mg.slogdet(x)[1])),
    "aminmax": ("min", lambda x, *, dim=None, keepdim=False: smaller_and_larger(x, dim, keepdim)),
    "msort": ("sort", lambda x: x if x.ndim == 0 else mg.sort(x, 0)),
    "var_mean": ("var", both(mg.var)), "std_mean": ("std", both(mg.std)),
    "var_mean/unbiased": ("var", both(mg.var)), "std_mean/unbiased": ("std", both(mg.std)),
    "unsafe_chunk": ADAPTERS["chunk"], "unsafe_split": ADAPTERS["split"],
}  # fmt: skip
LOOSER = {
    "nn.functional.hardsigmoid": (1e-7, "PyTorch's derivative is a float32 1/6")
}  # relative tolerance of gradients
# Ours that are not compared, and why.
NOT_COMPARED = {
    "astype": "PyTorch's `to` is a method with devices",
    "scaled_dot_product_attention": "tests/ops/test_scaled_attention.py does", "matvec": "matmul, as NumPy names it",
    "vecmat": "matmul, as NumPy names it", "matmul_bfloat16": "tests/compile/test_precision.py does",
    "dropout": "the generators differ",
    "stop_gradient": "PyTorch's detach has no entry in the database",
    "linear_recurrence": "PyTorch has none", "cbrt": "PyTorch has none",
    "floor_divide": "PyTorch's has no derivative", "eigh": "tests/ops/test_linalg.py does",
    "qr": "tests/ops/test_linalg.py does", "pinv": "tests/ops/test_linalg.py does",
    "index_put": "assignment, t[index] = value",
    "unindex": "the vjp of getitem", "untake": "the vjp of take",
    "untake_along_axis": "the vjp of take_along_axis", "undiagonal": "the vjp of diagonal",
    "cofactor": "part of det's vjp", "softmax_pull": "softmax's vjp", "log_softmax_pull": "log_softmax's vjp",
    "standardize": "part of layer_norm", "standardize_pull": "its vjp", "standardize_affine": "part of norms",
    "standardize_affine_pull": "its vjp",
    "conv2d_weight": "part of conv2d's vjp",
    "softmax_cross_entropy": "part of cross_entropy", "softmax_error": "its vjp",
    "huber_penalty": "part of huber", "logistic_loss": "part of binary_cross_entropy_with_logits",
    "max_pool2d_indices": "part of max_pool2d", "pool_sum": "part of avg_pool2d", "pool_spread": "its vjp",
    "cumargmax": "part of cummax",
}  # fmt: skip


def ours(x, leaves):
    """PyTorch's argument as ours; tensors that require a gradient join the leaves, with their twin."""
    if torch.is_tensor(x):
        t = mg.tensor(x.detach().numpy(), requires_grad=x.requires_grad)
        if x.requires_grad:
            leaves.append((x, t))
        return t
    if isinstance(x, torch.Size):
        return tuple(x)
    if isinstance(x, (list, tuple)):
        return type(x)([ours(v, leaves) for v in x])
    return x


def flat(results):
    return list(results) if isinstance(results, (list, tuple)) else [results]


def run(adapter, sample, jitted=False):
    """Our results of a sample, and the pairs of leaves (PyTorch's, ours)."""
    leaves: list = []
    x, args = ours(sample.input, leaves), ours(sample.args, leaves)
    kwargs = {k: ours(v, leaves) for k, v in sample.kwargs.items()}
    call = lambda: flat(adapter(x, *args, **kwargs))  # noqa: E731
    return (mg.jit(call)() if jitted else call()), leaves


def weighted(results, seed):
    """One number of several results, tensors of ours or of PyTorch's."""
    total = 0.0
    for k, y in enumerate(results):
        weights = np.cos(np.arange(math.prod(y.shape)) + k + seed).reshape(tuple(y.shape))
        if y.requires_grad:
            total = total + (y * (torch.tensor(weights) if torch.is_tensor(y) else weights)).sum()
    return total


def gradients_of(loss, leaves, again):
    """Gradients of ours; None where there is none."""
    for t in leaves:
        t.grad = None
    if isinstance(loss, float) or not loss.requires_grad:
        return [None] * len(leaves)
    loss.backward(create_graph=again)
    found = [t.grad for t in leaves]
    for t in leaves:
        t.grad = None
    return found


def assert_close(found, wanted, rtol, atol=1e-10):
    for a, b in zip(found, wanted, strict=True):
        zeros = np.zeros(()) if a is None and b is None else np.zeros(tuple((b if a is None else a).shape))
        a, b = [zeros if v is None else v.detach() for v in (a, b)]
        a, b = [v.numpy(force=True) if torch.is_tensor(v) else np.asarray(v) for v in (a, b)]
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def compare(op, adapter, sample, rtol, jitted=False, second=False):
    """Values, and gradients of all inputs for one cotangent of each result (second: those of the gradients, too).

    Returns whether there were gradients.
    """
    results, leaves = run(adapter, sample, jitted)
    theirs = flat(op.op(sample.input, *sample.args, **sample.kwargs))
    assert len(results) == len(theirs)
    for y, z in zip(results, theirs):
        assert y.shape == tuple(z.shape)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(force=True), rtol=1e-10, atol=1e-11)
        assert y.requires_grad or not z.requires_grad
    total = weighted(theirs, 0)
    if not torch.is_tensor(total):
        return False
    twins, tensors = [a for a, _ in leaves], [t for _, t in leaves]
    kept = [y for y, z in zip(results, theirs) if z.requires_grad]
    first = gradients_of(weighted(kept, 0), tensors, second)
    wanted = torch.autograd.grad(total, twins, allow_unused=True, create_graph=second)
    assert_close(first, wanted, rtol)
    if second:
        again = weighted([g for g in wanted if g is not None and g.requires_grad], 1)
        ours_again = weighted([g for g, w in zip(first, wanted) if w is not None and w.requires_grad], 1)
        if torch.is_tensor(again):
            wanted = torch.autograd.grad(again, twins, allow_unused=True)
            places = [k for k, g in enumerate(wanted) if g is not None]
            found = gradients_of(ours_again, tensors, False)
            assert_close([found[k] for k in places], [wanted[k] for k in places], 100 * rtol, 1e-8)
    return True


def samples_of(name):
    op = DATABASE[name]
    dtype = torch.float64 if torch.float64 in op.supported_dtypes("cpu") else torch.int64
    torch.manual_seed(0)
    return list(op.sample_inputs("cpu", dtype, requires_grad=op.supports_autograd and dtype == torch.float64))


def check(name, chosen, **how):
    op, (row, adapter) = DATABASE[name], ADAPTERS[name]
    compared, differentiated, reasons = 0, 0, set()
    for sample in chosen:
        try:
            differentiated += compare(op, adapter, sample, LOOSER.get(name, (1e-9,))[0], **how)
            compared += 1
        except Differs as reason:
            reasons.add(str(reason))
    assert compared, f"no sample was compared: {reasons}"
    row = table.get(row)
    assert differentiated or (row is not None and not row.vjps), "no gradient was compared"


def some(name, count):
    """Some samples of an entry, spread over its list: neighbours are alike. Skipped ones do not count."""
    (_, adapter), samples, chosen = ADAPTERS[name], samples_of(name), []
    for k in np.random.default_rng(0).permutation(len(samples)):
        try:
            run(adapter, samples[k])
        except Differs:
            continue
        chosen.append(samples[k])
        if len(chosen) == count:
            break
    return chosen


@pytest.mark.parametrize("name", ADAPTERS)
def test_op_is_pytorchs(name):
    check(name, some(name, SAMPLES))


@pytest.mark.heavy
@pytest.mark.parametrize("how", ["eager", "jitted", "second"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_every_sample_is_pytorchs(name, how):
    if how == "second" and (name in ONCE or not DATABASE[name].supports_gradgrad):
        pytest.skip(ONCE.get(name, "PyTorch has no second derivative of it"))
    check(name, samples_of(name), jitted=how == "jitted", second=how == "second")


@pytest.mark.heavy
@pytest.mark.parametrize("name", ADAPTERS)
def test_no_reason_to_skip_is_stale(name, monkeypatch):
    op, (_, adapter) = DATABASE[name], ADAPTERS[name]
    needed: dict = {}
    for sample in samples_of(name):
        monkeypatch.setitem(globals(), "IGNORED", set())
        try:
            compare(op, adapter, sample, 1e-9)
            failed = False
        except Exception:
            failed = True
        for reason in IGNORED or ():
            needed[reason] = needed.get(reason, False) or failed
    assert all(needed.values()), f"would pass: {[reason for reason, failed in needed.items() if not failed]}"


def test_every_op_is_compared_or_listed():
    compared = {ours for ours, _ in ADAPTERS.values()}
    assert compared | set(NOT_COMPARED) == set(table) | set(composites)
    assert not compared & set(NOT_COMPARED)


EDGES = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 20.5, -20.5, 200.0, -200.0, inf, -inf, float("nan")]
ELEMENTWISE = [name for name in OWN if isinstance(table.get(ADAPTERS[name][0]), Elementwise)]
ELEMENTWISE = [name for name in ELEMENTWISE if not name.startswith("__") and name not in ("where", "clamp")]
NOT_COMPARED_AT = {
    "sign": (np.isnan, "PyTorch's is 0; NumPy's and ours is NaN"),
    "nn.functional.gelu": (np.isinf, "PyTorch's is NaN in float32, which depends on its vector width"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_infinities_nan_and_signed_zeros_are_pytorchs(name, dtype):
    op, (row, adapter) = DATABASE[name], ADAPTERS[name]
    edges = torch.tensor(EDGES, dtype=dtype)
    operands = (
        [edges]
        if len(table[row].inputs) == 1 or row == "leaky_relu"
        else list(torch.meshgrid(edges, edges, indexing="ij"))
    )
    xs = [x.clone().requires_grad_() for x in operands]
    ts = [mg.tensor(x.numpy(), requires_grad=True) for x in operands]
    y, z = adapter(*ts), op.op(*xs)
    numbers = ~np.any([np.isnan(x.numpy()) for x in operands], axis=0)  # at NaN, anything is a slope
    rtol = 1e-5 if dtype == torch.float32 else 1e-9
    values = np.full(y.shape, True)
    if name in NOT_COMPARED_AT:
        values = ~NOT_COMPARED_AT[name][0](edges.numpy())
        numbers &= values
    np.testing.assert_allclose(y.numpy()[values], z.detach().numpy()[values], rtol=rtol, atol=rtol)
    if not z.requires_grad:
        return
    z.sum().backward()
    y.sum().backward()
    rtol = LOOSER.get(name, (rtol,))[0]
    for t, x in zip(ts, xs):
        np.testing.assert_allclose(t.grad.numpy()[numbers], x.grad.numpy()[numbers], rtol=rtol, atol=rtol)
