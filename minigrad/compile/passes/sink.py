"""What the carry does not depend on moves below the loop: parameter gradients become one product over all steps.

before                                   after
loop back over x_t, h_t, carry dh:       loop back over h_t, carry dh:
    dz = dh * (1 - h_t * h_t)                dz = dh * (1 - h_t * h_t);  give dz
    dx = dz @ W.T;     give dx               dh = dz @ U.T
    dW += x_t.T @ dz                     dX = dZ @ W.T
    dh = dz @ U.T                        dW = X.T @ dZ              (X, dZ: all steps, one after another)

So with products of matrices of each sample, and outer products:

before                                   after
loop back over x_t, carry dh:            loop back, carry dh:
    dw += dz[:, :, None] * x[:, None]        give dz
                                         dW = transpose(dZ, (1, 2, 0)) @ transpose(X, (1, 0, 2))

And of an expression of parameters alone, the chain rule is applied once, to the sum over the steps:

before                                   after
loop back, a = exp(log_a) outside:       loop back:
    s = sum(dh * h_t, axis=0)                s = sum(dh * h_t, axis=0);  sum s
    d += s * a                           d = S * a
"""

from minigrad.compile.passes.batch import over_time
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import ROWS, SMALL, is_join, is_layout, is_product, is_sum, is_view, order_of, rebuilt
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Pick, Program, Value
from minigrad.ops.table import Spec
from minigrad.symbolic import key_of


def sink(program, roots: list) -> list:
    """The roots, rebuilt, with every loop that they depend on made smaller."""
    replaced: dict = {}

    def rule(value, inputs):
        if isinstance(value.op, Loop):
            return _Sinking(program, value, inputs).run(replaced)
        if value.op is Pick and isinstance(inputs[0].op, Loop):
            return replaced[inputs[0], value.params]
        return None

    return rebuilt(roots, rule)


def is_small(v, constants, batch) -> bool:
    """Whether a product is done in the loop for less than the memory that its operands for all steps would take; and
    its rows are those of the batch, so that threads can divide them."""
    if not is_product(v):
        return False
    a, b = v.inputs
    if b in constants:  # a weight
        return a.ndim == 2 == b.ndim and b.size <= SMALL and a.shape[0] >= ROWS
    return a.ndim == 2 == b.ndim and v.size <= SMALL and b.shape[0] >= ROWS and {key_of(b.shape[0])} == batch


def is_mask(v, loop) -> bool:
    """Whether it is a value at the steps of which a stream of flags says so, and 0 at others."""
    if len(v.inputs) != 3 or rule_of(v.op).linear_in(v) != (1,):
        return False
    return v.inputs[0] in loop.streams and v.inputs[0].ndim == 0


def linear_operand(v, constants):
    """The one operand that is not constant, if the op is linear in it: the sum of its results is that of its sum."""
    moving = [k for k, x in enumerate(v.inputs) if isinstance(x, Value) and x not in constants]
    return v.inputs[moving[0]] if len(moving) == 1 and moving[0] in rule_of(v.op).linear_in(v) else None


def after_sums_over_rows(loop) -> set:
    """What is computed of sums over the rows of the batch: the gradients of parameters, and what the chain rule of
    expressions of parameters alone makes of them. No row has a part in it, so that it must not stay in the loop."""
    batch = {key_of(x.shape[0]) for x in (loop.carries or loop.ys) if x.ndim}
    found: set = set()
    for v in order_of(loop.sums):
        over_rows = is_sum(v) and 0 in v.params["axis"] and {key_of(v.inputs[0].shape[0])} == batch
        over_steps = rule_of(v.op).over_steps(v) if is_product(v) else None
        weight = over_steps is not None and {key_of(over_steps[0][0].shape[0])} == batch
        if over_rows or weight or any(y in found for y in v.inputs):
            found.add(v)
    return found


def at_line_of(v, made):
    made.site = v.site
    return made


class _Sinking:
    def __init__(self, program, value: Value, inputs: tuple):
        self.program, self.value = program, value
        loop = self.loop = value.op.with_outputs(sink(value.op.body, value.op.outputs))
        self.outside = dict(zip(loop.inputs, inputs))
        needed = set(order_of(loop.carry_outs))
        self.free = [v for v in order_of([*loop.sums, *loop.ys]) if v not in needed]  # no carry depends on these
        self.heavy: set = set()
        batch = {key_of(x.shape[0]) for x in (loop.carries or loop.ys) if x.ndim}
        for v in () if loop.chunked else self.free:
            if (rule_of(v.op).sinks and not is_small(v, loop.consts, batch)) or any(x in self.heavy for x in v.inputs):
                self.heavy.add(v)
        self.summed_rows = after_sums_over_rows(loop)
        self.sums: list = []
        self.ys: list = []  # what the loop still gives
        self.stacks: dict = {}
        self.summed: dict = {}

    def run(self, replaced: dict) -> Value:
        loop, program = self.loop, self.program
        if loop.count is None:
            plans = [self.sum_of(v) for v in loop.sums] + [self.stack_of(v) for v in loop.ys]
        else:  # there are no numbers in the slices of stacks for steps that are not taken
            plans = [self.counted_sum(v) for v in loop.sums] + [self.given_stack(v) for v in loop.ys]
        loop = loop.replace(sums=self.sums, ys=self.ys)
        needed = set(order_of(loop.outputs))
        consts, streams = [[v for v in part if v in needed] for part in (loop.consts, loop.streams)]
        loop = loop.replace(consts=consts, streams=streams)
        new = self.value.of([self.outside[v] for v in loop.inputs], program, loop, loop.specs())
        picks = [program.pick(new, k) for k in range(len(loop.results))]
        n, m = len(loop.carries), len(loop.sums)
        for k, pick in enumerate(picks[:n]):
            replaced[new, k] = pick
        for k, plan in enumerate(plans):
            replaced[new, n + k] = plan(picks[n : n + m], picks[n + m :])
        return new

    # A plan is a function of the sums and the stacks that the loop gives, to a value of the program outside.

    def counted_sum(self, v):
        """Plan of the sum of v over the steps that are taken: what moves numbers about is done once, to the sum."""
        if v.op is Pick or not is_view(v):
            return self.given_sum(v)
        inner = self.counted_sum(v.inputs[0])
        return lambda *given: self.program.apply(v.op.name, inner(*given), **v.params)

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
        rule = rule_of(v.op)
        if (x := linear_operand(v, self.loop.consts)) in self.summed_rows:
            inner = self.sum_of(x)

            def of_sum(*given):
                return program.record(
                    v.op, [inner(*given) if y is x else self.outside.get(y, y) for y in v.inputs], v.params, v
                )

            return of_sum
        over_steps = rule.over_steps(v) if v in (self.heavy if rule.sinks else self.free) else None
        if over_steps is not None:
            operands, make = over_steps
            plans = [self.stack_of(x) for x in operands]
            return lambda *given: at_line_of(v, make(ops_of(program), *[p(*given) for p in plans]))
        if rule.additive and self.adds_up(v):
            plans = [self.sum_of(x) for x in v.inputs]
            return lambda *given: ops_of(program).make(v.op.name, *[p(*given) for p in plans], **v.params)
        if is_sum(v) and is_join(v.inputs[0]) and not v.params["keepdims"]:
            joined, axes = v.inputs[0], v.params["axis"]
            along = joined.params["axis"]
            if along not in axes:
                plans = [self.sum_of(self.part(x, axes)) for x in joined.inputs]
                axis = along - len([a for a in axes if a < along])
                return lambda *given: ops_of(program).concatenate(*[p(*given) for p in plans], axis=axis)
        return self.given_sum(v)

    def adds_up(self, v) -> bool:
        """Whether the sum of an additive value is best taken of its operands: those of an addition have its shape, the
        parts of a concatenation are all free."""
        if is_join(v):
            return all(x in self.free for x in v.inputs)
        return len(v.inputs) == 1 or all(isinstance(x, Value) and x.shape == v.shape for x in v.inputs)

    def part(self, x, axes):
        """The sum of a part of a concatenation, the same one for the same part."""
        if (x, axes) not in self.summed:
            self.summed[x, axes] = ops_of(self.loop.body).sum(x, axis=axes, keepdims=False)
        return self.summed[x, axes]

    def stack_of(self, v):
        """Plan of the values of all steps."""
        if v in self.stacks:
            return self.stacks[v]
        plan = None
        light = v.op is not None and (is_layout(v) or is_mask(v, self.loop)) and v not in self.ys
        if (v in self.heavy or light) and v.op is not Pick:
            on = [isinstance(x, Value) and x not in self.loop.consts for x in v.inputs]
            if self.movable(v, on):
                plans = [
                    self.stack_of(x) if s else (lambda *_, x=x: self.outside.get(x, x)) for x, s in zip(v.inputs, on)
                ]
                plan = self.moved(v, plans, on)
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
        return result is not None and result.shape == (T, *v.shape)
