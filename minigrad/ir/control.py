"""`scan`, `cond`, `switch` and `while_loop` while tracing: each becomes loops.

A branch is a loop that takes one step or none: its carry is the result, which it replaces without reading it. So what
is not chosen is not computed, and its derivative, a loop of as many steps, adds nothing.

    y = cond(p, f, g, x)          before                      y = zeros
                                  loop of p steps             y = f(x)
                                  loop of 1 - p steps         y = g(x)

`while_loop` is a loop that ends when its step says so; one of its carries counts the steps, and the backward takes as
many. Without a bound nothing can be kept for a backward, and there is none.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minigrad import tree
from minigrad.ir.loop import UNBOUNDED, Body, finish
from minigrad.ir.step import as_scalar, line_of, same_results, take_step, unchanged
from minigrad.ir.unbounded import UnboundedCall
from minigrad.modes import TRACED, thread
from minigrad.ops.join import concatenate
from minigrad.ops.shape import reshape
from minigrad.tape import Leaf
from minigrad.tensor import Tensor, as_tensor
from minigrad.views import Argument, as_arguments


def scan(f: Callable, init, xs, length, reverse):
    """`minigrad.scan` while tracing."""
    every = thread.program.every
    if every is None or length <= every:
        return plain_scan(f, init, xs, length, reverse)
    chunks = length // every
    whole = chunks * every
    split = length - whole if reverse else whole  # in order of time, the rest comes last

    def chunk(carry, x):
        return thread.program.recomputed(plain_scan, (f, carry, x, every, reverse), {})

    def part(ends, *shape):
        return tree.map(lambda x: reshape(as_tensor(x)[slice(*ends)], (*shape, *as_tensor(x).shape[1:])), xs)

    first = (split, length) if reverse else (0, split)
    carry, ys = plain_scan(chunk, init, part(first, chunks, every), chunks, reverse, chunked=True)
    ys = tree.map(lambda y: reshape(y, (whole, *y.shape[2:])), ys)
    if whole < length:
        rest = (0, split) if reverse else (split, length)
        carry, more = plain_scan(f, carry, part(rest, length - whole), length - whole, reverse)
        ys = tree.map(lambda y, m: concatenate([m, y] if reverse else [y, m]), ys, more)
    return carry, ys


def plain_scan(f: Callable, init, xs, length, reverse, chunked=False):
    parent = thread.program
    leaves, carry_structure = tree.flatten(init)
    carries = [Tensor(*parent.enter(as_tensor(leaf))) for leaf in leaves]
    streams, xs_structure = tree.flatten(xs)
    streams = [Tensor(*parent.enter(as_tensor(leaf))) for leaf in streams]
    body = Body(parent)
    inits = []
    for c in carries:
        leaf = Leaf(c.shape, c.dtype) if c.dtype.kind == "f" and thread.mode is TRACED else None
        inits.append((body.input(c), leaf, c))
    x = [Tensor(*body.placed(stream, True)) for stream in streams]
    outer, thread.program = thread.program, body
    try:
        carry, y = take_step(
            f,
            tree.unflatten(carry_structure, [Argument(v, leaf) for v, leaf, _ in inits]),
            tree.unflatten(xs_structure, as_arguments(x)),
        )
        carried = unchanged(f, 0, "the carry", carry_structure, carries, carry)
        ys, y_structure = tree.flatten(y)
        carried = [Tensor(*body.enter(c)) for c in carried]
        ys = [Tensor(*body.enter(as_tensor(leaf))) for leaf in ys]
    finally:
        thread.program = outer
    results = finish(body, length, reverse, inits, carried, [], ys, chunked)
    return tree.unflatten(carry_structure, results[: len(inits)]), tree.unflatten(y_structure, results[len(inits) :])


def of_branches(name: str, chosen: Sequence[Tensor], branches: Sequence[Callable], operands):
    """The result of the branch that is chosen: of each a number, 1 of that one, 0 of the others."""
    parent = thread.program
    traced = [traced_branch(parent, f, operands) for f in branches]
    (_, first, structure), *others = traced
    for f, (_, leaves, other) in zip(branches[1:], others):
        same_results(name, branches[0], f, structure, first, tree.unflatten(other, leaves))
    results = [Tensor(parent.filled(x.shape, x.dtype)) for x in first]
    for count, (body, leaves, _) in zip(chosen, traced):
        inits = []
        for before in results:
            leaf = Leaf(before.shape, before.dtype) if before.dtype.kind == "f" and thread.mode is TRACED else None
            inits.append((body.input(before), leaf, before))
        results = finish(body, 1, False, inits, leaves, [], [], count=count)
    return tree.unflatten(structure, results)


def traced_branch(parent, f: Callable, operands) -> tuple[Body, list[Tensor], object]:
    """The step of a branch: its program, its results, their structure."""
    body = Body(parent)
    leaves, structure = tree.flatten(operands)
    outer, thread.program = thread.program, body
    try:
        results, results_structure = tree.flatten(f(*tree.unflatten(structure, as_arguments(leaves))))
        return body, [Tensor(*body.enter(as_tensor(x))) for x in results], results_structure
    finally:
        thread.program = outer


def while_loop(cond: Callable, body: Callable, init, bound: int | None):
    """`minigrad.while_loop` while tracing."""
    parent = thread.program
    leaves, structure = tree.flatten(init)
    carries = [Tensor(*parent.enter(as_tensor(leaf))) for leaf in leaves]
    length = UNBOUNDED if bound is None else bound
    first = goes_on(cond, structure, carries)
    count = first.astype("int64") * length
    program = Body(parent)
    inits = []
    for c in carries:
        leaf = Leaf(c.shape, c.dtype) if c.dtype.kind == "f" and thread.mode is TRACED else None
        inits.append((program.input(c), leaf, c))
    steps = Tensor(parent.constant(np.zeros((), np.int64)))
    inits.append((program.input(steps), None, steps))
    outer, thread.program = thread.program, program
    try:
        after = body(tree.unflatten(structure, [Argument(v, leaf) for v, leaf, _ in inits[:-1]]))
        after = unchanged(body, 0, "the carry", structure, carries, after, "while_loop")
        after = [Tensor(*program.enter(x)) for x in after]
        go = goes_on(cond, structure, after)
        after.append(Tensor(inits[-1][0]) + 1)
    finally:
        thread.program = outer
    results = finish(program, length, False, inits, after, [], [], count=count, go=go,
                     kind=UnboundedCall if bound is None else None)  # fmt: skip
    return tree.unflatten(structure, results[:-1])


def goes_on(cond: Callable, structure, carries: Sequence[Tensor]) -> Tensor:
    """Whether a step follows, as a value of the program that is being recorded."""
    result = cond(tree.unflatten(structure, as_arguments(carries)))
    decided = as_scalar("while_loop", f"what {line_of(cond)} returned", result)
    return Tensor(*thread.program.enter(as_tensor(np.bool_(decided) if isinstance(decided, bool) else decided)))
