"""In which order a step computes its values: which elementwise ones run together, and what comes between them.

A value has a level: at least that of what it reads, and one more than that of what it reads from memory. Elementwise
values of one level and shape, divided alike, are one `Fused` task. Tasks come level by level: the fused ones, then
copies and sums of what is there by then, then all others: a product, a reduction, a loop in the step.
"""

import math

from minigrad.compile.fused import BLOCK
from minigrad.compile.tasks import Fused, View
from minigrad.ir.rewrite import is_join, is_product, is_sum
from minigrad.ir.rules.kernel import natural
from minigrad.ir.rules.partition import PARTIAL, REPLICATE, axis_of
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Pick, Value
from minigrad.symbolic import key_of


class Arrangement:
    """Of the step of a plan, which is a Schedule.

    skipped: sums over the steps that are added up where their terms are computed, and so are no values of their own.
    within: sums along axes of fused values, which are taken by the task of their terms.
    depth: the levels. fused, barriers, extra: what tasks are made of, by level.
    """

    def __init__(self, plan):
        self.plan, self.order, self.kinds = plan, plan.order, plan.kinds
        self.depth: dict[Value, int] = {}
        self.fused: dict[tuple, Fused] = {}
        self.barriers: dict[int, list] = {}
        self.extra: dict[int, list[Fused]] = {}
        self.skipped = self.added_where_computed()
        self.refuse_sums_inside()
        self.find_levels()
        self.delay()
        self.within = {v for v in self.order if self.is_within(v)}
        self.group()
        for v, view in plan.copies:
            self.copy(v, view)
        for j, s in enumerate(plan.loop.sums):
            self.add(j, s)

    def tasks(self) -> list:
        last = max([0, *self.barriers, *self.extra, *[level for level, _, _ in self.fused]])
        tasks: list = []
        for level in range(last + 1):
            tasks += [task for key, task in self.fused.items() if key[0] == level]
            tasks += self.extra.get(level, [])
            for v, *to in self.barriers.get(level, []):
                tasks += self.plan.barrier(v, *to)
        return tasks

    def base(self, x: Value) -> Value:
        """The value of which x is a view."""
        while self.plan.is_view(x):
            x = x.inputs[0]
        return x

    def is_read(self, s: Value) -> bool:
        return any(s in v.inputs for v in self.order)

    def is_copied(self, v: Value) -> bool:
        return any(v is w for w, _ in self.plan.copies)

    def added_where_computed(self) -> set[Value]:
        plan, skipped = self.plan, set()
        for s in plan.loop.sums:
            if is_sum(s) and not self.is_read(s) and s not in plan.homes:
                skipped.add(s)
            if not is_product(s) or s in plan.called or self.is_read(s):
                continue
            elsewhere = s in plan.homes or self.is_copied(s)
            if self.kinds[s] == PARTIAL or not (plan.rows or elsewhere or any(x.ndim != 2 for x in s.inputs)):
                skipped.add(s)
        return skipped

    def refuse_sums_inside(self) -> None:
        for v in self.order:
            is_given = v.op is Pick and not self.is_read(v)  # by a loop in the step, to a sum
            if self.kinds[v] == PARTIAL and v not in self.skipped and not is_given:
                raise Unsupported("a sum over the batch inside a step")

    def are_one(self, v: Value, u: Value, x: Value) -> bool:
        """Whether elementwise v, which reads u as x, is computed in the same task if both have one level."""
        return self.plan.is_fused(u) and x is u and self.kind_of(u) == self.kind_of(v)

    def kind_of(self, v: Value) -> tuple:
        """Of values that one task may compute: by keys, since shapes may be equal that are not known to be."""
        return key_of(v.shape), self.kinds[v]

    def find_levels(self) -> None:
        for v in self.order:
            if v.op is None or v in self.skipped:
                self.depth[v] = 0
            elif self.plan.is_view(v):
                self.depth[v] = self.depth[self.base(v)]
            else:
                operands = [(self.base(x), x) for x in v.inputs if isinstance(x, Value)]
                self.depth[v] = max([0, *[self.after(v, u, x) for u, x in operands if u.op is not None]])

    def after(self, v: Value, u: Value, x: Value) -> int:
        """The least level of v, which reads u as x."""
        if self.plan.is_fused(v):
            return self.depth[u] + (0 if self.are_one(v, u, x) else 1)
        return self.depth[u] + (1 if is_join(v) and self.is_copied(x) else 0)

    def delay(self) -> None:
        """Compute an elementwise value no sooner than it is needed: what it is computed from is there anyway."""
        plan = self.plan
        users: dict = {}
        for v in self.order:
            if not plan.is_view(v):
                for x in v.inputs:
                    if isinstance(x, Value):
                        users.setdefault(self.base(x), []).append((v, x))
        for v in reversed(self.order):
            if not plan.is_fused(v) or v not in users:
                continue
            limits = []
            for u, x in users[v]:
                if u in self.skipped:
                    continue
                ahead = plan.is_fused(u) or (is_join(u) and x is not v)
                together = plan.is_fused(u) and self.are_one(u, v, x)
                limits.append(self.depth[u] - (0 if together or not ahead else 1))
            if limits and v not in plan.homes and not any(self.base(w) is v for w, _ in plan.copies):
                self.depth[v] = max(self.depth[v], min(limits))

    def is_within(self, v: Value) -> bool:
        """Whether v is a sum of the elements of a fused value, along axes that no thread shares; a long one is added up
        block by block, in a task of its own."""
        if not is_sum(v) or v in self.skipped or v in self.plan.called:
            return False
        x, axes = v.inputs[0], v.params["axis"]
        short = 1 < math.prod([x.shape[k] for k in axes]) <= BLOCK
        alike = self.kinds[x] == self.kinds[v] and axis_of(self.kinds[v]) not in axes
        return short and alike and x.dtype == self.plan.dtype and self.plan.is_fused(x) and x not in self.skipped

    def group(self) -> None:
        """Put each value into a task, and let fused ones write what others read."""
        plan = self.plan
        for v in self.order:
            if v.op is None or v in self.skipped or plan.is_view(v):
                continue
            if plan.is_fused(v):
                key, axis = (self.depth[v], *self.kind_of(v)), axis_of(self.kinds[v])
                self.fused.setdefault(key, Fused(v.shape, axis is not None, axis=axis or 0)).values.append(v)
            elif v not in self.within:
                self.barriers.setdefault(self.depth[v], []).append((v,))
        self.group_of = {v: task for task in self.fused.values() for v in task.values}
        for task in self.fused.values():
            inside = set(task.values)
            for v in task.values:
                others = [u for u in self.order if v in u.inputs and u not in inside]
                users = [u for u in others if u not in self.skipped or is_product(u)]  # which reads it from memory
                users = [u for u in users if u not in self.within]
                if users or v in plan.homes or self.is_copied(v):
                    task.writes.append((v, plan.home(v)))
        for v in [v for v in self.order if v in self.within]:
            x, axes = v.inputs[0], v.params["axis"]
            to = spread_over(plan.home(v), x, axes, keepdims=v.ndim == x.ndim)
            self.group_of[x].sums.append((x, axes, to))

    def copy(self, v: Value, view: View) -> None:
        """Let v be at a place besides its own."""
        plan, u, direct = self.plan, self.base(v), self.group_of.get(v)
        if direct is not None and (direct.rows or not plan.rows or view.buffer.private):
            direct.writes.append((v, view))
            return
        level = self.depth[u] + 1 if u.op is not None else 0
        rows, axis = plan.rows and not view.buffer.private, axis_of(self.kinds[v]) or 0
        self.extra.setdefault(level, []).append(Fused(v.shape, rows, [], [(v, view)], axis=axis))

    def add(self, j: int, s: Value) -> None:
        """Add the j-th sum over the steps up."""
        plan, b = self.plan, self.plan.parts[j]
        first = len(plan.loop.carries) + j, (plan.totals[b], "first")  # each thread adds up the whole: one counts
        if plan.adds_up(s) is not None:  # where its terms are
            if plan.rows and self.kinds[s] == REPLICATE:
                plan.results[first[0]] = first[1]
            return
        to = View(b, 0, s.shape, natural(s.shape), s.dtype)
        if s in self.skipped and is_product(s):
            level = max([self.depth[self.base(x)] for x in s.inputs])
            self.barriers.setdefault(level, []).append((s, to))
            return
        source, axes = (s.inputs[0], s.params["axis"]) if s in self.skipped else (s, ())
        view = spread_over(to, source, axes, keepdims=s.ndim == source.ndim)
        task = self.group_of.get(source)
        inner = [stride for stride, n in zip(view.strides, source.shape) if n != 1]
        if task is not None and inner and inner[-1] == 0:  # sums along the innermost axis are a task of their own
            if not any(v is source for v, _ in task.writes):
                task.writes.append((source, plan.home(source)))
            task = None
        if plan.rows and self.kinds[source] == REPLICATE:
            plan.results[first[0]] = first[1]
        if task is None:
            base, axis = self.base(source), axis_of(self.kinds[source])
            level = self.depth[base] + (1 if base.op is not None else 0)
            task = Fused(source.shape, axis is not None, axis=axis or 0)
            self.extra.setdefault(level, []).append(task)
        task.adds.append((source, view))


def spread_over(to: View, source: Value, axes: tuple[int, ...], keepdims: bool) -> View:
    """A sum's place as one of the shape of its terms, the same for all along the axes that are summed over."""
    strides = iter(to.strides)
    spread: list = []
    for k in range(source.ndim):
        spread.append(0 if k in axes else next(strides))
        if k in axes and keepdims:
            next(strides)
    return to.like(to.offset, source.shape, spread)
