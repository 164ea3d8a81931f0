"""What a function's code names: attributes and globals, and what counts as code that does not change."""

import builtins
import dis
import functools
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import numpy as np

ALL = "*"  # among names: any name, as the code computes names
COMPUTING = {"vars", "dir", "__dict__", "__getattribute__", "attrgetter", "getmembers"}
ACCESSORS = ("getattr", "hasattr")
HOME = str(Path(__file__).parent.parent)
STANDARD = ("<frozen", *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
PACKAGES = ("site-packages", "dist-packages")  # of this environment, or of another that is on the path too
LIBRARIES = {"minigrad", "numpy", "numba", "llvmlite"}  # packages


def module_of(x) -> str:
    """The name of the module of a class or function; "" where it has none: a metaclass of Cython's has a descriptor."""
    name = getattr(x, "__module__", None)
    return name if isinstance(name, str) else ""


@functools.cache
def installed(module: str) -> bool:
    """Whether a module is part of Python, of minigrad or of another package that is installed, by its name.

    `__main__` is the user's, also where a package that runs the user's code has been started (`python -m pytest`).
    """
    package = module.partition(".")[0]
    if package == "__main__":
        return False
    if package in LIBRARIES:
        return True
    file = getattr(sys.modules.get(package), "__file__", None)
    if file is None:
        return package in sys.stdlib_module_names
    return in_packages(file) or not of_the_user(file)


@functools.cache
def of_the_user(file: str) -> bool:
    """Whether code in this file is neither Python's, NumPy's nor the engine's."""
    if in_packages(file):
        return package_of(file) not in LIBRARIES
    return not file.startswith((HOME, *STANDARD))


def package_of(file: str) -> str | None:
    """The installed package that a file is part of."""
    parts = Path(file).parts
    found = [k for k, part in enumerate(parts[:-1]) if part in PACKAGES]
    return parts[found[-1] + 1] if found else None


@functools.cache
def in_packages(file: str) -> bool:
    return package_of(file) is not None


@functools.cache
def of_python(file: str) -> bool:
    """Whether code in this file is Python's own, or NumPy's."""
    if in_packages(file):
        return package_of(file) == "numpy"
    return file.startswith(STANDARD)


def codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions that are written in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@functools.lru_cache(1024)
def attributes_in(code: CodeType) -> frozenset:
    """Attributes that a function names; where it calls getattr, its strings may be names too. ALL where it computes
    names. None that dataclasses have written."""
    if code.co_qualname.startswith("__create_fn__."):
        return frozenset()
    parts = list(codes(code))
    names = {name for part in parts for name in part.co_names}
    if names & {*ACCESSORS, "setattr"}:
        names.update(text for part in parts for text in part.co_consts if isinstance(text, str))
    own = of_the_user(code.co_filename) and not in_packages(code.co_filename)
    if own and (names & COMPUTING or any(map(computes_names, parts))):
        names.add(ALL)
    return frozenset(names)


def computes_names(code: CodeType) -> bool:
    """Whether it calls getattr with what is no constant."""
    steps = [i for i in dis.get_instructions(code) if i.opname not in ("PRECALL", "CACHE", "EXTENDED_ARG", "PUSH_NULL")]
    asked = sum(i.argval in ACCESSORS for i in steps if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    constant = 0
    for k, step in enumerate(steps):
        if step.opname == "CALL" and step.arg in (2, 3) and k >= step.arg:
            name = steps[k - step.arg + 1]
            constant += name.opname == "LOAD_CONST" and isinstance(name.argval, str)
    return asked > constant


@functools.lru_cache(1024)
def globals_in(code: CodeType) -> frozenset:
    """Globals that a function reads."""
    read = ("LOAD_GLOBAL", "LOAD_NAME")
    return frozenset(i.argval for part in codes(code) for i in dis.get_instructions(part) if i.opname in read)


LOOKS = (
    "BINARY_SUBSCR", "BINARY_SLICE", "COMPARE_OP", "CONTAINS_OP", "FOR_ITER", "GET_ITER", "UNPACK", "POP_JUMP",
    "JUMP_IF", "FORMAT", "CALL_FUNCTION_EX", "TO_BOOL",
)  # fmt: skip
ABOUT_ARRAYS = {"shape", "ndim", "size", "dtype", "T", "mT"}  # what an array has besides its numbers


@functools.lru_cache(1024)
def may_look(code: CodeType) -> bool:
    """Whether a function may ask an array for numbers: it indexes, compares, branches, loops, or calls what does."""
    for part in codes(code):
        if any(i.opname.startswith(LOOKS) for i in dis.get_instructions(part)):
            return True
        if set(part.co_names) & (vars(builtins).keys() | (set(dir(np.ndarray)) - ABOUT_ARRAYS)):
            return True
    return False
