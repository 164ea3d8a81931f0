"""Tensor: an array and its place on the tape.

The operators and methods come from the op table (minigrad/ops): each op that is declared there puts itself here. So do
in-place changes (ops/inplace.py) and NumPy's functions (ops/numpycall.py).
"""

from collections.abc import Callable
from functools import partial
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import html, modes
from minigrad.arguments import checked, refuse_masked, require
from minigrad.dtypes import default_dtype, refuse_dtype
from minigrad.modes import OFF, ON, RAW, TRACED, recording, thread, tracing
from minigrad.sites import refuse_taker
from minigrad.tape import Leaf, Node, pull_back

# The C library gives freed blocks above 128 KiB back to the system, and a tape makes and frees thousands of them: each
# would be paged in again. Freeing one of 32 MiB, never touched, moves that threshold up (mallopt(3), M_MMAP_THRESHOLD).
np.empty((32 << 20) - (8 << 10), np.uint8)

if TYPE_CHECKING:
    from minigrad.methods import Methods  # a stub: what the op table puts on Tensor (tests/stubs.py writes it)
else:
    Methods = object


class Tensor(Methods):
    """An array of numbers that remembers how it was computed.

    Make one with `minigrad.tensor`. `shape`, `dtype`, `ndim`, `size` are the array's; `requires_grad` tells whether it
    is on the tape; `grad` is the sum of the gradients that `backward` has brought to a leaf.

    In-place changes (`t += x` and its kin, `t[index] = x`, `copy_`, `zero_`) mean what they mean in PyTorch, on the
    tape, off it and in jitted functions: every name of the tensor, its views (`t[1:]`, `t.T`, `t.reshape`, `detach()`)
    and what it is a view of have the new values, and gradients reach what was written. The tensor keeps its shape and
    dtype. RuntimeError: of a leaf that requires a gradient (unless under no_grad), of an argument of a function that is
    jitted or that scan, grad, checkpoint or custom_vjp calls, of a tensor from outside in a jitted function; and at
    backward, where a number that it needs has been overwritten. TypeError: floats into integers. ValueError: a shape
    that does not fit, a read-only view.

    Examples
    --------
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad.tolist()
    [2.0, 4.0]
    """

    __slots__ = ("__weakref__", "_data", "_node")
    __hash__ = object.__hash__

    def __init__(self, data, node=None):
        self._data: Any = data  # an array; while tracing, a node of the program
        self._node = node

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def is_leaf(self) -> bool:
        return self._node is None or type(self._node) is Leaf

    @property
    def requires_grad(self) -> bool:
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool):
        self.requires_grad_(wanted)

    @checked
    def requires_grad_(self, wanted: bool = True) -> "Tensor":
        """Make this tensor a leaf of the tape, or (False) take it off. Returns the tensor."""
        if not self.is_leaf:
            raise RuntimeError(f"requires_grad_: this tensor is the result of {self._node.op.name}; detach() it first")
        if wanted and self.dtype.kind != "f":
            raise TypeError(f"requires_grad_: only float tensors have gradients, got {self.dtype}; use astype(float32)")
        if wanted != self.requires_grad:
            self._node = Leaf(self.shape, self.dtype) if wanted else None
        return self

    @property
    def grad(self) -> "Tensor | None":
        """Sum of the gradients that have reached this leaf, of its shape and dtype; None before the first."""
        if tracing():
            return modes.actions("grad").gradient(self)
        node = self._node
        return node.grad if type(node) is Leaf else None

    @grad.setter
    @checked
    def grad(self, value: "Tensor | None"):
        node = self._node
        if type(node) is not Leaf:
            raise RuntimeError("grad can be set on a leaf that requires a gradient, and on nothing else")
        if value is not None:
            value = value if isinstance(value, Tensor) else tensor(value)
            if value.shape != self.shape:
                raise ValueError(f"grad: got shape {value.shape}, wanted the tensor's own, {self.shape}")
            if value.dtype != self.dtype:
                value = value.astype(self.dtype)
        if tracing():
            modes.actions("grad").set_gradient(self, value)
            return
        with modes.lock:
            node.grad = value

    @checked
    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to the `grad` of every leaf that this tensor depends on.

        gradient: the cotangent of this tensor, of its shape; 1 for a scalar. The graph is freed on the way unless
        retain_graph; with create_graph the gradients are on the tape themselves (and the leaf then holds a tape that
        holds the leaf: set `grad` to None when done, or use `minigrad.grad`).

        Raises RuntimeError for a tensor that is not on the tape, a non-scalar without a cotangent, a freed graph, or an
        array that was changed in place.

        Several threads may call backward at once, on shared leaves too: each gradient is added whole, and `grad = None`
        forgets those added before it. What they share of the graph besides leaves wants retain_graph in all of them.
        Change gradients in place (clipping, say) and update parameters when no other thread is in a backward.
        """
        keep = retain_graph or create_graph
        if tracing():
            modes.actions("backward").backward(self, gradient, keep, create_graph)
            return
        if self._node is None:
            raise RuntimeError("backward: this tensor depends on nothing that requires a gradient")
        g = cotangent_for(self, gradient)
        gradients = pull_back([self._node], [g if create_graph else g._data], keep=keep, differentiable=create_graph)
        with modes.enable_grad() if create_graph else modes.no_grad():
            for leaf, g in gradients.items():  # the way back may hand one tensor to several leaves
                leaf.add(g.copy() if create_graph else Tensor(np.asarray(g)))

    @checked
    def register_hook(self, hook: Callable[["Tensor"], Any]) -> Callable[[], None]:
        """Call hook(gradient) when this tensor's gradient is complete; what it returns, if anything, takes its place.

        Returns a function that removes this registration, and not that of an equal hook; called again it does nothing.
        """
        if self._node is None:
            raise RuntimeError("register_hook: this tensor does not require a gradient")
        with modes.lock:
            hooks = self._node.hooks = self._node.hooks or {}
            registration = next(modes.clock)
            hooks[registration] = partial(through_hook, hook)

        def remove() -> None:
            with modes.lock:
                hooks.pop(registration, None)

        return remove

    def numpy(self) -> np.ndarray:
        """The values, read-only: a change behind the tape's back would make gradients wrong. Copy to write."""
        view = look(self._data).view()
        view.flags.writeable = False
        return view

    def item(self) -> float:
        """The one value of a tensor of size 1, as a Python number."""
        if self.size != 1:
            raise ValueError(f"item: got shape {self.shape}, wanted a tensor with one element")
        return look(self._data).item()

    def tolist(self) -> Any:
        return look(self._data).tolist()

    @property
    def mT(self) -> "Tensor":
        return self.swapaxes(-1, -2)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len of a 0-d tensor")
        return self.shape[0]

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous; use mg.any or mg.all")
        return bool(look(self._data))

    def __float__(self) -> float:
        if self._node is not None and recording():
            refuse_taker()
        return float(self.item())

    def __int__(self) -> int:
        if self._node is not None and recording():
            refuse_taker()
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"an index must be an integer, got a tensor of {self.dtype}")
        return int(self.item())

    def __contains__(self, value: Any) -> bool:
        return bool((look(self._data) == as_array(value, like=self.dtype)).any())

    def __repr__(self) -> str:
        if isinstance(self._data, Node):
            return f"tensor({self.dtype}{list(self.shape)}, traced)"
        values = np.array2string(self._data, separator=", ", prefix="tensor(", threshold=100)
        origin = ""
        if self._node is not None:
            origin = ", requires_grad=True" if self.is_leaf else f", op={self._node.op.name}"
        return f"tensor({values}, dtype={self.dtype}{origin})"

    def _repr_html_(self) -> str:
        return html.of_tensor(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __reduce__(self):
        if not self.is_leaf:
            what = "a copy or a pickle of a tensor on the tape"
            raise RuntimeError(f"{what}: this one is the result of {self._node.op.name}; detach() it first")
        return _made, (type(self), look(self._data).copy(), self.requires_grad)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad:
            raise TypeError(
                "a NumPy function wants the array of a tensor that is on the tape, and would lose its gradient; "
                "use the op of minigrad, or t.detach().numpy()"
            )
        return np.array(look(self._data), dtype=dtype, copy=True if copy is None else copy)


def _made(kind, array, requires_grad) -> Tensor:
    return kind(array).requires_grad_(requires_grad)


def foreign(x) -> bool:
    """Whether an operator leaves x to x's own methods: it is no tensor, array, number or list, or says that it wants to
    be asked (as pytest.approx does)."""
    if getattr(type(x), "__array_ufunc__", x) is None:
        return True
    return not (isinstance(x, (Tensor, np.ndarray, np.generic, Number, list, tuple)) or hasattr(x, "__array__"))


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of `data`.

    data: a number, nested lists, an array or a tensor. dtype: by default an array keeps its own, but float16 becomes
    float32, here and wherever an array is taken; Python floats become float32, Python integers int64, booleans bool.

    Raises TypeError for data that is not numeric (or complex: cast first) and the dtype float16, ValueError for ragged
    lists.

    Examples
    --------
    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    >>> mg.tensor(np.arange(3)).dtype
    dtype('int64')
    """
    if type(requires_grad) is not bool:
        require("tensor", "requires_grad", requires_grad, bool)
    array = as_array(data, dtype)
    made = thread.program.borrow(array) if tracing() else Tensor(np.array(array, copy=True))  # read at every call
    return made.requires_grad_() if requires_grad else made


def as_tensor(data, like: np.dtype | None = None) -> Tensor:
    return data if isinstance(data, Tensor) else Tensor(as_array(data, like=like))


def as_array(data, dtype=None, like: np.dtype | None = None) -> np.ndarray:
    """The array of a tensor, or of what `minigrad.tensor` takes, without a copy where there need be none.

    Python floats become `like` where that is a float type (they are weak), else the default dtype.
    """
    if isinstance(data, Tensor):
        array = given = data._data
    elif isinstance(data, Node):  # while tracing
        array = given = data
    elif isinstance(data, (np.ndarray, np.generic)):
        if type(data) is not np.ndarray:
            refuse_masked(data)
        array = given = np.asarray(data)
    else:
        held: list = []
        try:
            array = np.asarray(nested_arrays(data, held))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"tensor: wanted numbers in lists of equal lengths: {error}") from None
        given = array
        if array.dtype == np.float64 and dtype is None and not held:
            array = array.astype(like if like is not None and like.kind == "f" else default_dtype)
    if array.dtype.kind not in "fiub":
        refuse_dtype(data, array.dtype)
    if dtype is not None:
        try:
            array = array.astype(dtype, copy=False)
        except TypeError:
            raise TypeError(f"tensor: no dtype {dtype!r}; wanted float32, float64, an integer type or bool") from None
    if array.dtype == np.float16 and dtype is None:  # a way to store numbers, not to compute with them
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8 or array.dtype == np.float16:
        refuse_dtype(data, array.dtype)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array is not given:  # it is a copy
        look(given)
    return array


def look(array):
    """The array. A trace remembers that its numbers became part of the program, and holds while they stay the same."""
    if tracing() and isinstance(array, np.ndarray):
        thread.program.look(array)
    return array


def nested_arrays(data, held: list):
    """Lists with their tensors replaced by arrays; what in them has a dtype of its own goes to `held` too."""
    if isinstance(data, (list, tuple)):
        return [nested_arrays(x, held) for x in data]
    if isinstance(data, Tensor):
        if data._node is not None and recording():
            raise TypeError(
                "tensor: a list of tensors that are on the tape would lose their gradients; use minigrad.stack"
            )
        held.append(data)
        return look(data._data)
    if hasattr(data, "__array__"):
        refuse_masked(data)
        held.append(data)
    return look(data)


def unwrap(value):
    """`value` with every tensor in it (in a tuple or a list too) replaced by its array."""
    if isinstance(value, Tensor):
        return look(value._data)
    refuse_masked(value)
    if isinstance(value, (tuple, list)):
        return type(value)([unwrap(v) for v in value])
    return value


def through_hook(hook: Callable, node: Node, g):
    """The cotangent of a node after a hook has seen it, read-only, and may have returned another in its place."""
    raw = thread.mode is RAW
    caller, thread.mode = thread.mode, OFF if raw else TRACED if tracing() else ON
    try:
        given = g
        if raw:
            given = Tensor(np.asarray(g).view())
            given._data.flags.writeable = False
        replaced = hook(given)
    finally:
        thread.mode = caller
    if replaced is None:
        return g
    replaced = as_tensor(replaced)
    if replaced.shape != node.shape:
        raise ValueError(f"a hook on {node!r} returned shape {replaced.shape}, wanted {node.shape}")
    return replaced._data.astype(node.dtype) if raw else replaced


def cotangent_for(y: Tensor, gradient) -> Tensor:
    """`gradient` as a tensor that fits y; a 1 if there is none and y is a scalar."""
    if gradient is None:
        if y.size != 1:
            raise RuntimeError(
                f"backward of a tensor of shape {y.shape} wants a cotangent of that shape: "
                "y.backward(gradient), or reduce to a scalar first, y.sum().backward()"
            )
        return Tensor(np.ones(y.shape, y.dtype))
    given = as_tensor(gradient, like=y.dtype)
    if given.shape != y.shape:
        raise ValueError(f"backward: got a cotangent of shape {given.shape} for a tensor of shape {y.shape}")
    return given if given.dtype == y.dtype else Tensor(given._data.astype(y.dtype), None)
