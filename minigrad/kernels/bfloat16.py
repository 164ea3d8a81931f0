"""The text of the kernels of C (+)= A @ B with A and B rounded to bfloat16, the upper half of a float32.

Sums are float32. A word is two numbers that follow each other along K. B is packed in panels of 32 columns, of words; a
block of A is rounded before its tiles, row by row. Sums stay in registers (AVX512-BF16: 12 rows of two vectors, as
tiles.py has it for float32, two terms at once) or in the tiles of AMX (32 rows by 32 columns, or 16 by 64, 32 terms at
once).

These CPUs take numbers below 1.2e-38 for zeros, in operands and in sums.
"""

import ctypes
import functools
import sys

import numpy as np

from minigrad.kernels import build
from minigrad.kernels.tiles import (
    ARGUMENTS,
    BLOCK,
    NUMBERS,
    Shape,
    choice,
    in_llvm,
    pointer,
    tile_text,
    tiles_of,
    transpose_text,
)

VECTORS = Shape(64, 2, 12, (4, 4, 2))
TILES = Shape(64, 2, 32, (2,) * 16)
DEEP = 128  # words of a block of A, which is to stay in the L1 cache
LEAST = np.finfo(np.float32).tiny


@functools.cache
def host_shape() -> Shape | None:
    """What this CPU multiplies bfloat16 with; None if with nothing."""
    features = set(build.CPU_FEATURES.split(","))
    if "+avx512bf16" not in features:
        return None
    return TILES if {"+amx-bf16", "+amx-tile"} <= features and may_use_tiles() else VECTORS


def may_use_tiles() -> bool:
    """Ask the system for the registers of AMX, which it gives to who asks."""
    if not sys.platform.startswith("linux"):
        return False
    arch_prctl, ask, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(ctypes.c_long(arch_prctl), ctypes.c_long(ask), ctypes.c_long(tile_data)) == 0


def rounded(x: np.ndarray) -> np.ndarray:
    """x, of floats, with its numbers rounded to bfloat16: to the nearest, to the even one of two."""
    if x.dtype != np.float32:
        return rounded(x.astype(np.float32)).astype(x.dtype)
    bits = x.view(np.uint32)
    upper = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) & np.uint32(0xFFFF0000)
    upper = np.where(np.isnan(x), bits | np.uint32(0x400000), upper) & np.uint32(0xFFFF0000)
    return np.where(np.abs(x) < LEAST, np.copysign(np.float32(0), x), upper.view(np.float32))


def amx_text(rows: int, vectors: int) -> str:
    """A tile as tile_text has it, of 16 rows by up to 64 columns or of 32 by up to 32. The registers 0 to 3 are sums, 4
    and 5 of A, the last ones of B; `configure` has said how many rows they have."""
    groups, of_b = (1, 5) if rows <= 16 else (2, 6)
    sums = [(i, j, i * 2 + j) for i in range(groups) for j in range(vectors)]
    kinds = {"tilezero": "i8", "tileloadd64": "i8, ptr, i64", "tilestored64": "i8, ptr, i64", "tdpbf16ps": "i8, i8, i8"}
    lines = [f"declare void @llvm.x86.{name}({kind})" for name, kind in kinds.items()]
    for i, j, n in sums:
        lines += [f"%c{n}.skip = mul i64 %ldc, {16 * i}", f"%c{n} = add i64 %c, %c{n}.skip"]
        lines += pointer(f"c{n}.at", f"%c{n}", 64 * j)
    lines += ["%adds = icmp ne i64 %accumulate, 0", "br i1 %adds, label %add, label %clear", "add:"]
    lines += [f"call void @llvm.x86.tileloadd64(i8 {n}, ptr %c{n}.at, i64 %ldc)" for *_, n in sums]
    lines += ["br label %loop", "clear:"]
    lines += [f"call void @llvm.x86.tilezero(i8 {n})" for *_, n in sums]
    lines += ["br label %loop", "loop:"]
    for name, start in (("left", "K"), ("at_a", "a"), ("at_b", "b")):
        lines.append(f"%{name} = phi i64 [ %{start}, %add ], [ %{start}, %clear ], [ %{name}.next, %step ]")
    lines += ["%more = icmp sgt i64 %left, 0", "br i1 %more, label %step, label %end", "step:"]
    for i in range(groups):
        lines += [f"%a{i}.skip = mul i64 %row_stride, {16 * i}", f"%a{i} = add i64 %at_a, %a{i}.skip"]
        lines += pointer(f"a{i}.at", f"%a{i}")
        lines.append(f"call void @llvm.x86.tileloadd64(i8 {4 + i}, ptr %a{i}.at, i64 %row_stride)")
    for j in range(vectors):
        b = of_b + j % (8 - of_b)
        lines += [f"%panel{j} = mul i64 %beside, {j // 2}", f"%b{j} = add i64 %at_b, %panel{j}"]
        lines += pointer(f"b{j}.at", f"%b{j}", 64 * (j % 2))
        lines.append(f"call void @llvm.x86.tileloadd64(i8 {b}, ptr %b{j}.at, i64 %below)")
        lines += [f"call void @llvm.x86.tdpbf16ps(i8 {i * 2 + j}, i8 {4 + i}, i8 {b})" for i in range(groups)]
    lines += ["%left.next = sub i64 %left, 16", "%at_a.next = add i64 %at_a, 64", "%b.skip = mul i64 %below, 16"]
    lines += ["%at_b.next = add i64 %at_b, %b.skip", "br label %loop", "end:"]
    lines += [f"call void @llvm.x86.tilestored64(i8 {n}, ptr %c{n}.at, i64 %ldc)" for *_, n in sums]
    return in_llvm(f"tile_{rows}_{vectors}({ARGUMENTS})", "noinline", [*lines, "ret void"])


CONFIGURE = """
@njit
def configure(m):
    # How many rows each register has: 16 or what there is; all have 64 bytes a row.
    first, second = min(m, 16), max(1, m - 16)
    third, sixth = first if m <= 16 else second, 16 if m <= 16 else second
    places = stack(64)
    for k in range(8):
        store_any(places, k, 0)
    store_any(places, 0, 1)
    store_any(places, 2, 0x0040004000400040)
    store_any(places, 3, 0x0040004000400040)
    store_any(places, 6, first * 0x0000000100000101 + third * 0x01010000 + sixth * (1 << 40) + (0x1010 << 48))
    load_configuration(places)
"""

PRODUCT = """
@njit
def words_of(K):
    return (K + 2 * UNIT - 1) // (2 * UNIT) * UNIT


@njit
def round_rows(to, ld, a, row_stride, k_stride, m, K, words):
    # Row i of A at to + i * ld, with zeros up to so many words.
    whole, high = 0, 0
    if k_stride == 4:
        whole, high = K // 32 * 32, m
        for i in range(m):
            for k in range(0, whole, 32):
                round_line(to + i * ld + 2 * k, a + i * row_stride + 4 * k)
    elif row_stride == 4:
        whole, high = K // 32 * 32, m // 16 * 16
        turned = stack(1024)
        for i in range(0, high, 16):
            for k in range(0, whole, 32):
                for j in range(16):
                    round_two(turned + 64 * j, a + 4 * i + (k + 2 * j) * k_stride, k_stride)
                transpose(to + i * ld + 2 * k, ld, turned, 64)
    for i in range(m):
        for k in range(whole if i < high else 0, 2 * words):
            if k < K:
                round_one(to + i * ld + 2 * k, a + i * row_stride + k * k_stride)
            else:
                zero_one(to + i * ld + 2 * k)


@njit
def round_panel(to, b, row_stride, n_stride, K, N, words):
    # N columns of B, at most 32, as a panel of so many words, with zeros beside and below.
    whole, wide = 0, 0
    if n_stride == 4:
        whole, wide = K // 2 * 2, N // 16 * 16
        for k in range(0, whole, 2):
            for n in range(0, wide, 16):
                round_two(to + 64 * k + 4 * n, b + k * row_stride + 4 * n, row_stride)
    elif row_stride == 4:
        whole, wide = K // 32 * 32, N // 16 * 16
        turned = stack(1024)
        for n in range(0, wide, 16):
            for k in range(0, whole, 32):
                for j in range(16):
                    round_line(turned + 64 * j, b + 4 * k + (n + j) * n_stride)
                transpose(to + 64 * k + 4 * n, 128, turned, 64)
    for n in range(PANEL):
        for k in range(whole if n < wide else 0, 2 * words):
            at = to + k // 2 * 128 + 4 * n + k % 2 * 2
            if k < K and n < N:
                round_one(at, b + k * row_stride + n * n_stride)
            else:
                zero_one(at)


@njit
def pack_panels(b, row_stride, n_stride, K, N, words, packed):
    # So many rows go together along all panels.
    for k in range(0, words, 16):
        rows, deep = max(0, min(32, K - 2 * k)), min(16, words - k)
        for n in range(0, N, PANEL):
            round_panel(packed + (n * words + k * PANEL) * 4, b + 2 * k * row_stride + n * n_stride, row_stride,
                        n_stride, rows, min(PANEL, N - n), deep)


def pack(b, row_stride, n_stride, K, N, packed):
    pack_panels(b, row_stride * 4, n_stride * 4, K, N, words_of(K), packed)


@njit
def block_product(a, row_stride, k_stride, M, b, below, beside, K, words, N, c, ldc, accumulate):
    buffer = stack({rounded})
    ld = 4 * (BLOCK_K + 16)
    for row in range(0, M, HIGH):
        m = min(M - row, HIGH)
        for k in range(0, max(words, 1), BLOCK_K):
            deep = min(BLOCK_K, words - k)
            round_rows(buffer, ld, a + row * row_stride + 2 * k * k_stride, row_stride, k_stride, m,
                       min(2 * deep, K - 2 * k), deep)
            tiles(buffer, ld, 4, m, b + k * below, below, beside, deep, N, c + row * ldc, ldc, accumulate or k)


@njit
def widest(N):
    return max(PANEL, min(BLOCK_B // BLOCK_K, (N + PANEL - 1) // PANEL * PANEL))


@njit
def deepest(words, wide):
    return BLOCK_B // wide // UNIT * UNIT if words > BLOCK_K else BLOCK_K


def product(a, row_stride, k_stride, M, packed, K, N, c, ldc, accumulate):
    row_stride, k_stride, ldc, words, wide = row_stride * 4, k_stride * 4, ldc * 4, words_of(K), widest(N)
    deep = deepest(words, wide)
    for n in range(0, N, wide):
        for k in range(0, max(words, 1), deep):
            depth = min(deep, words - k)
            block_product(
                a + 2 * k * k_stride, row_stride, k_stride, M, packed + (n * words + k * PANEL) * 4, PANEL * 4,
                words * PANEL * 4, min(2 * depth, K - 2 * k), depth, min(wide, N - n), c + n * 4, ldc, accumulate or k
            )
    {end}


def piece(numbers, _, room):
    piece_of({numbers}, room)
    {end}


@njit
def piece_of(a, row_stride, k_stride, M, b, b_row_stride, n_stride, K, N, c, ldc, packed):
    row_stride, k_stride, ldc, words, wide = row_stride * 4, k_stride * 4, ldc * 4, words_of(K), widest(N)
    b_row_stride, n_stride, deep = b_row_stride * 4, n_stride * 4, deepest(words, wide)
    for n in range(0, N, wide):
        for k in range(0, max(words, 1), deep):
            depth, width = min(deep, words - k), min(wide, N - n)
            rows = min(2 * depth, K - 2 * k)
            pack_panels(b + 2 * k * b_row_stride + n * n_stride, b_row_stride, n_stride, rows, width, depth, packed)
            block_product(a + 2 * k * k_stride, row_stride, k_stride, M, packed, PANEL * 4, depth * PANEL * 4, rows,
                          depth, width, c + n * 4, ldc, k)
"""


def rounding() -> list[str]:
    """Functions of LLVM that round 32 numbers that lie one after another; 16 of one row and 16 of the next, in turn;
    one; and that put a zero."""

    def load(name: str, address: str) -> list[str]:
        return [*pointer(f"{name}.at", address), f"%{name} = load <16 x float>, ptr %{name}.at, align 4",
                f"%{name}.half = fptrunc <16 x float> %{name} to <16 x bfloat>"]  # fmt: skip

    def both(second: str, order: list[int]) -> list[str]:
        mask = ", ".join([f"i32 {k}" for k in order])
        return [
            *load("low", "%source"), *second, *load("high", "%next"), *pointer("to.at", "%to"),
            f"%pairs = shufflevector <16 x bfloat> %low.half, <16 x bfloat> %high.half, <32 x i32> <{mask}>",
            "store <32 x bfloat> %pairs, ptr %to.at, align 2", "ret void",
        ]  # fmt: skip

    one = [
        *pointer("from.at", "%source"),
        "%x = load float, ptr %from.at, align 4",
        "%half = fptrunc float %x to bfloat",
    ]
    put = [*pointer("to.at", "%to"), "store bfloat %half, ptr %to.at, align 2", "ret void"]
    zero = [put[0], put[1], "store i16 0, ptr %to.at, align 2", "ret void"]
    turns = [n for k in range(16) for n in (k, 16 + k)]
    return [
        in_llvm("round_line(to, source)", "alwaysinline", both(["%next = add i64 %source, 64"], list(range(32)))),
        in_llvm("round_two(to, source, stride)", "alwaysinline", both(["%next = add i64 %source, %stride"], turns)),
        in_llvm("round_one(to, source)", "alwaysinline", [*one, *put]),
        in_llvm("zero_one(to)", "alwaysinline", zero),
    ]


def registers() -> list[str]:
    """Functions of LLVM that say what the registers of AMX are, and that give them back."""
    load, release = "void @llvm.x86.ldtilecfg(ptr", "void @llvm.x86.tilerelease("
    lines = [f"declare {load})", *pointer("at", "%places"), f"call {load} %at)", "ret void"]
    return [
        in_llvm("load_configuration(places)", "noinline", lines),
        in_llvm("release(_)", "noinline", [f"declare {release})", f"call {release})", "ret void"]),
    ]


@functools.cache
def source(shape: Shape) -> str:
    """Text of the kernels: pack, product and piece, as matmul.addresses has them, of float32 arrays."""
    amx = shape.rows == TILES.rows
    width, vectors, rows, _ = shape
    high, unit = (64, 16) if amx else (4 * rows, 1)
    if amx:
        tiles = [(16, 1), (16, 2), (16, 4), (32, 1), (32, 2)]
        texts = [*[amx_text(m, v) for m, v in tiles], *registers(), CONFIGURE]
        chosen = choice(shape, tiles, "(16 if m <= 16 else 32)", "configure(m)")
    else:
        tiles = tiles_of(shape)
        texts, chosen = [tile_text(m, v, "float32", shape, pairs=True) for m, v in tiles], choice(shape, tiles)
    product = PRODUCT.replace("{numbers}", NUMBERS).replace("{rounded}", str(high * 4 * (DEEP + 16)))
    return "\n".join([
        "Float = np.float32",
        f"SIZE, LANES, VECTORS, ROWS, HIGH, UNIT = 4, {width // 4}, {vectors}, {rows}, {high}, {unit}",
        f"PANEL, BLOCK_K, BLOCK_B = {vectors * width // 4}, {DEEP}, {BLOCK // 4}",
        *texts,
        *rounding(),
        transpose_text("float32", shape),
        chosen,
        product.replace("{end}", "release(0)" if amx else ""),
    ])  # fmt: skip
