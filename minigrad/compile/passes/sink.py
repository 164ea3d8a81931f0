"""What the carry does not depend on moves below the loop: parameter gradients become one product over all steps.

before                                   after
loop back over x_t, h_t, carry dh:       loop back over h_t, carry dh:
    dz = dh * (1 - h_t * h_t)                dz = dh * (1 - h_t * h_t);  give dz
    dx = dz @ W.T;     give dx               dh = dz @ U.T
    dW += x_t.T @ dz                     dX = dZ @ W.T
    dh = dz @ U.T                        dW = X.T @ dZ              (X, dZ: all steps, one after another)
"""

import math

from minigrad.compile.loop import Loop
from minigrad.compile.passes.batch import merged, over_time
from minigrad.compile.passes.clean import place
from minigrad.compile.passes.rewrite import ROWS, SMALL, apply, is_layout, is_op, order_of, rewrite, swapped
from minigrad.compile.trace import Pick, Program, Value
from minigrad.ops.table import Spec

PRODUCTS = ("matmul", "conv2d", "conv_transpose2d", "conv2d_weight", "untake")


def sink(program, roots: list) -> list:
    """The roots, rebuilt, with every loop that they depend on made smaller."""
    replaced: dict = {}

    def rule(value, inputs):
        if isinstance(value.op, Loop):
            return _Sinking(program, value, inputs).run(replaced)
        if value.op is Pick and isinstance(inputs[0].op, Loop):
            return replaced[inputs[0], value.params]
        return None

    became = rewrite(roots, rule)
    return [became[r] if isinstance(r, Value) else r for r in roots]


def is_small(v) -> bool:
    """Whether a product is done in the loop for less than the memory that its operands for all steps would take."""
    if not is_op(v, "matmul"):
        return False
    a, b = v.inputs
    if b.op is None:  # a weight
        return a.ndim == 2 == b.ndim and b.size <= SMALL and a.shape[0] >= ROWS
    return a.ndim == 2 == b.ndim and v.size <= SMALL and b.shape[0] >= ROWS


class _Sinking:
    def __init__(self, program, value: Value, inputs: tuple):
        self.program, self.value, self.loop = program, value, value.op
        loop = self.loop
        place(loop, sink(loop.body, loop.outputs))
        self.outside = dict(zip(loop.inputs, inputs))
        needed = set(order_of(loop.carry_outs))
        self.free = [v for v in order_of([*loop.sums, *loop.ys]) if v not in needed]  # no carry depends on these
        self.heavy: set = set()
        for v in () if loop.chunked else self.free:
            if (is_op(v, *PRODUCTS) and not is_small(v)) or any(x in self.heavy for x in v.inputs):
                self.heavy.add(v)
        self.sums: list = []
        self.ys: list = []  # what the loop still gives
        self.stacks: dict = {}
        self.summed: dict = {}

    def run(self, replaced: dict) -> Value:
        loop, program = self.loop, self.program
        plans = [self.sum_of(v) for v in loop.sums] + [self.stack_of(v) for v in loop.ys]
        place(loop, [*loop.carry_outs, *self.sums, *self.ys])
        loop.sums, loop.ys = self.sums, self.ys
        needed = set(order_of(loop.outputs))
        loop.consts = [v for v in loop.consts if v in needed]
        loop.streams = [v for v in loop.streams if v in needed]
        new = self.value.of([self.outside[v] for v in loop.inputs], program, shape=loop.specs())
        picks = [program.pick(new, k) for k in range(len(loop.outputs))]
        n, m = len(loop.carries), len(loop.sums)
        for k, pick in enumerate(picks[:n]):
            replaced[new, k] = pick
        for k, plan in enumerate(plans):
            replaced[new, n + k] = plan(picks[n : n + m], picks[n + m :])
        return new

    # A plan is a function of the sums and the stacks that the loop gives, to a value of the program outside.

    def given_sum(self, v):
        if v not in self.sums:
            self.sums.append(v)
        k = self.sums.index(v)
        return lambda sums, stacks: sums[k]

    def given_stack(self, v):
        if v in self.loop.streams:
            return lambda sums, stacks: self.outside[v]
        if v not in self.ys:
            self.ys.append(v)
        k = self.ys.index(v)
        return lambda sums, stacks: stacks[k]

    def sum_of(self, v):
        """Plan of the sum of v over all steps."""
        program = self.program
        if is_op(v, "matmul") and v in self.heavy:
            a, b = v.inputs
            if a.ndim == 2 == b.ndim and is_op(a, "swapaxes") and a.inputs[0].ndim == 2:
                left, right = self.stack_of(a.inputs[0]), self.stack_of(b)

                def product(*given):
                    lefts, rights = self.lined(left(*given)), self.lined(right(*given))
                    made = apply(program, "matmul", swapped(program, lefts), rights)
                    made.site = v.site
                    return made

                return product
        if is_op(v, "add") and all(isinstance(x, Value) and x.shape == v.shape for x in v.inputs):
            plans = [self.sum_of(x) for x in v.inputs]
            return lambda *given: apply(program, "add", *[p(*given) for p in plans])
        if is_op(v, "swapaxes", "transpose", "reshape", "getitem", "unindex", "neg"):
            inner = self.sum_of(v.inputs[0])
            return lambda *given: apply(program, v.op.name, inner(*given), **v.params)
        if is_op(v, "concatenate") and all(x in self.free for x in v.inputs):
            plans = [self.sum_of(x) for x in v.inputs]
            return lambda *given: program.record(v.op, [p(*given) for p in plans], v.params, v)
        if v.op is Pick and is_op(v.inputs[0], "split"):
            inner = self.sum_of(v.inputs[0].inputs[0])
            return lambda *given: apply(program, "split", inner(*given), **v.inputs[0].params)[v.params]
        if is_op(v, "conv2d_weight"):
            plans = [self.stack_of(x) for x in v.inputs]
            return lambda *given: apply(
                program, "conv2d_weight", *[self.together(p(*given)) for p in plans], **v.params
            )
        if is_op(v, "untake") and v.params["axis"] in (0, None):
            plans = [self.stack_of(x) for x in v.inputs]
            return lambda *given: apply(program, "untake", *[p(*given) for p in plans], **v.params)
        if is_op(v, "sum_to") and is_op(v.inputs[0], "concatenate") and v.ndim == 1:
            joined = v.inputs[0]
            if joined.params["axis"] % joined.ndim == joined.ndim - 1 and v.size == joined.shape[-1]:
                plans = [self.sum_of(self.part(x)) for x in joined.inputs]
                return lambda *given: apply(program, "concatenate", *[p(*given) for p in plans], axis=0)
        return self.given_sum(v)

    def part(self, x):
        """The sum of a part of a concatenation over all but its last axis, the same one for the same part."""
        if x not in self.summed:
            self.summed[x] = apply(self.loop.body, "sum_to", x, shape=x.shape[-1:])
        return self.summed[x]

    def lined(self, x):
        """All steps' rows, one after another."""
        return apply(self.program, "reshape", x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))

    def together(self, x):
        return apply(self.program, "reshape", x, shape=merged(x))

    def stack_of(self, v):
        """Plan of the values of all steps."""
        if v in self.stacks:
            return self.stacks[v]
        plan = None
        if (v in self.heavy or (v.op is not None and is_layout(v) and v not in self.ys)) and v.op is not Pick:
            on = [isinstance(x, Value) and x not in self.loop.consts for x in v.inputs]
            if self.movable(v, on):
                plans = [
                    self.stack_of(x) if s else (lambda *_, x=x: self.outside.get(x, x)) for x, s in zip(v.inputs, on)
                ]
                plan = self.moved(v, plans, on)
        elif (
            v.op is Pick
            and (v in self.heavy or is_layout(v))
            and self.movable(v.inputs[0], [True])
            and not isinstance(v.inputs[0].op, Loop)
        ):
            several = self.moved(v.inputs[0], [self.stack_of(v.inputs[0].inputs[0])], [True])
            plan = lambda *given: several(*given)[v.params]  # noqa: E731
        self.stacks[v] = plan or self.given_stack(v)
        return self.stacks[v]

    def moved(self, v, plans, on):
        memo: list = []

        def plan(*given):
            if not memo:
                memo.append(over_time(self.program, v, tuple([p(*given) for p in plans]), on, self.loop.length))
            return memo[0]

        return plan

    def movable(self, v, on) -> bool:
        """Whether over_time has a rule: it is tried on inputs that lead nowhere."""
        if isinstance(v.op, Loop) or v.op is None:
            return False
        trial, T = Program(), self.loop.length
        inputs = []
        for x, s in zip(v.inputs, on):
            if isinstance(x, Value):
                x = trial.input(Spec((T, *x.shape) if s else x.shape, x.dtype))
            inputs.append(x)
        result = over_time(trial, v, tuple(inputs), on, T)
        if isinstance(result, list):
            return True
        return result is not None and result.shape == (T, *v.shape)
