"""Elementwise work on many arrays in one call: an optimizer's update, or a norm, of all parameters.

The arrays are cut into blocks, which threads share; a block of all operands stays in the cache. What a block gives does
not depend on the number of threads, and neither does a sum, which adds the blocks in order.
"""

import functools
from collections.abc import Sequence

import numpy as np

from minigrad.kernels import build, loops, threads
from minigrad.kernels.entry import address_of, in_order

BLOCK = 1 << 14  # elements
ALONE = 1 << 17  # elements up to which one thread is as quick as several

Group = tuple[np.ndarray, ...]


def update(caller: str, names: tuple[str, ...], outputs: tuple[tuple[str, str], ...], groups, numbers) -> None:
    """For every group of arrays of one shape and dtype, overwrite some of them by expressions of all.

    caller: what errors name. names: of the arrays of a group. outputs: (name of an array, expression of its new
    elements), which may name arrays and numbers. numbers: for each group, floats by name.

    Raises ValueError for an array that may not be written into, or has another shape or dtype than its group.
    """
    written = [names.index(name) for name, _ in outputs]
    copies = [check(caller, group, written) for group in groups]
    for dtype in dict.fromkeys([group[0].dtype for group in groups]):
        chosen = [k for k, group in enumerate(groups) if group[0].dtype == dtype]
        scalars = tuple(numbers[chosen[0]])
        values = [[numbers[k][name] for name in scalars] for k in chosen]
        if loops.INTERPRETED:
            kernel = loops.interpreted([*names, *scalars], [expression for _, expression in outputs], dtype.name)
            for k, row in zip(chosen, values):
                kernel(*copies[k], *row, out=tuple(copies[k][w] for w in written))
        else:
            of = function(names, outputs, scalars, dtype.name)
            call(of, [copies[k] for k in chosen], np.array(values, np.float64).reshape(len(chosen), -1))
    for group, copied in zip(groups, copies):
        for w in written:
            if copied[w] is not group[w]:
                group[w][...] = copied[w]


def square_sum(arrays: Sequence[np.ndarray]) -> float:
    """The sum of the squares of all elements, in float64."""
    total = 0.0
    for dtype in dict.fromkeys([a.dtype for a in arrays]):
        groups = [(in_order(a),) for a in arrays if a.dtype == dtype]
        if loops.INTERPRETED:
            total += sum([float(np.square(a, dtype=np.float64).sum()) for (a,) in groups])
        else:
            total += float(call(function(("x",), (), (), dtype.name), groups, np.zeros((len(groups), 0))).sum())
    return total


def check(caller: str, group: Group, written: list[int]) -> Group:
    """The group, each array in C order: itself, or a copy."""
    first = group[0]
    for k, a in enumerate(group):
        if a.shape != first.shape or a.dtype != first.dtype:
            raise ValueError(
                f"{caller}: got arrays {a.dtype}{list(a.shape)} and {first.dtype}{list(first.shape)}, wanted equal"
            )
        if k in written and not a.flags.writeable:
            raise ValueError(f"{caller}: got an array {a.dtype}{list(a.shape)} that is read-only")
    return tuple([in_order(a) for a in group])


def call(function: int, groups: Sequence[Group], numbers: np.ndarray) -> np.ndarray:
    """Run a kernel on the blocks of all groups; for each block, what it sums. numbers: a row for each group."""
    owner, start, counts, starts = blocks(tuple([group[0].size for group in groups]), threads.count)
    width = len(groups[0])
    sums = np.zeros(len(owner))
    pointers = np.array([[address_of(a) for a in group] for group in groups], np.int64)
    records = np.empty((len(owner), width + 3), np.int64)
    np.add(pointers[owner], start * groups[0][0].itemsize, out=records[:, :width])
    records[:, width] = counts
    np.add(owner * numbers.strides[0], address_of(numbers), out=records[:, width + 1])
    records[:, width + 2] = address_of(sums) + 8 * np.arange(len(owner))
    calls = np.zeros((len(owner), 2), np.int64)
    calls[:, 0] = address_of(records) + records.strides[0] * np.arange(len(owner))
    threads.call(function, calls, starts)
    return sums


@functools.lru_cache(256)
def blocks(sizes: tuple[int, ...], threads: int):
    """(group of each block, its first element, how many it has, what threads take at once)"""
    parts = [(k, first, min(BLOCK, n - first)) for k, n in enumerate(sizes) for first in range(0, n, BLOCK)]
    owner, start, counts = np.array(parts, np.int64).reshape(-1, 3).T.copy()
    alone = threads == 1 or sum(sizes) <= ALONE
    return owner, start[:, None], counts, np.array([0, len(owner)]) if alone else np.arange(len(owner) + 1)


@functools.cache
def function(names, outputs, scalars, dtype: str) -> int:
    """Address of the kernel of a block; without outputs it sums the squares."""
    pointers = ", ".join([f"p_{x}" for x in names])
    lines = [f"def apart_block({', '.join([pointers, 'n', *scalars])}):"]
    lines += [] if outputs else ["    s = np.float64(0)"]
    lines += ["    for i in range(n):", *[f"        {x} = load(p_{x}, i, np.{dtype})" for x in names]]
    if outputs:
        expressions = [loops.kernel_expression(expression) for _, expression in outputs]
        lines += [f"        new_{name} = Float({e})" for (name, _), e in zip(outputs, expressions)]
        lines += [f"        store(p_{name}, i, new_{name})" for name, _ in outputs]
        lines += ["    return 0"]
    else:
        lines += ["        s += np.float64(x) * np.float64(x)", "    return s"]
    flags = '{"contract"}' if outputs else '{"contract", "reassoc", "nsz"}'
    body = loops.with_dependencies(f'@njit(error_model="numpy", fastmath={flags})\n' + "\n".join(lines), dtype)
    width = len(names)
    entry = ["def block(at, unused, room):", "    flags = floating_point_flags()"]
    entry += [f"    numbers, result = load_any(at, {width + 1}, np.int64), load_any(at, {width + 2}, np.int64)"]
    of_numbers = [f"Float(load_any(numbers, {k}, np.float64))" for k in range(len(scalars))]
    arguments = [f"load_any(at, {k}, np.int64)" for k in range(width + 1)] + of_numbers
    entry += [f"    s = apart_block({', '.join(arguments)})", "    store_any(result, 0, np.float64(s))"]
    entry += ["    restore_floating_point_flags(flags)"]
    return build.address("\n".join([f"Float = np.{dtype}", body, *entry]), "block", "intp, intp, intp")
