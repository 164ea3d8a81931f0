"""The passes in their order."""

import os
import sys
from collections.abc import Callable

from minigrad.compile.passes import (
    cluster,
    cse_dce,
    fuse,
    hoist,
    lift,
    lookup,
    lower,
    mask,
    merge,
    precision,
    recompute,
    sink,
    widen,
)
from minigrad.compile.passes.canonicalize import canonicalize
from minigrad.ir.rewrite import order_of, weights
from minigrad.ir.text import show


def optimise(program, roots: list, log=None) -> list:
    """The roots, rebuilt by every pass. log(name, roots) is called before the first and after each.

    Programs are printed as well if the environment variable MINIGRAD_PRINT_PASSES is set (to anything but 0).
    """
    logs = [log] if log else []
    if os.environ.get("MINIGRAD_PRINT_PASSES", "0") not in ("", "0"):
        logs.append(printer())
    for name, transform in [("traced", None), *STEPS]:
        if transform:
            roots = cse_dce.cse_dce(program, transform(program, roots))
        for each in logs:
            each(name, roots)
    return roots


def printer() -> Callable:
    """A log that prints each program that is not the one before."""
    last = ""

    def log(name: str, roots: list) -> None:
        nonlocal last
        before, last = last, show(roots)
        print(f"--- {name}: nothing changed" if last == before else f"--- {name}\n{last}\n", file=sys.stderr)

    return log


STEPS = [
    ("canonicalize", canonicalize),
    ("split products", merge.take_apart),
    ("hoist", hoist.hoist),
    ("mask terms of sums", mask.mask),
    ("sink", sink.sink),
    ("merge products", lambda program, roots: merge.merge(program, roots, weights(program, order_of(roots)))),
    ("hoist merged weights", hoist.hoist),
    ("look up products", lookup.lookup),
    ("recompute", recompute.recompute),
    ("cluster", cluster.cluster),
    ("lower", lower.lower),
    ("widen integers", widen.widen),
    ("lift slices", lift.lift),
    ("lower precision", precision.lower_precision),
    ("fuse outside of loops", fuse.fuse),
]
