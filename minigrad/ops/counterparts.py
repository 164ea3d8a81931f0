"""What to write in place of a NumPy function that no op stands for: for the errors that name it."""

from minigrad.ops.table import composites, table

# By NumPy's name: an expression of the function's arguments, in order x, y, z, that is the same number.
WRITTEN = {
    "append": "mg.concatenate([x.reshape(-1), y.reshape(-1)])",
    "average": "mg.mean(x)",
    "cbrt": "mg.sign(x) * mg.abs(x) ** (1 / 3)",
    "column_stack": "mg.stack([x, y], axis=1)",
    "cumulative_sum": "mg.cumsum(x, axis=0)",
    "cumulative_prod": "mg.cumprod(x, axis=0)",
    "deg2rad": "x * (math.pi / 180)",
    "degrees": "x * (180 / math.pi)",
    "diff": "x[1:] - x[:-1]",
    "divmod": "(x // y, x % y)",
    "exp2": "2.0 ** x",
    "fliplr": "mg.flip(x, axis=1)",
    "flipud": "mg.flip(x, axis=0)",
    "fmod": "mg.sign(x) * (mg.abs(x) % mg.abs(y))",
    "hypot": "mg.sqrt(x * x + y * y)",
    "inner": "x @ y.mT",
    "isinf": "mg.abs(x) == math.inf",
    "kron": "mg.einsum('i,j->ij', x, y).reshape(-1)",
    "log10": "mg.log(x) / math.log(10)",
    "log2": "mg.log(x) / math.log(2)",
    "logaddexp": "mg.logsumexp(mg.stack([x, y]), axis=0)",
    "logaddexp2": "mg.logsumexp(mg.stack([x, y]) * math.log(2), axis=0) / math.log(2)",
    "nan_to_num": "mg.where(mg.isnan(x), 0.0, x)",
    "nanmax": "mg.max(mg.where(mg.isnan(x), -math.inf, x))",
    "nanmean": "mg.sum(mg.where(mg.isnan(x), 0.0, x)) / mg.sum(~mg.isnan(x))",
    "nanmin": "mg.min(mg.where(mg.isnan(x), math.inf, x))",
    "nansum": "mg.sum(mg.where(mg.isnan(x), 0.0, x))",
    "nanprod": "mg.prod(mg.where(mg.isnan(x), 1.0, x))",
    "permute_dims": "mg.transpose(x)",
    "positive": "x",
    "ptp": "mg.max(x) - mg.min(x)",
    "rad2deg": "x * (180 / math.pi)",
    "radians": "x * (math.pi / 180)",
    "ravel": "x.reshape(-1)",
    "rot90": "mg.flip(mg.swapaxes(x, 0, 1), axis=0)",
    "trapezoid": "mg.sum(x[1:] + x[:-1]) / 2",
    "true_divide": "x / y",
    "trunc": "mg.sign(x) * mg.floor(mg.abs(x))",
    "vdot": "mg.sum(x * y)",
    "hstack": "mg.concatenate([x, y], axis=-1)",
    "vstack": "mg.concatenate([x, y])",
}


def instead_of(function) -> str:
    """What an error about a NumPy function says: what to write in its place, if that is known."""
    name = function.__name__
    if name in composites or (name in table and table[name].public):
        return f"use minigrad.{name}"
    if name in WRITTEN:
        return f"it has no counterpart; write it as {WRITTEN[name]}"
    return "it has no counterpart; write it with ops of minigrad, or take t.detach().numpy() if no gradient is wanted"
