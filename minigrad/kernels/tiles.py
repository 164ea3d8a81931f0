"""The text of the kernels of C (+)= A @ B, with B packed in panels that are two vectors wide.

One piece of code does all the arithmetic: a tile, some rows of A times a panel, whose sums stay in registers. A is read
where it lies, through two strides, so that `x @ W.T`, `dz @ W` and `dz.T @ h` are the same code.
"""

import functools
from typing import NamedTuple

import numpy as np

from minigrad.kernels import build, threads

BLOCK_K = 256  # so many rows of B at a time, or a tile's part of A would not stay in the L1 cache
BLOCK = threads.ROOM  # bytes of B that every tile goes through, out of the L2 cache


class Shape(NamedTuple):
    """What a CPU's registers have room for."""

    width: int  # bytes of a vector
    vectors: int  # vectors in a row of a panel
    rows: int  # of the largest tile
    wide: tuple[int, ...]  # panels side by side in a tile of 1, 2, ... rows: with one, its few sums would wait


def host_shape() -> Shape:
    features = set(build.CPU_FEATURES.split(","))
    if "+avx512f" in features:
        return Shape(64, 2, 12, (4, 4, 2))
    if features >= {"+avx2", "+fma"}:
        return Shape(32, 2, 6, (4, 2))
    return Shape(16, 2, 4, (4, 2))


SHAPE = host_shape()


def tile_text(rows: int, vectors: int, dtype: str, shape: Shape, pairs: bool = False) -> str:
    """A function of LLVM: C[rows, vectors * LANES] (+)= A[rows, K] @ B. Its sums are phi nodes: they stay in registers.

    All strides in bytes: B's next row is `below`, its next panel `beside`. pairs: an element of A and B is two numbers
    in bfloat16, one after the other along K (bfloat16.py).
    """
    size = np.dtype(dtype).itemsize
    lanes, element, vector, fused = vector_types(dtype, shape)
    prefetch = "void @llvm.prefetch.p0(ptr"
    each = [(i, j) for i in range(rows) for j in range(vectors)]
    panels = range((vectors + shape.vectors - 1) // shape.vectors)
    if pairs:
        fused = f"{vector} @llvm.x86.avx512bf16.dpbf16ps.512"
    half = f"<{2 * lanes} x bfloat>" if pairs else vector
    lines = [f"declare {fused}({vector}, {half}, {half})", f"declare {prefetch}, i32, i32, i32)"]
    for i in range(rows):
        lines += [
            f"%c{i}.skip = mul i64 %ldc, {i}",
            f"%c{i} = add i64 %c, %c{i}.skip",
            f"%a{i} = mul i64 %row_stride, {i}",
        ]
    lines += [f"%panel{p} = mul i64 %beside, {p}" for p in panels]
    for i, j in each:  # for writing, to all caches
        lines += pointer(f"c{i}.{j}", f"%c{i}", j * shape.width)
        lines += [*pointer(f"last{i}.{j}", f"%c{i}", (j + 1) * shape.width - size)]
        lines += [f"call {prefetch} %last{i}.{j}, i32 1, i32 3, i32 1)"]
    lines += ["br label %loop", "loop:"]
    for name, start in (("left", "K"), ("at_a", "a"), ("at_b", "b")):
        lines.append(f"%{name} = phi i64 [ %{start}, %entry ], [ %{name}.next, %step ]")
    lines += [f"%sum{i}.{j} = phi {vector} [ zeroinitializer, %entry ], [ %next{i}.{j}, %step ]" for i, j in each]
    lines += ["%more = icmp sgt i64 %left, 0", "br i1 %more, label %step, label %end", "step:"]
    for j in range(vectors):
        lines.append(f"%b{j} = add i64 %at_b, %panel{j // shape.vectors}")
        lines += pointer(f"b{j}.at", f"%b{j}", j % shape.vectors * shape.width)
        lines.append(f"%right{j} = load {half}, ptr %b{j}.at, align {size}")
    for i in range(rows):
        lines += [f"%a{i}.at = add i64 %at_a, %a{i}", *every_lane(f"left{i}", f"%a{i}.at", element, lanes)]
        if pairs:
            lines.append(f"%pair{i} = bitcast {vector} %left{i} to {half}")
        for j in range(vectors):
            given = f"{vector} %left{i}, {vector} %right{j}, {vector} %sum{i}.{j}"
            if pairs:
                given = f"{vector} %sum{i}.{j}, {half} %pair{i}, {half} %right{j}"
            lines.append(f"%next{i}.{j} = call {fused}({given})")
    lines += ["%left.next = sub i64 %left, 1", "%at_a.next = add i64 %at_a, %k_stride"]
    lines += ["%at_b.next = add i64 %at_b, %below", "br label %loop", "end:"]
    lines += ["%adds = icmp ne i64 %accumulate, 0", "br i1 %adds, label %add, label %put", "add:"]
    for i, j in each:
        lines.append(f"%old{i}.{j} = load {vector}, ptr %c{i}.{j}, align {size}")
        lines.append(f"%total{i}.{j} = fadd {vector} %old{i}.{j}, %sum{i}.{j}")
        lines.append(f"store {vector} %total{i}.{j}, ptr %c{i}.{j}, align {size}")
    lines += ["ret void", "put:"]
    lines += [f"store {vector} %sum{i}.{j}, ptr %c{i}.{j}, align {size}" for i, j in each]
    return in_llvm(f"tile_{rows}_{vectors}({ARGUMENTS})", "noinline", [*lines, "ret void"])


ARGUMENTS = "a, row_stride, k_stride, b, below, beside, K, c, ldc, accumulate"


def in_llvm(head: str, attribute: str, lines: list[str]) -> str:
    """A function of a kernel's text that is written in LLVM."""
    body = "\n".join(f"    {line}" for line in lines)
    return f'@llvm("{attribute}")\ndef {head}:\n    """\n{body}\n    """\n'


def vector_types(dtype: str, shape: Shape) -> tuple[int, str, str, str]:
    """Elements of a vector; LLVM's types of an element and of a vector; its function a * b + c of vectors."""
    size = np.dtype(dtype).itemsize
    lanes, element = shape.width // size, "float" if size == 4 else "double"
    return lanes, element, f"<{lanes} x {element}>", f"<{lanes} x {element}> @llvm.fmuladd.v{lanes}f{8 * size}"


def pointer(name: str, base: str, offset: int = 0) -> list[str]:
    """Lines that make of an address, a name, and a number of bytes the pointer %name."""
    return [f"%{name}.int = add i64 {base}, {offset}", f"%{name} = inttoptr i64 %{name}.int to ptr"]


def every_lane(name: str, address: str, element: str, lanes: int) -> list[str]:
    """Lines that make the vector %name of the number at an address."""
    vector = f"<{lanes} x {element}>"
    return [
        *pointer(f"{name}.at", address),
        f"%{name}.one = load {element}, ptr %{name}.at",
        f"%{name}.first = insertelement {vector} poison, {element} %{name}.one, i32 0",
        f"%{name} = shufflevector {vector} %{name}.first, {vector} poison, <{lanes} x i32> zeroinitializer",
    ]


def copy_text(name: str, element: str, lanes: int, size: int) -> str:
    """A function of LLVM: copy so many elements."""
    vector = f"<{lanes} x {element}>"
    lines = ["%from = inttoptr i64 %source to ptr", "%into = inttoptr i64 %to to ptr"]
    lines += [f"%x = load {vector}, ptr %from, align {size}", f"store {vector} %x, ptr %into, align {size}"]
    return in_llvm(f"{name}(to, source)", "alwaysinline", [*lines, "ret void"])


def transpose_text(dtype: str, shape: Shape) -> str:
    """A function of LLVM: column i of LANES x LANES elements at `source` becomes row i at `to`. Strides from row to
    row, in bytes."""
    size = np.dtype(dtype).itemsize
    lanes, _, vector, _ = vector_types(dtype, shape)
    lines, half = [], lanes // 2
    for i in range(lanes):
        lines += [f"%s{i}.skip = mul i64 %source_stride, {i}", f"%s{i} = add i64 %source, %s{i}.skip"]
        lines += [*pointer(f"s{i}.at", f"%s{i}"), f"%r0.{i} = load {vector}, ptr %s{i}.at, align {size}"]
    low = [lane for i in range(half) for lane in (i, lanes + i)]
    masks = [", ".join(f"i32 {lane + skip}" for lane in low) for skip in (0, half)]
    turns = half.bit_length()
    for turn in range(turns):  # as cards are shuffled: after log2(LANES) times all are where they belong
        for i in range(half):
            for k, mask in enumerate(masks):
                pair = f"{vector} %r{turn}.{i}, {vector} %r{turn}.{i + half}"
                lines.append(f"%r{turn + 1}.{2 * i + k} = shufflevector {pair}, <{lanes} x i32> <{mask}>")
    for i in range(lanes):
        lines += [f"%t{i}.skip = mul i64 %to_stride, {i}", f"%t{i} = add i64 %to, %t{i}.skip"]
        lines += [*pointer(f"t{i}.at", f"%t{i}"), f"store {vector} %r{turns}.{i}, ptr %t{i}.at, align {size}"]
    return in_llvm("transpose(to, to_stride, source, source_stride)", "alwaysinline", [*lines, "ret void"])


TILES = """
@njit
def tiles(a, row_stride, k_stride, M, b, below, beside, K, N, c, ldc, accumulate):
    count = (M + ROWS - 1) // ROWS  # of nearly equal height: 16 rows are 8 and 8
    for i in range(count):
        m = (M + count - 1 - i) // count if count > 1 else M
        panels = panels_beside(m){begin}
        n = 0
        while n < N:
            while panels > 1 and n + panels * PANEL > N:
                panels //= 2
            at = b + n // PANEL * beside
            if n + PANEL <= N:
                tile(m, panels * VECTORS, a, row_stride, k_stride, at, below, beside, K, c + n * SIZE, ldc, accumulate)
            else:
                edge(m, a, row_stride, k_stride, at, below, beside, K, N - n, c + n * SIZE, ldc, accumulate)
            n += panels * PANEL
        a += m * row_stride
        c += m * ldc


@njit
def edge(m, a, row_stride, k_stride, b, below, beside, K, N, c, ldc, accumulate):
    # Columns that fill no panel: nothing beside them is touched.
    buffer = stack({tile})
    if accumulate:
        for i in range(m):
            for j in range(N):
                store(buffer, i * PANEL + j, load(c + i * ldc, j, Float))
    vectors = 1 if N <= LANES else VECTORS
    tile(m, vectors, a, row_stride, k_stride, b, below, beside, K, buffer, PANEL * SIZE, accumulate)
    for i in range(m):
        for j in range(N):
            store(c + i * ldc, j, load(buffer, i * PANEL + j, Float))
"""

PACK = """
def pack(b, row_stride, n_stride, K, N, packed):
    pack_panels(b, row_stride, n_stride, K, N, packed)


@njit
def pack_panels(b, row_stride, n_stride, K, N, packed):
    whole = N // PANEL * PANEL if n_stride == 1 else 0
    for first in range(0, K, 8):  # so many rows go together along all panels
        for n in range(0, whole, PANEL):
            for k in range(first, min(first + 8, K)):
                for j in range(n, n + PANEL, LANES):
                    copy(packed + (n * K + k * PANEL + j - n) * SIZE, b + (k * row_stride + j) * SIZE)
    for n in range(whole, N, PANEL):
        pack_panel(b + n * n_stride * SIZE, row_stride, n_stride, K, min(PANEL, N - n), packed + n * K * SIZE)


@njit
def pack_panel(b, row_stride, n_stride, K, N, packed):
    done = N // LANES * LANES if row_stride == 1 else 0
    rest = K // LANES * LANES
    for n in range(0, done, LANES):
        for k in range(0, rest, LANES):
            transpose(packed + (k * PANEL + n) * SIZE, PANEL * SIZE, b + (k + n * n_stride) * SIZE, n_stride * SIZE)
        for k in range(rest, K):
            for j in range(n, n + LANES):
                store(packed, k * PANEL + j, load(b, k + j * n_stride, Float))
    if done < PANEL:
        for k in range(K):
            for j in range(done, N):
                store(packed, k * PANEL + j, load(b, k * row_stride + j * n_stride, Float))
            for j in range(N, PANEL):
                store(packed, k * PANEL + j, Float(0))
"""

PRODUCT = """
@njit
def block_product(a, row_stride, k_stride, M, b, below, beside, K, N, c, ldc, accumulate):
    # A block of A whose rows lie a multiple of a page apart falls on few lines of the cache: a copy of it is used.
    along_rows = row_stride == SIZE
    stride = k_stride if along_rows else row_stride
    aliased = stride % 4096 == 0 and N >= 4 * PANEL and (along_rows or k_stride == SIZE)
    buffer = stack({copied})
    ld = (HIGH if along_rows else BLOCK_K + PANEL) * SIZE
    row_to, k_to = (SIZE, ld) if along_rows else (ld, SIZE)
    blocks = max(1, (K + BLOCK_K - 1) // BLOCK_K)
    for row in range(0, M, HIGH):
        m = min(M - row, HIGH)
        at_c = c + row * ldc
        k = 0
        for block in range(blocks):
            depth = (K - k) // (blocks - block) if blocks > 1 else K
            at_a, at_b, add = a + row * row_stride + k * k_stride, b + k * below, accumulate or block
            if aliased:
                lines, length = (depth, m) if along_rows else (m, depth)
                for i in range(lines):
                    copy_line(buffer + i * ld, at_a + i * stride, length)
                tiles(buffer, row_to, k_to, m, at_b, below, beside, depth, N, at_c, ldc, add)
            else:
                tiles(at_a, row_stride, k_stride, m, at_b, below, beside, depth, N, at_c, ldc, add)
            k += depth


@njit
def copy_line(to, source, n):
    whole = n // LANES * LANES
    for i in range(0, whole, LANES):
        copy(to + i * SIZE, source + i * SIZE)
    for i in range(whole, n):
        store(to, i, load(source, i, Float))


def product(a, row_stride, k_stride, M, packed, K, N, c, ldc, accumulate):
    row_stride, k_stride, ldc = row_stride * SIZE, k_stride * SIZE, ldc * SIZE
    wide = widest(N)
    deep = BLOCK_B // wide if K > BLOCK_K else BLOCK_K
    for n in range(0, N, wide):
        for k in range(0, max(K, 1), deep):
            block_product(
                a + k * k_stride, row_stride, k_stride, M, packed + (n * K + k * PANEL) * SIZE, PANEL * SIZE,
                K * PANEL * SIZE, min(deep, K - k), min(wide, N - n), c + n * SIZE, ldc, accumulate or k
            )


@njit
def widest(N):
    return max(PANEL, min(BLOCK_B // BLOCK_K, (N + PANEL - 1) // PANEL * PANEL))


@njit
def matmul(a, row_stride, k_stride, M, b, b_row_stride, n_stride, K, N, c, ldc, packed):
    row_stride, k_stride, ldc = row_stride * SIZE, k_stride * SIZE, ldc * SIZE
    wide = widest(N)
    deep = BLOCK_B // wide if K > BLOCK_K else BLOCK_K
    for n in range(0, N, wide):
        for k in range(0, max(K, 1), deep):
            depth, width = min(deep, K - k), min(wide, N - n)
            at_a, at_b, at_c = a + k * k_stride, b + (k * b_row_stride + n * n_stride) * SIZE, c + n * SIZE
            if n_stride == 1 and M <= 2 * ROWS:  # B is used once or twice: it is read where it lies
                whole = width // PANEL * PANEL
                block_product(at_a, row_stride, k_stride, M, at_b, b_row_stride * SIZE, PANEL * SIZE, depth, whole,
                              at_c, ldc, k)
                at_b, at_c, width = at_b + whole * SIZE, at_c + whole * SIZE, width - whole
            pack_panels(at_b, b_row_stride, n_stride, depth, width, packed)
            block_product(at_a, row_stride, k_stride, M, packed, PANEL * SIZE, depth * PANEL * SIZE, depth, width,
                          at_c, ldc, k)


def piece(numbers, _, packed):
    matmul({numbers}, packed)
"""


def panels_of(shape: Shape) -> dict[int, int]:
    """The panels side by side in a tile, by its rows."""
    return {m: shape.wide[m - 1] if m <= len(shape.wide) else 1 for m in range(1, shape.rows + 1)}


def choice(shape: Shape, tiles: list[tuple[int, int]], height: str = "m", begin: str = "") -> str:
    """The text of `tile`, which of the tiles (rows, vectors) it is, and of `tiles`, which covers a product with them.
    height: the rows of the tile that is for m rows. begin: what is done before the tiles of m rows."""
    lines = ["@njit", f"def tile(m, vectors, {ARGUMENTS}):", f"    which = 16 * {height} + vectors"]
    for m, v in tiles:
        lines += [f"    if which == {16 * m + v}:", f"        tile_{m}_{v}({ARGUMENTS})", "        return"]
    lines += ["@njit", "def panels_beside(m):"]
    lines += [f"    if m == {m}:\n        return {p}" for m, p in panels_of(shape).items() if p > 1]
    tile = str(shape.rows * shape.vectors * shape.width)
    return "\n".join(
        [*lines, "    return 1", TILES.replace("{begin}", begin and f"\n        {begin}").replace("{tile}", tile)]
    )


def tiles_of(shape: Shape) -> list[tuple[int, int]]:
    """(rows, vectors) of each tile."""
    panels = panels_of(shape)
    return [(m, v) for m in panels for v in (1, *(shape.vectors * p for p in (1, 2, 4) if p <= panels[m]))]


NUMBERS = ", ".join([f"load_any(numbers, {k}, np.int64)" for k in range(11)])  # of a piece


@functools.cache
def source(dtype: str, shape: Shape) -> str:
    """Text of the kernels for a type and a CPU: its numbers, the tiles and the choice between them, what is above."""
    size = np.dtype(dtype).itemsize
    width, vectors, rows, _ = shape
    tiles = tiles_of(shape)
    copied = 4 * rows * (BLOCK_K + vectors * width // size) * size
    return "\n".join([
        f"Float = np.{dtype}",
        f"SIZE, LANES, VECTORS, ROWS, HIGH = {size}, {width // size}, {vectors}, {rows}, {4 * rows}",
        f"PANEL, BLOCK_K, BLOCK_B = {vectors * width // size}, {BLOCK_K}, {BLOCK // size}",
        *[tile_text(m, v, dtype, shape) for m, v in tiles],
        copy_text("copy", vector_types(dtype, shape)[1], width // size, size),
        transpose_text(dtype, shape),
        choice(shape, tiles),
        PACK,
        PRODUCT.replace("{numbers}", NUMBERS).replace("{copied}", str(copied)),
    ])  # fmt: skip
