"""Call sites: the line of the user's code that recorded a node, or that an error is about."""

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
