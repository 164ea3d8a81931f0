"""Polynomials with integer coefficients: the normal form of a size."""

import math

Terms = dict[tuple[str, ...], int]  # products of atoms with their coefficients; an atom is an expression of Python


def add_to(terms: Terms, product: tuple[str, ...], n: int) -> None:
    terms[product] = terms.get(product, 0) + n


def multiplied(a: Terms, b: Terms) -> Terms:
    made: Terms = {}
    for x, n in a.items():
        for y, m in b.items():
            add_to(made, tuple(sorted((*x, *y))), n * m)
    return made


def value_of(terms: Terms, values: dict[str, int]) -> int:
    return sum([n * math.prod([values[atom] for atom in product]) for product, n in terms.items()])


def text_of(terms: Terms) -> str:
    parts = []
    for product, n in sorted(terms.items(), key=lambda item: (-len(item[0]), item[0])):
        factors = [*([str(n)] if n != 1 or not product else []), *product]
        parts.append("*".join(factors))
    return " + ".join(parts).replace("+ -", "- ") or "0"


def divided(terms: Terms, by: Terms) -> Terms | None:
    """The exact quotient by a single product, if every term is a multiple of it."""
    if len(by) != 1:
        return None
    ((divisor, m),) = by.items()
    made: Terms = {}
    for product, n in terms.items():
        rest = list(product)
        for atom in divisor:
            if atom not in rest:
                return None
            rest.remove(atom)
        if n % m:
            return None
        made[tuple(rest)] = n // m
    return made
