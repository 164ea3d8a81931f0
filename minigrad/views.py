"""Tensors that share memory: views, and the arguments that a function may not change.

A view is a part of another tensor, or all of it laid out in another way. Off the tape sharing an array is enough: what
is written into one is seen in the other. On the tape a change gives the changed tensor a new node (inplace.py), so a
view finds its node, when it is asked for, from the tensor that it is a view of. While a function is traced there is no
array to share, and a view finds its value in the same way.
"""

import math
from collections.abc import Callable
from typing import Any

from minigrad import tree
from minigrad.modes import TRACED, thread, tracing
from minigrad.mutations import memory_of
from minigrad.tape import Leaf, Node
from minigrad.tensor import Tensor

_data = Tensor.__dict__["_data"]  # the slots, which subclasses below hide behind properties


def reduced(self) -> tuple:
    """A copy of a view is no view."""
    return Tensor(self._data, self._node).__reduce__()


NO_CALL: tuple[Any, dict, Any] = None, {}, None


class View(Tensor):
    """A tensor that shares the memory of another one, its parent.

    call: (op, params, place) that made it; place: which it is of several results; the op is None if it is all of the
    parent as it is. parent: NOBODY where gradients do not follow the parent: in detach(), and under no_grad. own: the
    node that it had when the parent's was `seen`.
    """

    __slots__ = ("_call", "_own", "_parent", "_seen")
    _parent: Tensor

    def __init__(self, data, node, parent: Tensor, call=NO_CALL, seen=None):
        self._data, self._own, self._parent, self._call, self._seen = data, node, parent, call, seen

    @property
    def _node(self) -> Node | None:  # type: ignore[override]
        above = self._parent._node
        return self._own if above is self._seen else self._follow(above)

    @_node.setter
    def _node(self, node):
        self._own, self._seen = node, self._parent._node

    __reduce__ = reduced

    @property
    def source(self) -> Tensor:
        """The tensor whose values it shows a part of."""
        return self._parent

    def _follow(self, above: Node | None) -> Node | None:
        """The parent has another node: find the one that this view has now."""
        self._seen = above
        if above is None or type(above) is Leaf or type(self._own) is Leaf:
            return self._own  # requires_grad was switched, no value was changed
        op, params = self.call
        if op is None:
            self._own = above
        else:
            saved = op.save(self._data, self._parent._data, **params)
            self._own = Node(op, (above,), params, saved, self.shape, self.dtype, above.site)
            self._own.seq = (above.seq + math.floor(above.seq) + 1) / 2  # as if it had been made right after the change
        return self._own

    @property
    def call(self) -> tuple[Any, dict]:
        """The op that makes this view alone, and its parameters."""
        op, params, place = self._call
        if place is None:
            return op, params
        return op.part(self.source.shape, place, params)


class TracedView(View):
    """A view while a function is traced: its value, too, is that of the source."""

    __slots__ = ("_seen_value", "_source")

    def __init__(self, data, node, source: Tensor, parent: Tensor, call=NO_CALL):
        self._source, self._parent, self._call = source, parent, call
        self._data, self._node = data, node

    source = property(lambda self: self._source)  # type: ignore[assignment]

    @property
    def _data(self):
        above = self._source._data
        if above is not self._seen_value:
            op, params = self.call
            value = above
            if op is not None:
                value = above.program.record(op, (above,), params, op.specs(above, **params))
            self._data = value
        return _data.__get__(self)

    @_data.setter
    def _data(self, value):
        _data.__set__(self, value)
        self._seen_value = self._source._data


class Argument(Tensor):
    """What a function was given by `scan`, `grad`, `checkpoint` and their like, which call it when and as often as they
    must: it may not change it in place."""

    __slots__ = ()
    __reduce__ = reduced


def as_arguments(leaves) -> list:
    """What a function is given in place of these leaves: the same values, not to be changed in place."""
    if tracing():
        leaves = [Tensor(*thread.program.enter(x)) if isinstance(x, Tensor) else x for x in leaves]
    return [Argument(x._data, x._node) if isinstance(x, Tensor) else x for x in leaves]


def as_results(leaves) -> list:
    """What the caller gets of a function for these leaves: of an argument, or a view of one, a copy."""
    return [x.copy() if type(x) is Argument else x for x in leaves]


def without_changes(f: Callable, args, kwargs):
    """f(*args, **kwargs), where f may not change its arguments in place."""
    leaves, structure = tree.flatten((args, kwargs))
    args, kwargs = tree.unflatten(structure, as_arguments(leaves))
    outs, structure = tree.flatten(f(*args, **kwargs))
    return tree.unflatten(structure, as_results(outs))


NOBODY = Tensor(None)


def as_view(x, op, params, results):
    """The result (tensor or list) of a view op on x, as views of x where they share its memory."""
    several = type(results) is list
    made = results if several else [results]
    if made and isinstance(x, Tensor) and shares(made[0]._data, x._data):
        places = range(len(made)) if several else (None,)
        if type(x) is Argument:
            made = [Argument(t._data, t._node) for t in made]
        elif tracing():
            parent, call = (x, op) if op.vjps and thread.mode is TRACED else (NOBODY, op if op.vjps else None)
            made = [TracedView(t._data, t._node, x, parent, (call, params, place)) for t, place in zip(made, places)]
        elif op.vjps:  # under no_grad
            made = [View(t._data, None, NOBODY, (op, params, place)) for t, place in zip(made, places)]
    return made if several else made[0]


def shares(view: Any, x: Any) -> bool:
    """Whether they share memory: two arrays, or two values of a program."""
    if isinstance(view, Node):
        several = type(view.inputs[0].shape) is list
        x = (view.inputs[0] if several else view).inputs[0].memory  # type: ignore[attr-defined]
        view = view.memory  # type: ignore[attr-defined]
    base = view.base
    return (base is not None and (base is x or base is x.base or memory_of(view) is memory_of(x))) or view is x


def detach(self) -> Tensor:
    """The same values, off the tape. The memory is shared: a change in place of one is seen in the other."""
    return Argument(self._data) if type(self) is Argument else alias(self, None, NOBODY)


def shallow_copy(self) -> Tensor:
    """copy.copy(t): another tensor in the same place of memory and tape."""
    if type(self) is Argument or type(self._node) is Leaf:
        return type(self)(self._data, self._node)
    return alias(self, self._node, self)


def alias(t: Tensor, node: Node | None, parent: Tensor) -> Tensor:
    """All of t as another tensor; parent: as of a View."""
    if tracing() and thread.program.claim(root_of(t)):
        return TracedView(t._data, node, t, parent)
    return View(t._data, node, t, seen=node) if parent is t and not tracing() else Tensor(t._data, node)


def root_of(t: Tensor) -> Tensor:
    """What t is a view of, and is no view itself."""
    while isinstance(t, View) and t.source is not NOBODY:
        t = t.source
    return t


for kind in (View, TracedView, Argument):
    kind.__name__ = "Tensor"  # in messages, which have no use for the difference
for name, method in {"detach": detach, "__copy__": shallow_copy}.items():
    setattr(Tensor, name, method)
