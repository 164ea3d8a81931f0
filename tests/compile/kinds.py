"""Kinds of lines of the programs that cells.py and drawn.py draw.

Each is a function (program, d) -> an expression, or None if nothing there is fits. A program has `values`, arrays by
name, `pick(fits)`, the name of one, and `weight(*shape)`, the name of a new one.
"""

from math import prod

import numpy as np

from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table

SMOOTH = [
    op for op in table.values() if isinstance(op, Elementwise) and op.public and op.derivatives and op.name != "where"
]
LARGEST = 64  # elements of a value


def into(x: str, low: float, high: float) -> str:
    """x squashed into (low, high), off the middle, where kinks are."""
    low, high = low + 0.03 * (high - low), low + 0.95 * (high - low)
    return f"({low:.3f} + {high - low:.3f} * mg.sigmoid({x}))"


def elementwise(cell, d):
    op = d.choice(SMOOTH)
    operands = []
    for name in op.inputs:
        first = cell.values[operands[0][0]] if operands else None
        x = cell.pick(lambda a: first is None or broadcasts(a, first))
        operands.append((x, into(x, *op.domain[name])))
    if op.name in ("add", "sub", "mul", "neg", "tanh", "sigmoid"):
        return f"mg.{op.name}({', '.join(x for x, _ in operands)})"
    return f"mg.{op.name}({', '.join(x for _, x in operands)})"


def broadcasts(a, b, to=None) -> bool:
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return prod(shape) <= LARGEST and to in (None, shape)


def squash(cell, d):
    return f"mg.{d.choice(['tanh', 'sigmoid', 'sin', 'softplus', 'silu', 'relu', 'elu'])}({cell.pick()} + 0.0371)"


def arithmetic(cell, d):
    a = cell.pick()
    b = cell.pick(lambda b: broadcasts(b, cell.values[a]))
    return d.choice([
        f"{a} + {b}", f"{a} * {b}", f"{a} - {b}", f"{a} / (2.5 + mg.tanh({b}))", f"1 - {a}", f"0.5 * {a}", f"{a} ** 2",
        f"-{a}", f"2 / (3 + mg.sin({a}))", f"(1 - mg.sigmoid({a})) * {b}", f"{a} * {a}", f"{a} - {a}.mean()",
    ])  # fmt: skip


def shifted(cell, d):
    a = cell.pick()
    side = d.choice([lambda s: s[-1:], lambda s: s, lambda s: (s[0], *[1] * (len(s) - 1)) if s else s, lambda s: ()])
    return f"{a} {d.choice('+*')} {cell.weight(*side(cell.values[a].shape))}"


def product(cell, d):
    a = cell.pick(lambda a: 1 <= a.ndim <= 3)
    if a is None:
        return None
    shape, n = cell.values[a].shape, d.choice([cell.width, 2, 3])
    if d.choice([True, True, False]):
        return f"{a} @ {cell.weight(*d.choice([(shape[-1], n), (shape[-1], n), (shape[-1],)]))}"
    if len(shape) == 1:
        return f"{cell.weight(n, shape[0])} @ {a}"
    return d.choice([f"{cell.weight(n, shape[-2])} @ {a}", f"{a} @ {cell.weight(n, shape[-1])}.T"])


def linear(cell, d):
    """What cells do most: a joined operand times a weight, plus a bias, perhaps split."""
    a = cell.pick(lambda a: a.ndim == 2)
    if a is None:
        return None
    shape = cell.values[a].shape
    b = cell.pick(lambda b: b.ndim == 2 and b.shape[0] == shape[0])
    n = 2 * cell.width
    both = shape[1] + cell.values[b].shape[1]
    text = d.choice([
        lambda: f"mg.concatenate([{a}, {b}], axis=-1) @ {cell.weight(both, n)} + {cell.weight(n)}",
        lambda: f"{a} @ {cell.weight(shape[1], n)} + {b} @ {cell.weight(cell.values[b].shape[1], n)}",
        lambda: f"{a} @ {cell.weight(n, shape[1])}.T + {cell.weight(n)}",
    ])()  # fmt: skip
    return d.choice([text, f"mg.tanh({text})", f"mg.split({text}, 2, axis=-1)"])


def product_of_two(cell, d):
    """Two operands, both of this step."""
    a = cell.pick(lambda a: a.ndim >= 2)
    if a is None:
        return None
    shape = cell.values[a].shape
    b = cell.pick(lambda b: b.ndim >= 2 and b.shape[-2] == shape[-1])
    c = cell.pick(lambda b: b.shape == shape)
    if b is not None and d.boolean():
        return f"{a} @ {b}"
    batched = f"{a}[:, :, None] @ {c}[:, None, :]" if len(shape) == 2 else f"{a} @ {c}.mT"
    return d.choice([batched, f"{a} @ {c}.swapaxes(-1, -2)", f"mg.einsum('...i,...i->...', {a}, {c})"])


def reduction(cell, d):
    a = cell.pick()
    ndim = cell.values[a].ndim
    axis = d.choice([None, *range(-ndim, ndim), *[tuple(range(ndim))] * (ndim > 1)])
    name = d.choice(["sum", "mean", "sum", "mean", "max", "min", "logsumexp", "std", "prod"])
    operand = f"({cell.pick(lambda b: b is cell.values[a])} * 1.0)" if name in ("max", "min") else a
    if name == "std":
        operand = f"({a} + {cell.weight(*cell.values[a].shape)})"
    return f"mg.{name}({operand}, axis={axis}, keepdims={d.boolean()})"


def normalisation(cell, d):
    a = cell.pick(lambda a: a.ndim >= 1)
    if a is None:
        return None
    shape = cell.values[a].shape
    axis = d.choice([-1, -1, 0])
    return d.choice([
        lambda: f"mg.softmax({a}, axis={axis})",
        lambda: f"mg.log_softmax({a}, axis={axis})",
        lambda: f"mg.layer_norm({a}, {cell.weight(shape[-1])}, {cell.weight(shape[-1])}, eps=0.1)",
        lambda: f"mg.layer_norm({a}, eps=0.1)",
    ])()  # fmt: skip


def joining(cell, d):
    a = cell.pick()
    shape = cell.values[a].shape
    ndim = len(shape)
    alike = cell.pick(lambda b: b.shape == shape)
    if d.choice([False, True]) or ndim == 0:
        return f"mg.stack([{a}, {alike}], axis={d.integer(-ndim - 1, ndim)})"
    axis = d.integer(-ndim, ndim - 1)
    beside = cell.pick(lambda b: b.ndim == ndim and drop(b.shape, axis) == drop(shape, axis))
    parts = d.choice([[a, beside], [beside, a, alike], [a, a]])
    return f"mg.concatenate([{', '.join(parts)}], axis={axis})"


def drop(shape, axis):
    return [n for k, n in enumerate(shape) if k != axis % len(shape)]


def parting(cell, d):
    a = cell.pick(lambda a: any(n > 1 for n in a.shape))
    if a is None:
        return None
    shape = cell.values[a].shape
    axis = d.choice([k for k, n in enumerate(shape) if n > 1])
    options = [f"mg.split({a}, [1, {shape[axis] - 1}], axis={axis})", f"mg.unstack({a}, axis={axis})"]
    if shape[axis] % 2 == 0:
        options.append(f"mg.split({a}, 2, axis={axis})")
    return d.choice(options)


def layout(cell, d):
    a = cell.pick()
    shape = cell.values[a].shape
    ndim, size = len(shape), prod(shape)
    options = [f"{a}.reshape(-1)", f"{a}.copy()", f"mg.expand_dims({a}, {d.integer(0, ndim)})"]
    if size % 2 == 0:
        options += [f"{a}.reshape(2, -1)", f"{a}.reshape({size // 2}, 2)"]
    if size == cell.batch * cell.width:
        options += [f"{a}.reshape({cell.batch}, {cell.width})"] * 2
    if ndim:
        axis = d.integer(-ndim, ndim - 1)
        options += [
            f"mg.flip({a}, {axis})", f"mg.roll({a}, 1, axis={axis})", f"mg.squeeze({a})",
            f"mg.transpose({a}, {d.permutation(ndim)})", f"mg.swapaxes({a}, {axis}, 0)", f"{a}.T",
            f"mg.broadcast_to({a}, (2, *{shape}))", f"mg.tile({a}, 2)", f"mg.repeat({a}, 2, axis={axis})",
            f"mg.pad({a}, 1)", f"mg.cumsum({a}, axis={axis})", f"mg.moveaxis({a}, {axis}, 0)",
        ]  # fmt: skip
        if shape[axis] == 1:
            options.append(f"mg.broadcast_to({a}, {tuple(3 if k == axis % ndim else n for k, n in enumerate(shape))})")
    return d.choice(options)


def slices(cell, d):
    a = cell.pick(lambda a: a.ndim >= 1)
    if a is None:
        return None
    ndim, n = cell.values[a].ndim, cell.values[a].shape[-1]
    options = [
        f"{a}[..., :{max(1, n - 1)}]", f"{a}[..., {n // 2}:]", f"{a}[..., 0]", f"{a}[..., -1]", f"{a}[..., ::-1]",
        f"{a}[..., ::2]", f"{a}[0]", f"{a}[:1]", f"{a}[None]", f"{a}[..., None]", f"{a}[-1:]",
    ]  # fmt: skip
    if ndim >= 2:
        options += [f"{a}[:, 0]", f"{a}[:, None]", f"{a}[:, 1:]", f"{a}[:, -1:]", f"{a}[0, 1:]"]
    return d.choice(options)


def choosing(cell, d):
    a = cell.pick()
    b = cell.pick(lambda b: broadcasts(b, cell.values[a]))
    c = cell.pick(lambda c: broadcasts(c, cell.values[a]) and broadcasts(c, cell.values[b]))
    masks = [n for n, m in cell.values.items() if m.dtype == bool and broadcasts(m, cell.values[a])]
    t = f"{d.integer(-9, 9)}.0371e-1"
    options = [
        f"mg.where({c} > {t}, {a}, {b})", f"mg.where({c} <= {a} + {t}, {a}, 0)",
        f"mg.where(mg.isfinite({a}), {a}, {b})", f"mg.where(({c} > {t}).max(axis=-1, keepdims=True), {a}, {b})",
        f"{a} * ({c} > {t}).sum(axis=0)",
        f"mg.where(({a} > {t}) & ~({c} < {t}), {b}, {c})", f"mg.maximum({a}, {b} + {t})", f"mg.minimum({a}, {t})",
        f"mg.clip({a}, -0.7371, 0.9371)", f"{a} * ({c} >= {t})", f"mg.where(({a} > {t}) | ({b} != {c}), {a}, 1.5)",
    ]  # fmt: skip
    if masks:
        mask = d.choice(masks)
        options += [f"mg.where({mask}, {a}, {b})", f"{a} * {mask}", f"mg.where({mask} ^ ({a} > {t}), {b}, 0)"] * 2
    return d.choice(options)


def gathering(cell, d):
    a = cell.pick(lambda a: a.ndim >= 1)
    tokens = [n for n, x in cell.values.items() if x.dtype.kind == "i"]
    if tokens and d.boolean():
        token = d.choice(tokens)
        table_ = cell.weight(3, cell.width)
        return d.choice([
            f"mg.embedding({table_}, {token})", f"mg.take({table_}, {token}, axis=0)", f"{table_}[{token}]",
            f"mg.one_hot({token}, 3) @ {table_}",
        ])  # fmt: skip
    if a is None:
        return None
    shape = cell.values[a].shape
    n = shape[-1]
    return d.choice([
        f"mg.take({a}, np.array([{n - 1}, 0, 0]), axis=-1)", f"{a}[..., np.array([0, {n - 1}, {n - 1}])]",
        f"mg.take_along_axis({a}, mg.argmax({a}, axis=-1, keepdims=True), axis=-1)",
        f"{a}[np.array([0, {shape[0] - 1}])]",
        f"mg.sort({a}, axis=-1)",
    ])  # fmt: skip


def calling(cell, d):
    """Functions of functions."""
    a = cell.pick()
    b = cell.pick(lambda b: b.shape == cell.values[a].shape)
    return d.choice([
        f"mg.checkpoint(lambda a, b: mg.tanh(a) * mg.sin(b))({a}, {b})",
        f"mg.jit(lambda a: mg.sin(a) * {b})({a})",
        f"mg.scan(lambda h, z: (mg.tanh(0.5 * h + z), None), {a}, mg.stack([{a}, {b}, {a} * {b}]))[0]",
        f"mg.scan(lambda h, z: (0.5 * h + {b}, h * z), {a}, mg.stack([{b}, {a}]), reverse=True)[1]",
        f"mg.grad(lambda a: (mg.sin(a) * {b}).sum())({a})",
    ])  # fmt: skip


def images(cell, d):
    a = cell.pick(lambda a: a.size % 4 == 0 and a.ndim and a.shape[0] * 4 <= a.size and a.size % (4 * a.shape[0]) == 0)
    if a is None:
        return None
    shape = cell.values[a].shape
    channels = prod(shape[1:]) // 4
    image = f"{a}.reshape({shape[0]}, {channels}, 2, 2)"
    return d.choice([
        lambda: f"mg.conv2d({image}, {cell.weight(2, channels, 3, 3)}, padding=1)",
        lambda: f"mg.avg_pool2d({image}, 2)",
    ])()  # fmt: skip


def masking(cell, d):
    """Masks of floats, in the dtype of what they mask or in float32, and loops that read them."""
    a = cell.pick()
    b = cell.pick(lambda b: b.shape == cell.values[a].shape)
    t = f"{d.integer(-9, 9)}.0371e-1"
    dtype = d.choice([f"{a}.dtype", "'float32'"])
    mask = d.choice([f"({b} > {t}).astype({dtype})", f"mg.where({b} > {t}, 1.0, 0.5).astype({dtype})", f"({b} > {t})"])
    own = d.choice([f"(h > {t}).astype({dtype})", f"(h <= {t})", "0.5"])
    return d.choice([
        f"{a} * {mask}", f"{a} + {mask} * 0.5", f"mg.stack([{mask} * 1.0, {mask} * 0.5]).astype({a}.dtype)",
        f"mg.scan(lambda h, z: (mg.tanh(h * {own} + z * {mask}), h), {a}, mg.stack([{a}, {b}]))[0]",
        f"mg.scan(lambda h, z: (mg.tanh(h * {mask}), z * {own}), {a}, mg.stack([{b}, {a}]), reverse=True)[1]",
        f"mg.scan(lambda h, z: (mg.scan(lambda g, y: (mg.tanh(g * {own} + y), g), h, mg.stack([z, h]))[0], h), {a}, "
        f"mg.stack([{a}, {b}]))[0]",
    ])  # fmt: skip


def drawing(cell, d):
    """Dropout, in a step and in a loop of it."""
    a = cell.pick()
    b = cell.pick(lambda b: b.shape == cell.values[a].shape)
    dropped = f"mg.dropout({a}, 0.25, generator)"
    return d.choice([
        dropped, f"mg.tanh({dropped}) * {b}", f"mg.checkpoint(lambda a: mg.dropout(a, 0.5, generator) * {b})({a})",
        f"mg.scan(lambda h, z: (mg.dropout(mg.tanh(h + z), 0.5, generator), h), {a}, mg.stack([{a}, {b}]))[0]",
    ])  # fmt: skip


def sums_of_products(cell, d):
    a = cell.pick(lambda a: a.ndim == 2)
    if a is None:
        return None
    n, m = cell.values[a].shape
    b = cell.pick(lambda b: b.shape == (n, m))
    options = [f"mg.einsum('ij,ij->i', {a}, {b})", f"mg.einsum('ij,kj->ik', {a}, {b})", f"mg.einsum('ij->', {a})",
               f"mg.einsum('ij,ij->', {a}, {b})", f"mg.einsum('ij,j', {a}, {cell.weight(m)})",
               f"mg.einsum('ij,jk,lk->il', {a}, {cell.weight(m, 2)}, {cell.weight(3, 2)})",
               f"mg.einsum('ij->ji', {a})", f"mg.einsum('i,j->ij', {a}[:, 0], {b}[0])"]  # fmt: skip
    if n == m:
        options += [f"mg.einsum('ii->', {a})", f"mg.einsum('ii->i', {a})"]
    return d.choice(options)


KINDS = [
    *[elementwise, squash, arithmetic, linear] * 3, *[product, reduction, layout, slices, joining, choosing] * 2,
    *[masking] * 2, shifted, product_of_two, normalisation, parting, gathering, calling, images, sums_of_products,
    drawing,
]  # fmt: skip
