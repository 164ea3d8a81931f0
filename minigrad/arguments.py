"""Arguments of public functions, checked against their annotations.

    @checked
    def clip_grad_norm(parameters, max_norm: NonNegative, error_if_nonfinite: bool = False): ...

raises "clip_grad_norm: got max_norm=-1, wanted a number of at least 0" for a value out of range (ValueError), and
"clip_grad_norm: got max_norm=True, wanted a number of at least 0" for one of another type (TypeError). What the
annotations mean:

    int                         an integer of Python or NumPy; a bool is none
    float                       a real number of Python or NumPy that is not NaN; a bool is none
    bool, str                   a bool, a string
    Callable, Mapping           what can be called; a dict, or what is like one
    Literal["sum", "mean"]      one of these values
    tuple[int, int]             a tuple or list of two integers; tuple[int, ...]: of any number of them
    a class, as Optimizer       an instance of it (of Tensor, Any and what is abstract, as Iterable, nothing is checked)
    X | None                    None, or what X means; X | Y: what X or Y means
    Annotated[X, Range(0, 1)]   what X means, within the range

An argument with another annotation, or with none, is not checked. A default is not checked.
"""

import functools
import inspect
import math
import sys
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np

from minigrad import sites
from minigrad.symbolic import hinted

F = TypeVar("F", bound=Callable)


# What wrong arguments end in, inside of a function; and what of it users see as another kind.
REFUSALS = (ValueError, TypeError, IndexError, OverflowError, AttributeError, KeyError, ZeroDivisionError)
SEEN_AS = {AttributeError: TypeError, OverflowError: ValueError, KeyError: ValueError, ZeroDivisionError: ValueError}


def restated(error: Exception, text: str) -> Exception:
    """An error of the same kind, or the kind that it is seen as, with another text."""
    for kind in type(error).__mro__:
        kind = SEEN_AS.get(kind, kind)
        if kind in (np.linalg.LinAlgError, ValueError, TypeError, IndexError, RuntimeError):
            again = kind(text)
            again.add_note(sites.where())  # Python prints it last, below the library's frames
            return again
    raise error


class Range(NamedTuple):
    """The numbers from `least` to `most`; without `most`, all from `least` on. below: without `most` itself."""

    least: float
    most: float = math.inf
    below: bool = False

    def holds(self, x) -> bool:
        return bool(self.least <= x < self.most if self.below else self.least <= x <= self.most)

    def __str__(self):
        if self.most == math.inf:
            return f"of at least {self.least}" if not self.below else f"of at least {self.least} and finite"
        return f"from {self.least} to {'below ' if self.below else ''}{self.most}"


Count = Annotated[int, Range(0)]
Size = Annotated[int, Range(1)]
NonNegative = Annotated[float, Range(0)]
Finite = Annotated[float, Range(0, below=True)]
Probability = Annotated[float, Range(0, 1)]
Fraction = Annotated[float, Range(0, 1, below=True)]
Generator = np.random.Generator | None


class Kind(NamedTuple):
    """What an annotation means. name: in words. fits: whether a value is of this type. within: of those that fit, which
    are in range."""

    name: str
    fits: Callable[[Any], bool]
    within: Callable[[Any], bool] = lambda value: True


def is_integer(value) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value) -> bool:
    return is_integer(value) or isinstance(value, (float, np.floating))


LARGEST = sys.float_info.max
KINDS = {
    int: Kind("an integer", is_integer, lambda value: -(2**63) <= hinted(value) < 2**63),
    float: Kind(
        "a number", is_number, lambda value: value == value and (not is_integer(value) or abs(hinted(value)) <= LARGEST)
    ),
    bool: Kind("True or False", lambda value: isinstance(value, (bool, np.bool_))),
    str: Kind("a string", lambda value: isinstance(value, str)),
    type(None): Kind("None", lambda value: value is None),
    abc.Callable: Kind("a function", callable),
    abc.Mapping: Kind("a dict", lambda value: isinstance(value, abc.Mapping)),
    np.random.Generator: Kind(
        "a numpy.random.Generator (np.random.default_rng(seed))", lambda value: isinstance(value, np.random.Generator)
    ),
}


def kind_of(annotation) -> Kind | None:
    """What is checked of a value that is annotated so; None if nothing is."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        kind = kind_of(arguments[0])
        limits = [a for a in arguments[1:] if isinstance(a, Range)]
        if kind is None or not limits:
            return kind
        within, limit = kind.within, limits[0]
        return Kind(f"{kind.name} {limit}", kind.fits, lambda value: within(value) and limit.holds(value))
    if origin is typing.Literal:
        names = " or ".join(map(repr, arguments))
        return Kind(names, lambda value: isinstance(value, tuple({type(a) for a in arguments})), arguments.__contains__)
    if origin in (typing.Union, types.UnionType):
        kinds = [kind_of(a) for a in arguments]
        return None if None in kinds else union([kind for kind in kinds if kind])
    if origin is tuple:
        kinds = [kind_of(a) for a in arguments if a is not ...]
        return None if None in kinds else several([kind for kind in kinds if kind], arguments[-1] is ...)
    kind = KINDS.get(origin or annotation)
    if kind is None and isinstance(annotation, type) and not inspect.isabstract(annotation) and annotation is not Any:
        name = annotation.__name__
        return None if name == "Tensor" else Kind(f"a {name}", lambda value: isinstance(value, annotation))
    return kind


def union(kinds: list[Kind]) -> Kind:
    return Kind(
        " or ".join(kind.name for kind in kinds),
        lambda value: any(kind.fits(value) for kind in kinds),
        lambda value: any(kind.fits(value) and kind.within(value) for kind in kinds),
    )


def several(kinds: list[Kind], any_number: bool) -> Kind:
    """A tuple or list of values: all of one kind, or of a kind each."""

    def pairs(value):
        return zip(value, kinds * len(value) if any_number else kinds)

    names = f"(each {kinds[0].name})" if any_number else f"({', '.join(kind.name for kind in kinds)})"
    return Kind(
        f"a tuple {names}",
        lambda value: isinstance(value, (tuple, list)) and all(kind.fits(v) for v, kind in pairs(value)),
        lambda value: (any_number or len(value) == len(kinds)) and all(kind.within(v) for v, kind in pairs(value)),
    )


def described(value) -> str:
    """A value in an error: a short one in full, of an array its dtype and shape, of anything else its type."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, (int, float, complex, str, bytes, np.generic)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, (tuple, list)) and len(value) <= 6:
        inside = ", ".join(map(described, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' if len(value) == 1 else ''})"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} {value.dtype}{list(value.shape)}"
    return f"a {type(value).__name__}" if not isinstance(value, type) else f"the class {value.__name__}"


def require(owner: str, name: str, value, annotation) -> None:
    """Raise TypeError or ValueError if a value is not what the annotation says. name: of the argument of owner."""
    kind = kind_of(annotation)
    if kind is not None:
        refuse_unless(kind, owner, name, value)


def refuse_unless(kind: Kind, owner: str, name: str, value) -> None:
    fits = kind.fits(value)
    if not fits or not kind.within(value):
        error = ValueError if fits else TypeError
        raise error(f"{owner}: got {name}={described(value)}, wanted {kind.name}")


def refuse_unless_all(kinds: dict[str, Kind], owner: str, arguments: Iterable[tuple[str, Any]]) -> None:
    """`refuse_unless` for the arguments that have a kind, given by name."""
    for name, value in arguments:
        if name in kinds:
            refuse_unless(kinds[name], owner, name, value)


def checks_of(f: Callable) -> dict[str, Kind]:
    """For each parameter whose annotation means something, what is checked."""
    kinds = {name: kind_of(a) for name, a in typing.get_type_hints(f, include_extras=True).items() if name != "return"}
    return {name: kind for name, kind in kinds.items() if kind}


def is_masked(data) -> bool:
    """Whether it is a masked array. Asked of what cannot be one, it does not import numpy.ma, which takes 20 ms."""
    return isinstance(data, np.ndarray) and type(data) is not np.ndarray and isinstance(data, np.ma.MaskedArray)


def refuse_masked(data) -> None:
    """Raise TypeError for a masked array: what is behind its mask would be computed with."""
    if is_masked(data):
        raise TypeError(
            "tensor: got a masked array, whose mask would be lost; give a.filled(0), and the mask apart (mg.where)"
        )


def plain_array(data) -> np.ndarray:
    """np.asarray, but that masked arrays are refused and lists of unequal lengths get an error of ours."""
    refuse_masked(data)
    try:
        return np.asarray(data)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"wanted numbers in lists of equal lengths: {error}") from None


class Checks:
    """What is checked of the arguments of a function. The annotations are read at its first call."""

    __slots__ = ("defaults", "f", "kinds", "method", "others", "positional", "rest", "signature")

    def __init__(self, f: Callable):
        self.f, self.signature = f, inspect.signature(f)
        parameters = self.signature.parameters.values()
        self.positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")  # *rest, and **others
        self.others = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), "")
        self.defaults = {p.name: p.default for p in parameters}
        self.method = next(iter(self.defaults), None) == "self"
        self.kinds: dict[str, Kind] | None = None

    def owner(self, args: tuple) -> str:
        """What errors call the function: a method with its object's class, a constructor and a forward by it alone."""
        name = self.f.__name__
        if not self.method or not args:
            return name
        of = type(args[0]).__name__
        return of if name in ("__init__", "forward") else f"{of}.{name}"

    def refuse(self, args: tuple, kwargs: dict) -> None:
        """Raise TypeError or ValueError for an argument that its annotation does not allow."""
        if self.kinds is None:
            self.kinds = checks_of(self.f)
        if not self.kinds:
            return
        given = [*zip(self.positional, args), *kwargs.items()]
        if self.rest and len(args) > len(self.positional):
            given += [(self.rest, value) for value in args[len(self.positional) :]]
        for name, value in given:
            kind = self.kinds.get(name if name in self.defaults else self.others)
            if kind is None or value is self.defaults.get(name):
                continue
            try:
                refuse_unless(kind, self.owner(args), name, value)
            except REFUSALS:
                if self.fit(args, kwargs):
                    raise
                return  # Python will say what is missing or unknown, and name the function

    def fit(self, args: tuple, kwargs: dict) -> bool:
        """Whether the function can be called with so many of them, and with these names."""
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError:
            return False
        return True


def checked(f: F) -> F:
    """Decorates a function, or a method, whose arguments are to be what their annotations say.

    An error names the function, of a method its class. An error of another kind that comes from inside gets the name as
    well, unless it has passed through code of the user's.
    """
    checks = Checks(f)

    @functools.wraps(f)
    def call(*args, **kwargs):
        checks.refuse(args, kwargs)
        try:
            return f(*args, **kwargs)
        except REFUSALS as error:
            name = checks.owner(args)
            of, _, method = name.rpartition(".")
            if method in str(error) or (of and f"{of}:" in str(error)) or not ours(error):
                raise
            reason = str(error).removeprefix("tensor: ")
            raise restated(error, f"{name}: {reason}") from error

    return typing.cast(F, call)


def ours(error: BaseException) -> bool:
    """Whether an error comes from minigrad's own code: none of a user's, a callback say, is on its way."""
    trace = error.__traceback__
    while trace is not None:
        package = trace.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("minigrad", "numpy") and (package == "__main__" or package not in sys.stdlib_module_names):
            return False
        trace = trace.tb_next
    return True
