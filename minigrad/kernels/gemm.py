"""Matrix products of any size on the packed kernel: blocks that stay in the cache, divided between threads."""

import ctypes
import functools
from itertools import pairwise

import numpy as np

from minigrad.kernels import build, loops, matmul, threads

SOURCE = """
from numba import njit

def gemm(product, pack, size, a, row, k, M, b, bk, bn, K, N, c, ldc, room, deep, wide):
    for k0 in range(0, K, deep):
        depth = min(deep, K - k0)
        for n0 in range(0, N, wide):
            width = min(wide, N - n0)
            call(pack, b + size * (k0 * bk + n0 * bn), bk, bn, depth, width, room)
            at = a + size * k0 * k
            call(product, at, row, k, M, room, depth, width, c + size * n0, ldc, 1 if k0 > 0 else 0)
"""
CALL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 17)
SERIAL = 1 << 22  # multiplications below which a second thread costs more than it saves
ROOM = 1 << 16  # elements of a packed block


@functools.cache
def compiled():
    return CALL(build.address(loops.source_of("intrinsics") + SOURCE, "gemm", ", ".join(["intp"] * 17)))


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b for matrices of one float dtype and any strides; by as many threads as it is worth."""
    M, K = a.shape
    N = b.shape[1]
    if loops.INTERPRETED or not M * N * K:
        return np.matmul(a, b)
    count = 1 if M * N * K < SERIAL else threads.count
    if count > 1 and M * N * 16 < K:  # a small result of a long sum: each thread sums a part
        parts = np.empty((count, M, N), a.dtype)
        edges = [K * t // count for t in range(count + 1)]
        tasks = [
            functools.partial(block, a[:, i:j], b[i:j], parts[t]) for t, (i, j) in enumerate(pairwise(edges))
        ]
        threads.run(tasks)
        total = parts[0]
        for part in parts[1:]:
            total += part
        return total
    c = np.empty((M, N), a.dtype)
    if count == 1:
        block(a, b, c)
        return c
    if M >= N or M >= 96:
        step = -(-M // count)
        step = -(-step // 4) * 4
        tasks = [functools.partial(block, a[i : i + step], b, c[i : i + step]) for i in range(0, M, step)]
    else:
        step = -(-N // count)
        step = -(-step // 32) * 32
        tasks = [functools.partial(block, a, b[:, j : j + step], c[:, j : j + step]) for j in range(0, N, step)]
    threads.run(tasks)
    return c


def block(a, b, c) -> None:
    """c[...] = a @ b, in this thread."""
    size, (M, K), N = a.itemsize, a.shape, b.shape[1]
    wide = min(-(-N // 32) * 32, 512)
    deep = min(K, max(256, ROOM // wide))
    room = matmul.packed_buffer(deep, wide, a.dtype)
    kernel = matmul.addresses(a.dtype)
    compiled()(
        kernel.product, kernel.pack, size, a.ctypes.data, a.strides[0] // size, a.strides[1] // size, M,
        b.ctypes.data, b.strides[0] // size, b.strides[1] // size, K, N, c.ctypes.data, c.strides[0] // size,
        room.ctypes.data, deep, wide,
    )  # fmt: skip
