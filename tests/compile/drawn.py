"""Random programs as Python text: what a failing test prints is a module that one can run.

A program is a function with what surrounds it: leaves, tensors that it closes over on the outer tape, modules with
state and with jitted or checkpointed modules in them, and what is changed between two calls. It is drawn line by line,
and every line has been run, so it is one that runs.
"""

import textwrap

import numpy as np
from kinds import KINDS, LARGEST, broadcasts, drawing

import minigrad as mg

HEADER = """
import numpy as np
import minigrad as mg
from minigrad import nn


def leaf(seed, *shape):
    return mg.tensor(np.random.default_rng(seed).uniform(-1.2, 1.2, shape), requires_grad=True)
"""

MODULES = """
class Layer(nn.Module):
    def __init__(self, seed, n, m):
        super().__init__()
        self.weight, self.bias = nn.Parameter(leaf(seed, m, n)), nn.Parameter(leaf(seed + 1, m))
        self.state, self.scale, self.seen = leaf(seed + 2, m).detach(), 0.5, [1.5]
        self.generator = np.random.default_rng(seed)

    def forward(self, x):
        x = mg.dropout(x, 0.25, self.generator) if self.training and x.ndim > 1 else x
        return mg.tanh(x @ self.weight.T * self.scale + self.bias + self.state) * self.seen[0]


class Wrapping(nn.Module):
    def __init__(self, inner, wrapper):
        super().__init__()
        self.inner = wrapper(inner)

    def forward(self, x):
        return self.inner(x) + mg.sin(self.inner(x[:1]))


"""

TOTAL = '''
def total(results):
    """A functional of those results that are used; None if nothing of them is on the tape."""
    ys = [y for y in mg.tree.flatten(results)[0] if isinstance(y, mg.Tensor) and y.requires_grad]
    weights = [np.cos(np.arange(y.size) + k).reshape(y.shape).astype(y.dtype) for k, y in enumerate(ys)]
    return sum((y * w).sum().astype("float64") for k, (y, w) in enumerate(zip(ys, weights)) if k in USED)


def gradients(f):
    everything = leaves + [p for module in modules for p in module.parameters() if p.requires_grad]
    for x in everything:
        x.grad = None
    results = f(*arguments)
    if isinstance(total(results), mg.Tensor):
        total(results).backward(retain_graph=True)
    return results, [x.grad for x in everything]


if __name__ == "__main__":
    with mg.disable_jit():
        print("eager", *gradients(make()), sep="\\n")
    print("jitted", *gradients(mg.jit(make())), sep="\\n")
'''

CUSTOM = """
@mg.custom_vjp
def twice_sin(x):
    return 2 * mg.sin(x)


twice_sin.defvjp(lambda x: (2 * mg.sin(x), x), lambda x, g: (2 * mg.cos(x) * g,))
"""


class Program:
    """text: of the module; it defines `leaves`, `make()`, which gives the function, `arguments` and `between(k)`."""

    def __init__(self, d, lines: int):
        self.d, self.batch, self.width = d, d.choice([1, 2, 3]), d.choice([2, 4])
        self.namespace: dict = {}
        self.values: dict[str, np.ndarray] = {}  # what a line may read, as an array
        self.setup: list[str] = []  # leaves and modules
        self.outer: list[str] = []  # what the function closes over, on the outer tape
        self.lines: list[str] = []  # of the function
        self.seeds = self.count = 0
        self.modules: list[tuple[str, int, int]] = []
        self.run(HEADER)
        self.run(CUSTOM)
        self.arguments: list[str] = []
        for _ in range(d.integer(1, 3)):
            self.arguments.append(self.argument())
        for _ in range(d.integer(0, 2)):
            self.module()
        for _ in range(d.integer(0, 2)):
            self.close_over()
        for _ in range(d.integer(lines // 2, lines)):
            for _ in range(4):  # kinds of lines, until one of them fits
                if self.write():
                    break
        self.finish()
        self.used = {k for k in range(4) if d.choice([True, True, False])}
        self.changes = [change for _ in range(d.integer(0, 2)) if (change := self.change()) is not None]

    # What is there

    def run(self, text: str) -> None:
        exec(compile(text, "<program>", "exec"), self.namespace)

    def seed(self) -> int:
        self.seeds += 5
        return self.seeds

    def shape(self) -> tuple:
        B, H = self.batch, self.width
        return self.d.choice([(B, H), (B, H), (B, H), (H,), (B, 1), (B,), (), (2, B, H), (H, H)])

    def weight(self, *shape) -> str:
        """A new leaf that the function closes over."""
        name = f"W{len([line for line in self.setup if line.startswith('W')])}"
        self.setup.append(f"{name} = leaf({', '.join(map(str, [self.seed(), *shape]))})")
        self.run(self.setup[-1])
        return name

    def argument(self) -> str:
        name = f"x{len([line for line in self.setup if line.startswith('x')])}"
        shape = self.shape() if self.arguments else (self.batch, self.width)
        kind = self.d.choice(["float"] * 2 + ["int", "bool"]) if self.arguments else "float"
        text = f"leaf({', '.join(map(str, [self.seed(), *shape]))})"
        if kind != "float":
            maker = {"int": f"integers(0, 3, {shape})", "bool": f"random({shape}) < 0.5"}[kind]
            text = f"mg.tensor(np.random.default_rng({self.seed()}).{maker})"
        self.setup.append(f"{name} = {text}")
        self.run(self.setup[-1])
        self.values[name] = self.namespace[name].numpy()
        return name

    def module(self) -> None:
        if not self.modules:
            self.run(MODULES)
        n, m = self.width, self.d.choice([2, self.width])
        name = f"layer{len(self.modules)}"
        text = f"Layer({self.seed()}, {n}, {m})"
        wrapper = self.d.choice([None, None, "mg.jit", "mg.checkpoint", "lambda layer: layer"])
        if wrapper:
            text = f"Wrapping({text}, {wrapper})"
        self.setup.append(f"{name} = {text}")
        if self.d.boolean():
            self.setup.append(f"{name}.eval()")
        for line in self.setup[-2:]:
            if line.startswith(name):
                self.run(line)
        self.modules.append((name, n, wrapper is not None))

    def close_over(self) -> None:
        name = f"q{len(self.outer)}"
        w = self.weight(*self.shape())
        others = [n for n in self.values if n.startswith("q") and broadcasts(self.values[n], self.namespace[w])]
        text = self.d.choice(
            [f"mg.tanh({w})", f"mg.sin({w}) * 0.5", f"{w} * {self.d.choice(others or [w])}", f"{w}[...]"]
        )
        self.outer.append(f"{name} = {text}")
        self.run(self.outer[-1])
        self.values[name] = self.namespace[name].detach().numpy()

    # Lines

    def pick(self, fits=lambda a: True) -> str | None:
        """The name of a float value, the later ones more often; None if none fits."""
        names = [name for name, a in self.values.items() if a.dtype.kind == "f" and fits(a)]
        return self.d.choice([names[-1], *names, *names[-3:]]) if names else None

    def evaluate(self, text: str):
        """The values of an expression, or None if it has none, or large or wild ones."""
        try:
            with np.errstate(all="ignore"), mg.disable_jit():
                result = eval(text, self.namespace)
        except (ValueError, TypeError, IndexError, RuntimeError):
            return None
        several = result if isinstance(result, (list, tuple)) else [result]
        if not several or not all(isinstance(x, mg.Tensor) for x in several):
            return None
        for x in several:
            a = x.detach().numpy()
            if a.size > LARGEST or a.size == 0 or (a.dtype.kind == "f" and not (abs(a) < 50).all()):
                return None
        return result

    def write(self) -> bool:
        """One more line; whether it is done, for an expression may be none."""
        d = self.d
        kind = d.choice(
            [
                None,
                *[kind for kind in KINDS if kind is not drawing],
                *OWN * 3,
                *[calling_modules] * 6 * bool(self.modules),
            ]
        )
        if kind is None:
            return True
        text = kind(self, d)
        if text is None:
            return False
        if isinstance(text, list):
            return self.write_in_place(text)
        result = self.evaluate(text)
        if result is None:
            return False
        several = list(result) if isinstance(result, (list, tuple)) else [result]
        names = [f"v{self.count + k}" for k in range(len(several))]
        line = f"{', '.join(names)}{',' * isinstance(result, (list, tuple))} = {text}"
        if isinstance(result, mg.Tensor) and result.dtype.kind == "f" and abs(result.detach().numpy()).max() > 3:
            line = f"{names[0]} = mg.tanh({text})"
            several = [mg.tanh(result)]
        self.count += len(names)
        self.lines.append(line)
        for name, x in zip(names, several):
            self.namespace[name], self.values[name] = x, x.detach().numpy()
        return True

    def write_in_place(self, lines: list[str]) -> bool:
        """Lines that write into a new value, v: dropped unless all of them run."""
        name = f"v{self.count}"
        lines = [line.replace("NEW", name).replace("VIEW", f"{name}_") for line in lines]
        namespace = dict(self.namespace)
        try:
            with mg.disable_jit():
                exec("\n".join(lines), namespace)
        except (ValueError, TypeError, IndexError, RuntimeError):
            return False
        a = namespace[name].detach().numpy()
        if not (abs(a) < 50).all():
            return False
        self.count += 1
        self.lines += lines
        self.namespace[name], self.values[name] = namespace[name], a
        return True

    def finish(self) -> None:
        d, names = self.d, list(self.values)
        made = [name for name in names if name.startswith("v")] or names
        results = [d.choice([made[-1], *reversed(made), *made[-3:], d.choice(names)]) for _ in range(d.integer(1, 4))]
        self.results = results
        first, *rest = results
        self.returns = d.choice([
            f"[{', '.join(results)}]", f"{first}, {{'y': [{', '.join(rest)}], 'z': None}}",
            f"({', '.join(results)}, 1.5)",
        ])  # fmt: skip

    def change(self) -> str | None:
        """What happens between the first call and the second."""
        d = self.d
        options = []  # what has been read on the outer tape may not change
        if not self.outer:
            options += [f"{w}.copy_({w} * 0.5)" for w in self.namespace if w[0] == "W" and w[1:].isdigit()][:2]
        options += [f"{x}.copy_({x} * 0.75)" for x in self.arguments if self.values[x].dtype.kind == "f"][:1]
        for name, _, wrapped in self.modules:
            layer = f"{name}.inner" if wrapped else name
            options += [
                f"{layer}.scale = 0.75", f"{layer}.state = {layer}.state * 0.5", f"{layer}.seen[0] = 0.5",
                f"{name}.train(not {name}.training)", f"{layer}.weight = nn.Parameter({layer}.weight.detach() * 0.5)",
                f"{layer}.bias.requires_grad_(False)",
            ]  # fmt: skip
        return d.choice(options) if options else None

    @property
    def text(self) -> str:
        indented = textwrap.indent("\n".join([*self.lines, f"return {self.returns}"]), "        ")
        closed = textwrap.indent("\n".join(self.outer), "    ")
        modules = ", ".join([name for name, *_ in self.modules])
        leaves = [line.split(" = leaf")[0] for line in self.setup if " = leaf(" in line]
        return "\n".join([
            HEADER.strip("\n"), *([MODULES.rstrip("\n")] if self.modules else []),
            *([CUSTOM.rstrip("\n")] if "twice_sin" in indented else []), "", "", *self.setup,
            f"leaves, modules, arguments = [{', '.join(leaves)}], [{modules}], [{', '.join(self.arguments)}]", "", "",
            "def make():", *([closed] if closed else []), f"    def f({', '.join(self.arguments)}):", indented, "",
            "    return f", "", "", "@mg.no_grad()", "def between():",
            textwrap.indent("\n".join(self.changes) or "pass", "    "), "", "", f"USED = {self.used}", "", TOTAL,
        ])  # fmt: skip


# Kinds of lines besides those of cells.py: each (program, d) -> an expression, lines that write in place, or None.


def any_of(program, *kinds: str, fits=lambda a: True) -> str | None:
    names = [name for name, a in program.values.items() if a.dtype.kind in kinds and fits(a)]
    return program.d.choice(names) if names else None


def counting(program, d):
    """Integers and booleans."""
    a = program.pick()
    t = f"{d.integer(-9, 9)}.0371e-1"
    options = [f"{a} > {t}", f"({a} <= {t}).astype('int64')", f"({a} > {t}).sum(axis=0)"]
    if program.values[a].ndim:
        options += [f"mg.argmax({a}, axis=-1)", f"mg.argsort({a}, axis=-1)"]
    n = any_of(program, "i")
    if n:
        options += [f"{n} + 1", f"{n} * {n} - 2", f"mg.minimum({n}, 2)", f"{n} == 1", f"mg.where({n} > 1, {n}, 0)",
                    f"{n} > 0.5", f"{n}.astype('float64') * 0.5", f"{n} * 0.5",
                    f"mg.one_hot(mg.clip({n}, 0, 2), 3)"]  # fmt: skip
        if broadcasts(program.values[n], program.values[a]):
            options += [f"{a} * {n}", f"mg.where({n} == 1, {a}, {n})", f"{a} / ({n} * {n} + 1)"]
    m = any_of(program, "b")
    if m:
        options += [f"~{m}", f"mg.logical_or({m}, True)", f"{m} ^ True", f"{m} * 1.5", f"{m} + 1", f"{m}.sum()",
                    f"mg.where({m}, 1.0, 0.0)", f"mg.where({m}, 2, 3)", f"{m}.astype('float64')",
                    f"{m}.astype('float32') * 2", f"mg.logical_and({m}, {m} == False)", f"{m} * {m}"]  # fmt: skip
        if broadcasts(program.values[m], program.values[a]):
            options += [f"mg.where({m}, {a}, 0)", f"{a} * {m}", f"{m} & ({a} > {t})", f"mg.where({m}, {a}, {m})"]
    return d.choice(options)


def looping(program, d):
    """Loops: nested, with carries of several kinds, masks of the carry, and what they close over."""
    a = program.pick()
    shape = program.values[a].shape
    b, c = [program.pick(lambda b: b.shape == shape) for _ in range(2)]
    q = program.pick(lambda b: broadcasts(b, program.values[a], shape))
    n = any_of(program, "i", "b", fits=lambda b: broadcasts(b, program.values[a], shape)) or "1"
    t = f"{d.integer(-5, 5)}.0371e-1"
    xs = f"mg.stack([{', '.join([b, c, a][: d.integer(1, 3)])}])"
    mask = d.choice(
        [f"(h > {t})", f"(h > {t}).astype('float64')", f"(h > {t}).astype('float32')", f"mg.where(h > {t}, 1.0, 0.5)"]
    )
    again = d.choice(["", ", reverse=True"])
    step = d.choice([
        f"(mg.tanh(h * {mask} + z), h)", f"(mg.where(h > {t}, mg.tanh(h * {q}), z), h > {t})",
        f"(0.5 * h + {q} * z, z * {n})",
        f"(mg.tanh(mg.grad(lambda t: (mg.sin(t * {q}) * z).sum())(h)), None)", f"(mg.jit(mg.sin)(h + {q}), z)",
        f"(mg.scan(lambda g, y: (mg.tanh(g * {mask} + y), g), h, mg.stack([z, {q} * z]))[0], h)",
        f"(mg.sin(mg.scan(lambda g, y: (g * {q} + y, g * h), z, mg.stack([h, z]))[1].sum(0)), h)",
        f"(mg.checkpoint(lambda g: mg.tanh(g * {q} + z))(h), h * z)", f"(mg.stop_gradient(h) * {q} + z * 0.5, h)",
    ])  # fmt: skip
    return d.choice([
        f"mg.scan(lambda h, z: {step}, {a}, {xs}{again})[0]", f"mg.scan(lambda h, z: {step}, {a}, {xs}{again})[1] * 1",
        f"mg.scan(lambda c, z: ((c[0] + 1, mg.tanh(c[1] * 0.5 + z * c[0])), c[0]), (0, {a}), {xs}{again})[0][1]",
        f"mg.scan(lambda c, z: ((c[0] ^ (c[1] > {t}), mg.tanh(c[1] + z * c[0])), c[1]), ({a} > 0.1, {a}), "
        f"{xs}{again})[0][1]",
        f"mg.scan(lambda h, _: (mg.tanh(h * {q}), h), {a}, None, length={d.integer(0, 3)})[0]",
    ])  # fmt: skip


def branching(program, d):
    """Branches and loops that the numbers decide, inside of loops and around them."""
    a = program.pick()
    shape = program.values[a].shape
    dtype = program.values[a].dtype  # a carry keeps it, which eager code does not find out in a loop of no step
    q = program.pick(lambda b: broadcasts(b, program.values[a], shape) and b.dtype == dtype)
    t, bound = f"{d.integer(-5, 5)}.0371e-1", d.integer(1, 4)
    f, g, h = [
        d.choice([f"mg.tanh({{u}} * {q})", f"mg.where({{u}} > {t}, {{u}}, {q})", f"{{u}} * 0.5 + mg.sin({q})",
                  f"mg.scan(lambda s, y: (mg.tanh(s + y * {q}), s), {{u}}, mg.stack([{{u}}, {a}]))[0]",
                  f"mg.cond({q}.sum() > {t}, lambda v: v * {q}, lambda v: mg.sin(v) - {q}, {{u}})",
                  f"mg.checkpoint(lambda v: mg.tanh(v * {q}))({{u}})"])
        for _ in range(3)
    ]  # fmt: skip
    p = d.choice([f"({{u}}.sum() > {t})", f"(({{u}} > {t}).any())", "(mg.argmax({u}) == 0)"])

    def part(text, u):
        return text.replace("{u}", u)

    def cond(u):
        return f"mg.cond({part(p, u)}, lambda u: {part(f, 'u')}, lambda u: {part(g, 'u')}, {u})"

    def switch(u):
        branches = ", ".join([f"lambda u: {part(text, 'u')}" for text in (f, g, h)])
        return f"mg.switch(mg.argmax({u}), [{branches}], {u})"

    def loop(u, body):
        return (f"mg.while_loop(lambda c: (c[0] * c[0]).sum() < {d.integer(0, 40)}.07e-1, "
                f"lambda c: ({body} + c[0] * 0.6, c[1] + 1), ({u}, 0), bound={bound})[0]")  # fmt: skip

    plain = d.choice([cond(a), switch(a), loop(a, part(f, "c[0]")), loop(a, cond("c[0]"))])
    step = d.choice([cond("h"), switch("h"), loop("h", part(f, "c[0]")), loop("(h + z)", cond("c[0]"))])
    xs = f"mg.stack([{a}, {a} * 0.3, {q} + 0 * {a}])"
    again = d.choice(["", ", reverse=True"])
    looped = f"mg.scan(lambda h, z: ({step} * 0.7 + z, h), {a}, {xs}{again})[{d.integer(0, 1)}] * 1"
    return f"{d.choice([plain, looped])} + 0 * {q}"


def transforming(program, d):
    """Derivatives inside, of functions that close over other values."""
    a = program.pick(lambda a: a.size <= 8)
    if a is None:
        return None
    shape = program.values[a].shape
    q = program.pick(lambda b: broadcasts(b, program.values[a], shape))
    b = program.pick(lambda b: b.shape == shape)
    f = d.choice(
        [f"(mg.sin(t) * {q}).sum()", f"(t * t * {q}).sum()", f"(mg.tanh(t * {q}) * {a}).sum()", "(t ** 3).mean()"]
    )
    return d.choice([
        f"mg.grad(lambda t: {f})({a})", f"mg.value_and_grad(lambda t: {f})({a})",
        f"mg.vjp(lambda t: mg.sin(t * {q}), {a})[1]({b})",
        f"mg.jvp(lambda t: mg.sin(t * {q}), ({a},), ({b},))", f"mg.hessian(lambda t: {f})({a}).sum()",
        f"mg.jacobian(lambda t: mg.tanh(t * {q}))({a}).sum(0)", f"mg.hvp(lambda t: {f}, ({a},), ({b},))[0]",
        f"mg.jit(lambda t: mg.grad(lambda s: (s * s * t * {q}).sum())({b}))({a})",
        f"mg.grad(mg.jit(lambda t: {f}))({a})",
        f"mg.grad(lambda t: mg.grad(lambda s: (mg.sin(s) * t * {q}).sum())({b}).sum())({a})",
        f"mg.checkpoint(lambda t: mg.sin(t * {q}))({a})",
        f"mg.grad(lambda t: mg.checkpoint(lambda s: mg.tanh(s) * {q})(t).sum())({a})",
        f"mg.grad(lambda t: mg.scan(lambda h, z: (mg.tanh(h * {q} + z), h), t, mg.stack([{b}, t]))[0].sum())({a})",
        f"mg.stop_gradient({a}) * {b}", f"twice_sin({a} * {q})", f"mg.grad(lambda t: twice_sin(t * {q}).sum())({a})",
    ])  # fmt: skip


def mapping(program, d):
    """vmap over the first or the last axis, of functions that close over other values, with transforms and loops."""
    a = program.pick(lambda a: a.ndim and 0 < a.size <= 16)
    if a is None:
        return None
    shape, axis = program.values[a].shape, d.choice([0, -1])
    sample = np.empty(shape[1:] if axis == 0 else shape[:-1])
    q = program.pick(lambda b: broadcasts(b, sample, sample.shape))
    b = program.pick(lambda b: b.shape == shape)
    if q is None:
        return None
    f = d.choice([
        f"mg.tanh(t * {q})", f"(mg.sin(t) * {q}, t.sum())", f"t * mg.stop_gradient(t * {q})", f"(t * {q}).max()",
        f"mg.grad(lambda s: (mg.sin(s * {q}) * t).sum())({q} * t)", f"mg.checkpoint(lambda s: mg.sin(s) * {q})(t)",
        f"mg.scan(lambda h, z: (mg.tanh(h * {q} + z), h * t), t, mg.stack([{q} * t, t]))", f"twice_sin(t * {q})",
        f"mg.grad(lambda s: mg.scan(lambda h, z: (mg.sin(h * s + z), h), t, mg.stack([t, t]))[0].sum())({q} * t)",
        f"mg.hvp(lambda s: (mg.sin(s) * {q} * t).sum(), (t,), (t,))[0]", f"mg.where(t > 0.0371, t, {q})",
        f"mg.vmap(lambda s: s * t.sum() + {q}.sum())(mg.stack([t, t * {q}]))", f"mg.jit(mg.sin)(t) * {q}",
        f"mg.scan(lambda c, z: ((c[0] + 1, mg.tanh(c[1] * z * c[0])), c[1]), (0, t), mg.stack([t, t * {q}]))[0][1]",
    ])  # fmt: skip
    out = d.choice(["", "", ", out_axes=-1"])
    return d.choice([
        f"mg.vmap(lambda t: {f}, {axis}{out})({a})",
        f"mg.vmap(lambda t, s: mg.sin(t * s) * {q}, ({axis}, {axis}){out})({a}, {b})",
        f"mg.vmap(lambda t, s: mg.sin(t * s), ({axis}, None){out})({a}, {q})",
        f"mg.vmap(mg.value_and_grad(lambda t, s: (mg.sin(t * s) * {q}).sum()), ({axis}, None))({a}, {q})",
        f"mg.grad(lambda s: mg.vmap(lambda t: mg.sin(t * s) * {q}, {axis})({a}).sum())({q})",
    ])  # fmt: skip


def calling_modules(program, d):
    if not program.modules:
        return None
    name, n, _ = d.choice(program.modules)
    a = program.pick(lambda a: a.ndim >= 1 and a.shape[-1] == n)
    if a is None:
        return None
    return d.choice(
        [f"{name}({a})", f"{name}({a})", f"mg.checkpoint({name})({a})", f"mg.grad(lambda t: {name}(t).sum())({a})"]
    )


def in_place(program, d):
    """What writes into a tensor that the function made, or into a view of it."""
    a = program.pick(lambda a: a.ndim)
    if a is None:
        return None
    b = program.pick(lambda b: broadcasts(b, program.values[a], program.values[a].shape))
    fresh = f"NEW = {a} * 1.0"
    return d.choice([
        [fresh, f"NEW += {b}"], [fresh, f"NEW *= {b}"], [fresh, "NEW[0] = NEW[-1] * 0.5"],
        [fresh, "NEW[..., 0] = 0.25"],
        [fresh, "VIEW = NEW[:1]", "VIEW += 0.5"], [fresh, "VIEW = NEW.reshape(-1)", f"VIEW[0] = {b}.sum()"],
        [fresh, "VIEW = NEW", f"VIEW -= {b}"], [fresh, f"NEW.copy_({b})"], [fresh, "NEW[NEW > 0] = 0.5"],
    ])  # fmt: skip


OWN = [*[counting, looping, branching, transforming, mapping, calling_modules] * 2, in_place]
