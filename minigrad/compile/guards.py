"""What a function reads besides its arguments, so that a later call can tell whether the trace still holds.

Looked at are the variables that the function closes over and the globals that it names; from there attributes of
minigrad's modules, containers and functions, as far as they lead; of other objects, of classes and of Python's modules,
the attributes that the code names (all of them where it computes names). Arrays are compared by their numbers.
What is part of Python, NumPy and minigrad does not change.

A tensor is known by the places where it is found: another one of its kind at the same places takes its part in the
program, so that state which is replaced at every call (`n.h = step(x).detach()`) is traced once.
"""

import gc
import sys
from collections.abc import Callable
from operator import is_
from types import FrameType
from typing import Any

from minigrad.compile.names import may_look
from minigrad.compile.reads import CONTENT, MISSING, Read, items, size_of, under
from minigrad.compile.walk import Walk, is_simple
from minigrad.ir.trace import Program, Value, numbers
from minigrad.mutations import axes_in_memory
from minigrad.sites import line_of_site
from minigrad.tape import Leaf
from minigrad.tensor import Tensor
from minigrad.views import TracedView

UNCHANGED: dict[int, Tensor] = {}


class Guards:
    """What f and the leaves of its arguments read now. `hold()`: whether they would still read the same.

    program: the trace. before: a walk from before the trace. listed: the ids of tensors that the caller has in a list.
    Raises RuntimeError where something has been left with a tensor of it, where it has changed a number, and where a
    tensor was found that nobody can watch.
    """

    def __init__(self, f: Callable, leaves, structure, program: Program, before: Walk, listed: set[int]):
        walk = Walk(f, leaves, structure, before.names)
        for x, what in walk.tensors.values():
            if isinstance(x._data, Value):
                raise RuntimeError(
                    f"jit: {what} was left with a traced tensor ({x._data}); return it, and keep what the call gives"
                )
        for key, read in before.reads.items():
            if key in walk.reads:
                refuse_changed(read, before.values[key])
        self.read = [(read.now, walk.values[key], key[0]) for key, read in walk.reads.items()]
        self.glance = at_once([read.now for read in walk.reads.values()])
        self.seen = self.glance()
        self.contents = {key[0]: values for key, values in walk.values.items() if key[1] == CONTENT}
        captured = [tensor for [(_, _, tensor)] in program.captured.values()]
        known = {**walk.tensors, **program.borrowed, **program.owned}
        counts = [n - (id(x) in listed) for x, n in zip(captured, references(captured))]
        unknown = [x for x, n in zip(captured, counts) if id(x) not in known and n > OF_A_TRACE]
        if unknown:
            gc.unfreeze()  # gc does not tell what frozen objects hold; frozen again, garbage would stay for ever
        held = held_elsewhere(unknown, captured)
        if held:  # what the function has made and dropped may hold it, in a cycle
            gc.collect()
            held = held_elsewhere(held, captured, unknown)
        for x in held:
            raise RuntimeError(
                f"jit: a tensor {x.dtype}{list(x.shape)}, used at {line_of_site(program.sites[id(x)])}, was found "
                "where nobody can watch that another takes its place; pass it as an argument, or keep it in a "
                "variable, an attribute, a list or a dict that the function names"
            )
        operands = {id(x._data) for x in captured}  # which are read at every call
        # arrays that nobody holds: NumPy may have computed them of others (single numbers are the engine's)
        derived = any(x.ndim and id(x._data) not in walk.arrays for x in program.borrowed.values())
        looks = derived or any(may_look(code) for code, asked in walk.codes.items() if asked)
        self.arrays = dict(program.looked)  # id -> (array, its numbers)
        for key, array in walk.arrays.items():
            if looks or key not in operands:
                self.arrays.setdefault(key, (array, numbers(array)))
        self.fixed = walk.fixed | {id(x) for x in captured if id(x._data) in program.looked}
        self.fixed |= {*program.actions.touched}
        self.places = walk.places
        self.weak = list(walk.weak.values())

    def hold(self) -> dict[int, Tensor] | None:
        """None if not; else, by the id of the tensor that was there when it was traced, what has taken its place."""
        now = self.glance()
        same = len(now) == len(self.seen) and all(map(is_, now, self.seen))
        became = UNCHANGED if same else self.replaced()
        if became is None or not all(numbers(array) == then for array, then in self.arrays.values()):
            return None
        return became

    def behind(self) -> list:
        """What f reads through weak references: whoever may call f later has to hold it."""
        return [reference() for reference in self.weak]

    def replaced(self) -> dict[int, Tensor] | None:
        """As `hold`, where something is another object now."""
        became: dict = {}
        for read, then, key in self.read:
            if key in became:  # a list that another one has taken the place of
                continue
            now = read()
            if len(now) != len(then):
                return None
            if not all(map(is_, now, then)) and not all(self.agree(*pair, became) for pair in zip(now, then)):
                return None
        for key, found in became.items():  # at all its places, and the same
            if len(found) != self.places[key] or any(x is not found[0] for x in found):
                return None
        return {key: found[0] for key, found in became.items()}

    def agree(self, now, then, became: dict) -> bool:
        """Whether the program serves what is read now; tensors that take the place of others are noted, and lists."""
        if now is then:
            return True
        if type(now) is not type(then):
            return False
        if issubclass(type(then), Tensor):
            became.setdefault(id(then), []).append(now)
            return id(then) not in self.fixed and kind_of(now) == kind_of(then)
        if issubclass(type(then), tuple):
            return len(now) == len(then) and all(self.agree(*pair, became) for pair in zip(now, then))
        if type(then) in (list, dict) and id(then) in self.contents:
            again = id(then) in became
            became.setdefault(id(then), []).append(now)
            before, now = self.contents[id(then)], now if type(now) is list else items(now)
            return again or (len(now) == len(before) and all(self.agree(*pair, became) for pair in zip(now, before)))
        return is_simple(now) and (now == then if type(now) in (str, bytes) else repr(now) == repr(then))  # -0.0, NaN


def at_once(reads: list) -> Callable:
    """One function that reads what all of these read, which is several times quicker than to call them in turn."""
    scope: dict = {"MISSING": MISSING}
    parts = []
    read: Any
    for k, read in enumerate(reads):
        name, of = f"x{k}", getattr(read, "func", None)
        x = read.args[0] if of else read
        if of is items or of is tuple:
            parts += [f"len({name}) == {len(x)}", f"*{name}"] + [f"*{name}.values()"] * (of is items)
        elif of is size_of:
            parts.append(f"len({name}) == {len(x)}")
        elif of is under:
            x = x.get
            parts += [f"{name}({key!r}, MISSING)" for key in read.args[1]]
        else:
            x = read
            parts.append(f"*{name}()")
        scope[name] = x
    return eval(f"lambda: [{', '.join(parts)}]", scope)


def references(tensors: list[Tensor]) -> list[int]:
    """How many there are to each."""
    return [sys.getrefcount(x) for x in tensors]


def references_of_a_trace() -> int:
    """How many references a trace and a list of what it captured have to a tensor: of one that has no more, nobody need
    be asked who else holds it, which takes a look at all objects that there are."""
    like_captured = {0: [(None, None, Tensor(None))]}
    return references([tensor for [(_, _, tensor)] in like_captured.values()])[0]


OF_A_TRACE = references_of_a_trace()


def held_elsewhere(tensors: list[Tensor], *ours: list) -> list[Tensor]:
    """The tensors to which something besides the trace refers. ours: lists of them that are the trace's.

    One look at all objects that there are serves all tensors.
    """
    found: dict[int, Tensor] = {}
    mine, sought = {id(one) for one in (tensors, *ours)}, {id(x) for x in tensors}
    for owner in gc.get_referrers(*tensors) if tensors else ():
        of_the_trace = isinstance(owner, (FrameType, TracedView)) or id(owner) in mine
        if not of_the_trace and not (type(owner) is tuple and any(isinstance(v, Value) for v in owner)):
            found |= {id(x): x for x in gc.get_referents(owner) if id(x) in sought}
    return list(found.values())


def kind_of(x: Tensor) -> tuple:
    return x._data.shape, x._data.dtype, axes_in_memory(x._data), x._node is None, type(x._node) is Leaf


def refuse_changed(read: Read, then: tuple) -> None:
    """Raise if the trace has changed a number, say, in a variable or attribute: a count of calls would stand still."""
    if not read.variables or len(read.now()) != len(then):
        return
    for what, now, before in zip(read.what, read.now(), then):
        numbers = all(is_simple(x) and not isinstance(x, (bool, type(None))) for x in (now, before))
        if numbers and MISSING not in (now, before) and repr(now) != repr(before):
            raise RuntimeError(
                f"jit: the function changes {what} (from {before!r} to {now!r}), which happens while it is traced and "
                "not at later calls; change it outside, or take it as an argument and return the new one"
            )
