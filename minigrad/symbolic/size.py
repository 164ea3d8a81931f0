"""What Python takes for a number: an integer, or a real number, of symbols."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.symbolic.base import Symbolic
from minigrad.symbolic.sizes import OPPOSITES, RELATIONS, Sizes, reduced
from minigrad.symbolic.terms import Terms, add_to, divided, multiplied, text_of, value_of


def terms_of(x) -> Terms | None:
    """An integer as a polynomial; None of what is none."""
    if type(x) is Size:
        return x.terms
    if isinstance(x, (int, np.integer)):
        return {(): int(x)} if x else {}
    return None


class Size(Symbolic):
    """An integer of symbols: a polynomial with integer coefficients, of symbols and of what is no polynomial.

    To Python it is an int (`isinstance(n, int)`) that is of no subclass of it, so that nothing written in C reads a
    number in it without asking.
    """

    __slots__ = ("terms",)
    __class__ = property(lambda self: int)  # type: ignore[assignment]

    def __init__(self, sizes: Sizes, terms: Terms):
        self.sizes, self.terms = sizes, terms
        self.hint = value_of(terms, sizes.hints)
        self.text = f"({text_of(terms)})"

    def plain(self) -> int:
        terms = dict(self.terms)
        add_to(terms, (), -self.hint)
        self.sizes.asked.update([atom for product in terms for atom in product])
        self.sizes.decide(terms, "==")
        return self.hint

    __index__ = plain
    __hash__ = Symbolic.__hash__

    # Arithmetic

    def _combined(self, other, sign: int):
        terms = terms_of(other)
        if terms is None:
            return NotImplemented
        made = dict(self.terms)
        for product, n in terms.items():
            add_to(made, product, sign * n)
        return number(self.sizes, made)

    def __add__(self, other):
        made = self._combined(other, 1)
        return self._real("+", other) if made is NotImplemented else made

    def __sub__(self, other):
        made = self._combined(other, -1)
        return self._real("-", other) if made is NotImplemented else made

    def __mul__(self, other):
        terms = terms_of(other)
        return self._real("*", other) if terms is None else number(self.sizes, multiplied(self.terms, terms))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return -self + other

    def __neg__(self):
        return number(self.sizes, {product: -n for product, n in self.terms.items()})

    def __pos__(self):
        return self

    def __abs__(self):
        return self if self >= 0 else -self

    def __floordiv__(self, other):
        return self.quotient(self, other)

    def __rfloordiv__(self, other):
        return self.quotient(other, self)

    def __mod__(self, other):
        return self.remainder(self, other)

    def __rmod__(self, other):
        return self.remainder(other, self)

    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self

    def quotient(self, a, b):
        of_a, of_b = terms_of(a), terms_of(b)
        if of_a is None or of_b is None:
            return NotImplemented
        if b == 0:
            raise ZeroDivisionError("integer division or modulo by zero")
        exact = divided(reduced(self.sizes, of_a), reduced(self.sizes, of_b))
        if exact is not None:
            return number(self.sizes, exact)
        low, positive = self.sizes.bound(of_a), self.sizes.bound(of_b)
        least = 0 if low is not None and low >= 0 and positive is not None and positive > 0 else None
        if least == 0 and isinstance(b, int) and type(b) is not Size:
            least = low // b  # type: ignore[operator]
        return atom(self.sizes, f"(({text_of(of_a)})//({text_of(of_b)}))", hint_of(a) // hint_of(b), least)

    def remainder(self, a, b):
        of_a, of_b = terms_of(a), terms_of(b)
        if of_a is None or of_b is None:
            return NotImplemented
        if b == 0:
            raise ZeroDivisionError("integer division or modulo by zero")
        of_a, of_b = reduced(self.sizes, of_a), reduced(self.sizes, of_b)
        of_a = {product: n for product, n in of_a.items() if divided({product: n}, of_b) is None}
        if not of_a:
            return 0
        least = 0 if b > 0 else None
        hint = value_of(of_a, self.sizes.hints) % hint_of(b)
        return atom(self.sizes, f"(({text_of(of_a)})%({text_of(of_b)}))", hint, least)

    def __pow__(self, n):
        if type(n) is not int or n < 0:
            return self._real("**", n)
        made: Any = 1
        for _ in range(n):
            made = made * self
        return made

    def __rpow__(self, other):
        return self._real("**", other, swapped=True)

    def __truediv__(self, other):
        return self._real("/", other)

    def __rtruediv__(self, other):
        return self._real("/", other, swapped=True)

    def _real(self, sign: str, other, swapped=False):
        return combined(self.sizes, self, sign, other, swapped)

    # Questions

    def __bool__(self):
        return not self.sizes.decide(self.terms, "==")

    def _compared(self, other, relation: str, swapped=False):
        terms = terms_of(other)
        if terms is None:
            return compared(self, other, relation, swapped)
        made = dict(self.terms)
        for product, n in terms.items():
            add_to(made, product, -n)
        if swapped:
            made = {product: -n for product, n in made.items()}
        return self.sizes.decide(made, relation)

    def __eq__(self, other):
        return self._compared(other, "==")

    def __ne__(self, other):
        answer = self._compared(other, "==")
        return answer if answer is NotImplemented else not answer

    def __lt__(self, other):
        return self._compared(other, "<")

    def __le__(self, other):
        return self._compared(other, "<=")

    def __gt__(self, other):
        return self._compared(other, "<", swapped=True)

    def __ge__(self, other):
        return self._compared(other, "<=", swapped=True)

    # What else an int has

    def bit_length(self):
        return self.plain().bit_length()

    def is_integer(self):
        return True

    def conjugate(self):
        return self

    real = numerator = property(lambda self: self)
    imag, denominator = 0, 1

    def __and__(self, other):
        return self.plain() & other

    def __or__(self, other):
        return self.plain() | other

    def __xor__(self, other):
        return self.plain() ^ other

    def __lshift__(self, n):
        return self * 2**n if type(n) is int else self.plain() << n

    def __rshift__(self, n):
        return self // 2**n if type(n) is int else self.plain() >> n

    def __rand__(self, other):
        return other & self.plain()

    def __ror__(self, other):
        return other | self.plain()

    def __rxor__(self, other):
        return other ^ self.plain()

    def __rlshift__(self, other):
        return other << self.plain()

    def __rrshift__(self, other):
        return other >> self.plain()

    def __invert__(self):
        return -self - 1


class Real(Symbolic):
    """A real number that was computed of Sizes: 1 / n in a mean, say."""

    __slots__ = ()
    __class__ = property(lambda self: float)  # type: ignore[assignment]

    def __init__(self, sizes: Sizes, text: str, hint: float):
        self.sizes, self.text, self.hint = sizes, text, hint

    def plain(self) -> float:
        self.sizes.note(f"{self.text} == {self.hint!r}")
        return self.hint

    __hash__ = Symbolic.__hash__

    def __bool__(self):
        return self != 0

    def __neg__(self):
        return combined(self.sizes, 0.0, "-", self)

    def __pos__(self):
        return self

    def __abs__(self):
        return self if self >= 0 else -self


def symbol(sizes: Sizes, name: str) -> Size:
    return Size(sizes, {(name,): 1})


def number(sizes: Sizes, terms: Terms) -> int | Size:
    """An expression in its normal form; a number where it has no symbol left."""
    terms = reduced(sizes, terms)
    if not terms.keys() - {()}:
        return terms.get((), 0)
    made = Size(sizes, terms)
    return made.hint if sizes.closed else made


def atom(sizes: Sizes, text: str, hint: int, least: int | None) -> int | Size:
    """An expression that is no polynomial, taken as a whole. least: what it is never below, if that is known."""
    sizes.hints[text] = hint
    if least is not None:
        sizes.least[text] = least
    return number(sizes, {(text,): 1})


def hint_of(x):
    return x.hint if isinstance(x, Symbolic) else x


CALCULATIONS: dict[str, Callable] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
    "//": operator.floordiv, "%": operator.mod,
}  # fmt: skip


def combined(sizes: Sizes, a, sign: str, b, swapped=False):
    """A real number of two numbers of which one is symbolic."""
    if swapped:
        a, b = b, a
    if not all(type(x) in (int, float, Size, Real) for x in (a, b)):
        return NotImplemented
    hint = CALCULATIONS[sign](hint_of(a), hint_of(b))
    if sizes.closed:
        return hint
    if not math.isfinite(hint) or not all(math.isfinite(hint_of(x)) for x in (a, b)):
        return CALCULATIONS[sign](*[x.plain() if isinstance(x, Symbolic) else x for x in (a, b)])
    of_a, of_b = [x.text if isinstance(x, Symbolic) else f"({x!r})" for x in (a, b)]
    return Real(sizes, f"({of_a}{sign}{of_b})", float(hint))


def compared(a: Symbolic, b, relation: str, swapped=False):
    """A comparison with what is no integer."""
    if type(b) not in (int, float, Size, Real) or b != b:
        return NotImplemented if type(b) is not float else False
    x, y = (b, a) if swapped else (a, b)
    if hint_of(b) in (math.inf, -math.inf):
        return RELATIONS[relation](hint_of(x), hint_of(y))
    answer = RELATIONS[relation](hint_of(x), hint_of(y))
    of_x, of_y = [z.text if isinstance(z, Symbolic) else f"({z!r})" for z in (x, y)]
    a.sizes.note(f"{of_x} {relation if answer else OPPOSITES[relation]} {of_y}")
    return answer


def _of_real() -> None:
    """Give Real the operators that only note what was asked."""
    for name, sign in dict(add="+", sub="-", mul="*", truediv="/", pow="**", floordiv="//", mod="%").items():
        setattr(Real, f"__{name}__", lambda a, b, sign=sign: combined(a.sizes, a, sign, b))
        setattr(Real, f"__r{name}__", lambda a, b, sign=sign: combined(a.sizes, a, sign, b, swapped=True))
    for name, relation, swapped in (
        ("eq", "==", False), ("lt", "<", False), ("le", "<=", False), ("gt", "<", True), ("ge", "<=", True),
    ):  # fmt: skip
        setattr(Real, f"__{name}__", lambda a, b, r=relation, s=swapped: compared(a, b, r, s))


_of_real()
