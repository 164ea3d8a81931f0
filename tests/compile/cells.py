"""Random cells, as Python text: what Hypothesis draws is a program that one can read."""

import textwrap
from math import prod

import numpy as np

import minigrad as mg
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table

SMOOTH = [
    op for op in table.values() if isinstance(op, Elementwise) and op.public and op.derivatives and op.name != "where"
]
LARGEST = 64  # elements of a value


class Cell:
    """A cell drawn line by line; every line has been run, so it is one that runs.

    text: of the module that defines `cell(carry, x)`. weights: arrays that it closes over, by name. init, xs: arrays in
    nested structures. All float64; `loaded` gives them another dtype.
    """

    def __init__(self, d, lines: int):
        self.d = d
        self.steps = d.integer(1, 6)
        self.reverse = d.boolean()
        self.weights: dict[str, np.ndarray] = {}
        self.lines: list[str] = []
        self.values: dict = {}  # arrays, as they are in the step that is run as the cell is drawn
        self.batch, self.width = d.choice([1, 3]), d.choice([2, 4])
        shapes = [(self.batch, self.width)]
        for _ in range(d.integer(0, 2)):
            shapes.append(self.shape())
        if d.choice([False] * 5 + [True]):  # no batch at all
            shapes = [shape[1:] if len(shape) > 1 else shape for shape in shapes]
        self.init = self.structure([d.array(shape, -1.5, 1.5) for shape in shapes])
        self.xs = d.choice([self.no_xs, self.one_x, self.one_x, self.several_xs])()
        self.carries = self.unpack("carry", self.init)
        self.unpack("x", mg.tree.map(lambda x: x[0], self.xs))
        for _ in range(d.integer(max(1, lines // 2), lines)):
            self.write()
        self.finish()

    # What a cell is given

    def shape(self) -> tuple:
        B, H = self.batch, self.width
        return self.d.choice([(B, H), (B, H), (B, 3), (B,), (B, 1), (H,), (1, H), (), (B, 2, H), (2, H), (B + 1, H)])

    def structure(self, leaves: list):
        if len(leaves) == 1:
            return self.d.choice([lambda a: a, lambda a: (a,), lambda a: {"h": a}])(*leaves)
        if len(leaves) == 2:
            return self.d.choice([lambda a, b: (a, b), lambda a, b: {"h": a, "c": [b]}, lambda a, b: [(a, None), b]])(
                *leaves
            )
        return self.d.choice([lambda a, b, c: (a, (b, c)), lambda a, b, c: {"h": a, "c": (b, {"d": c})}])(*leaves)

    def no_xs(self):
        return None

    def one_x(self):
        return self.d.array((self.steps, *self.shape()), -1.5, 1.5)

    def several_xs(self):
        B, T = self.batch, self.steps
        more = self.d.choice([
            lambda: self.d.mask((T, B, 1)),
            lambda: self.d.mask((T, B)),
            lambda: self.d.indices((T, B), 3),
            lambda: self.d.array((T, *self.shape()), -1.5, 1.5),
        ])()  # fmt: skip
        return self.d.choice([lambda a, b: (a, b), lambda a, b: {"a": a, "b": [b]}])(self.one_x(), more)

    def unpack(self, name: str, tree) -> list[str]:
        arrays, structure = mg.tree.flatten(tree)
        found = []
        for k, (place, array) in enumerate(zip(mg.tree.names(structure, name), arrays)):
            found.append(f"{name[0]}{k}")
            self.lines.append(f"{found[-1]} = {place}")
            self.values[found[-1]] = array
        return found

    # Lines

    def weight(self, *shape) -> str:
        """A new array that the cell closes over."""
        name = f"W{len(self.weights)}"
        scale = shape[-1] ** -0.5 if len(shape) > 1 else 1.0
        self.weights[name] = self.d.array(shape, -1.5, 1.5) * scale
        return name

    def pick(self, fits=lambda a: True) -> str | None:
        """The name of a float value, the later ones more often; None if none fits."""
        names = [name for name, a in self.values.items() if a.dtype.kind == "f" and fits(a)]
        if not names:
            return None
        return self.d.choice([names[-1], *names, *names[-3:]])

    def evaluate(self, text: str):
        """The value of an expression; None if it is none, or a large or a wild one."""
        with mg.no_grad(), np.errstate(all="ignore"):
            tensors = {name: mg.tensor(a) for name, a in (self.values | self.weights).items()}
            try:
                result = eval(text, {"mg": mg, "np": np, **tensors})
            except (ValueError, TypeError, IndexError):
                return None
        arrays = [y.numpy() for y in (result if isinstance(result, list) else [result])]
        wild = any(not np.isfinite(a).all() or abs(a).max(initial=0) > 50 for a in arrays if a.dtype.kind == "f")
        if wild or any(a.size > LARGEST or a.size == 0 for a in arrays):
            return None
        return arrays if isinstance(result, list) else arrays[0]

    def write(self) -> None:
        """One more line."""
        kind = self.d.choice(KINDS)
        text = kind(self, self.d)
        value = None if text is None else self.evaluate(text)
        if value is None:
            return
        if isinstance(value, list):
            names = [f"v{len(self.values) + k}" for k in range(len(value))]
            self.lines.append(f"{', '.join(names)}, = {text}")
            self.values.update(zip(names, value))
            return
        name = f"v{len(self.values)}"
        if value.dtype.kind == "f" and abs(value).max() > 3:
            text = f"mg.tanh({text})"
            value = np.tanh(value)
        self.lines.append(f"{name} = {text}")
        self.values[name] = value

    # What a cell gives

    def fitted(self, carry: str) -> str:
        """An expression for the next value of a carry, of its shape."""
        shape, d = self.values[carry].shape, self.d
        kind = d.choice(["new"] * 6 + ["same", "other", "fixed"])
        if kind == "same":
            return carry
        if kind == "fixed":
            return self.weight(*shape)
        if kind == "other":
            return d.choice([c for c in self.carries if self.values[c].shape == shape])
        new = self.pick(lambda a: a.shape == shape)
        if new == carry:
            return f"mg.tanh({carry} + 0.3)"
        broadcast = self.pick(lambda a: broadcasts(a, self.values[carry], shape))
        if new is not None and d.boolean():
            return d.choice([f"mg.tanh({new})", f"0.5 * {carry} + 0.5 * mg.sin({new})", f"0.3 * {new}"])
        if broadcast is not None and d.boolean():
            return f"0.6 * mg.tanh({carry} + {broadcast})"
        any_one = self.pick()
        a = self.values[any_one]
        if len(shape) and a.ndim == 2 and len(shape) == 2 and a.shape[0] == shape[0]:
            return f"mg.tanh({any_one} @ {self.weight(a.shape[1], shape[1])} + {carry})"
        return f"mg.tanh(0.7 * {carry} + {any_one}.mean())"

    def finish(self) -> None:
        d = self.d
        carried = [self.fitted(c) for c in self.carries]
        names = [self.pick() for _ in range(d.choice([0, 1, 1, 2]))]
        names += d.choice([[], [], [self.carries[0]], ["new"], *[["1.5"]] * (self.d.integer(0, 3) == 0)])
        structure = mg.tree.flatten(self.init)[1]
        self.lines.append(f"new = {written(mg.tree.unflatten(structure, carried))}")
        first = "new" if structure is ... else "mg.tree.flatten(new)[0][0]"
        names = [first if n == "new" else n for n in names]
        y = {0: "None", 1: names[0] if names else ""}.get(len(names)) or (
            f"({', '.join(names)})" if d.boolean() else f"{{'y': {names[0]}, 'z': ({', '.join(names[1:])}, None)}}"
        )
        self.lines.append(f"return new, {y}")

    @property
    def text(self) -> str:
        body = textwrap.indent("\n".join(self.lines), "    ")
        given = [f"# {name}: {a.dtype}{list(a.shape)}" for name, a in self.weights.items()]
        of_xs = mg.tree.map(lambda a: f"{a.dtype}{list(a.shape)}", (self.init, self.xs))
        scanned = f"# scan(cell, init, xs, length={self.steps}, reverse={self.reverse}), (init, xs) = {of_xs}"
        return "\n".join([*given, scanned, "def cell(carry, x):", body])

    def loaded(self, dtype: str):
        """(cell, weights, init, xs): tensors of this dtype; the weights, init and float xs are leaves of the tape."""

        def leaf(a):
            return mg.tensor(a.astype(dtype), requires_grad=True) if a.dtype.kind == "f" else mg.tensor(a)

        weights = {name: leaf(a) for name, a in self.weights.items()}
        namespace = {"mg": mg, "np": np, **weights}
        exec(compile(self.text, "<cell>", "exec"), namespace)
        return namespace["cell"], list(weights.values()), mg.tree.map(leaf, self.init), mg.tree.map(leaf, self.xs)


def written(tree) -> str:
    """A nested structure of expressions as one expression."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{k!r}: {written(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        inner = "".join(f"{written(v)}, " for v in tree)
        return f"({inner})" if isinstance(tree, tuple) else f"[{inner}]"
    return str(tree)


# Kinds of lines: each (cell, d) -> an expression, or None if nothing there is fits.


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


KINDS = [
    *[elementwise, squash, arithmetic, linear] * 3, *[product, reduction, layout, slices, joining, choosing] * 2,
    shifted, product_of_two, normalisation, parting, gathering, calling, images,
]  # fmt: skip
