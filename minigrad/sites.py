"""Call sites: the line of the user's code that recorded a node, or that an error is about."""

import dis
import functools
import itertools
import linecache
import sys
from pathlib import Path

import numpy as np


class _Engine(dict):
    """Whether a file belongs to the engine, or to NumPy that calls it: a recorded line should be the user's (cells in
    models/ are users too)."""

    home = Path(__file__).parent
    numpy = Path(np.__file__).parent

    def __missing__(self, file):
        path = Path(file)
        inside = self.home in path.parents and self.home / "models" not in path.parents
        inside = inside or self.numpy in path.parents
        self[file] = inside
        return inside


_engine = _Engine()
of_the_engine = _engine.__getitem__


def line_number(site) -> int:
    """The line of a call site, (code, instruction)."""
    code, instruction = site
    return next(itertools.islice(code.co_positions(), instruction // 2, None), (0,))[0] or code.co_firstlineno


def line_of_site(site) -> str:
    """File, line and text of a call site."""
    code, number = site[0], line_number(site)
    text = linecache.getline(code.co_filename, number).strip()
    return f'{code.co_filename}:{number}: "{text}"' if text else f"{code.co_filename}:{number}"


def where() -> str:
    """The innermost line outside the engine, a cell's say, and up to two of the user's that led there."""
    sites: list = []
    frame = sys._getframe(1)
    while frame.f_back is not None and len(sites) < 3:
        ours = frame.f_globals.get("__name__", "").partition(".")[0] == "minigrad"
        if not _engine[frame.f_code.co_filename] and not (sites and ours):
            sites.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    sites = sites or [(frame.f_code, frame.f_lasti)]
    return "at " + "\nfrom ".join(map(line_of_site, sites))


def call_site():
    """(code, instruction) of the innermost frame outside the engine. Cheap: the line number is worked out on demand."""
    frame = sys._getframe(2)
    while _engine[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


@functools.cache
def of_numpy(file: str) -> bool:
    return _engine.numpy in Path(file).parents


@functools.lru_cache(256)
def callee(code, instruction: int) -> str | None:
    """The name of the function or method that an instruction calls, as the code has it; None if that cannot be told."""
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG")]
    k = next(k for k, step in enumerate(steps) if step.offset == instruction)
    if not steps[k].opname.startswith("CALL") or steps[k].arg is None:
        return None
    above = (steps[k].arg or 0) + (steps[k].opname == "CALL_KW")  # items on the stack above the function
    before = [step for step in steps[:k] if step.opname != "KW_NAMES"]
    while before and before[-1].opname == "PRECALL":
        before.pop()
    while before and above > 0:
        step = before.pop()
        above -= dis.stack_effect(step.opcode, step.arg, jump=False)
    names = [step.argval for step in before if step.opname != "PUSH_NULL"][-1:]
    return names[0] if names and isinstance(names[0], str) else None


STORE_ITEM = dis.opmap["STORE_SUBSCR"]
TAKERS = {*dir(np.ndarray), "fromiter"}


def taker_of_number() -> str | None:
    """What of NumPy's asks a tensor t for a number, to put it into an array; None if it is the user's code, or C code
    of another kind. To be called by what is called so."""
    frame = sys._getframe(2)
    if frame.f_code.co_code[frame.f_lasti] == STORE_ITEM:  # NumPy asks for a number, not for __array__
        return "array[index] = t"
    if of_numpy(frame.f_code.co_filename):
        return "a NumPy function of t"
    name = callee(frame.f_code, frame.f_lasti)
    return f"{name} of an array, with t," if name in TAKERS else None
