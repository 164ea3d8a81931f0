"""Products of matrices, C (+)= A @ B, by the kernels that tiles.py writes.

Generated kernels call `product` by its address, with weights that they pack once; `matmul` is for NumPy arrays and
packs as it goes.
"""

import functools
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minigrad.kernels import bfloat16, build, loops, sums, threads
from minigrad.kernels.tiles import BLOCK_K, SHAPE, Shape, source

SMALL = 1 << 17  # multiplications for which NumPy is quicker than our way from Python to machine code
LONG = 1 << 15  # terms of a sum from which it is taken in parts: of equal terms float32 loses a millionth here
LARGE = 1 << 24  # multiplications from which a second thread pays: waking it costs some 100 us

BFLOAT16 = np.dtype(np.uint16)  # which NumPy does not have: its bits, in which operands of such a product are packed

DTYPES = {np.dtype(np.float32), np.dtype(np.float64)}


class Addresses(NamedTuple):
    pack: int
    product: int
    piece: int


@functools.cache
def addresses(dtype: np.dtype, shape: Shape | None = None) -> Addresses:
    """C functions for generated kernels. They take int64: addresses and, in elements, strides.

    dtype: of the matrices; BFLOAT16 for float32 ones that are rounded.

    pack(b, row_stride, column_stride, K, N, packed) fills `packed_size(K, N)` elements from B (K, N).
    product(a, row_stride, column_stride, M, packed, K, N, c, ldc, accumulate) writes A @ B to C (M, N), whose columns
    are contiguous, or adds it to C.
    piece(numbers, _, room) writes A @ B to C, given what `numbers_of` returns, and packs B as it goes.
    """
    kinds = {name: ", ".join(["intp"] * n) for name, n in (("pack", 6), ("product", 10), ("piece", 3))}
    if dtype == BFLOAT16:
        text = bfloat16.source(shape or bfloat16.host_shape())
    else:
        text = source(np.dtype(dtype).name, shape or SHAPE)
    return Addresses(*build.addresses(text, kinds))


def packed_size(K: int, N: int, dtype, shape: Shape | None = None) -> int:
    """Elements of a packed (K, N) matrix; of bfloat16 for any CPU, which may want 32 rows at a time."""
    if dtype == BFLOAT16:
        return -(-K // 32) * 32 * -(-N // 32) * 32
    of = shape or SHAPE
    panel = of.vectors * of.width // np.dtype(dtype).itemsize
    return K * -(-N // panel) * panel


def packed_buffer(K: int, N: int, dtype, shape: Shape | None = None) -> np.ndarray:
    """Uninitialised room for a packed (K, N) matrix, aligned to a cache line."""
    return _aligned(packed_size(K, N, dtype, shape), np.dtype(dtype))


def _aligned(size: int, dtype: np.dtype) -> np.ndarray:
    memory = np.empty(size * dtype.itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size * dtype.itemsize].view(dtype)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (M, K) @ b (K, N): a large one by `matmul`, with the threads that all kernels share, where a second pool would
    spin against them; so are sums of many terms, which BLAS adds up block after block. Others by NumPy's BLAS."""
    large = a.shape[1] >= LONG or a.size * b.shape[1] >= LARGE
    return matmul(a, b) if large and a.dtype in DTYPES and a.dtype == b.dtype else np.matmul(a, b)


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, kind: np.dtype | None = None) -> np.ndarray:
    """a (M, K) @ b (K, N), both float32 or both float64, of any strides. Large products share the threads.

    out: None or an array (M, N) of that type whose columns are contiguous; it is written and returned. kind: BFLOAT16
    for a product of float32 with operands rounded; by default the operands' type. For one number of threads the result
    is the same bits each time.

    Raises ValueError for shapes that do not match, TypeError for other types.
    """
    if not (a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]):
        raise ValueError(f"matmul: got shapes {a.shape} and {b.shape}, wanted (M, K) and (K, N)")
    if a.dtype != b.dtype or a.dtype not in DTYPES:
        raise TypeError(f"matmul: got {a.dtype} and {b.dtype}, wanted float32 twice or float64 twice")
    (M, K), N, size = a.shape, b.shape[1], a.itemsize
    if out is None:
        out = np.empty((M, N), a.dtype)
    elif out.shape != (M, N) or out.dtype != a.dtype or (N > 1 and out.strides[1] != size):
        raise ValueError(
            f"matmul: got out {out.shape} {out.dtype} of strides {out.strides}, wanted {(M, N)} {a.dtype} "
            "with contiguous columns"
        )
    elif not out.flags.aligned or np.may_share_memory(out, a) or np.may_share_memory(out, b):
        out[...] = matmul(a, b, None, kind)
        return out
    kind = kind or a.dtype
    if kind == BFLOAT16 and (loops.INTERPRETED or M * K * N <= SMALL or not bfloat16.host_shape()):
        a, b, kind = bfloat16.rounded(a), bfloat16.rounded(b), a.dtype
    alone = (M == 1 or N == 1) and kind != BFLOAT16
    if K >= LONG and alone:
        out[...] = _long_sums(a, b)
        return out
    if loops.INTERPRETED or alone or M * K * N <= SMALL:
        return np.matmul(a, b, out=out)
    a, b = [x if x.flags.aligned else x.copy() for x in (a, b)]
    axis, edges = division(M, K, N, threads.count)
    ends = list(pairwise(edges))
    if axis == 0:
        blocks = [(a[i:j], b, out[i:j]) for i, j in ends]
    elif axis == 1:
        blocks = [(a, b[:, i:j], out[:, i:j]) for i, j in ends]
    else:
        parts = np.empty((len(ends), M, N), a.dtype)
        blocks = [(a[:, i:j], b[i:j], part) for (i, j), part in zip(ends, parts)]
    pieces = np.array([numbers_of(*block) for block in blocks])
    calls = np.zeros((len(blocks), 2), np.int64)
    calls[:, 0] = pieces.ctypes.data + np.arange(len(blocks)) * pieces.strides[0]
    threads.call(addresses(kind).piece, calls, np.arange(len(blocks) + 1))
    if axis == 2:
        out[...] = sums.add_reduce(parts, (0,))
    return out


def _long_sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b where one of the two is a vector, in parts."""
    (M, K), N, size = a.shape, b.shape[1], BLOCK_K
    whole = K // size * size
    left = a[:, :whole].reshape(M, -1, size).transpose(1, 0, 2)
    return sums.add_reduce(np.matmul(left, b[:whole].reshape(-1, size, N)), (0,)) + np.matmul(a[:, whole:], b[whole:])


def numbers_of(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> list[int]:
    (M, K), N, size = a.shape, b.shape[1], a.itemsize
    (row, k), (b_row, n), (ldc, _) = a.strides, b.strides, out.strides
    strides = (row // size, k // size, M), (b_row // size, n // size, K, N)
    return [a.ctypes.data, *strides[0], b.ctypes.data, *strides[1], out.ctypes.data, ldc // size]


def division(M: int, K: int, N: int, count: int) -> tuple[int, list[int]]:
    """What `count` threads divide between them, 0 rows, 1 columns or 2 terms, and the edges of the pieces.

    There are more pieces than threads where the product is large: a thread that another process keeps from its work
    leaves more of them to the others. A piece of rows packs all of B, one of columns reads all of A.
    Very many terms are divided in any case: float32 would lose what is added to the sum of many.
    """
    if K >= LONG and M * N:
        parts = min(K // (LONG // 4), K * (M + N) // (4 * M * N))  # whose results are not as large as the operands
        if parts > count:
            return 2, [K * i // parts for i in range(parts + 1)]
    if count == 1 or M * K * N < LARGE:
        return 0, [0, M]
    rows, columns = M // (48 * count), N // (128 * count)  # none: too few to keep all threads busy
    if columns and (M <= 2 * N or not rows):
        axis, size, most = 1, N, N // 192
    elif rows:
        axis, size, most = 0, M, M // 512
    else:
        axis, size, most = 2, K, count
    pieces = max(1, min(4, most // count, M * K * N // (2 * LARGE) // count)) * count
    edges = [size * i // pieces for i in range(pieces + 1)]
    if axis == 1:
        edges = [edge // 32 * 32 for edge in edges[:-1]] + [N]  # so that no piece but the last has half a panel
    return axis, edges
