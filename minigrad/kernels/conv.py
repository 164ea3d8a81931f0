"""Direct convolution of images (N, channels, rows, columns), stride 1, and its gradient with respect to the weight.

Both are sums over k of A[r, k] B[k, pixel], a tile of which one microkernel keeps in registers: A's numbers are spread
over all lanes, B's come a vector at a time. For y, A is the weight, packed so that the numbers of a tile lie in the
order in which they are read, and B the padded image as it lies: what kernel element (a, b) sees of a row of pixels is
a row of pixels, so nothing is unfolded. For the weight's gradient, A is the padded image and B the cotangent, channels
last: k runs over the pixels.
"""

import ctypes
import functools
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minigrad.kernels import build, loops, matmul, threads
from minigrad.kernels.matmul import SHAPE, Shape

TILE = '''
BYTE, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
ELEMENT = ir.{element}()
VECTOR = ir.VectorType(ELEMENT, LANES)


def tile_kernel(rows, vectors):
    """C[r, v] (+)= sum over n < N and t < T of A[r, n, t] B[v, n, t]: scalars of A, vectors of B and C.

    A[r, n, t] lies at a + r row_stride + (n T + t) step + n a_jump, B[v, n, t] at places[v] + table[t] + n b_jump,
    C[r, v] at places[vectors + v] + r ldc. All strides and the table in bytes. The sums are phi nodes, so that they
    stay in registers.
    """

    @intrinsic
    def kernel(typingctx, a, row_stride, step, a_jump, N, table, T, places, b_jump, ldc, accumulate):
        def codegen(context, b, sig, args):
            a, row_stride, step, a_jump, N, table, T, places, b_jump, ldc, accumulate = args
            fma = cgutils.get_or_insert_function(
                b.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f{8 * SIZE}"
            )

            def const(value):
                return ir.Constant(INT64, value)

            def pointer(address, kind):
                return b.inttoptr(address, kind.as_pointer())

            def integer(address, index):
                return b.load(b.gep(pointer(address, INT64), [const(index)]))

            def phis(before, values, name=""):
                nodes = [b.phi(value.type, name) for value in values]
                for node, value in zip(nodes, values):
                    node.add_incoming(value, before)
                return nodes

            def feed(nodes, values):
                for node, value in zip(nodes, values):
                    node.add_incoming(value, b.block)

            b.function.attributes.add("noinline")
            each = [(i, j) for i in range(rows) for j in range(vectors)]
            row_a = [b.mul(row_stride, const(i)) for i in range(rows)]
            row_c = [b.mul(ldc, const(i)) for i in range(rows)]
            starts = [integer(places, j) for j in range(vectors)]
            results = [integer(places, vectors + j) for j in range(vectors)]
            results = [pointer(b.add(results[j], row_c[i]), VECTOR) for i, j in each]
            start = b.block
            keep, outer, first, body, last, end = (b.append_basic_block(name) for name in "abcdef")
            b.cbranch(b.icmp_signed("!=", accumulate, const(0)), keep, outer)
            b.position_at_end(keep)
            old = [b.load(result, align=SIZE) for result in results]
            b.branch(outer)

            b.position_at_end(outer)
            values = [N, a, *starts, *[ir.Constant(VECTOR, [0.0] * LANES)] * len(each)]
            nodes = phis(start, values)
            n, at_a, *rest = nodes
            at_b, sums = rest[:vectors], rest[vectors:]
            for node, value in zip(nodes, [N, a, *starts, *old]):
                node.add_incoming(value, keep)
            b.cbranch(b.icmp_signed(">", n, const(0)), first, end)

            b.position_at_end(first)
            b.branch(body)
            b.position_at_end(body)
            inner = phis(first, [T, table, at_a, *sums])
            t, entry, scalars, *terms = inner
            offset = integer(entry, 0)
            right = [b.load(pointer(b.add(at, offset), VECTOR), align=SIZE) for at in at_b]
            totals = []
            for i in range(rows):
                scalar = b.load(pointer(b.add(scalars, row_a[i]), ELEMENT))
                undefined = ir.Constant(VECTOR, ir.Undefined)
                one = b.insert_element(undefined, scalar, ir.Constant(INT32, 0))
                spread = b.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES))
                totals += [b.call(fma, [spread, right[j], terms[i * vectors + j]]) for j in range(vectors)]
            t, scalars = b.sub(t, const(1)), b.add(scalars, step)
            feed(inner, [t, b.add(entry, const(8)), scalars, *totals])
            b.cbranch(b.icmp_signed(">", t, const(0)), body, last)

            b.position_at_end(last)
            feed(nodes, [b.sub(n, const(1)), b.add(scalars, a_jump), *[b.add(at, b_jump) for at in at_b], *totals])
            b.branch(outer)

            b.position_at_end(end)
            for total, result in zip(sums, results):
                b.store(total, result, align=SIZE)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 11), codegen

    return kernel


@intrinsic
def move(typingctx, to, source):
    """Copy a vector."""

    def codegen(context, b, sig, args):
        to, source = [b.inttoptr(address, VECTOR.as_pointer()) for address in args]
        b.store(b.load(source, align=SIZE), to, align=SIZE)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen

'''

HELPERS = """
@njit
def copy(to, source, n):
    if n >= LANES:
        for i in range(0, n - LANES, LANES):
            move(to + i * SIZE, source + i * SIZE)
        move(to + (n - LANES) * SIZE, source + (n - LANES) * SIZE)
    else:
        for i in range(n):
            store(to, i, load(source, i, Float))


@njit
def pad(x, I, H, W, top, left, to, rows, columns):
    first, start = max(0, top), max(0, left)
    count = min(columns, left + W) - start
    for i in range(I):
        for p in range(first, min(rows, top + H)):
            copy(to + ((i * rows + p) * columns + start) * SIZE, x + ((i * H + p - top) * W + start - left) * SIZE,
                 count)


@njit
def clear(to, n):
    for i in range(n):
        store(to, i, Float(0))
"""

CONV = """
def pack(w, o_stride, i_stride, h_stride, w_stride, O, I, kh, kw, packed):
    tiles = (O + ROWS - 1) // ROWS
    while tiles > 0:
        m = (O + tiles - 1) // tiles
        for i in range(I):
            for a in range(kh):
                for b in range(kw):
                    for r in range(m):
                        at = r * o_stride + i * i_stride + a * h_stride + b * w_stride
                        store(packed, r, load(w, at, Float))
                    packed += m * SIZE
        w += m * o_stride * SIZE
        O -= m
        tiles -= 1


def conv(x, samples, I, H, W, x_stride, packed, O, kh, kw, top, left, OH, OW, y, y_stride, workspace):
    if samples <= 0 or O <= 0 or OH <= 0 or OW <= 0:
        return
    rows, columns = OH + kh - 1, OW + kw - 1
    table = workspace
    for a in range(kh):
        for b in range(kw):
            store(table, a * kw + b, (a * columns + b) * SIZE)
    line = (OH - 1) * columns + OW
    flat = OW < LANES or kw == 1 or (line + LANES - 1) // LANES * 8 < OH * ((OW + LANES - 1) // LANES) * 7
    lines, length = (1, line) if flat else (OH, OW)
    image = table + {table_bytes}
    size = I * rows * columns
    padded = not (top == 0 and left == 0 and rows == H and columns == W and length >= LANES)
    if padded:
        clear(image, size + LANES)
    buffer = image + (size + LANES) * SIZE
    for n in range(samples):
        source = x + n * x_stride * SIZE
        if padded:
            pad(source, I, H, W, top, left, image, rows, columns)
            source = image
        to = y + n * y_stride * SIZE
        if flat and (kw > 1 or length < LANES):
            scattered(source, I, rows, columns, packed, O, table, kh * kw, length, OH, OW, to, buffer)
        else:
            lined(source, I, rows, columns, packed, O, table, kh * kw, lines, length, to)


@njit
def lined(x, I, rows, columns, packed, O, table, T, lines, length, y):
    tiles = (O + ROWS - 1) // ROWS
    while tiles > 0:
        m = (O + tiles - 1) // tiles
        tile_row(m, x, I, rows, columns, packed, table, T, lines, length, y, lines * length)
        packed += m * I * T * SIZE
        y += m * lines * length * SIZE
        O -= m
        tiles -= 1


@njit
def scattered(x, I, rows, columns, packed, O, table, T, length, OH, OW, y, buffer):
    room = max(length, LANES)
    tiles = (O + ROWS - 1) // ROWS
    while tiles > 0:
        m = (O + tiles - 1) // tiles
        tile_row(m, x, I, rows, columns, packed, table, T, 1, room, buffer, room)
        for r in range(m):
            for p in range(OH):
                copy(y + (r * OH + p) * OW * SIZE, buffer + (r * room + p * columns) * SIZE, OW)
        packed += m * I * T * SIZE
        y += m * OH * OW * SIZE
        O -= m
        tiles -= 1


@njit
def tile_row(m, x, I, rows, columns, packed, table, T, lines, length, y, y_stride):
    places = stack(64)
    each = (length + LANES - 1) // LANES
    total = lines * each
    v = 0
    while v < total:
        vectors = vectors_of(m, total - v)
        for j in range(vectors):
            p = (v + j) // each
            q = min((v + j) % each * LANES, length - LANES)
            store(places, j, x + (p * columns + q) * SIZE)
            store(places, vectors + j, y + (p * length + q) * SIZE)
        tile(m, vectors, packed, SIZE, m * SIZE, 0, I, table, T, places, rows * columns * SIZE, y_stride * SIZE, 0)
        v += vectors
"""


@functools.cache
def source(dtype: str, shape: Shape) -> str:
    size = np.dtype(dtype).itemsize
    constants = f"""
from numba import njit
Float = np.{dtype}
SIZE, LANES, ROWS, PANEL = {size}, {shape.width // size}, {shape.rows}, {shape.vectors * shape.width // size}
"""
    few = max(2, shape.rows // 4)  # rows that leave registers for four vectors
    tiles = [(m, v) for m in range(1, shape.rows + 1) for v in ((1, 2, 4) if m <= few else (1, 2))]
    arguments = "a, row_stride, step, a_jump, N, table, T, places, b_jump, ldc, accumulate"
    lines = [f"tile_{m}_{v} = tile_kernel({m}, {v})" for m, v in tiles]
    lines += ["@njit", "def vectors_of(m, left):", f"    if m <= {few} and left >= 4: return 4"]
    lines += ["    return min(left, 2)", "@njit", f"def tile(m, v, {arguments}):"]
    for m, v in reversed(tiles):
        lines += [f"    if m == {m} and v == {v}:", f"        tile_{m}_{v}({arguments})", "        return"]
    text = TILE.replace("{element}", "FloatType" if size == 4 else "DoubleType")
    body = CONV.replace("{table_bytes}", "(kh * kw * 8 + 63) // 64 * 64")
    return "\n".join([loops.source_of("intrinsics"), constants, text, *lines, HELPERS, body])


class Addresses(NamedTuple):
    pack: int
    conv: int


@functools.cache
def addresses(dtype: np.dtype, shape: Shape = SHAPE) -> Addresses:
    text = source(np.dtype(dtype).name, shape)
    return Addresses(
        build.address(text, "pack", ", ".join(["intp"] * 10)), build.address(text, "conv", ", ".join(["intp"] * 17))
    )


def packed_buffer(O: int, I: int, kh: int, kw: int, dtype) -> np.ndarray:
    """Uninitialised room for a packed weight, aligned to a cache line."""
    return aligned(O * I * kh * kw, dtype)


def aligned(size: int, dtype) -> np.ndarray:
    nbytes = size * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + 63, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes].view(dtype)


def workspace_size(I, H, W, kh, kw, top, left, OH, OW, O, dtype, shape: Shape = SHAPE) -> int:
    """Elements of workspace that `conv` needs: a table, a padded image, a tile of rows."""
    size = np.dtype(dtype).itemsize
    lanes = shape.width // size
    rows, columns = OH + kh - 1, OW + kw - 1
    return (kh * kw * 8 + 63) // 64 * 64 // size + I * rows * columns + lanes + shape.rows * max(OH * columns, lanes)
