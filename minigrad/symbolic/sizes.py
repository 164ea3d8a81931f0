"""The symbols of a trace, and the guards: what it takes for granted of them."""

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.sites import asked_by_engine, call_site
from minigrad.symbolic.terms import Terms, add_to, multiplied, text_of, value_of

LEAST = 2  # that a symbol stands for
RELATIONS: dict[str, Callable] = {"<": operator.lt, "<=": operator.le, "==": operator.eq}
OPPOSITES = {"<": ">=", "<=": ">", "==": "!="}
HOME = Path(__file__).parent
SCOPE: dict[str, Any] = {"__builtins__": {}}


class Asked(NamedTuple):
    """What made a guard: a line of the user's, and whether it is the engine that wanted to know."""

    site: Any
    engine: bool


class Sizes:
    """The symbols of a trace, by name with their hints, and the guards: what the trace takes for granted of them.

    ends: steps at either end of a loop of unknown length that may differ from those between (minigrad/ir/absent.py).
    closed: the trace is complete. What still asks is told by the hints, and nothing is noted: a Size that the function
    has left in a variable is from then on the number that it was.
    """

    def __init__(self, hints: dict[str, int], ends: int = 1):
        self.hints = dict(hints)
        self.symbols = list(hints)
        self.least: dict[str, int] = dict.fromkeys(hints, LEAST)  # of atoms, as far as it is known
        self.known: dict[str, Terms] = {}  # symbols that a guard says to be equal to something else
        self.asked: set[str] = set()  # atoms of the expressions of which a number was wanted
        self.guards: dict[str, Asked] = {}  # as Python's text, in the order in which they were noted
        self.learnt: set[str] = set()  # the guards that `known` says, too
        self.ends, self.closed = ends, False
        self.codes: dict[str, Any] = {}

    @property
    def fixed(self) -> set[str]:
        """Symbols that may have one value alone, since something asked for their number."""
        return {name for name in self.asked & self.known.keys() if set(reduced(self, self.known[name])) <= {()}}

    def hold(self, values: dict[str, int]) -> bool:
        """Whether the trace serves these values of the symbols."""
        if "guards" not in self.codes:
            self.codes["guards"] = compile(" and ".join(self.guards) or "True", "guards of a trace", "eval")
        return all(n >= LEAST for n in values.values()) and bool(eval(self.codes["guards"], SCOPE, values))

    def note(self, text: str) -> None:
        if not self.closed and text not in self.guards:
            self.guards[text] = Asked(call_site(), asked_by_engine(HOME))

    def bound(self, terms: Terms) -> int | None:
        """A number that an expression is never less than, if its terms tell one."""
        shifted: Terms = {}  # in terms of what each atom is above its least value
        for product, n in terms.items():
            parts: Terms = {(): n}
            for atom in product:
                least = self.least.get(atom)
                if least is None:
                    return None
                more: Terms = {}
                for rest, m in parts.items():
                    add_to(more, rest, m * least)
                    add_to(more, (*rest, atom), m)
                parts = more
            for rest, m in parts.items():
                add_to(shifted, tuple(sorted(rest)), m)
        return shifted.get((), 0) if all(n >= 0 for product, n in shifted.items() if product) else None

    def decide(self, terms: Terms, relation: str) -> bool:
        """Whether an expression is in a relation to 0 ("<", "<=" or "=="): by its terms if they tell, else by its hint,
        and then it is a guard."""
        terms = reduced(self, terms)
        value = value_of(terms, self.hints)
        answer = RELATIONS[relation](value, 0)
        if self.closed or not terms.keys() - {()}:
            return answer
        low, high = self.bound(terms), self.bound({product: -n for product, n in terms.items()})
        above, below = (low is not None and low > 0), (high is not None and high > 0)
        if above or below:
            return answer
        if (relation == "<" and low == 0) or (relation == "<=" and high == 0):
            return answer
        text = text_of(terms)
        self.note(f"{text} {relation} 0" if answer else f"{text} {OPPOSITES[relation]} 0")
        if answer and relation == "==" and self.learn(terms):
            self.learnt.add(f"{text} == 0")
        return answer

    def learn(self, terms: Terms) -> bool:
        """From an expression that is 0: what one of the symbols is equal to. Whether it tells that."""
        for name in self.symbols:
            n = terms.get((name,))
            others = {product: m for product, m in terms.items() if product != (name,)}
            if n in (1, -1) and not any(name in atom for product in others for atom in product):
                self.known[name] = {product: -n * m for product, m in others.items()}
                return True
        return False


def reduced(sizes: Sizes, terms: Terms) -> Terms:
    """The same, without the symbols that are known to be equal to something else, and without zeros."""
    while sizes.known and any(atom in sizes.known for product in terms for atom in product):
        made: Terms = {}
        for product, n in terms.items():
            part: Terms = {(): n}
            for atom in product:
                part = multiplied(part, sizes.known.get(atom, {(atom,): 1}))
            for rest, m in part.items():
                add_to(made, rest, m)
        terms = made
    return {product: n for product, n in terms.items() if n}
