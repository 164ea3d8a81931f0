"""`jit`: a function traced once for each kind of arguments, then run as compiled programs."""

import contextlib
import functools
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np

from minigrad import tree
from minigrad.arguments import Size, checked
from minigrad.compile.compiled import Compiled, Options
from minigrad.compile.derivatives import Derivatives
from minigrad.compile.explain import Explanation, explain, stage
from minigrad.compile.family import Family, kind_of_any_size
from minigrad.compile.guards import UNCHANGED
from minigrad.compile.keys import Known, key_of_structure, key_of_value
from minigrad.compile.passes.precision import BFLOAT16
from minigrad.compile.signature import Programs
from minigrad.compile.switch import switch
from minigrad.kernels import bfloat16
from minigrad.modes import RAW, recording, thread, tracing
from minigrad.mutations import axes_in_memory
from minigrad.sharing import Sharable, Whole, shared, way_of
from minigrad.symbolic import printing
from minigrad.tensor import Tensor, as_tensor
from minigrad.views import without_changes

KEPT = 8  # traces for one kind of arguments: what a function closes over may change at every call
KINDS = 256  # of arguments for which a function keeps its programs; those that were used last

M = TypeVar("M", bound=Sharable)


@overload
def jit(f: M, checkpoint: int | None = None, precision: str | None = None) -> M: ...


@overload
def jit(f: Callable, checkpoint: int | None = None, precision: str | None = None) -> "Jitted": ...


@checked
def jit(f: Any, checkpoint: Size | None = None, precision: str | None = None) -> Any:
    """f, compiled: the same results and gradients.

    f: a function or Module of tensors (arrays are taken as such) in nested tuples, lists and dicts, and of Python
    values, which are part of the program: numbers, strings and the like, and frozen dataclasses of them, by type and
    value; other objects by their identity, whatever their `__eq__` says. It is traced when it is first called with
    arguments of such a structure, with these dtypes and Python values, and when sizes that were the same so far differ:
    then with symbols in their place, so that the trace serves all sizes of 2 and more for which Python gets the same
    answers where it looks at them (`if x.shape[0] > 10`, `range(n)`, `np.zeros(x.shape)`; `mg.zeros` does not look) and
    ops outside of loops are as small or large. `traces` counts how often. Loops (`mg.scan`, `mg.while_loop`), with the
    loops and branches (`mg.cond`) in their steps, become kernels that serve every length and batch size. What no kernel
    has (singular values, or a product in float32 where the others are in float64) the kernel calls Python for at every
    step (`explain` names it). On the tape a call is one node. Its backward is compiled with it, and where that is
    differentiated again, it is a call of a jitted function, too. `jvp`, `hvp`, `jacobian`, `hessian` and `vmap` of a
    jitted function, or of a gradient of one, are compiled as a whole.

    As in eager code, a result that is not used sends nothing back: what leads to it alone gets no gradient. The
    backward is compiled for all results. If zeros in the place of the cotangents of those that are not used would
    change other gradients (0 times infinity is NaN), f is traced and compiled once more for those that are used.

    Tensors that f closes over, parameters above all, are read at every call, and so are arrays that meet a tensor.
    Another tensor of the same shape and dtype in the same place (a variable, an attribute, an entry of a list, dict or
    tuple) takes the part of the one that was there. f is traced again when other things that it reads have changed:
    variables that it closes over and globals that it names, what its Modules and containers hold, the attributes that
    its code names of other objects, of classes and of Python's modules (all, where it computes names), environment
    variables and context variables, a tensor whose numbers Python asked for (`w.item()`), arrays that NumPy may have
    computed with. Looking costs at every call: 20 ns an entry of a container, 0.1 ms a megabyte of such an array.

    A training step may be jitted as a whole. `x.backward()`, `grad` read and set, `zero_grad`, `clip_grad_norm` (which
    returns a tensor then), `clip_grad_value` and the `step` of optimizers and schedules in f do at every call what they
    do in eager code, on the parameters that f closes over, with the learning rate of that call. What f returns has no
    backward then. Refused are these in the step of a loop, in a branch and under `vmap` in f, gradients of arguments
    and of tensors with hooks, and what reads a parameter as it was before a step.

    checkpoint: save the carries of loops every so many steps and compute the rest again in the backward. With √T steps
    the memory of a loop of T steps grows with √T (Chen et al. 2016, arXiv:1604.06174).
    precision: "bfloat16": products of matrices round their float32 operands, forward and backward; sums and all else
    stay float32 (docs/precision.md). On a CPU without AVX512-BF16 they are products in float32, with a warning.

    Of a Module the result is a Module (of a subclass of its class) that shares everything with f but how it is called:
    parameters and their names, modes, whatever is set on either. A copy of it has its own parameters and compiles for
    itself.

    f should have no other effects: what it prints or appends happens while it is traced and not again. It must not draw
    from a random generator, read a clock or a file, ask the system or another process, or take values from an iterator:
    that would stand still. Do it outside and pass the result (random ops such as `nn.Dropout` draw anew at every call).
    The same goes for what runs in its backward, a hook or the bwd of a `custom_vjp`. It is refused where your own code
    does it, or Python's or NumPy's does it for you. It is not noticed where another installed package reads a clock, a
    file or entropy; where C code calls C code (`iter(time.time, None)`); in a type (`np.datetime64("now")`,
    `mmap.mmap(...)`); in `id(x)`, `hash(x)`, `os.getpid()`; and while a profiler runs (`sys.setprofile`).

    Raises TypeError where f asks for the numbers of a traced tensor (`if x > 0`), or returns what is no tensor, number
    or string; RuntimeError, with the line and the cure, where it changes an argument or a tensor from outside in place,
    leaves a traced one in a variable, changes a number that it reads, does what would stand still, calls `eval`, `exec`
    or `globals`, or uses a tensor from where nobody can watch that another takes its place.
    """
    if not callable(f):
        raise TypeError(f"jit: wanted a function or a Module, got {type(f).__name__}")
    jitted = Jitted(f, Options(checkpoint, available(precision)))
    return shared(f, "jit", jitted, jitted.again, JittedModule) if isinstance(f, Sharable) else jitted


def available(precision: str | None) -> str | None:
    """The precision of products, where the CPU has it."""
    if precision not in (None, BFLOAT16):
        raise ValueError(f"jit: got precision={precision!r}, wanted {BFLOAT16!r} or None")
    if precision and bfloat16.host_shape() is None:
        warnings.warn("jit: this CPU has no AVX512-BF16; products are computed in float32", stacklevel=4)
        return None
    return precision


class Jitted(Whole):
    """A function that `jit` has made; the call of a module that it has made. What it is asked for and has not, and what
    is set on it, is f's."""

    own = frozenset({
        "f", "known", "options", "derivatives", "traces", *functools.WRAPPER_ASSIGNMENTS, "__wrapped__",
    })  # fmt: skip

    def __init__(self, f: Callable, options: Options):
        self.f = f
        self.options = options
        functools.update_wrapper(self, f, updated=())
        self.known = Known()
        self.derivatives = Derivatives(f, self.again)
        self.traces = 0

    @property
    def again(self) -> Callable:
        """The function that makes the like of it of another one."""
        given = {name: value for name, value in self.options._asdict().items() if value is not None}
        return functools.partial(jit, **given) if given else jit

    def of(self, key: tuple, transform: Callable) -> Callable:
        return self.derivatives.of(key, transform)

    def __getattr__(self, name):
        if name in self.own:
            raise AttributeError(name)
        return getattr(self.f, name)

    def __setattr__(self, name, value):
        if name in self.own:
            object.__setattr__(self, name, value)
        else:
            setattr(self.f, name, value)

    def __delattr__(self, name):
        delattr(self.f, name)

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self):
        """By its name, if a module has it under that, as functions are; any other copy compiles for itself."""
        named: Any = sys.modules.get(getattr(self, "__module__", None) or "")
        for name in getattr(self, "__qualname__", "?").split("."):
            named = getattr(named, name, None)
        return self.__qualname__ if named is self else (self.again, (self.f,))

    def __repr__(self):
        return f"jit({self.f!r})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if switch.off or thread.mode is RAW:
            return self.f(*args, **kwargs)
        if tracing():  # a part of the program that is being recorded
            self.options.refuse_elsewhere()
            return without_changes(self.f, args, kwargs)
        leaves, tensors, found = self.programs_for(args, kwargs)
        for compiled in found:
            became = compiled.holds()
            if became is not None:
                break
        else:
            compiled, became = self.find(found.kind, found.structure, leaves, tensors)
            found.append(compiled)
            del found[:-KEPT]
        return compiled.call(leaves, tensors, became)

    def programs_for(self, args: tuple, kwargs: dict) -> tuple[list, list[Tensor], Programs]:
        """The leaves of arguments, the tensors among them, and what was compiled for their kind."""
        needs, last = recording(), self.known.last
        if last is not None and last.kind[1] is needs:
            given = last.match(args, kwargs)
            if given is not None:
                return *given, last
        leaves, structure = tree.flatten((args, kwargs))
        kind, tensors = self.kind_of(leaves, structure, needs)
        found = self.known.get(kind)
        if found is None:
            found = keep(self.known, kind, Programs(kind, structure))
        with contextlib.suppress(KeyError):  # another thread has dropped it
            self.known.move_to_end(kind)
        self.known.last = found
        return leaves, tensors, found

    def kind_of(self, leaves: list, structure, needs: bool) -> tuple[tuple, list[Tensor]]:
        """The key of arguments, and the tensors among them; in the place of an array the leaves get one."""
        key: list = [key_of_structure(structure, self.known), needs]
        tensors = []
        for k, leaf in enumerate(leaves):
            if isinstance(leaf, np.ndarray):  # which may be written into before the backward
                leaf = leaves[k] = as_tensor(leaf.copy() if needs else leaf)
            if isinstance(leaf, Tensor):
                key.append((leaf._data.shape, leaf._data.dtype, leaf._node is not None, axes_in_memory(leaf._data)))
                tensors.append(leaf)
            else:
                key.append(key_of_value(leaf, self.known))
        return tuple(key), tensors

    def find(self, kind: tuple, structure, leaves, tensors) -> tuple[Compiled, dict]:
        """A program for arguments of a kind for which there is none yet, and what has taken the place of tensors."""
        alike, needs = kind_of_any_size(kind), kind[1]
        family = self.known.families.pop(alike, None) or Family()
        keep(self.known.families, alike, family)
        shapes = [x._data.shape for x in tensors]
        sizes = family.note(shapes)
        for program in reversed(family.programs):
            values = program.values(sizes)
            became = None if values is None else program.compiled.holds()
            if values is not None and became is not None:
                return program.compiled.bound(values), became
        self.traces += 1

        def compiled(*symbolic):
            return Compiled(self.f, self.derivatives, structure, leaves, needs, self.options, None, None, *symbolic)

        return family.trace(shapes, compiled) or compiled(), UNCHANGED

    @checked
    def explain(self, *args, **kwargs) -> Explanation:
        """What is made of f for these arguments: print it, or read its parts (minigrad/compile/explain.py).

        Tensors that require a gradient, and parameters, are differentiated. Sizes that have differed from call to call
        are shown as the symbols s0, s1, ...; flops and bytes are those of these arguments.
        """
        leaves, structure = tree.flatten((args, kwargs))
        kind, tensors = self.kind_of(leaves, structure, recording())
        stages: list = []

        def compiled(*symbolic):
            stages.clear()
            log = functools.partial(log_stage, stages)
            return Compiled(self.f, self.derivatives, structure, leaves, kind[1], self.options, log, None, *symbolic)

        family = self.known.families.get(kind_of_any_size(kind))
        generic = family and family.generic([x._data.shape for x in tensors], compiled)
        made = generic.compiled if generic else compiled()
        with printing():
            return explain(getattr(self.f, "__name__", type(self.f).__name__), made, stages)


def log_stage(stages: list, name: str, roots) -> None:
    with printing():
        stages.append(stage(name, roots))


def keep(known: OrderedDict, kind: tuple, value):
    """Put it there, and let go of what was not used for the longest time."""
    known[kind] = value
    while len(known) > KINDS:
        known.popitem(last=False)
    return value


class Asked:
    """A name that a jitted module has of its call, unless the module has one of its own."""

    def __init__(self, name: str):
        self.name = name

    def __get__(self, module, owner=None):
        return self if module is None else getattr(way_of(module).call, self.name)


class JittedModule:
    """What a jitted module can do that others cannot."""

    __slots__ = ()
    explain, traces, known = Asked("explain"), Asked("traces"), Asked("known")
