"""The text of products of matrices: calls of the packed microkernel, and loops for those that are too small for it.

x @ W, x (B, n, K) in order:     call(matmul, x, ..., count of rows, W packed, ..., y)
S @ q, a vector for each row:    for i0 in range(first, last):
                                     for m in range(M):
                                         total = Float(0)
                                         for k in range(K):
                                             total += S[i0, m, k] * q[i0, k]
                                         y[i0, m] = total
"""

import math

from minigrad.compile.nest import Nest, spread
from minigrad.compile.tasks import Buffer, Product, View
from minigrad.ir.rewrite import rounds

PLAIN = '@njit(error_model="numpy", fastmath={"contract"})\n'
SUMMED = '@njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})\n'
TOGETHER = 4  # terms that are added at once to a row of the result, which is read and written once for them


def product(e, task: Product) -> list[str]:
    if isinstance(task.b, Buffer):
        return packed(e, task, task.b)
    if task.room is not None:
        return packing(e, task) if len(task.b.shape) == 2 else one_by_one(e, task)
    return [plain(e, task)]


def packed(e, task: Product, b: Buffer) -> list[str]:
    """The right operand is packed in b. Rows that lie at one stride are one call; for others there are loops."""
    a, to, (K, N) = task.a, task.to, task.b.shape
    if len(a.shape) == 1:
        a, to = [view.like(shape=(1, *view.shape), strides=(0, *view.strides)) for view in (a, to)]
    last = len(a.shape) - 2
    begin = last
    while begin > (task.axis if task.rows else 0) and all(Nest.joins(view, begin - 1, begin) for view in (a, to)):
        begin -= 1
    lines, at_a, at_c = [], e.base(a), e.base(to)
    for k in range(begin):
        bounds = "first, last" if task.rows and k == task.axis else e.number(a.shape[k])
        lines.append(f"{'    ' * k}for i{k} in range({bounds}):")
        at_a, at_c = [f"{at} + i{k} * {e.bytes(view.strides[k], view.dtype)}" for at, view in ((at_a, a), (at_c, to))]
    row, ldc = a.strides[last], to.strides[last]
    if task.rows and begin == task.axis:
        group = math.prod(a.shape[begin + 1 : last + 1])
        first, count = "first", "last - first"
        if group != 1:
            first, count = f"first * {e.number(group)}", f"(last - first) * {e.number(group)}"
        at_a, at_c = f"{at_a} + {first} * {e.bytes(row, a.dtype)}", f"{at_c} + {first} * {e.bytes(ldc, to.dtype)}"
    else:
        count = e.number(math.prod(a.shape[begin : last + 1]))
    return [
        *lines,
        f"{'    ' * begin}call(matmul, {at_a}, {e.elements(row)}, {e.elements(a.strides[-1])}, {count}, "
        f"{b.name}, {e.number(K)}, {e.number(N)}, {at_c}, {e.elements(ldc)}, 0)",
    ]


def packing(e, task: Product) -> list[str]:
    """to (+)= a @ b, b packed on the way; a sum over the rows of this thread, or for its rows."""
    a, b, to, stride = task.a, task.b, task.to, e.elements
    N, K, M = e.number(b.shape[1]), e.number(b.shape[0]), e.number(a.shape[0])
    start_a, start_b, head = e.base(a), e.base(b), []
    if task.adds and e.schedule.rows:
        K, first = "last - first", "first"
        if task.times != 1:
            head = [f"for lead in range({e.number(task.times)}):"]
            first = f"(lead * {e.number(b.shape[0] // task.times)} + first)"
        start_b += f" + {first} * {e.bytes(b.strides[0], b.dtype)}"
        start_a += f" + {first} * {e.bytes(a.strides[1], a.dtype)}"
    pack = f"call(pack, {start_b}, {stride(b.strides[0])}, {stride(b.strides[1])}, {K}, {N}, {task.room.name})"
    if not task.adds:
        return [pack, *packed(e, task, task.room)]
    product = (
        f"call(matmul, {start_a}, {stride(a.strides[0])}, {stride(a.strides[1])}, {M}, {task.room.name}, {K}, {N}, "
        f"{e.base(to)}, {stride(to.strides[0])}, 1)"
    )
    return [*head, *["    " * len(head) + line for line in (pack, product)]]


def one_by_one(e, task: Product) -> list[str]:
    """Of every batch axis a call of the microkernel, its right operand packed before it."""
    a, b, to = as_matrices(task.a, task.b, task.to)
    batch, lines = to.shape[:-2], []
    at = {"a": e.base(a), "b": e.base(b), "c": e.base(to)}
    strides = [spread(x.like(shape=x.shape[:-2], strides=x.strides[:-2]), batch).strides for x in (a, b, to)]
    for k, n in enumerate(batch):
        bounds = "first, last" if task.rows and k == task.axis else e.number(n)
        lines.append(f"{'    ' * k}for i{k} in range({bounds}):")
        for name, each in zip(at, strides):
            at[name] += f" + i{k} * {e.bytes(each[k], to.dtype)}" if each[k] else ""
    K, N = [e.number(n) for n in b.shape[-2:]]
    of_a, of_b, of_c = [[e.elements(stride) for stride in x.strides[-2:]] for x in (a, b, to)]
    pad = "    " * len(batch)
    if task.rows and task.axis == len(batch):  # rows of each of several matrices
        at["a"] += f" + first * {e.bytes(a.strides[-2], a.dtype)}"
        at["c"] += f" + first * {e.bytes(to.strides[-2], to.dtype)}"
        count = "last - first"
    else:
        count = e.number(a.shape[-2])
    return [
        *lines,
        f"{pad}call(pack, {at['b']}, {of_b[0]}, {of_b[1]}, {K}, {N}, {task.room.name})",
        f"{pad}call(matmul, {at['a']}, {of_a[0]}, {of_a[1]}, {count}, {task.room.name}, {K}, {N}, "
        f"{at['c']}, {of_c[0]}, 0)",
    ]


def as_matrices(a: View, b: View, to: View) -> tuple[View, View, View]:
    """A vector on the left is a row, one on the right a column."""
    if len(a.shape) == 1:
        a = a.like(shape=(1, *a.shape), strides=(0, *a.strides))
        at = len(to.shape) - (len(b.shape) > 1)
        to = to.like(shape=(*to.shape[:at], 1, *to.shape[at:]), strides=(*to.strides[:at], 0, *to.strides[at:]))
    if len(b.shape) == 1:
        b = b.like(shape=(*b.shape, 1), strides=(*b.strides, 0))
        to = to.like(shape=(*to.shape, 1), strides=(*to.strides, 0))
    return a, b, to


class Plain:
    """to (+)= a @ b, over any batch axes, all read where they lie, in the order of loops in which the innermost one
    goes through memory in order."""

    def __init__(self, e, task: Product):
        self.e, self.task = e, task
        a, b, to = as_matrices(task.a, task.b, task.to)
        batch = to.shape[:-2]

        def in_batch(view):
            return spread(view.like(view.offset, view.shape[:-2], view.strides[:-2]), batch).strides

        self.axes = [f"i{k}" for k in range(len(batch))] + ["m", "k", "n"]
        self.sizes = dict(zip(self.axes, (*batch, a.shape[-2], a.shape[-1], b.shape[-1])))
        self.strides = {
            "a": dict(zip(self.axes, (*in_batch(a), *a.strides[-2:], 0))),
            "b": dict(zip(self.axes, (*in_batch(b), 0, *b.strides[-2:]))),
            "c": dict(zip(self.axes, (*to.strides[:-1], 0, to.strides[-1]))),
        }
        self.dtype, self.rounds = to.dtype, rounds(task.value)
        rows = "k" if task.adds and e.schedule.rows else self.axes[task.axis] if task.rows else None
        self.rows = rows

    def head(self, axis: str, depth: int) -> str:
        return f"{'    ' * depth}for {axis} in range({self.bounds(axis)}):"

    def bounds(self, axis: str) -> str:
        return "first, last" if axis == self.rows else self.e.number(self.sizes[axis])

    def element(self, name: str, known, inner: str = "", more: str = "") -> str:
        """address, index of an element; inner: the axis along which the loop goes, by the index if it may."""
        if inner and self.strides[name][inner] == 1:
            return f"{self.place(name, [x for x in known if x != inner], more)}, {inner}"
        return f"{self.place(name, known, more)}, 0"

    def load(self, *where) -> str:
        """An element of an operand."""
        loaded = f"load({self.element(*where)}, Float)"
        return f"bfloat16({loaded})" if self.rounds else loaded

    def place(self, name: str, known, more: str = "") -> str:
        strides = self.strides[name]
        terms = [
            f"{f'(k + {more})' if axis == 'k' and more else axis} * {self.e.bytes(strides[axis], self.dtype)}"
            for axis in known
            if strides[axis] != 0
        ]
        return " + ".join([name, *terms])

    def unit(self, axis: str, *names: str) -> bool:
        return self.sizes[axis] > 1 and all(self.strides[name][axis] == 1 for name in names)

    def lines(self) -> tuple[list[str], str]:
        """(lines, the kind of function that they make)"""
        if self.unit("n", "b", "c"):
            return self.rows_of_terms("m", "n", "a", "b"), PLAIN
        if not self.unit("k", "a", "b") and self.unit("m", "a", "c"):
            return self.rows_of_terms("n", "m", "b", "a"), PLAIN
        return self.inner_products(), SUMMED

    def inner_products(self) -> list[str]:
        """For each element of the result a sum along k."""
        outer = [*self.axes[:-3], "m", "n"]
        lines = [self.head(axis, depth) for depth, axis in enumerate(outer)]
        pad, every = "    " * len(outer), [*outer, "k"]
        factors = [self.load(name, every, "k") for name in "ab"]
        c = self.element("c", outer)
        before = f"load_any({c}, Float) + " if self.task.adds else ""
        return [
            *lines,
            f"{pad}total = Float(0)",
            f"{pad}for k in range({self.bounds('k')}):",
            f"{pad}    total += {factors[0]} * {factors[1]}",
            f"{pad}store_any({c}, {before}total)",
        ]

    def rows_of_terms(self, row: str, inner: str, factor: str, line: str) -> list[str]:
        """Along a row of the result, a few terms at a time: each a number times a row of the other operand."""
        outer = [*self.axes[:-3], row]
        lines = [self.head(axis, depth) for depth, axis in enumerate(outer)]
        pad = "    " * len(outer)
        every = [*outer, "k", inner]
        c = self.element("c", [*outer, inner], inner)
        first, last = ("first", "last") if self.rows == "k" else ("0", self.e.number(self.sizes["k"]))
        if not self.task.adds:
            lines += [f"{pad}for {inner} in range({self.bounds(inner)}):", f"{pad}    store_any({c}, Float(0))"]

        def terms(count: int) -> list[str]:
            more = [str(j) if j else "" for j in range(count)]
            numbers = [f"f{j} = {self.load(factor, [*outer, 'k'], '', m)}" for j, m in enumerate(more)]
            added = [f"f{j} * {self.load(line, every, inner, m)}" for j, m in enumerate(more)]
            return [
                *numbers,
                f"for {inner} in range({self.bounds(inner)}):",
                f"    store_any({c}, load_any({c}, Float) + {' + '.join(added)})",
            ]

        whole = f"{first} + ({last} - {first}) // {TOGETHER} * {TOGETHER}"
        return [
            *lines,
            f"{pad}whole = {whole}",
            f"{pad}for k in range({first}, whole, {TOGETHER}):",
            *[f"{pad}    {text}" for text in terms(TOGETHER)],
            f"{pad}for k in range(whole, {last}):",
            *[f"{pad}    {text}" for text in terms(1)],
        ]


def plain(e, task: Product) -> str:
    made = Plain(e, task)
    lines, kind = made.lines()
    addresses = {"a": e.base(task.a), "b": e.base(task.b), "c": e.base(task.to)}
    return e.call_of(lines, addresses, kind, task.value.op.name, made.rows is not None)
