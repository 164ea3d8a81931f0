"""Nested tuples, lists, dicts and named tuples of anything: what transforms and `scan` take and return.

A leaf is whatever is none of these. None is an absent value: it has no leaves and stays where it is. A structure is the
tree with `...` in place of every leaf. Dicts keep their order; two with the same keys have the same structure. An
OrderedDict or a defaultdict stays one; a dict of another class becomes a plain one.
"""

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

__all__ = ["flatten", "map", "names", "unflatten"]
END = object()


def children(node):
    """Keys and values of a container (none of either for None); None for a leaf."""
    if isinstance(node, (tuple, list)):
        return range(len(node)), node
    if isinstance(node, dict):
        return node.keys(), node.values()
    return ((), ()) if node is None else None


def rebuild(node, values: Iterable):
    """A container like `node` that holds these values."""
    if type(node) is tuple:
        return tuple(values)
    if isinstance(node, dict):
        pairs = zip(node, values)
        if type(node) is defaultdict:
            return defaultdict(node.default_factory, pairs)
        return OrderedDict(pairs) if type(node) is OrderedDict else dict(pairs)
    if node is None:
        return None
    return type(node)(*values) if hasattr(node, "_fields") else type(node)(values)


def flatten(tree: Any) -> tuple[list, Any]:
    """The leaves of nested tuples, lists and dicts, in order, and the structure.

    Parameters
    ----------
    tree
        Anything; what is no tuple, list or dict is a leaf.

    Returns
    -------
    (leaves, structure)

    Examples
    --------
    >>> leaves, structure = mg.tree.flatten({"w": 1, "b": (2, 3)})
    >>> leaves
    [1, 2, 3]
    """
    leaves: list = []
    return leaves, _strip(tree, leaves)


def _strip(tree, leaves: list):  # not a closure: one that names itself is a cycle, and would keep the leaves alive
    inner = children(tree)
    if inner is None:
        leaves.append(tree)
        return ...
    return rebuild(tree, [_strip(value, leaves) for value in inner[1]])


def unflatten(structure: Any, leaves: Iterable) -> Any:
    """The tree of this structure with these leaves.

    Parameters
    ----------
    structure
        From `flatten`.
    leaves
        One for each place.

    Raises
    ------
    ValueError
        Unless there is a leaf for each place.
    TypeError
        For what is no structure.

    Examples
    --------
    >>> leaves, structure = mg.tree.flatten((1, [2, 3]))
    >>> mg.tree.unflatten(structure, "abc")
    ('a', ['b', 'c'])
    """
    try:
        rest = iter(leaves)
    except TypeError as error:
        raise TypeError(f"unflatten: wanted a list of leaves: {error}") from None
    try:
        tree = _fill(structure, rest)
    except StopIteration:
        raise ValueError(f"unflatten: too few leaves for the structure {structure!r:.200}") from None
    if next(rest, END) is not END:
        raise ValueError(f"unflatten: too many leaves for the structure {structure!r:.200}")
    return tree


def _fill(structure, leaves):
    if structure is ...:
        return next(leaves)
    inner = children(structure)
    if inner is None:
        raise TypeError(f"unflatten: wanted a structure, with ... for each leaf, got {describe(structure)} in it")
    return rebuild(structure, [_fill(value, leaves) for value in inner[1]])


def builder(structure) -> Callable:
    """`unflatten` of this structure as a function of a list of its leaves, which has as many. Where the structure is of
    tuples, lists and None alone, it is one expression."""
    text = _expression(structure, count())
    return functools.partial(unflatten, structure) if text is None else eval(f"lambda leaves: {text}")


def _expression(structure, places: Iterator[int]) -> str | None:
    if structure is ...:
        return f"leaves[{next(places)}]"
    if structure is None:
        return "None"
    if type(structure) not in (tuple, list):
        return None
    parts = [_expression(inner, places) for inner in structure]
    if None in parts:
        return None
    inside = "".join([f"{part}, " for part in parts])
    return f"({inside})" if type(structure) is tuple else f"[{inside}]"


def flatten_like(structure, tree, name: str) -> list:
    """The leaves of a tree that has this structure, in the order of the structure; None may stand for a leaf.

    Raises ValueError that says where the tree, which it calls `name`, differs.
    """
    leaves: list = []
    wrong = _collect(structure, tree, leaves)
    if wrong:
        raise ValueError(name + wrong)
    return leaves


def _collect(structure, tree, leaves: list) -> str:
    """Append the leaves; what is wrong, and where, if anything is."""
    given = children(tree)
    if structure is ...:
        leaves.append(tree)
        return "" if given is None or tree is None else f": wanted one value, got {describe(tree)}"
    inner = children(structure)
    if given is None or kind(structure) is not kind(tree) or inner[0] != given[0]:
        return f": wanted {describe(structure)}, got {describe(tree)}"
    for key, value in zip(*inner):
        wrong = _collect(value, tree[key], leaves)
        if wrong:
            return place(structure, key) + wrong
    return ""


def map(f: Callable, tree: Any, *others: Any) -> Any:
    """A tree of f(leaf, leaf of the others in the same place).

    Parameters
    ----------
    f
        A function of leaves.
    tree, *others
        Trees of one structure.

    Raises
    ------
    TypeError
        For an f that cannot be called.
    ValueError
        For trees of different structures.

    Examples
    --------
    >>> mg.tree.map(lambda x, y: x + y, {"a": 1, "b": [2]}, {"a": 10, "b": [20]})
    {'a': 11, 'b': [22]}
    """
    if not callable(f):
        raise TypeError(f"map: wanted a function, got {type(f).__name__}")
    leaves, structure = flatten(tree)
    others = [flatten_like(structure, o, f"map: others[{k}]") for k, o in enumerate(others)]  # type: ignore[assignment]
    return unflatten(structure, [f(*x) for x in zip(leaves, *others)])


def names(tree: Any, name: str = "") -> list[str]:
    """How one would write each leaf.

    Parameters
    ----------
    tree
        As of `flatten`.
    name
        Of the whole.

    Examples
    --------
    >>> mg.tree.names(({"h": 1}, 2), "state")
    ["state[0]['h']", 'state[1]']
    """
    if not isinstance(name, str):
        raise TypeError(f"names: got name={name!r:.60}, wanted a string")
    inner = children(tree)
    if inner is None:
        return [name]
    return [leaf for key, value in zip(*inner) for leaf in names(value, name + place(tree, key))]


def kind(node) -> type:
    return dict if isinstance(node, dict) else type(node)


def place(node, key) -> str:
    return f".{node._fields[key]}" if hasattr(node, "_fields") else f"[{key!r}]"


def describe(node) -> str:
    inner = children(node)
    if node is None or inner is None:
        return "None" if node is None else f"one value ({type(node).__name__})"
    what = f"with keys {sorted(inner[0], key=str)}" if isinstance(node, dict) else f"of {len(inner[0])}"
    return f"a {type(node).__name__} {what}"
