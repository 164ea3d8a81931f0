"""The derivatives of a jitted function, as jitted functions: what runs when its backward is to be differentiated.

    f(x, w)                    the function                  jitted, with a compiled backward
    Backward(f)(x, w; g)       the gradients, from g         jitted, with a compiled backward of its own
    Backward(Backward(f))      and so on, to any order
    Forward(f)(x, w; dx, dw)   the tangent of the result     jitted, likewise

They are made when they are first wanted, and kept with the function.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from minigrad import tree
from minigrad.ir.forward import Tangent, push_forward
from minigrad.modes import enable_grad, no_grad, recording, thread
from minigrad.tape import pull_back
from minigrad.tensor import Tensor
from minigrad.transforms import variable


class Derivatives:
    """Those of one function. jit: makes a jitted function of another one, as it made that."""

    def __init__(self, f: Callable, jit: Callable):
        self.f, self.jit = f, jit
        self.made: dict[tuple, Callable] = {}

    def of(self, key: tuple, transform: Callable) -> Callable:
        """What a transform makes of the function; key names the transform."""
        if key not in self.made:
            self.made[key] = self.jit(transform(self.f))
        return self.made[key]

    @functools.cached_property
    def backward(self) -> Callable:
        return self.jit(Backward(self.f))

    @functools.cached_property
    def forward(self) -> Callable:
        return self.jit(Forward(self.f))


class Backward:
    """The backward of f as a function that can be traced: of the arguments of f and the cotangents of its results.

    Called with the arguments, a cotangent for each tensor of the result (None: there is none), the numbers of the
    gradients that are wanted, and whether f was called where ops record. It returns the gradients by these numbers;
    where nothing was sent back there is none. Numbered are the tensors among the arguments, then those on the tape that
    f closes over, in the order in which it uses them.
    """

    def __init__(self, f: Callable):
        self.f = f
        self.__name__ = f"backward of {getattr(f, '__name__', type(f).__name__)}"

    def __call__(self, args, kwargs, cotangents: Sequence, wanted: Sequence[int], needs: bool) -> dict[int, Tensor]:
        variables, results = run(self.f, args, kwargs, needs)
        given = [(x._node, g) for x, g in zip(results, cotangents) if g is not None]
        sought = {k: variables[k] for k in wanted}
        pulled = pull_back(
            [root for root, _ in given], [g for _, g in given],
            wanted=set(sought.values()), keep=True, differentiable=True,
        )  # fmt: skip
        return {k: pulled[node] for k, node in sought.items() if node in pulled}


class Forward:
    """The forward mode of f as a function that can be traced: of the arguments of f and, by their numbers, as of
    Backward, the tangents. It returns by its number the tangent of each tensor of the result that has one."""

    def __init__(self, f: Callable):
        self.f = f
        self.__name__ = f"forward mode of {getattr(f, '__name__', type(f).__name__)}"

    def __call__(self, args, kwargs, tangents: dict[int, Tensor], needs: bool) -> dict[int, Tensor]:
        variables, results = run(self.f, args, kwargs, needs)
        given = {variables[k]: Tangent(t) for k, t in tangents.items()}
        pushed = push_forward([x._node for x in results if x._node is not None], given, differentiable=recording())
        return {k: pushed[x._node].value for k, x in enumerate(results) if x._node in pushed}


def run(f: Callable, args: tuple, kwargs: dict, needs: bool) -> tuple[list, list[Tensor]]:
    """Trace f: where its arguments and what it closes over are on the tape (numbered as above), and its results."""
    leaves, structure = tree.flatten((args, kwargs))
    variables = []
    for k, x in enumerate(leaves):
        if isinstance(x, Tensor):
            variables.append(None if x._node is None else variable(x._node, x.shape, x.dtype))
            leaves[k] = Tensor(x._data, variables[-1])
    args, kwargs = tree.unflatten(structure, leaves)
    with enable_grad() if needs else no_grad():
        results = tree.flatten(f(*args, **kwargs))[0]
    results = [Tensor(*thread.program.enter(x)) for x in results if isinstance(x, (Tensor, np.ndarray))]
    return variables + [leaf for [(_, leaf, _)] in thread.program.captured.values() if leaf is not None], results
