"""Every op that PyTorch's own op database has in common with ours, on its sample inputs: values and gradients.

An adapter reads the arguments as PyTorch's op takes them. `differs` says of a sample why ours has no answer to it, or
another one.
"""

import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import composites, table

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")  # PyTorch's op database imports it
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

DATABASE = {op.name + (f"/{op.variant_test_name}" if op.variant_test_name else ""): op for op in op_db}
SAMPLES = 40
inf = float("inf")


class Differs(Exception):
    pass


def differs(condition, reason):
    if condition:
        raise Differs(reason)


def axis_of(x, dim):
    differs(x.ndim == 0 and dim is not None, "NumPy has no axis 0 of a 0-d array")
    differs(dim in ((), []), "no axes: none for NumPy, all for PyTorch")
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
    differs(isinstance(ord, str) or (x.ndim > 1 and ord not in (None, 2) and dim is None), "matrix norms are not ours")
    differs(isinstance(dim, (tuple, list)) and ord is not None, "matrix norms are not ours")
    differs(ord is not None and ord != 2 and 0 in x.shape, "PyTorch wants an identity for the empty norm")
    differs(ord is not None and ord < 1, "norms of order below 1 are not ours")
    return mg.norm(x, 2 if ord is None else ord, axis_of(x, dim), keepdims=keepdim)


def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    differs(ord < 1, "norms of order below 1 are not ours")
    differs(ord == inf and x.size == 0, "the maximum of nothing")
    return mg.norm(x, ord, axis_of(x, dim), keepdims=keepdim)


def pad(mode):
    def adapter(x, widths, given=mode, value=None):
        differs(min(widths, default=0) < 0, "negative widths crop in PyTorch only")
        pairs = list(zip(widths[::2], widths[1::2]))[::-1]
        width = [(0, 0)] * (x.ndim - len(pairs)) + pairs
        return mg.pad(x, width, mode, **({"constant_values": value or 0} if mode == "constant" else {}))

    return adapter


def pool_window(x, ceil_mode=False, dilation=1, divisor=None):
    differs(x.ndim != 4, "ours wants a batch axis")
    differs(ceil_mode, "windows that reach beyond the edge are PyTorch's own")
    differs(dilation != 1, "dilated pooling is not ours")
    differs(divisor is not None, "a divisor of one's own is not ours")


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    pool_window(x, ceil_mode, dilation)
    differs(return_indices, "indices come from max_pool2d_indices, by another count")
    return mg.max_pool2d(x, kernel_size, stride, padding)


def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):  # fmt: skip
    pool_window(x, ceil_mode, 1, divisor_override)
    return mg.avg_pool2d(x, kernel_size, stride, padding, count_include_pad)


def convolution(f, ndim):
    def adapter(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        differs(x.ndim != ndim, "ours wants a batch axis")
        scalar = (lambda v: v[0] if isinstance(v, (tuple, list)) else v) if ndim == 3 else (lambda v: v)
        padding = 0 if padding == "valid" else padding
        return f(x, weight, bias, scalar(stride), scalar(padding), scalar(dilation), groups)

    return adapter


def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    differs(x.ndim != 4, "ours wants a batch axis")
    return mg.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)


def cross_entropy(x, target, weight=None, reduction="mean", ignore_index=-100, label_smoothing=0.0):
    differs(target.dtype.kind == "f", "ours takes integer targets only")
    differs(weight is not None or label_smoothing, "class weights and label smoothing are not ours")
    return mg.cross_entropy(x, target, reduction, ignore_index)


def logits_loss(x, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
    differs(weight is not None or pos_weight is not None, "weights are not ours: multiply")
    return mg.binary_cross_entropy_with_logits(x, target, reduction)


def loss(f):
    def adapter(x, target, size_average=None, reduce=None, reduction="mean", weight=None, **options):
        differs(weight is not None, "weights are not ours: multiply")
        differs(x.shape != target.shape, "shapes that broadcast are refused")
        return f(x, target, reduction, **options)

    return adapter


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    differs(eps < 0, "a negative eps makes roots of negative numbers")
    return mg.layer_norm(x, weight, bias, tuple(range(-len(shape), 0)), eps)


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
    differs(upper, "ours gives the lower factor")
    symmetric = (a + a.mT) * 0.5  # PyTorch's gradient is the symmetric one
    return mg.cholesky(symmetric)


def sort(x, dim=-1, descending=False, stable=None):
    differs(descending, "ours ascends: flip")
    axis = axis_of(x, dim)
    return [mg.sort(x, axis), mg.argsort(x, axis)]


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
    differs(x.ndim == 0, "NumPy has no axis 0 of a 0-d array")
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
    differs((min_val, max_val) != (-1.0, 1.0), "bounds other than -1 and 1 are clip's")
    return mg.hard_tanh(x)


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
    "acos": "arccos", "asin": "arcsin", "atan": "arctan", "nn.functional.logsigmoid": "log_sigmoid",
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
    "mm": "matmul", "bmm": "matmul", "mv": "matmul", "dot": "dot",
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
    "argsort": ("argsort", lambda *args, **kwargs: sort(*args, **kwargs)[1]),
    "topk": ("topk", topk),
    "softmax": ("softmax", along(mg.softmax)),
    "log_softmax": ("log_softmax", along(mg.log_softmax)),
    "nn.functional.cross_entropy": ("cross_entropy", cross_entropy),
    "nn.functional.binary_cross_entropy_with_logits": ("binary_cross_entropy_with_logits", logits_loss),
    "nn.functional.mse_loss": ("mse", loss(mg.mse)),
    "nn.functional.huber_loss": ("huber", loss(mg.huber)),
    "nn.functional.conv1d": ("conv1d", convolution(mg.conv1d, 3)),
    "nn.functional.conv2d": ("conv2d", convolution(mg.conv2d, 4)),
    "nn.functional.conv_transpose2d": ("conv_transpose2d", conv_transpose2d),
    "nn.functional.max_pool2d": ("max_pool2d", max_pool2d),
    "nn.functional.avg_pool2d": ("avg_pool2d", avg_pool2d),
    "nn.functional.layer_norm": ("layer_norm", layer_norm),
}
LOOSER = {
    "nn.functional.hardsigmoid": (1e-7, "PyTorch's derivative is a float32 1/6")
}  # relative tolerance of gradients
# Ours that are not compared, and why.
NOT_COMPARED = {
    "astype": "PyTorch's `to` is a method with devices",
    "dropout": "the generators differ",
    "stop_gradient": "PyTorch's detach has no entry in the database",
    "linear_recurrence": "PyTorch has none",
    "index_put": "assignment, t[index] = value",
    "sum_to": "the vjp of broadcasting", "unindex": "the vjp of getitem", "untake": "the vjp of take",
    "untake_along_axis": "the vjp of take_along_axis", "undiagonal": "the vjp of diagonal",
    "cofactor": "part of det's vjp", "softmax_pull": "softmax's vjp", "log_softmax_pull": "log_softmax's vjp",
    "standardize": "part of layer_norm", "standardize_pull": "its vjp", "conv2d_weight": "part of conv2d's vjp",
    "softmax_cross_entropy": "part of cross_entropy", "softmax_error": "its vjp",
    "huber_penalty": "part of huber", "logistic_loss": "part of binary_cross_entropy_with_logits",
    "max_pool2d_indices": "part of max_pool2d", "pool_sum": "part of avg_pool2d", "pool_spread": "its vjp",
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


def compare(op, adapter, sample, rtol):
    """Values, and gradients of all inputs for one cotangent of each result; whether there were gradients."""
    leaves: list = []
    x, args = ours(sample.input, leaves), ours(sample.args, leaves)
    kwargs = {k: ours(v, leaves) for k, v in sample.kwargs.items()}
    results = flat(adapter(x, *args, **kwargs))
    theirs = flat(op.op(sample.input, *sample.args, **sample.kwargs))
    assert len(results) == len(theirs)
    loss, total = None, 0.0
    for k, (y, z) in enumerate(zip(results, theirs)):
        assert y.shape == tuple(z.shape)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-11)
        if z.requires_grad:
            g = np.cos(np.arange(y.size) + k).reshape(y.shape)
            assert y.requires_grad
            loss = (y * g).sum() if loss is None else loss + (y * g).sum()
            total = total + (z * torch.tensor(g)).sum()
    if loss is None:
        return False
    loss.backward()
    wanted = torch.autograd.grad(total, [a for a, _ in leaves], allow_unused=True)
    for (_, t), g in zip(leaves, wanted):
        given = np.zeros(t.shape) if t.grad is None else t.grad.numpy()
        np.testing.assert_allclose(given, 0 if g is None else g.numpy(), rtol=rtol, atol=1e-10)
    return True


@pytest.mark.parametrize("name", ADAPTERS)
def test_op_is_pytorchs(name):
    op, (_, adapter) = DATABASE[name], ADAPTERS[name]
    dtype = torch.float64 if torch.float64 in op.supported_dtypes("cpu") else torch.int64
    torch.manual_seed(0)
    samples = list(op.sample_inputs("cpu", dtype, requires_grad=op.supports_autograd and dtype == torch.float64))
    compared, differentiated, reasons = 0, 0, set()
    chosen = np.random.default_rng(0).permutation(len(samples))[:SAMPLES]
    for k in sorted(chosen):
        try:
            differentiated += compare(op, adapter, samples[k], LOOSER.get(name, (1e-9,))[0])
            compared += 1
        except Differs as reason:
            reasons.add(str(reason))
    assert compared, f"no sample was compared: {reasons}"
    row = table.get(ADAPTERS[name][0])
    assert differentiated or (row is not None and not row.vjps), "no gradient was compared"


def test_every_op_is_compared_or_listed():
    compared = {ours for ours, _ in ADAPTERS.values()}
    assert compared | set(NOT_COMPARED) == set(table) | set(composites)
    assert not compared & set(NOT_COMPARED)


EDGES = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 20.5, -20.5, 200.0, -200.0, inf, -inf, float("nan")]
ELEMENTWISE = [name for name, (ours, _) in ADAPTERS.items() if isinstance(table.get(ours), Elementwise)]
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
