"""Random cells, as Python text: what Hypothesis draws is a program that one can read."""

import textwrap

import numpy as np
from kinds import KINDS, LARGEST, broadcasts

import minigrad as mg


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
                result = eval(text, {"mg": mg, "np": np, "generator": np.random.default_rng(0), **tensors})
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
        drawn = ["# generator: np.random.default_rng(0), anew for each scan"] * ("generator" in body)
        scanned = f"# scan(cell, init, xs, length={self.steps}, reverse={self.reverse}), (init, xs) = {of_xs}"
        return "\n".join([*given, *drawn, scanned, "def cell(carry, x):", body])

    def loaded(self, dtype: str):
        """(cell, weights, init, xs, generator): tensors of this dtype; the weights, init and float xs are leaves of the
        tape. generator: what dropout draws from."""

        def leaf(a):
            return mg.tensor(a.astype(dtype), requires_grad=True) if a.dtype.kind == "f" else mg.tensor(a)

        weights = {name: leaf(a) for name, a in self.weights.items()}
        namespace = {"mg": mg, "np": np, "generator": np.random.default_rng(0), **weights}
        exec(compile(self.text, "<cell>", "exec"), namespace)
        trees = mg.tree.map(leaf, self.init), mg.tree.map(leaf, self.xs)
        return namespace["cell"], list(weights.values()), *trees, namespace["generator"]


def written(tree) -> str:
    """A nested structure of expressions as one expression."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{k!r}: {written(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        inner = "".join(f"{written(v)}, " for v in tree)
        return f"({inner})" if isinstance(tree, tuple) else f"[{inner}]"
    return str(tree)
