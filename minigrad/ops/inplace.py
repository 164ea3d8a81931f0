"""In-place changes: `t += x` and its kin, `t[index] = x`, `copy_`, `zero_`. Their meaning is PyTorch's, in every mode.

A change is seen by all that share the tensor's memory: its other names, its views, and what it is a view of. The
numbers are written into that memory. On the tape the tensor then has a new node, that of the written values; what it is
a view of gets one too, `index_put` of the part into the whole, and other views find theirs when they are next read
(views.py). So gradients reach what was written, and what was there before only where it was not overwritten. While a
function is traced there is no memory: values take the place of arrays and are put together by the same ops.

An array that a node saved for its vjp, and that was overwritten since, is refused in the backward (`Mutations`).
"""

import weakref
from collections.abc import Callable

import numpy as np

from minigrad.arguments import checked, restated
from minigrad.modes import clock, no_grad, recording, thread, tracing
from minigrad.mutations import memory_of, mutations
from minigrad.ops.elementwise import OPERATORS, where
from minigrad.ops.index import getitem, index_put, is_basic, owned_index
from minigrad.ops.picked import picked, put
from minigrad.ops.shape import astype, broadcast_to, copy, reshape
from minigrad.sites import call_site
from minigrad.tape import Leaf, Node, tape_of
from minigrad.tensor import Tensor, as_tensor
from minigrad.views import NOBODY, Argument, View, root_of

KINDS = "buif"  # bool, unsigned, integer, float: a tensor takes values of its own kind and of those before it


def refuse(name: str, t: Tensor, taped: bool) -> None:
    """Raise if t may not be changed in place here. taped: whether gradients would flow through the change."""
    root = root_of(t)
    where_to = "write the result to a new tensor (mg.where, mg.concatenate), or change a copy(): x = x.copy()"
    if type(root) is Argument:
        inside = "jitted function" if tracing() else "function that scan, grad, checkpoint or their like calls"
        raise RuntimeError(f"{name}: an in-place change inside a {inside}, of an argument of it; {where_to}")
    if tracing() and not thread.program.claim(root):
        raise RuntimeError(
            f"{name}: an in-place change inside a jitted function, or a step of scan in one, of a tensor from outside; "
            f"{where_to}, or change it outside"
        )
    if taped and (type(root._node) is Leaf or type(t._node) is Leaf):
        raise RuntimeError(
            f"{name}: an in-place change of a leaf that requires a gradient, on the tape; do it under no_grad(), or "
            f"{where_to}"
        )
    if taped and isinstance(t, View) and t._parent is NOBODY and t._call[0] is not None:
        raise RuntimeError(
            f"{name}: an in-place change on the tape of a view that was made under no_grad(), so that the gradient of "
            "what it is a view of would be lost; make the view outside of no_grad()"
        )
    if not memory_behind(t).flags.writeable:
        raise ValueError(f"{name}: this tensor is a read-only view (of a broadcast, perhaps); copy() it first")


def fitting(name: str, t: Tensor, values: Tensor) -> Tensor:
    """Values in the dtype of t; refuses those of a kind that t cannot hold."""
    if values.dtype == t.dtype:
        return values
    if KINDS.index(values.dtype.kind) > KINDS.index(t.dtype.kind):
        raise TypeError(f"{name}: the result is {values.dtype} and cannot be written into {t.dtype}; use t.astype")
    return astype(values, t.dtype)


def write(name: str, t: Tensor, new: Tensor, start: int) -> Tensor:
    """Let t have the values of `new`, which has its shape. start: what is younger belongs to this change."""
    new = fitting(name, t, new)
    taped = recording() and (t._node is not None or new._node is not None)
    refuse(name, t, taped)
    if taped:
        keep_what_is_needed(t, new, start)
    if tracing():
        thread.program.note(t, start)
    else:
        np.copyto(t._data, new._data)
        mutations.note(t._data)
    if taped or tracing():
        become(t, new, taped)
    return t


def keep_what_is_needed(t: Tensor, new: Tensor, start: int) -> None:
    """Copy what some nodes saved for their vjps of memory that is about to be overwritten: the node that made t, and
    those since `start`, which made the new values."""
    nodes = [] if new._node is None else [n for n in tape_of([new._node], start) if n.seq > start]
    nodes += [x._node for x in (t, root_of(t)) if x._node is not None]
    owner = memory_of(memory_behind(t))

    def kept(x):
        array = isinstance(x, np.ndarray) or (isinstance(x, Node) and tracing())
        return copied(x) if array and memory_of(memory_behind(x)) is owner else x

    for n in nodes:
        if n.saved:
            n.saved = tuple([kept(x) for x in n.saved])


def memory_behind(x) -> np.ndarray:
    """The memory of a tensor, an array, or a value of a program."""
    x = x._data if isinstance(x, Tensor) else x
    return thread.program.memory_of(x) if tracing() else x


def copied(x):
    if isinstance(x, np.ndarray):
        return x.copy()
    with no_grad():
        return copy(Tensor(x))._data


def become(t: Tensor, new: Tensor, taped: bool) -> None:
    """Give t, and what it is a view of, the place on the tape (while tracing also the value) that comes of `new`."""
    if isinstance(t, View) and t.source is not NOBODY:
        follows = t._parent is not NOBODY
        if follows or tracing():
            become(t.source, undone(t, new if follows else Tensor(new._data)), taped and follows)
    if tracing():
        thread.program.replace(t, new)
    if taped:
        t._node = new._node
        if thread.written is not None and not isinstance(t, View):
            thread.written.append((weakref.ref(t), new._node.site))


def undone(view: View, new: Tensor) -> Tensor:
    """What a view is of, when the view has become `new`."""
    op, params = view.call
    if op is None:
        return new
    if op.name == "getitem":
        return overwritten(view.source, new, params["index"])
    vjp, plan = op.plans[0]  # the numbers are the same in another place: it is the inverse
    saved = op.save(new._data, view.source._data, **params)
    return vjp(new, *[saved[k] for k in plan])


def overwritten(x: Tensor, value: Tensor, index) -> Tensor:
    """x with value at an index, on the tape. While tracing its numbers, too; else they have been written already."""
    whole = is_basic(index) and np.broadcast_to(np.empty(()), x.shape)[index].size == x.size
    data, node = x._data, None
    if tracing():
        value = Tensor(*thread.program.enter(value))  # it may be from outside, and its node with it
        with no_grad():
            at = Tensor(value._data)
            data = (broadcast_to(copy(at), x.shape) if index is ... else index_put(Tensor(data), at, index))._data
    if recording() and (x._node is not None or value._node is not None):
        parents = (None if whole else x._node, value._node)
        saved = index_put.op.save(None, x._data, value._data, index=index)
        node = Node(index_put.op, parents, {"index": index}, saved, x.shape, x.dtype, call_site())
    return Tensor(data, node)


def setitem(self, index, value, name="setitem"):
    start = next(clock)
    if isinstance(value, View) and value.source is self and same_place(value, index):
        return  # the end of self[index] += x, which has written into self
    try:
        value = fitting(name, self, as_tensor(value, like=self.dtype))
        if (at := picked(self, index)) is not None:
            write(name, at.part, put(at, value), start)
            return
        mask = mask_in(index, self, value)
        if mask is not None:
            write(name, self, where(mask, value, self), start)
            return
        index = owned_index(index)
        selected = np.broadcast_to(np.empty(()), self.shape)[index].shape
        if value.ndim > len(selected):
            value = reshape(value, value.shape[value.ndim - len(selected) :])
        if not fits(value.shape, selected):
            raise ValueError(f"the index selects the shape {selected}")
        taped = recording() and (self._node is not None or value._node is not None)
        refuse(name, self, taped)
    except (IndexError, ValueError) as error:
        got = f"{value.dtype}{list(value.shape)} into {self.dtype}{list(self.shape)}"
        raise restated(error, f"{name} of {got}: {error}") from None
    if taped:
        keep_what_is_needed(self, value, start)
    if tracing():
        thread.program.note(self, start, index)
    else:
        self._data[index] = value._data
        mutations.note(getitem.op.forward(self._data, index) if is_basic(index) else self._data)
    if taped or tracing():
        become(self, overwritten(self, value, index), taped)


def mask_in(index, t: Tensor, value: Tensor) -> Tensor | None:
    """A mask whose numbers are not known yet, since it is traced, in the shape of t."""
    if not isinstance(index, Tensor) or not isinstance(index._data, Node) or index.dtype != bool:
        return None
    rest = t.ndim - index.ndim
    if index.shape != t.shape[: index.ndim] or value.ndim > rest:
        raise ValueError(
            f"a traced mask of shape {index.shape} selects elements of {t.shape}, nobody knows how many: wanted one "
            f"value for all, of at most {max(rest, 0)} dimensions, or use mg.where"
        )
    return reshape(index, (*index.shape, *[1] * rest))


def same_place(view: View, index) -> bool:
    op, params = view.call
    return op is not None and op.name == "getitem" and is_basic(index) and same(params["index"], index)


def same(a, b) -> bool:
    return type(a) is type(b) and a == b


def fits(shape, wanted) -> bool:
    """Whether an array of a shape can be broadcast to another one."""
    return len(shape) <= len(wanted) and all(n in (1, m) for n, m in zip(shape[::-1], wanted[::-1]))


def from_outside(x: Tensor) -> bool:
    """Whether a tensor is none of the traced function's, on no tape and no view: a running mean, say."""
    own = isinstance(x, (Argument, View)) or not isinstance(x._data, np.ndarray) or id(x) in thread.program.lent
    return not own and x._node is None


def copy_(self, values) -> Tensor:
    """Overwrite the values, in place; they are broadcast to this tensor's shape and cast to its dtype."""
    values = as_tensor(values, like=self.dtype)
    if not fits(values.shape, self.shape):
        raise ValueError(f"copy_: got shape {values.shape}, wanted {self.shape}")
    of_actions = tracing() and thread.program.actions is not None and from_outside(self)
    if of_actions and not (recording() and values._node is not None):
        thread.program.actions.keep(self, broadcast_to(fitting("copy_", self, values), self.shape))
        return self
    setitem(self, ..., values, "copy_")
    return self


def zero_(self) -> Tensor:
    """Set every value to 0, in place."""
    setitem(self, ..., np.zeros((), self.dtype), "zero_")
    return self


UFUNCS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide}


def off_the_tape(t: Tensor, other) -> bool:
    """Whether `t += other` and its kin need no new array: floats of one dtype, and nothing recorded."""
    if tracing() or t.dtype.kind != "f":
        return False
    if isinstance(other, Tensor):
        if other.dtype != t.dtype or not fits(other.shape, t.shape) or (recording() and other._node is not None):
            return False
    elif type(other) is not float:
        return False
    return not recording() or t._node is None


def in_place(name: str, op):
    def change(self, other):
        if name in UFUNCS and off_the_tape(self, other):
            refuse(f"in-place {name}", self, taped=False)
            with np.errstate(all="ignore"):
                UFUNCS[name](self._data, other._data if isinstance(other, Tensor) else other, out=self._data)
            mutations.note(self._data)
            return self
        start = next(clock)
        new = op(self, other)
        if new is NotImplemented:
            return new
        if new.shape != self.shape:
            raise ValueError(
                f"in-place {name}: the result has shape {new.shape} and cannot be written into {self.shape}"
            )
        return write(f"in-place {name}", self, new, start)

    change.__name__ = f"__i{name}__"
    return change


_changes: dict[str, Callable] = {"__setitem__": setitem, "copy_": copy_, "zero_": zero_}
for _name, _method in _changes.items():
    setattr(Tensor, _name, checked(_method))
for _name, _op in OPERATORS.items():  # not matmul: `h @= w` is `h = h @ w`, as in PyTorch
    setattr(Tensor, f"__i{_name}__", in_place(_name, _op))
