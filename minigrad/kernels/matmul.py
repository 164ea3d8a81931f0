"""Matrix products whose right operand is packed: C (+)= A @ B, with B in panels of a few vectors' columns."""

import ctypes
import functools
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np

from minigrad.kernels import build, loops


class Shape(NamedTuple):
    """What a CPU's registers hold: bytes of a vector, vectors in a panel's row, rows of the largest tile."""

    width: int
    vectors: int
    rows: int
    wide: tuple[int, ...]  # panels side by side in a tile of 1, 2, ... rows


def host_shape() -> Shape:
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Shape(64, 2, 12, (4, 4, 2))
    if features.get("avx2") and features.get("fma"):
        return Shape(32, 2, 6, (4, 2))
    return Shape(16, 2, 4, (4, 2))


SHAPE = host_shape()

TILE = '''
BYTE, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
ELEMENT = ir.{element}()
VECTOR = ir.VectorType(ELEMENT, LANES)


def tile_kernel(rows, vectors):
    """C[rows, vectors * LANES] (+)= A[rows, K] @ B: the accumulators are phi nodes, so that they stay in registers.

    All strides in bytes; `beside` leads from a panel to the next one.
    """

    @intrinsic
    def kernel(typingctx, a, row_stride, k_stride, packed, beside, K, c, ldc, accumulate):
        def codegen(context, b, sig, args):
            a, row_stride, k_stride, packed, beside, K, c, ldc, accumulate = args
            fma = cgutils.get_or_insert_function(
                b.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f{8 * SIZE}"
            )

            def const(value):
                return ir.Constant(INT64, value)

            def times(stride, i):
                return b.mul(stride, const(i))

            def pointer(address, kind):
                return b.inttoptr(address, kind.as_pointer())

            def vector(address, j):
                return pointer(b.add(address, const(j * LANES * SIZE)), VECTOR)

            b.function.attributes.add("noinline")
            columns = range(vectors)
            each = [(i, j) for i in range(rows) for j in columns]
            row_a = [times(row_stride, i) for i in range(rows)]
            row_c = [b.add(c, times(ldc, i)) for i in range(rows)]
            panel = [times(beside, p) for p in range((vectors + VECTORS - 1) // VECTORS)]
            start = b.block
            keep, head, body, end = (b.append_basic_block(name) for name in ("keep", "head", "body", "end"))
            b.cbranch(b.icmp_signed("!=", accumulate, const(0)), keep, head)
            b.position_at_end(keep)
            old = {(i, j): b.load(vector(row_c[i], j), align=SIZE) for i, j in each}
            b.branch(head)

            b.position_at_end(head)
            k, at_a, at_b = b.phi(INT64), b.phi(INT64), b.phi(INT64)
            sums = {ij: b.phi(VECTOR) for ij in each}
            for before in (start, keep):
                k.add_incoming(K, before)
                at_a.add_incoming(a, before)
                at_b.add_incoming(packed, before)
            for ij in each:
                sums[ij].add_incoming(ir.Constant(VECTOR, [0.0] * LANES), start)
                sums[ij].add_incoming(old[ij], keep)
            b.cbranch(b.icmp_signed(">", k, const(0)), body, end)

            b.position_at_end(body)
            right = [b.load(vector(b.add(at_b, panel[j // VECTORS]), j % VECTORS), align=SIZE) for j in columns]
            for i in range(rows):
                scalar = b.load(pointer(b.add(at_a, row_a[i]), ELEMENT))
                undefined = ir.Constant(VECTOR, ir.Undefined)
                one = b.insert_element(undefined, scalar, ir.Constant(INT32, 0))
                every = b.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES))
                for j in columns:
                    sums[i, j].add_incoming(b.call(fma, [every, right[j], sums[i, j]]), body)
            k.add_incoming(b.sub(k, const(1)), body)
            at_a.add_incoming(b.add(at_a, k_stride), body)
            at_b.add_incoming(b.add(at_b, const(PANEL * SIZE)), body)
            b.branch(head)

            b.position_at_end(end)
            for i, j in each:
                b.store(sums[i, j], vector(row_c[i], j), align=SIZE)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 9), codegen

    return kernel


@intrinsic
def transpose(typingctx, to, to_stride, source, source_stride):
    """LANES x LANES elements: column i of `source` becomes row i at `to`. Rows go by strides in bytes."""

    def codegen(context, b, sig, args):
        to, to_stride, source, source_stride = args

        def row(address, stride, i):
            return b.inttoptr(b.add(address, b.mul(stride, ir.Constant(INT64, i))), VECTOR.as_pointer())

        rows = [b.load(row(source, source_stride, i), align=SIZE) for i in range(LANES)]
        half = LANES // 2
        first = [lane for i in range(half) for lane in (i, LANES + i)]
        masks = [ir.Constant(ir.VectorType(INT32, LANES), [m + s for m in first]) for s in (0, half)]
        for _ in range(half.bit_length()):  # a perfect shuffle of all elements halves the distance to their places
            rows = [b.shuffle_vector(rows[i], rows[i + half], mask) for i in range(half) for mask in masks]
        for i in range(LANES):
            b.store(rows[i], row(to, to_stride, i), align=SIZE)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), codegen

'''

PRODUCT = """
def product(a, row_stride, k_stride, M, packed, K, N, c, ldc, accumulate):
    row_stride, k_stride, ldc = row_stride * SIZE, k_stride * SIZE, ldc * SIZE
    beside = K * PANEL * SIZE
    blocks = max(1, (K + BLOCK_K - 1) // BLOCK_K)
    k = 0
    for block in range(blocks):
        depth = (K - k) // (blocks - block)
        chunk = max(PANEL, BLOCK_B // (max(depth, 1) * PANEL) * PANEL)
        for n in range(0, N, chunk):
            columns(a + k * k_stride, row_stride, k_stride, M, packed + (n * K + k * PANEL) * SIZE, beside, depth,
                    min(chunk, N - n), c + n * SIZE, ldc, accumulate)
        accumulate = 1
        k += depth


@njit
def columns(a, row_stride, k_stride, M, packed, beside, K, N, c, ldc, accumulate):
    tiles = (M + ROWS - 1) // ROWS
    while tiles > 0:
        m = (M + tiles - 1) // tiles
        wide = panels_of(m)
        n = 0
        while n < N:
            while wide * PANEL > N - n and wide > 1:
                wide //= 2
            at = packed + n // PANEL * beside
            if n + PANEL <= N:
                tile(m, wide * VECTORS, a, row_stride, k_stride, at, beside, K, c + n * SIZE, ldc, accumulate)
            else:
                edge(m, a, row_stride, k_stride, at, beside, K, N - n, c + n * SIZE, ldc, accumulate)
            n += wide * PANEL
        a += m * row_stride
        c += m * ldc
        M -= m
        tiles -= 1


@njit
def edge(m, a, row_stride, k_stride, packed, beside, K, N, c, ldc, accumulate):
    buffer = stack({edge_bytes})
    if accumulate:
        for i in range(m):
            for j in range(N):
                store(buffer, i * PANEL + j, load(c + i * ldc, j, Float))
    vectors = 1 if N <= LANES else VECTORS
    tile(m, vectors, a, row_stride, k_stride, packed, beside, K, buffer, PANEL * SIZE, accumulate)
    for i in range(m):
        for j in range(N):
            store(c + i * ldc, j, load(buffer, i * PANEL + j, Float))


def pack(b, k_stride, n_stride, K, N, packed):
    for n in range(0, N, PANEL):
        pack_panel(b + n * n_stride * SIZE, k_stride, n_stride, K, min(PANEL, N - n), packed + n * K * SIZE)


@njit
def pack_panel(b, k_stride, n_stride, K, N, packed):
    if n_stride == 1 and N == PANEL:
        for k in range(K):
            for j in range(PANEL):
                store(packed + k * PANEL * SIZE, j, load(b + k * k_stride * SIZE, j, Float))
        return
    n = 0
    if k_stride == 1:
        while n + LANES <= N:
            for k in range(0, K - LANES + 1, LANES):
                transpose(packed + (k * PANEL + n) * SIZE, PANEL * SIZE,
                          b + (k + n * n_stride) * SIZE, n_stride * SIZE)
            for k in range(K // LANES * LANES, K):
                for j in range(n, n + LANES):
                    store(packed, k * PANEL + j, load(b, k + j * n_stride, Float))
            n += LANES
    for k in range(K):
        for j in range(n, N):
            store(packed, k * PANEL + j, load(b, k * k_stride + j * n_stride, Float))
        for j in range(N, PANEL):
            store(packed, k * PANEL + j, Float(0))
"""


@functools.cache
def source(dtype: str, shape: Shape) -> str:
    size = np.dtype(dtype).itemsize
    lanes = shape.width // size
    constants = f"""
from numba import njit
Float = np.{dtype}
SIZE, LANES, VECTORS, ROWS = {size}, {lanes}, {shape.vectors}, {shape.rows}
PANEL = LANES * VECTORS
BLOCK_K, BLOCK_B = 384, 512 * 1024 // SIZE
"""
    wide = {m: shape.wide[m - 1] if m <= len(shape.wide) else 1 for m in range(1, shape.rows + 1)}
    tiles = [(m, v) for m, p in wide.items() for v in [1, *[shape.vectors * q for q in (1, 2, 4) if q <= p]]]
    lines = [f"tile_{m}_{v} = tile_kernel({m}, {v})" for m, v in tiles]
    lines += ["@njit", "def panels_of(m):"]
    lines += [f"    if m == {m}: return {p}" for m, p in wide.items() if p > 1]
    lines += ["    return 1", "@njit", "def tile(m, v, a, row_stride, k_stride, packed, beside, K, c, ldc, accumulate):"]
    for m, v in reversed(tiles):
        lines += [f"    if m == {m} and v == {v}:", f"        tile_{m}_{v}(a, row_stride, k_stride, packed, beside, K, c, ldc, accumulate)", "        return"]
    text = TILE.replace("{element}", "FloatType" if size == 4 else "DoubleType")
    product = PRODUCT.replace("{edge_bytes}", str(shape.rows * shape.vectors * shape.width))
    return "\n".join([loops.source_of("intrinsics"), constants, text, *lines, product])


class Addresses(NamedTuple):
    pack: int
    product: int


@functools.cache
def addresses(dtype: np.dtype, shape: Shape = SHAPE) -> Addresses:
    text = source(np.dtype(dtype).name, shape)
    return Addresses(
        build.address(text, "pack", ", ".join(["intp"] * 6)), build.address(text, "product", ", ".join(["intp"] * 10))
    )


def packed_size(K: int, N: int, dtype, shape: Shape = SHAPE) -> int:
    panel = shape.vectors * shape.width // np.dtype(dtype).itemsize
    return K * -(-N // panel) * panel


def packed_buffer(K: int, N: int, dtype, shape: Shape = SHAPE) -> np.ndarray:
    """Uninitialised room for a packed (K, N) matrix, aligned to a cache line."""
    size = packed_size(K, N, dtype, shape)
    memory = np.empty(size * np.dtype(dtype).itemsize + 63, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size * np.dtype(dtype).itemsize].view(dtype)
