"""The key of arguments (keys.py) as one function, made once for each kind: are other arguments of that kind, too?

    f(x, (h, c))      def match(args, kwargs):
                          if len(args) != 2 or kwargs: return None
                          x0, x1 = args
                          if type(x1) is not tuple or len(x1) != 2: return None
                          x2, x3 = x1
                          a = x0._data
                          if a.shape != shape0 or a.dtype is not dtype0 or x0._node is not None: return None
                          ...
                          return [x0, x2, x3], [x0, x2, x3]

It says no of much that is of the kind all the same, arrays above all: then the key is worked out, which decides.
"""

import functools
from collections import defaultdict
from collections.abc import Callable

from minigrad.compile.keys import VALUES
from minigrad.tensor import Tensor


class Programs(list):
    """What was compiled for one kind of arguments, which have this structure (tree.flatten)."""

    def __init__(self, kind: tuple, structure):
        super().__init__()
        self.kind, self.structure = kind, structure

    @functools.cached_property
    def match(self) -> Callable:
        """From (args, kwargs) to their leaves and the tensors among them, if they are of that kind; else to None."""
        made = Matcher(list(self.kind[2:]))
        made.walk(self.structure, "given")
        if made.fails:
            return never
        lines = ["def match(*given):", *[f"    {line}" for line in made.lines]]
        lines.append(f"    return [{', '.join(made.leaves)}], [{', '.join(made.tensors)}]")
        exec("\n".join(lines), made.scope)
        return made.scope["match"]


def never(args, kwargs) -> None:
    pass


class Matcher:
    """keys: of the leaves. lines: of the function. fails: whether it has none."""

    def __init__(self, keys: list):
        self.keys = keys
        self.scope: dict = {"Tensor": Tensor}
        self.lines: list[str] = []
        self.leaves: list[str] = []
        self.tensors: list[str] = []
        self.count, self.fails = 0, False

    def let(self, x, what: str) -> str:
        """A name for something that the function compares with."""
        name = f"{what}{len(self.scope)}"
        self.scope[name] = x
        return name

    def refuse(self, condition: str) -> None:
        self.lines.append(f"if {condition}: return None")

    def walk(self, structure, name: str) -> None:
        if structure is ...:
            self.leaf(name)
        elif structure is None:
            self.refuse(f"{name} is not None")
        elif isinstance(structure, defaultdict) or (isinstance(structure, dict) and {*map(type, structure)} - {str}):
            self.fails = True
        else:
            kind, parts = type(structure), structure
            known = self.let(kind, "type") if kind not in (tuple, list, dict) else kind.__name__
            self.refuse(f"type({name}) is not {known} or len({name}) != {len(structure)}")
            values = name
            if isinstance(structure, dict):
                self.refuse(f"[*{name}] != {self.let([*structure], 'names')}")
                parts, values = structure.values(), f"{name}.values()"
            names = [f"x{self.count + k}" for k in range(len(structure))]
            self.count += len(names)
            if names:
                self.lines.append(f"{', '.join(names)}, = {values}")
            for inner, part in zip(parts, names):
                self.walk(inner, part)

    def leaf(self, name: str) -> None:
        key = self.keys[len(self.leaves)]
        self.leaves.append(name)
        if type(key[0]) is tuple:
            shape, dtype, differentiable, order = key
            self.fails = self.fails or order is not None
            self.tensors.append(name)
            self.refuse(f"not isinstance({name}, Tensor)")
            self.lines.append(f"a = {name}._data")
            self.refuse(
                f"a.shape != {self.let(shape, 'shape')} or a.dtype is not {self.let(dtype, 'dtype')}"
                f"{' or not a.flags.c_contiguous' if len(shape) > 1 else ''}"
                f" or {name}._node is {'' if differentiable else 'not '}None"
            )
        elif key[0] in VALUES or key[0] in (float, complex):
            shown = name if key[0] in VALUES else f"repr({name})"  # as key_of_value has them
            self.refuse(f"type({name}) is not {self.let(key[0], 'type')} or {shown} != {self.let(key[1], 'value')}")
        else:
            self.fails = True
