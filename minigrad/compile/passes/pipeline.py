"""The passes in their order."""

from minigrad.compile.passes import clean, fuse, hoist, lift, lower, merge, recompute, sink
from minigrad.compile.passes.canonicalize import canonicalize
from minigrad.ir.rewrite import order_of, weights


def optimise(program, roots: list, log=None) -> list:
    """The roots, rebuilt by every pass. log(name, roots) is called before the first and after each."""
    log = log or (lambda name, roots: None)
    log("traced", roots)
    for name, transform in STEPS:
        roots = clean.clean(program, transform(program, roots))
        log(name, roots)
    return roots


def _take_apart(program, roots):
    merge.take_apart(program, roots)
    return roots


STEPS = [
    ("canonical forms", lambda program, roots: canonicalize(program, recompute.apart(program, roots))),
    ("products of concatenations taken apart", _take_apart),
    ("hoisted out of the loop", hoist.hoist),
    ("sunk below the loop", sink.sink),
    ("products merged", lambda program, roots: merge.merge(program, roots, weights(program, order_of(roots)))),
    ("their weights joined outside of the loop", hoist.hoist),
    ("lowered to what kernels are made of", lower.lower),
    ("slices lifted", lift.lift),
    ("computed again in the backward", recompute.recompute),
    ("elementwise ops outside of loops fused", fuse.fuse),
]
