"""What gives something else at every call though nobody changes anything: random generators, clocks, files.

Drawn from or read while a function is traced, they would give every later call what they gave the trace. So a trace
that does it raises RuntimeError, with the line and the cure.
"""

import copy
import gc
import io
import itertools
import operator
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import date
from types import ModuleType

import numpy as np

from minigrad.compile.keys import is_iterator
from minigrad.compile.names import in_packages, module_of, of_python, of_the_user
from minigrad.random import default_generator
from minigrad.sites import line_of_site

CURE = "would be the same at every later call; do it outside of the jitted function and pass the result as an argument"
FILE, ENTROPY = (
    "reads a file, which",
    "asks the system for random numbers (a generator without a seed, say); what comes of it",
)
TRIALS = 5
SCOPE = "calls {}(): nobody can tell what that reads, and it"
CLOCK = "reads the clock ({}), which"


def of(module: ModuleType, names: str) -> list:
    """Functions of a module by name: those that there are on this system."""
    return [getattr(module, name) for name in names.split() if hasattr(module, name)]


CLOCKS = [
    *of(time, "time perf_counter monotonic process_time thread_time clock_gettime"),
    *of(time, "time_ns perf_counter_ns monotonic_ns process_time_ns thread_time_ns clock_gettime_ns"),
    *of(time, "localtime gmtime ctime asctime strftime"),
    *of(os, "times getloadavg"),
]
FILES = [open, np.fromfile, *of(os, "open read pread readv preadv stat lstat fstat listdir scandir access readlink")]
REFUSED = {  # functions written in C, what a call of them does, and whether Python's own code may do it for the user
    **{f: (CLOCK.format(f"{f.__module__}.{f.__name__}"), False) for f in CLOCKS},
    **{f: (SCOPE.format(f.__name__), False) for f in (globals, eval, exec)},
    **dict.fromkeys(of(os, "urandom getrandom"), (ENTROPY, True)),
    **dict.fromkeys(FILES, (FILE, True)),
}
READERS = {"read", "readline", "readlines", "readinto", "read1"}
OUTSIDE = {"sqlite3", "_sqlite3", "_socket", "_posixsubprocess", "resource"}  # modules written in C
# Python's own files that read those of the program itself, to import something or to show a line.
OF_THE_PROGRAM = tuple(os.sep + name for name in (
    "importlib", "linecache.py", "tokenize.py", "inspect.py", "traceback.py", "warnings.py", "pkgutil.py", "logging",
    "encodings", "gettext.py", "locale.py", "unittest", "doctest.py", "pdb.py", "bdb.py", "ctypes", "sysconfig.py",
)) + ("<frozen importlib", "<frozen zipimport")  # fmt: skip


class Consumed:
    """Random generators, files and iterators, with their states. found: [(object, what it is)]."""

    def __init__(self, found):
        shared = [
            (np.random.mtrand._rand, "NumPy's global generator (np.random)"),
            (random._inst, "Python's global generator (random)"),
            (default_generator, "nn.default_generator"),
        ]
        self.of_process = {id(x) for x, _ in shared}
        everything = {id(x): (x, what) for x, what in (*found, *shared)}.values()
        self.states = [(x, what, state_of(x)) for x, what in everything]

    def changed(self) -> list:
        return [(x, what) for x, what, state in self.states if not same(state_of(x), state)]

    def restore(self) -> None:
        for x, _, state in self.states:
            set_state(x, state)

    def refuse_changed(self, run: Callable, called: set | None) -> None:
        """Raise if a state is not what it was. run(): what may have changed it, once more, to find the line.
        called: ids of the objects whose methods this thread has called from Python, if that was watched."""
        if called is not None and id(random._inst) not in called and threading.active_count() > 1:
            # libraries draw from it in threads of theirs; (NumPy's methods are not seen to be called)
            self.states = [(x, what, state) for x, what, state in self.states if x is not random._inst]
        for x, what in self.changed():
            if is_iterator(x) and not isinstance(x, io.IOBase):
                raise RuntimeError(
                    f"jit: the function takes values from {what}, a {type(x).__name__}, which gives each of them once "
                    "and would give them to the trace alone; take the next one outside, and pass it as an argument"
                )
        if self.changed():
            first = self.states
            for _ in range(TRIALS):  # in each of which the function draws, if it does
                self.begin_again()
                with undisturbed():
                    line = line_that(run, self.changed)
                taken = self.changed()
                if not taken:
                    return  # it was another thread
            self.states = first
            self.restore()
            x, what = taken[0]
            raise RuntimeError(f"jit: {line} takes from {what} ({type(x).__name__}); what comes of it {CURE}")

    def begin_again(self) -> None:
        """As at first, but that what other threads have taken from the generators of the process stays taken."""
        self.states = [(x, what, state_of(x) if id(x) in self.of_process else state) for x, what, state in self.states]
        self.restore()


def state_of(x):
    """What is another one after something has been taken from x."""
    if isinstance(x, np.random.RandomState):
        return x.get_state(legacy=False)
    if isinstance(x, np.random.Generator):
        return x.bit_generator.state
    if isinstance(x, np.random.BitGenerator):
        return x.state
    if isinstance(x, random.Random):
        return x.getstate() if type(x) is not random.SystemRandom else None
    if isinstance(x, io.IOBase):
        try:
            return x.tell() if not x.closed and x.seekable() and not x.writable() else None
        except OSError:  # a loop over its lines is under way
            return -1
    return state_of_iterator(x)


def state_of_iterator(x) -> tuple:
    frame = getattr(x, "gi_frame", None)
    if frame is not None:
        return frame.f_lasti, *[id(value) for value in frame.f_locals.values()], *inner_states(frame.f_locals.values())
    if isinstance(x, (itertools.count, itertools.repeat)):
        return (repr(x),)
    if isinstance(x, itertools.cycle):
        first = copy.copy(x)  # as many values as tell where it is
        return tuple([id(next(first)) for _ in range(len(x.__reduce__()[2][0]) + 1)]) if x.__reduce__()[2][0] else ()
    return (operator.length_hint(x, -1), *map(id, gc.get_referents(x)), *inner_states(gc.get_referents(x)))


def inner_states(values) -> list:
    found: list = []
    for value in values:
        if type(value) is tuple:
            found += inner_states(value)
        elif is_iterator(value) and not isinstance(value, io.IOBase):
            found.append(state_of_iterator(value))
    return found


def set_state(x, state) -> None:
    if isinstance(x, np.random.RandomState):
        x.set_state(state)
    elif isinstance(x, np.random.Generator):
        x.bit_generator.state = state
    elif isinstance(x, np.random.BitGenerator):
        x.state = state
    elif isinstance(x, random.Random):
        x.setstate(state) if state is not None else None
    elif isinstance(x, io.IOBase) and state not in (None, -1):
        x.seek(state)


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


@contextmanager
def undisturbed():
    """Other threads run less often: where this one lets go of the interpreter lock, and ten times a second."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.1)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def line_that(run: Callable, happened: Callable) -> str:
    """The first line of a user's after which happened() is true, while run() runs."""
    found = last = None

    def in_function(frame, event, _):
        nonlocal found, last
        if found is None and last is not None and happened():
            found = last
        if event == "return":
            frame = frame.f_back
        last = frame.f_code, frame.f_lasti
        return in_function

    def starting(frame, event, _):
        return in_function(frame, event, _) if of_the_user(frame.f_code.co_filename) else None

    outer = sys.gettrace()
    sys.settrace(starting)
    try:
        run()
    except Exception:
        pass
    finally:
        sys.settrace(outer)
    site = found or last
    return line_of_site(site) if site else "the function"


@contextmanager
def refusing():
    """Within, in this thread, clocks and files that a user's line reads, and entropy that anything asks for, raise. Not
    while a profiler watches that was there before. Gives the ids of objects whose methods in C are called, or None."""
    if sys.getprofile() is not None:
        yield None
        return
    refused: list = []
    owners: set[int] = set()

    def called(frame, event, function):
        if event != "c_call":
            return
        owners.add(id(getattr(function, "__self__", None)))
        what, through = REFUSED.get(function) or source(function, frame)
        if what:
            caller, own = frame, False
            while caller is not None and of_python(caller.f_code.co_filename):
                own = own or any(part in caller.f_code.co_filename for part in OF_THE_PROGRAM)
                caller = caller.f_back
            if caller is None or not of_the_user(caller.f_code.co_filename) or in_packages(caller.f_code.co_filename):
                return  # the engine compiles something; a package may be called when memory is collected, say
            if caller is frame or (through and not own):
                refused.append(RuntimeError(f"jit: {line_of_site((caller.f_code, caller.f_lasti))} {what} {CURE}"))
                raise refused[0]

    sys.setprofile(called)
    try:
        yield owners
    finally:
        sys.setprofile(None)
        if refused and sys.exc_info()[1] is None:  # the function has caught it
            raise refused[0]


def source(function, frame) -> tuple[str, bool]:
    """As REFUSED, of a method, and of what any function of a module does. frame: of what calls it."""
    owner, name = getattr(function, "__self__", None), function.__name__
    if name == "seed" and isinstance(owner, random.Random) and frame.f_locals.get("a", 0) is None:
        return ENTROPY, True
    if type(owner) is type and issubclass(owner, date) and name in ("now", "today", "utcnow"):
        return CLOCK.format(f"{owner.__name__}.{name}"), False
    if name in READERS and isinstance(owner, io.IOBase):
        return FILE, not isinstance(owner, (io.StringIO, io.BytesIO))
    module = owner.__name__ if isinstance(owner, ModuleType) else module_of(type(owner))
    if module in OUTSIDE:
        return f"asks what is outside of the program ({module}.{name}), which", True
    return "", False
