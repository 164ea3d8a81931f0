"""Programs that Hypothesis writes (drawn.py) give jitted what they give eagerly; gradients are difference quotients.

Closures on an outer tape, unused results, integers and booleans, transforms inside, writes in place, modules with state
and with jitted modules in them, changes between two calls. Loops run as the text of their kernels, memory watched.
"""

import numpy as np
import pytest
from drawn import Program
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from interpreter import divided_batches, interpreted, poisoned

import minigrad as mg
from minigrad.compile.passes import fuse
from minigrad.testing import Draw


class Run:
    """A fresh start of a program: its function, wrapped, and what comes out of its calls."""

    def __init__(self, text: str, wrap):
        self.names: dict = {"__name__": "program"}
        exec(compile(text, "<program>", "exec"), self.names)
        self.f = wrap(self.names["make"]())
        self.results: list = []

    @property
    def leaves(self) -> list:
        everything = self.names["leaves"] + [p for module in self.names["modules"] for p in module.parameters()]
        return [x for x in everything if x.requires_grad]

    def call(self):
        for module in self.names["modules"]:
            for part in module.modules():
                if hasattr(part, "generator"):
                    part.generator.bit_generator.state = np.random.default_rng(3).bit_generator.state
        return self.f(*self.names["arguments"])

    def total(self, results):
        return self.names["total"](results)

    def gradients(self, second: bool) -> list:
        """(value or None for each result and each gradient) of a call; second: and those of a functional of these."""
        leaves = self.leaves
        for x in leaves:
            x.grad = None
        self.results = mg.tree.flatten(self.call())[0]
        found = [y.detach().numpy().copy() if isinstance(y, mg.Tensor) else y for y in self.results]
        total = self.total(self.results)
        if not isinstance(total, mg.Tensor):
            return found + [None] * len(leaves)
        total.backward(retain_graph=True, create_graph=second)
        first = [x.grad for x in leaves]
        found += [g if g is None else g.detach().numpy().copy() for g in first]
        if second:
            for x in leaves:
                x.grad = None
            parts = [(g * (0.3 + k)).sum() for k, g in enumerate(first) if g is not None and g.requires_grad]
            if parts:
                sum(parts).backward(retain_graph=True)
            found += [None if x.grad is None else x.grad.detach().numpy().copy() for x in leaves]
        return found

    def outcome(self, second: bool, changes: bool) -> list:
        """Of two calls; and of one more after what changes in between."""
        found = [self.gradients(second), self.gradients(False)]
        self.names["between"]()
        return [*found, self.gradients(False)] if changes else found


def near(got, wanted, tolerance: float, what: str) -> None:
    for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
        assert type(a) is type(b), f"{what}, {k}: {a}, wanted {b}"
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype and a.shape == b.shape, f"{what}, {k}"
            scale = max(1.0, abs(b).max(initial=0)) if b.dtype.kind == "f" else 1
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=f"{what}, {k}")


def against_differences(run: Run, gradients: list, eps=1e-6) -> None:
    """Along a random direction for each leaf."""
    rng = np.random.default_rng(0)
    for k, (x, gradient) in enumerate(zip(run.leaves, gradients, strict=True)):
        u, before, ends = rng.uniform(-1, 1, x.shape), x.numpy().copy(), []
        for sign in (1, -1):
            with mg.no_grad():
                x.copy_(before + sign * eps * u)
            run.f = run.names["make"]()  # with what it closes over computed anew
            total = run.total(run.call())
            ends.append(total.item() if isinstance(total, mg.Tensor) else 0.0)
        with mg.no_grad():
            x.copy_(before)
        pulled = 0.0 if gradient is None else (gradient * u).sum()
        quotient = (ends[0] - ends[1]) / (2 * eps)
        np.testing.assert_allclose(pulled, quotient, rtol=1e-4, atol=2e-5, err_msg=f"leaf {k}")


def decides(text: str) -> bool:
    return any(word in text for word in ("mg.cond", "mg.switch", "mg.while_loop"))


def absent_or_zeros(got, wanted) -> list:
    """Which steps are taken is not known when a derivative of a derivative is compiled: it is zeros where eager code,
    which knows, leaves it out."""
    return [None if b is None and isinstance(a, np.ndarray) and not a.any() else a for a, b in zip(got, wanted)]


def check(data, lines: int, around) -> None:
    d = Draw(data)
    program = Program(d, lines)
    text = program.text
    note(text)
    second, every = d.choice([False, False, False, True]), d.choice([None, None, None, 1, 2])
    rough = any(x.dtype == "float32" for x in program.values.values()) or "float32" in text
    tolerance = 3e-5 if rough else 1e-9
    with mg.disable_jit():
        eager = Run(text, lambda f: f)
        wanted = eager.outcome(second, bool(program.changes))
        if not rough and "stop_gradient" not in text:  # a float32 in between is too rough for quotients
            fresh = Run(text, lambda f: f)
            count = len(eager.results)
            against_differences(fresh, wanted[0][count : count + len(fresh.leaves)])
    with around(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuse, "LARGE", d.choice([fuse.LARGE, 2]))
        wraps = {"jitted": lambda f: mg.jit(f, checkpoint=every)}
        if "mg.jit" in text.partition("USED")[0]:  # in it, or around a module in a module
            wraps["as it is"] = lambda f: f
        for name, wrap in wraps.items():
            run = Run(text, wrap)
            outcome = run.outcome(second, bool(program.changes))
            for k, (got, expected) in enumerate(zip(outcome, wanted, strict=True)):
                got = absent_or_zeros(got, expected) if second and decides(text) else got
                near(got, expected, tolerance, f"{name}, call {k}")
            for a, b in zip(run.results, eager.results):
                assert getattr(a, "requires_grad", None) == getattr(b, "requires_grad", None), name


def samples_of(x, size: int):
    """So many arguments like x; the first is x itself."""
    return mg.stack([x * k if x.dtype.kind == "f" else x for k in (1, 0.75, -0.5)[:size]])


def check_mapped(data, lines: int, around) -> None:
    """The whole program under vmap against its results for the samples one by one."""
    d = Draw(data)
    program = Program(d, lines)
    text = program.text
    note(text)
    size = d.choice([1, 2, 3])
    mapped = [True, *[d.choice([True, False]) for _ in program.arguments[1:]]]

    def one_by_one(f):
        def of(*args):
            many = [samples_of(x, size) if m else x for x, m in zip(args, mapped)]
            results = [mg.tree.flatten(f(*[x[k] if m else x for x, m in zip(many, mapped)]))[0] for k in range(size)]
            return [mg.stack([mg.tensor(x) if isinstance(x, float) else x for x in each]) for each in zip(*results)]

        return of

    def at_once(f, wrap=lambda f: f):
        def of(*args):
            many = [samples_of(x, size) if m else x for x, m in zip(args, mapped)]
            return mg.tree.flatten(mg.vmap(f, [0 if m else None for m in mapped])(*many))[0]

        return wrap(of)

    def outcome(wrap):
        run = Run(text, wrap)
        for module in run.names["modules"]:
            module.eval()  # no dropout
        return run.outcome(second, False)

    second = d.choice([False, False, True])
    rough = any(x.dtype == "float32" for x in program.values.values()) or "float32" in text
    with mg.disable_jit():
        wanted, eager = outcome(one_by_one), outcome(at_once)
    for k, (got, expected) in enumerate(zip(eager, wanted, strict=True)):
        near(got, expected, 3e-5 if rough else 1e-9, f"mapped, call {k}")
    with around():
        for k, (got, expected) in enumerate(zip(outcome(lambda f: at_once(f, mg.jit)), wanted, strict=True)):
            got = absent_or_zeros(got, expected) if second and decides(text) else got
            near(got, expected, 3e-5 if rough else 1e-9, f"mapped and jitted, call {k}")


def check_forward(data, lines: int, around) -> None:
    """Forward mode of the whole program, eager and jitted, against the vjp of the vjp."""
    d = Draw(data)
    text = Program(d, lines).text
    note(text)

    def floats(results):
        return [x for x in mg.tree.flatten(results)[0] if isinstance(x, mg.Tensor) and x.dtype.kind == "f"]

    def outcome(way, inner=lambda f: f):
        run = Run(text, inner)
        args = run.names["arguments"]
        places = [k for k, x in enumerate(args) if isinstance(x, mg.Tensor) and x.dtype.kind == "f"]
        primals = [args[k] for k in places]

        def of(*given):
            run.names["arguments"] = [dict(zip(places, given)).get(k, x) for k, x in enumerate(args)]
            return floats(run.call())

        u = [mg.tensor(np.random.default_rng(k).uniform(-1, 1, x.shape).astype(x.dtype)) for k, x in enumerate(primals)]
        u[1:] = [t if there else None for t, there in zip(u[1:], tangents)]
        return [x.detach().numpy() for x in way(of, primals, u)]

    def twice_reversed(of, primals, u):
        results, pull = mg.vjp(of, *primals)
        return mg.vjp(lambda *g: pull(list(g)), *[mg.zeros_like(x) for x in results])[1](tuple(u))

    def forward(of, primals, u):
        return mg.jvp(of, primals, u)[1]

    tangents = [d.choice([True, True, False]) for _ in range(9)]
    rough = "float32" in text
    with mg.disable_jit():
        wanted, eager = outcome(twice_reversed), outcome(forward)
    near(eager, wanted, 3e-5 if rough else 1e-9, "forward")
    with around():
        near(outcome(forward, mg.jit), wanted, 3e-5 if rough else 1e-9, "forward, of it jitted")


SHRUNK = [Phase.generate, Phase.shrink]


def compiled():
    return divided_batches()


@settings(max_examples=25)
@given(st.data())
def test_interpreted(data):
    check(data, 8, interpreted)


@pytest.mark.heavy
@settings(max_examples=5000, phases=SHRUNK)
@given(st.data())
def test_interpreted_heavily(data):
    check(data, 8, interpreted)


@pytest.mark.heavy
@settings(max_examples=300, phases=SHRUNK)
@given(st.data())
def test_compiled_heavily(data):
    with poisoned():
        check(data, 12, compiled)


@settings(max_examples=15)
@given(st.data())
def test_mapped(data):
    check_mapped(data, 8, interpreted)


@pytest.mark.heavy
@settings(max_examples=2000, phases=SHRUNK)
@given(st.data())
def test_mapped_heavily(data):
    check_mapped(data, 8, interpreted)


@settings(max_examples=15)
@given(st.data())
def test_forward(data):
    check_forward(data, 8, interpreted)


@pytest.mark.heavy
@settings(max_examples=2000, phases=SHRUNK)
@given(st.data())
def test_forward_heavily(data):
    check_forward(data, 8, interpreted)
