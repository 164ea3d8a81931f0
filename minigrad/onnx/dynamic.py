"""Which sizes of the arguments a model takes as they come.

By default every axis that the function leaves open: each gets a symbol, and what the trace takes for granted of the
symbols (minigrad/symbolic) says which stand for one number alone, and which are one. The function is traced again with
these fixed and these as one, until nothing is taken for granted any more.

    layer(x), x (20, 8, 32)     x[0] = s0, x[1] = s1, x[2] = s2      guard s2 == 32
                                x[0] = s0, x[1] = s1, 32             no guard: the model takes any s0, s1
"""

import ast
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from minigrad.sites import line_of_site
from minigrad.symbolic import LEAST, Sizes, symbol
from minigrad.symbolic.sizes import SCOPE, reduced
from minigrad.symbolic.terms import value_of

VALUES = [*range(LEAST, 20), *[2**k + d for k in range(4, 40) for d in (-1, 0, 1)]]
TRIALS = 300
PRIMES = [n for n in range(101, 2000) if all(n % k for k in range(2, 45))]
Place = tuple[int, int]  # an argument, counted among the tensors, and its axis


class Axes(NamedTuple):
    """of: for each axis of the tensors among the arguments its size, or the name of a symbol. hints: the sizes that
    the symbols have while the function is traced; sizes: in the example."""

    of: dict[Place, int | str]
    hints: dict[str, int]
    sizes: dict[str, int]

    def shapes(self, sizes: Sizes, count: int) -> list[tuple]:
        shapes: list[list] = [[] for _ in range(count)]
        for (k, _), n in self.of.items():
            shapes[k].append(symbol(sizes, n) if isinstance(n, str) else n)
        return [tuple(shape) for shape in shapes]

    def places(self) -> dict[str, Place]:
        """Where each symbol is first."""
        found: dict[str, Place] = {}
        for place, n in self.of.items():
            if isinstance(n, str):
                found.setdefault(n, place)
        return found

    def became(self, new: dict[str, int | str]) -> "Axes":
        """With other symbols, or numbers, in the place of symbols."""
        of = {place: new.get(n, n) if isinstance(n, str) else n for place, n in self.of.items()}
        return self._replace(of=of, hints={n: self.hints[n] for n in self.hints if n in of.values()})

    def apart(self, tied: set[str], taken: set[int]) -> "Axes":
        """With primes for hints, but for symbols that are tied to others, so that none is found equal to a size of the
        model, of those taken, by chance."""
        primes = iter([n for n in PRIMES if n not in taken])
        return self._replace(hints={name: n if name in tied else next(primes) for name, n in self.hints.items()})


def every_axis(shapes: Sequence[tuple]) -> Axes:
    """Each axis of 2 or more with a symbol of its own."""
    of: dict = {(k, a): n for k, shape in enumerate(shapes) for a, n in enumerate(shape)}
    open = {place: f"s{place[0]}_{place[1]}" for place, n in of.items() if n >= LEAST}
    sizes = {name: of[place] for place, name in open.items()}
    return Axes(of | open, sizes, sizes)


def named_axes(shapes: Sequence[tuple], names: Sequence[str], wanted: Mapping) -> tuple[Axes, dict[str, str]]:
    """The axes that dynamic_axes names, and by their symbols these names."""
    of: dict = {(k, a): n for k, shape in enumerate(shapes) for a, n in enumerate(shape)}
    symbols: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for argument, axes in wanted.items():
        if argument not in names:
            raise ValueError(f"export: dynamic_axes names {argument!r}; the inputs are {', '.join(names)}")
        k = names.index(argument)
        if not isinstance(axes, Mapping) or not all(isinstance(n, str) and n for n in axes.values()):
            raise TypeError(f"export: dynamic_axes[{argument!r}] is {axes!r:.60}, wanted a dict from axes to names")
        for axis, name in axes.items():
            if type(axis) is not int or not -len(shapes[k]) <= axis < len(shapes[k]):
                raise ValueError(f"export: {argument} has no axis {axis!r} to call {name!r}; its shape is {shapes[k]}")
            place = k, axis % len(shapes[k])
            one = symbols.setdefault(name, f"s{len(symbols)}")
            n = sizes.setdefault(one, of[place])
            if n != shapes[k][place[1]]:
                raise ValueError(
                    f"export: two axes are called {name!r}, and in the example one has {n} and the other, of "
                    f"{argument}, {shapes[k][place[1]]}; give an example in which they agree, or two names"
                )
            of[place] = one
    return Axes(of, sizes, sizes).apart(set(), set()), {one: name for name, one in symbols.items()}


class Found(NamedTuple):
    """What an attempt gave, and on which axes, with nothing taken for granted; symbols that are tied to others; and
    places that were fixed, those that are surely one size together."""

    made: Any
    axes: Axes
    tied: set[str]
    fixed: list[list[Place]]


def settled(axes: Axes, chosen: bool, told: Callable[[Place], str], trace: Callable, write: Callable) -> Found:
    """What write gives, on the axes of which it takes nothing for granted.

    trace, write: of Sizes and Axes; write does more, after it has traced. chosen: whether the user has named the axes;
    then none may be fixed. told: how the user writes the size of a place. First the function tells, on sizes of the
    example, which are one; what it has fixed is tried once more with a size that is equal to nothing by chance; then
    the rest is found out on such sizes.
    """
    if chosen:
        found = stable(trace, axes, told)
    else:
        found = reopened(trace, axes, widest(trace, axes))
    taken = {n for ((value, _, _),) in found.made.program.captured.values() for n in value.shape}
    return stable(write, found.axes.apart(found.tied, taken), told if chosen else None)


def stable(attempt: Callable, axes: Axes, told: Callable[[Place], str] | None = None) -> Found:
    """told: if none may be fixed."""
    fixed: dict[str, list[Place]] = {}
    while True:
        sizes = Sizes(axes.hints)
        made = attempt(sizes, axes)
        new, tied = after(axes, sizes)
        if all(name == became for name, became in new.items()):
            return Found(made, axes, tied, list(fixed.values()))
        if told is not None:
            refuse_fixed(axes, sizes, new, told)
        for place, name in axes.of.items():
            if isinstance(name, str) and type(new[name]) is int:
                fixed.setdefault(equal_to(name, sizes), []).append(place)
        axes = axes.became(new)


def equal_to(name: str, sizes: Sizes) -> str:
    """The last of the symbols that it was found equal to, one after another."""
    while len(terms := sizes.known.get(name, {})) == 1:
        ((product, n),) = terms.items()
        if len(product) != 1 or n != 1:
            break
        name = product[0]
    return name


def widest(trace: Callable, axes: Axes) -> Found:
    """With every axis open. What takes no sizes but numbers raises something; then none is, at first."""
    try:
        return stable(trace, axes)
    except Exception:
        found = stable(trace, axes.became(dict(axes.sizes)))
        places = {place: axes.sizes[name] for place, name in axes.of.items() if isinstance(name, str)}
        alike = [[place for place in places if places[place] == n] for n in dict.fromkeys(places.values())]
        return found._replace(fixed=[*alike, *[[place] for place in places]])


def reopened(trace: Callable, every: Axes, found: Found) -> Found:
    """With those axes open that are so on another size."""
    for k, places in enumerate(found.fixed):
        shut = [place for place in places if type(found.axes.of[place]) is int]
        again = {str(every.of[place]): PRIMES[-1 - k % len(PRIMES)] for place in shut}
        of, hints = found.axes.of | {place: every.of[place] for place in shut}, found.axes.hints | again
        with contextlib.suppress(Exception):  # on another size the function may not work
            tried = stable(trace, found.axes._replace(of=of, hints=hints))
            if any(isinstance(tried.axes.of[place], str) for place in shut):
                found = tried._replace(fixed=found.fixed)
    return found


def after(axes: Axes, sizes: Sizes) -> tuple[dict[str, int | str], set[str]]:
    """What each symbol becomes: itself, one that is equal to it, or its number in the example; and those symbols that
    are tied to others in another way.

    That two sizes differ matters to the user's code alone: the engine asks it in order to leave something out.
    """
    open = {text: asked for text, asked in sizes.guards.items() if text not in sizes.learnt}
    matters = [
        t for t, asked in open.items() if not (asked.engine and " != " in t) and not holds_always(t, axes, sizes)
    ]
    fixed = {name for text in matters for name in names_in(text)} | sizes.asked
    new: dict[str, int | str] = {}
    tied: set[str] = set()
    for name in axes.hints:
        terms = reduced(sizes, {(name,): 1})
        atoms = {atom for product in terms for atom in product}
        one = next(iter(atoms)) if len(atoms) == 1 and terms == {(next(iter(atoms)),): 1} else None
        symbols = {symbol for atom in atoms for symbol in names_in(atom)}
        if name in fixed or not atoms or symbols & fixed:
            new[name] = axes.sizes[name]
        elif one in axes.hints:
            new[name] = one
        else:
            new[name] = name
            tied |= {name, *symbols}
    return new, tied


def holds_always(guard: str, axes: Axes, sizes: Sizes) -> bool:
    """Whether a guard holds whatever the symbols are that are still free, as far as trying many tells."""
    code = compile(guard, "a guard", "eval")
    terms = {name: reduced(sizes, {(name,): 1}) for name in axes.hints}
    draw = random.Random(0)
    for attempt in range(TRIALS):
        one = draw.choice(VALUES)
        values = {name: one if attempt % 4 == 0 else draw.choice(VALUES) for name in axes.hints}
        try:
            values |= {name: value_of(of, values) for name, of in terms.items()}
        except KeyError:  # of what is no polynomial
            return False
        if min(values.values()) >= LEAST and not eval(code, SCOPE, values):
            return False
    return True


def names_in(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def refuse_fixed(axes: Axes, sizes: Sizes, new: Mapping, told: Callable[[Place], str]) -> None:
    for name, place in axes.places().items():
        if type(new[name]) is not int:
            continue
        asked = next((asked for text, asked in sizes.guards.items() if name in names_in(text)), None)
        where = f" at {line_of_site(asked.site)}" if asked else ""
        raise ValueError(
            f"export: the function asks for {told(place)}{where}, and a model would serve {new[name]} alone; leave it "
            "out of dynamic_axes, or let the function work for all sizes: mg.scan in place of a loop over range(n), "
            "x.shape[0] in place of len(x), mg.zeros in place of np.zeros"
        )
