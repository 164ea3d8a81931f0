"""A loop of one sample as a loop of all samples, in the program around (minigrad/ir/samples.py).

    one sample                            all of them
    loop over x_t, carry h:               loop over x_t (n, 3), carry h (n, 4):
        h = tanh(x_t @ w + h)                 h = tanh(x_t @ w + h)

A carry has the axis of samples if it starts with it or becomes what has it. Where the number of steps differs from
sample to sample, the loop takes as many as any sample does, and at a step that a sample does not take, its carries stay
what they are and it adds nothing:

    loop of k steps, carry h:             loop of max(k) steps, carry h (n, 4), time t, active (n):
        h = f(h)                              h = where(active, f(h), h)
                                              t = t + 1;  active = t < k
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.ir.loop import Body, Loop
from minigrad.ir.number import Number
from minigrad.ir.rewrite import order_of
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Pick, Value
from minigrad.modes import thread
from minigrad.ops.table import Spec


class BatchedLoop:
    """The rule for loops under one more axis.

    samples: the program that records one sample. data, on: what enters the loop, and whether it has the axis.

    value: the loop, outside. on: for each result whether it has the axis. each: whether samples differ in their number
    of steps. totals: by number of a sum, the place among the new results of its total over the samples. constants: how
    many of those that the rules brought with them have entered the loop.
    """

    def __init__(self, samples, loop: Loop, data: Sequence, on: Sequence[bool]):
        self.samples, self.loop, self.around, self.ops = samples, loop, samples.outside, samples.ops
        self.body = Body(self.around)
        self.inner = samples.again(self.body)
        self.became: dict[Value, Any] = {}
        nc, n, m = len(loop.consts), len(loop.carries), len(loop.carries) + len(loop.sums)
        carried = self.carried(on)
        flags = [*on[:nc], *carried, *on[nc + n :]]
        inputs = [self.entered(v, flag) for v, flag in zip(loop.inputs, flags)]
        consts, carries, streams = inputs[:nc], inputs[nc : nc + n], inputs[nc + n :]
        starts = []
        for x, flag, wanted in zip(data[nc : nc + n], on[nc : nc + n], carried):
            starts.append(self.ops.broadcast_to(x, shape=(*(() if flag == wanted else (samples.size,)), *x.shape)))
        outside = list(data[:nc])
        outs, go = [self.of(v) for v in loop.results], None
        count = None if loop.count is None else self.became[loop.count].data
        if self.each:
            total, moving, ends, outs, go = self.masked(outs, data[loop.consts.index(loop.count)])
            count = self.body.input(Spec((), np.dtype("int64")))
            consts.append(count)
            outside.append(total)
            carries += [v for v, _ in moving]
            starts += [start for _, start in moving]
        elif loop.go is not None:
            go = self.of(loop.go).data
        self.on = [*carried, *[out.on for out in outs[n:]]]
        results = [self.inner.whole(v) if flag else v.data for v, flag in zip(outs, self.on)]
        sums, ys = results[n:m], results[m:]
        results = results[:n] + ([end.data for end in ends] if self.each else [])
        self.extra, self.totals = len(results) - n, {}
        with self.inner.running():
            for k in range(n, m):
                if self.on[k]:
                    self.totals[k] = len(results) + len(sums)
                    sums.append(self.inner.total(outs[k]))
        self.constants = len(self.body.consts)
        consts += [v for v, _, _ in self.body.consts]
        outside += [self.around.enter(tensor)[0] for _, _, tensor in self.body.consts]
        outside += starts
        outside += [time_and_samples(self.ops, x) if flag else x for x, flag in zip(data[nc + n :], on[nc + n :])]
        self.new = Loop(self.body, loop.length, loop.reverse, consts, carries, streams, results, sums, ys)
        self.new.count, self.new.go, self.new.chunked = count, go, loop.chunked
        self.picks = self.around.record(self.new, outside, {}, self.new.specs())  # one for each result, as passes want
        self.value: Any = self.picks[0].inputs[0] if self.picks else None

    def carried(self, on: Sequence[bool]) -> list[bool]:
        """For each carry, whether it has the axis at some step."""
        loop = self.loop
        nc, n = len(loop.consts), len(loop.carries)
        after, order = list(on[nc : nc + n]), order_of(loop.outputs)
        while True:
            carried = after
            flags = [*on[:nc], *carried, *on[nc + n :]]
            moving = {v for v, flag in zip(loop.inputs, flags) if flag}
            for v in order:
                if any(x in moving for x in v.inputs):
                    moving.add(v)
            self.each = loop.count in moving or loop.go in moving
            after = [flag or self.each or out in moving for flag, out in zip(carried, loop.carry_outs)]
            if after == carried:
                return carried

    def masked(self, outs: list, count):
        """Of a loop that each sample may leave at another step: how many steps there are, two more carries (value,
        start), which become `ends`, the results of a step, and whether another one follows. count: outside."""
        loop, o, size = self.loop, self.ops, self.samples.size
        assert loop.count is not None
        inner, became, step = self.inner, self.became, -1 if loop.reverse else 1
        each = ops_of(inner)
        total = count
        if became[loop.count].on:
            total = o.max(count, axis=0) if size else o.constant(np.zeros((), np.int64))
        first = o.sub(total, Number(1, total.dtype)) if loop.reverse else o.constant(np.zeros((), np.int64))
        taken = o.broadcast_to(o.less(first, count), shape=(size,))
        time, active = [self.body.input(x) for x in (first, taken)]
        now, there = inner.given(time, False), inner.given(active, True)
        made = []
        for k, out in enumerate(outs):
            rest = became[loop.carries[k]] if k < len(loop.carries) else Number(0, out.dtype)
            made.append(each.where(there, out, rest))
        later = each.add(now, Number(step, now.dtype))
        follows, go = each.less(later, became[loop.count]), None
        if loop.go is not None:
            follows = each.logical_and(there, each.logical_and(follows, self.of(loop.go)))
            go = ops_of(self.body).any(inner.whole(follows), axis=(0,), keepdims=False)
        follows = inner.given(inner.whole(follows), True)
        return total, [(time, first), (active, taken)], [later, follows], made, go

    def entered(self, value: Value, on: bool) -> Value:
        """An input of the new step, for one of the old."""
        made = self.body.input(Spec((self.samples.size, *value.shape) if on else value.shape, value.dtype))
        self.became[value] = self.inner.given(made, on)
        return made

    def of(self, root: Value):
        """What a value of the step is for all samples. The ops that lead to it are recorded, if they have not been."""
        became, outer = self.became, thread.pulled
        try:
            for v in order_of([root]):
                if v in became:
                    continue
                thread.pulled, self.body.recomputing = v.site, v.recompute
                inputs = tuple([became[x] if isinstance(x, Value) else x for x in v.inputs])
                if v.op is Pick:
                    became[v] = self.inner.pick(inputs[0][0].inputs[0], v.params)
                else:
                    specs = v.shape if v.dtype is None else Spec(v.shape, v.dtype)
                    became[v] = self.inner.record(v.op, inputs, v.params, specs)
        finally:
            thread.pulled, self.body.recomputing = outer, False
        return became[root]

    def result(self, k: int) -> tuple[Any, bool]:
        """(result k, whether it has the axis of samples). A backward may ask for what is kept for it alone."""
        while k >= len(self.on):
            self.keep(self.of(self.loop.results[len(self.on)]))
        n, m = len(self.loop.carries), len(self.loop.carries) + len(self.loop.sums)
        place = k + (self.extra if k >= n else 0) + (len(self.totals) if k >= m else 0)
        data = self.picks[place]
        return time_and_samples(self.ops, data) if k >= m and self.on[k] else data, self.on[k]

    def total(self, k: int):
        """Of sum k, the total over the samples."""
        return self.picks[self.totals[k]]

    def keep(self, value) -> None:
        """Let the loop give a stack of these, too."""
        self.on.append(value.on)
        self.new.ys.append(value.data)
        self.value.shape.append(Spec((self.new.length, *value.data.shape), value.dtype))
        self.picks.append(self.around.pick(self.value, len(self.picks)))
        for v, _, tensor in self.body.consts[self.constants :]:
            place = len(self.new.consts)
            self.new.consts.append(v)
            outside = self.around.enter(tensor)[0]
            self.value.inputs = (*self.value.inputs[:place], outside, *self.value.inputs[place:])
        self.constants = len(self.body.consts)


def time_and_samples(ops, x):
    """The axes of the steps and of the samples, one for the other."""
    return ops.transpose(x, axes=(1, 0, *range(2, x.ndim)))
