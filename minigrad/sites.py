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


def asked_by_engine(folder: Path) -> bool:
    """Whether the innermost frame outside of a folder of the engine is the engine's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).parent == folder:
        frame = frame.f_back
    return _engine[frame.f_code.co_filename]


@functools.cache
def of_numpy(file: str) -> bool:
    return _engine.numpy in Path(file).parents


NO_PART = ("PUSH_NULL", "KW_NAMES", "PRECALL")  # which have the text of another instruction


@functools.lru_cache(256)
def callee(code, instruction: int) -> str | None:
    """The name of the function or method that an instruction calls, as the code has it; None if that cannot be told.

    Its text begins where that of the call does, and is the longest that does and is shorter.
    """
    steps = [(step, step.positions) for step in dis.get_instructions(code) if step.positions]
    call = next((at for step, at in steps if step.offset == instruction), None)
    if call is None or call.col_offset is None or call.end_lineno is None or call.end_col_offset is None:
        return None
    found = {  # by where their text ends
        (at.end_lineno, at.end_col_offset): step.argval
        for step, at in steps
        if step.opname not in NO_PART and at[0::2] == call[0::2]
        and (at.end_lineno, at.end_col_offset) < (call.end_lineno, call.end_col_offset)
    }  # fmt: skip
    name = found[max(found)] if found else None
    return name if isinstance(name, str) else None


STORE_ITEM = dis.opmap["STORE_SUBSCR"]
TAKERS = {*dir(np.ndarray), "fromiter", "reduce", "accumulate", "reduceat"}


def refuse_taker() -> None:
    """Raise TypeError if NumPy's code asks a tensor on the tape for its number, to put it into an array, and not the
    user's or other C code. To be called by what is asked: NumPy does not say that it is NumPy, and asks as float(t)
    does, so the code that called it has to tell."""
    frame = sys._getframe(2)
    name = callee(frame.f_code, frame.f_lasti)
    if frame.f_code.co_code[frame.f_lasti] == STORE_ITEM:
        taker = "array[index] = t"
    elif of_numpy(frame.f_code.co_filename):
        taker = "a NumPy function of t"
    elif name in TAKERS:
        taker = f"{name} of an array, with t,"
    else:
        return
    raise TypeError(
        f"{taker} would lose the gradient of t, which is on the tape; make the array a tensor (mg.tensor(array)), or "
        "give it t.item()"
    )
