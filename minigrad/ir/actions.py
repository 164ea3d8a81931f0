"""What a traced function does to what is outside: it brings gradients to leaves, clips them, steps optimizers.

    opt.zero_grad()                  the gradients of the parameters are none
    loss = f(x, y)                   values
    loss.backward()                  values; they are the gradients now
    clip_grad_norm(parameters, 1)    action 0: set the gradients; clip them
    opt.step()                       action 1: step
    return loss                      values, then the last action: set what gradients have been changed since

While a function is traced nothing outside changes. Gradients are values of the program, and a call that changes
parameters or what an optimizer keeps is put down as an action. When the program has run up to there, the call is made
as in eager code, on the arrays themselves, so that numbers such as a learning rate are those of that moment. What is
traced after it reads anew what it has changed.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import NamedTuple

from minigrad.ir.rewrite import order_of
from minigrad.ir.trace import Pick, Program, Value
from minigrad.modes import clock, no_grad
from minigrad.mutations import memory_of
from minigrad.ops.shape import copy
from minigrad.ops.table import Spec
from minigrad.sites import call_site, line_of_site
from minigrad.tape import Leaf, Node, pull_back
from minigrad.tensor import Tensor, cotangent_for
from minigrad.views import Argument


class Action(NamedTuple):
    """name: with the line. sets: (tensor, its gradient from now on, a value or None, and whether that is on the tape).
    call: what is called after that; None at the end. result: the value that stands for what it returns, or None.
    became: (tensor, the value that stands for its gradient afterwards) where the call changes that in place. stale:
    inputs that are read no more, since it changes them. shared: inputs in the memory of those. seq: values that are
    younger come after it."""

    name: str
    sets: list[tuple[Tensor, Value | None, bool]]
    call: Callable | None
    result: Value | None
    became: list[tuple[Tensor, Value]]
    stale: list[Value]
    shared: list[Value]
    seq: int


def base_of(value: Value) -> Value:
    """What a value of a trace is a view of; itself, if of nothing."""
    made = value.inputs[0] if value.op is Pick else value
    return base_of(made.inputs[0]) if getattr(made.op, "view", False) else value


def share(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors from outside lie in the same memory."""
    return memory_of(a._data) is memory_of(b._data)


def is_other(a: Tensor, b: Tensor) -> bool:
    """Whether they do as two arrays."""
    return a._data is not b._data and share(a, b)


class Actions:
    """Those of one trace.

    done: in order. touched: the tensors whose gradients the function reads, or that it or they change, by their ids;
    reached: those of them to which a backward brings a gradient.
    started: of those whose gradient it reads before it has set it, (tensor, the value of that or None) by leaf.
    arguments: the leaves that stand for the function's arguments on the tape.
    """

    def __init__(self, program: Program):
        self.program = program
        self.done: list[Action] = []
        self.touched: dict[int, Tensor] = {}
        self.reached: dict[int, Tensor] = {}
        self.started: dict[Leaf, tuple[Tensor, Value | None]] = {}
        self.arguments: set[Node] = set()
        self.watched: list[tuple[Callable, float]] = []
        self.now: dict[Leaf, tuple[Tensor, Tensor | None]] = {}  # by leaf, (tensor, its gradient) where it is known
        self.kept: dict[int, tuple[Tensor, Value]] = {}  # by their arrays' ids, tensors and their values
        self.replaced: list[tuple[Value, float]] = []  # what a tensor was before copy_, and when
        self.outside: dict[Leaf, Value | None] = {}  # what the gradient of the caller's leaf is at this time

    def leaf_of(self, x: Tensor, what: str) -> Leaf | None:
        """The leaf of a tensor that is one; of a tensor from outside it is the one there."""
        leaf = x._node
        if leaf in self.arguments and type(leaf) is Leaf:
            raise RuntimeError(
                f"jit: {what} of an argument, which is not that of the caller's tensor; let the function close over "
                "the tensor, or give it a module that has it"
            )
        return leaf if type(leaf) is Leaf else None

    def gradient(self, x: Tensor) -> Tensor | None:
        leaf = self.leaf_of(x, "the gradient")
        if leaf is None:
            return None
        if isinstance(x._data, Value):
            return leaf.grad
        self.touched[id(x)] = x
        if leaf not in self.now:
            value = None if leaf.grad is None else self.program.input(x)
            self.started[leaf] = x, value
            self.outside[leaf] = value
            self.now[leaf] = x, None if value is None else Argument(value)
        return self.now[leaf][1]

    def set_gradient(self, x: Tensor, g: Tensor | None) -> None:
        leaf = self.leaf_of(x, "the gradient")
        if leaf is None:
            raise RuntimeError("grad can be set on a leaf that requires a gradient, and on nothing else")
        if isinstance(x._data, Value):
            leaf.grad = g
            return
        self.touched[id(x)] = x
        self.now[leaf] = x, g

    def backward(self, y: Tensor, gradient, keep: bool, differentiable: bool) -> None:
        value, node = self.program.enter(y)
        if node is None:
            raise RuntimeError("backward: this tensor depends on nothing that requires a gradient")
        g = cotangent_for(Tensor(value, node), gradient)
        outside = {leaf: x for [(_, leaf, x)] in self.program.captured.values() if leaf is not None}
        pulled = pull_back([node], [g], keep=keep, differentiable=differentiable)
        for leaf in pulled:
            self.refuse(leaf, outside.get(leaf))
        for leaf, g in pulled.items():
            if differentiable:
                self.add(leaf, outside.get(leaf), copy(g))
            else:
                with no_grad():
                    self.add(leaf, outside.get(leaf), copy(g))

    def add(self, leaf: Leaf, x: Tensor | None, g: Tensor) -> None:
        if x is None:  # it was made here
            leaf.add(g)
        else:
            self.reached[id(x)] = x
            before = self.gradient(x)
            self.set_gradient(x, g if before is None else before + g)

    def refuse(self, leaf: Leaf, x: Tensor | None) -> None:
        """Raise if a backward may not end here."""
        if leaf in self.arguments or (x is not None and type(x._node) is not Leaf):
            raise RuntimeError(
                f"jit: backward inside a jitted function reaches {Spec(leaf.shape, leaf.dtype)}, "
                f"{'an argument' if x is None else 'a tensor from outside'} that is on the tape; detach() it, or let "
                "the function close over the leaf and compute from there"
            )
        if x is not None and x._node.hooks:
            raise RuntimeError(
                "jit: backward inside a jitted function reaches a tensor with a hook, which would run while the "
                "function is traced and not again; remove it, and change the gradient in the function"
            )

    def call(self, name: str, call: Callable, gradients: Sequence[Tensor], tensors: Sequence[Tensor], gives=None):
        """An action, `call()`; what it returns, as a Tensor, if it gives a Spec. gradients, tensors: what it changes in
        place, gradients of leaves from outside, and tensors from there."""
        for x in tensors:
            if isinstance(x._data, Value):
                raise RuntimeError(f"jit: {name} inside a jitted function, of a tensor that was made there")
        captured = [(value, other) for [(value, _, other)] in self.program.captured.values()]
        shared = [value for value, other in captured if any(other is not x and share(other, x) for x in tensors)]
        stale, became = [], []
        for x in tensors:
            self.touched[id(x)] = x
            if id(x) in self.program.captured:
                [(value, leaf, _)] = found = self.program.captured.pop(id(x))
                self.program.captured[id(x), value.seq] = found
                stale.append(value)
        sets = self.flush()
        for leaf, (x, g) in self.now.items():
            if g is not None and any(g is one for one in gradients):
                self.outside[leaf] = g._data = self.program.input(g)
                became.append((x, g._data))
        result = gives and self.program.input(gives)
        name = f"{name} ({line_of_site(call_site())})"
        self.done.append(Action(name, sets, call, result, became, stale, shared, next(clock)))
        return Tensor(result)

    def keep(self, x: Tensor, new: Tensor) -> None:
        """x, a tensor from outside that is not on the tape, is `new` from here on. A call writes that into it when all
        is computed."""
        old = self.program.enter(x)[0]  # so that it is watched whether another tensor takes its place
        if any(g is not None and (g._data is x._data or g._data is old) for _, g in self.now.values()):
            raise RuntimeError("jit: copy_ of a tensor that is a gradient, which would not follow; give that a copy")
        with no_grad():  # a value of its own: what `new` is a view of stays as it is, and what is a view of x does not
            self.kept[id(x._data)] = x, self.program.enter(copy(new))[0]
        self.replaced.append((old, next(clock)))

    def refuse_views(self, roots: Sequence[Value]) -> None:
        """Raise if something reads the memory of a tensor that copy_ has changed in another way than by the tensor."""
        kept = [x for x, _ in self.kept.values()]
        shared = {value for [(value, _, t)] in self.program.captured.values() if any(is_other(t, x) for x in kept)}
        read = [(v, x) for v in order_of(roots) for x in v.inputs if isinstance(x, Value)]
        ages = dict(self.replaced)
        for v, x in [*read, *[(None, x) for x in roots]]:
            base = base_of(x)
            later = base is not x and base in ages and (v is None or v.seq > ages[base])
            if later or base in shared:
                raise RuntimeError(
                    f"jit: {x.dtype}{list(x.shape)} lies in the memory of a tensor that copy_ changes here, and would "
                    "not follow; take a view of that tensor after copy_, or copy() before"
                )

    def refuse_look(self, array) -> None:
        """Raise if Python asks for numbers that the function has changed."""
        if any(x._data is array for x, _ in self.kept.values()):
            raise RuntimeError(
                f"jit: Python asks for the numbers of {Spec(array.shape, array.dtype)}, which copy_ has changed in "
                "this function; ask before, or outside of it"
            )

    def changed(self) -> list[tuple[Leaf, Tensor, Tensor | None]]:
        """The gradients that are not what the caller's leaves have."""
        return [
            (leaf, x, g)
            for leaf, (x, g) in self.now.items()
            if leaf not in self.outside or (None if g is None else g._data) is not self.outside[leaf]
        ]

    def flush(self) -> list[tuple[Tensor, Value | None, bool]]:
        """What is to be set, so that the caller's leaves have the gradients of this time."""
        sets = []
        data = [g._data for _, g in self.now.values() if g is not None]
        if len({id(each) for each in data}) < len(data):
            raise RuntimeError("jit: two tensors have one gradient, which would change for both; give one a copy")
        for leaf, x, g in self.changed():
            if g is not None and not isinstance(g._data, Value):  # a tensor from outside, not to be changed with it
                g = Tensor(*self.program.enter(g))
                self.now[leaf] = x, g
            self.outside[leaf] = None if g is None else g._data
            sets.append((x, self.outside[leaf], g is not None and g._node is not None))
        return sets

    def close(self) -> bool:
        """The end of the trace: whether the function does anything besides returning results."""
        if self.done or self.changed():
            self.done.append(Action("the end", self.flush(), None, None, [], [], [], next(clock)))
        self.now, self.outside, self.arguments = {}, {}, set()
        return bool(self.done)

    def watch(self, read: Callable) -> None:
        """The function reads a number that actions may change: it is traced again when read() is another one."""
        if self.done:
            raise RuntimeError(f"jit: {self.done[-1].name} may change what is read after it; read that before")
        self.watched.append((read, read()))

    def hold(self) -> bool:
        """Whether the tensors are leaves, and have gradients, as they were and had when this was traced."""
        return (
            all(type(x._node) is Leaf for x in self.touched.values())
            and not any(x._node.hooks for x in self.reached.values())
            and all((x._node.grad is None) == (value is None) for x, value in self.started.values())
            and all(read() == then for read, then in self.watched)
        )

    def given(self) -> list[tuple[Tensor, Value]]:
        """The tensors whose gradients at the start are inputs of the program."""
        return [(x, value) for x, value in self.started.values() if value is not None]

    def given_arrays(self) -> list:
        return [x._node.grad._data for x, _ in self.given()] if self.started else []


def call_of(owner, method: Callable) -> Callable:
    """method(owner) as the call of an action, which keeps nothing alive: a function that is called again reaches it."""
    reference = weakref.ref(owner)
    return lambda: method(reference())
