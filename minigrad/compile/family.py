"""Arguments that are alike but for their sizes, and the programs that serve several of them.

The first call is traced for its own sizes. When another one comes, the sizes that differ become symbols
(minigrad/symbolic), and the trace serves all sizes that fulfil its guards:

    f(x)    x (20, 8, 32)    traced for these sizes
    f(x)    x (31, 8, 32)    traced for (s0, 8, 32)
    f(x)    x (17, 8, 32)    bound: s0 = 17
    f(x)    x (17, 5, 32)    traced for (s0, s1, 32)

Where the passes ask for a size (is this product small?) the answer is a guard, too, so that a call has the same kernels
whichever program serves it. Sizes that have been equal at every call are one symbol. A size of which a trace has shown
that it serves one value alone, as a function that loops over it in Python has it, stays a number.
"""

from collections.abc import Callable, Sequence

from minigrad.compile.compiled import Compiled
from minigrad.ir.absent import Varies
from minigrad.symbolic import LEAST, Sizes, symbol

KEPT = 16  # programs for one family
ENDS = 1, 4  # steps at either end of a loop that may differ from those between: tried in turn


class Generic:
    """A program for several sizes. of: for each size of the arguments, in order, its symbol or its number."""

    def __init__(self, compiled: Compiled, of: Sequence[str | int]):
        assert compiled.sizes is not None
        self.compiled, self.sizes, self.of = compiled, compiled.sizes, list(of)

    def values(self, sizes: Sequence[int]) -> dict[str, int] | None:
        """What its symbols are for these sizes; None where it does not serve them."""
        found: dict[str, int] = {}
        for n, name in zip(sizes, self.of):
            if (found.setdefault(name, n) if isinstance(name, str) else name) != n:
                return None
        return found if self.sizes.hold(found) else None


class Family:
    """What is known of arguments that are alike but for their sizes.

    groups: for each size, which others have been equal to it at every call. varying: the sizes that were not the same
    at all calls. fixed: those that a trace has fixed.
    """

    def __init__(self):
        self.first: tuple[int, ...] | None = None
        self.groups: list = []
        self.varying: set[int] = set()
        self.fixed: set[int] = set()
        self.programs: list[Generic] = []

    def note(self, shapes: Sequence[tuple]) -> tuple[int, ...]:
        """The sizes of a call, in order."""
        sizes = tuple([n for shape in shapes for n in shape])
        if self.first is None:
            self.first, self.groups = sizes, [0] * len(sizes)
        numbers: dict = {}
        self.groups = [numbers.setdefault(pair, len(numbers)) for pair in zip(self.groups, sizes)]
        self.varying |= {k for k, (n, m) in enumerate(zip(sizes, self.first)) if n != m}
        return sizes

    def trace(self, shapes: Sequence[tuple], compiled: Callable) -> Compiled | None:
        """A program for these shapes, which is kept if it serves others, too; None if it could not. compiled: from
        Sizes and shapes to what was traced."""
        made = self.generic(shapes, compiled)
        if made is None:
            return None
        symbols = made.sizes
        names = {name for name in made.of if isinstance(name, str)}
        self.fixed |= {k for k, name in enumerate(made.of) if name in symbols.fixed}
        if not names <= symbols.fixed:
            self.programs.append(made)
            del self.programs[:-KEPT]
        return made.compiled.bound({name: symbols.hints[name] for name in names})

    def generic(self, shapes: Sequence[tuple], compiled: Callable) -> "Generic | None":
        """What was traced for these shapes, with symbols in the place of the sizes that vary; None where none do, and
        where it cannot be."""
        sizes = [n for shape in shapes for n in shape]
        open = [k for k in sorted(self.varying - self.fixed) if sizes[k] >= LEAST]
        names: dict = {}
        of: list[str | int] = list(sizes)
        values: dict[str, int] = {}
        for k in open:
            of[k] = name = names.setdefault(self.groups[k], f"s{len(names)}")
            values[name] = sizes[k]
        if not open:
            return None
        for ends in ENDS:
            symbols = Sizes(values, ends)
            parts = iter([symbol(symbols, n) if isinstance(n, str) else n for n in of])
            try:
                return Generic(compiled(symbols, [tuple([next(parts) for _ in shape]) for shape in shapes]), of)
            except Varies:
                continue
            except Exception:  # something takes no sizes but numbers; if it is wrong with these, too, it says so
                self.fixed.update(open)
                return None
        return None


def kind_of_any_size(kind: tuple) -> tuple:
    """The key (jit.Jitted) of arguments that are alike but for their sizes."""
    structure, needs, *leaves = kind
    return structure, needs, *[
        (len(leaf[0]), *leaf[1:]) if type(leaf[0]) is tuple else leaf for leaf in leaves
    ]  # fmt: skip
