"""Direct convolution of images (N, channels, rows, columns), stride 1, and its gradient with respect to the weight.

Both are sums over k of A[r, k] B[k, pixel], a tile of which one microkernel keeps in registers: A's numbers are spread
over all lanes, B's come a vector at a time. For y, A is the weight, packed so that the numbers of a tile lie in the
order in which they are read, and B the padded image as it lies: what kernel element (a, b) sees of a row of pixels is
a row of pixels, so nothing is unfolded. For the weight's gradient, A is the image and B the cotangent, channels last: k
runs over the pixels.
"""

import ctypes
import functools
from typing import NamedTuple

import numpy as np

from minigrad.kernels import build, matmul, threads
from minigrad.kernels.entry import FLOATS, in_order, refuse
from minigrad.kernels.sums import add_reduce
from minigrad.kernels.tiles import SHAPE, Shape, copy_text, every_lane, in_llvm, pointer, vector_types

ARGUMENTS = "a, row_stride, step, a_jump, N, table, T, places, b_jump, ldc, accumulate"


def tile_text(rows: int, vectors: int, dtype: str, shape: Shape) -> str:
    """A function of LLVM: C[r, v] (+)= sum over n < N and t < T of A[r, n, t] B[v, n, t]: scalars of A, vectors of B.

    A[r, n, t] lies at a + r row_stride + (n T + t) step + n a_jump, B[v, n, t] at places[v] + table[t] + n b_jump,
    C[r, v] at places[vectors + v] + r ldc. All strides and the table in bytes. The sums are phi nodes, so that they
    stay in registers.
    """
    size = np.dtype(dtype).itemsize
    lanes, element, vector, fused = vector_types(dtype, shape)
    prefetch = "void @llvm.prefetch.p0(ptr"
    each = [f"{i}.{j}" for i in range(rows) for j in range(vectors)]
    lines = [f"declare {fused}({vector}, {vector}, {vector})", f"declare {prefetch}, i32, i32, i32)"]
    for i in range(rows):
        lines += [f"%a{i} = mul i64 %row_stride, {i}", f"%c{i} = mul i64 %ldc, {i}"]
    for j in range(vectors):
        for name, k in (("start", j), ("result", vectors + j)):
            lines += [*pointer(f"{name}{j}.at", "%places", 8 * k), f"%{name}{j} = load i64, ptr %{name}{j}.at"]
        for i in range(rows):
            lines += [f"%to{i}.{j}.int = add i64 %result{j}, %c{i}", f"%to{i}.{j} = inttoptr i64 %to{i}.{j}.int to ptr"]
    lines += ["%ahead = mul i64 %step, 32", "%adds = icmp ne i64 %accumulate, 0"]
    lines += ["br i1 %adds, label %keep, label %outer", "keep:"]
    lines += [f"%old{ij} = load {vector}, ptr %to{ij}, align {size}" for ij in each]
    lines += ["br label %outer", "outer:"]

    def phi(name, kind, start, kept, after):
        lines.append(f"%{name} = phi {kind} [ {start}, %entry ], [ {kept}, %keep ], [ {after}, %last ]")

    phi("n", "i64", "%N", "%N", "%n.next")
    phi("at_a", "i64", "%a", "%a", "%at_a.next")
    for j in range(vectors):
        phi(f"at_b{j}", "i64", f"%start{j}", f"%start{j}", f"%at_b{j}.next")
    for ij in each:
        phi(f"sum{ij}", vector, "zeroinitializer", f"%old{ij}", f"%next{ij}")
    lines += ["%more = icmp sgt i64 %n, 0", "br i1 %more, label %first, label %end"]
    lines += ["first:", "br label %body", "body:"]
    inner = [("t", "i64", "%T"), ("row", "i64", "%table"), ("at", "i64", "%at_a")]
    for name, kind, start in [*inner, *[(f"term{ij}", vector, f"%sum{ij}") for ij in each]]:
        after = name.replace("term", "next") if kind == vector else f"{name}.next"
        lines.append(f"%{name} = phi {kind} [ {start}, %first ], [ %{after}, %body ]")
    lines += ["%row.at = inttoptr i64 %row to ptr", "%offset = load i64, ptr %row.at"]
    for j in range(vectors):
        lines += [f"%b{j}.int = add i64 %at_b{j}, %offset", f"%b{j} = inttoptr i64 %b{j}.int to ptr"]
        lines.append(f"%right{j} = load {vector}, ptr %b{j}, align {size}")
    lines += ["%far.int = add i64 %at, %ahead", "%far = inttoptr i64 %far.int to ptr"]
    lines.append(f"call {prefetch} %far, i32 0, i32 3, i32 1)")  # read, keep, data
    for i in range(rows):
        lines += [f"%a{i}.at = add i64 %at, %a{i}", *every_lane(f"left{i}", f"%a{i}.at", element, lanes)]
        lines += [
            f"%next{i}.{j} = call {fused}({vector} %left{i}, {vector} %right{j}, {vector} %term{i}.{j})"
            for j in range(vectors)
        ]
    lines += ["%t.next = sub i64 %t, 1", "%row.next = add i64 %row, 8", "%at.next = add i64 %at, %step"]
    lines += ["%on = icmp sgt i64 %t.next, 0", "br i1 %on, label %body, label %last", "last:"]
    lines += ["%n.next = sub i64 %n, 1", "%at_a.next = add i64 %at.next, %a_jump"]
    lines += [f"%at_b{j}.next = add i64 %at_b{j}, %b_jump" for j in range(vectors)]
    lines += ["br label %outer", "end:"]
    lines += [f"store {vector} %sum{ij}, ptr %to{ij}, align {size}" for ij in each]
    return in_llvm(f"tile_{rows}_{vectors}({ARGUMENTS})", "noinline", [*lines, "ret void"])


HELPERS = """
@njit
def copy(to, source, n):
    # The last vector overlaps the one before.
    if n >= LANES:
        for i in range(0, n - LANES, LANES):
            move(to + i * SIZE, source + i * SIZE)
        move(to + (n - LANES) * SIZE, source + (n - LANES) * SIZE)
    elif n >= LANES // 2:
        move_half(to, source)
        move_half(to + (n - LANES // 2) * SIZE, source + (n - LANES // 2) * SIZE)
    else:
        for i in range(n):
            store(to, i, load(source, i, Float))


@njit
def pad(x, I, H, W, top, left, to, rows, columns, seen):
    # Into zeros: image rows `columns` apart, of which the kernel sees `seen`, those of the next row among them.
    first, start = max(0, top), max(0, left)
    count = min(seen, left + W) - start
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
    rows, seen = OH + kh - 1, OW + kw - 1
    columns = max(min(left + W, seen), seen - max(0, left), OW)  # the zeros after a row are those before the next
    for a in range(kh):
        for b in range(kw):
            store(workspace, a * kw + b, (a * columns + b) * SIZE)
    image = workspace + (kh * kw * 8 + 63) // 64 * 64
    # Vectors lie in rows of the image; or, where that wastes lanes, anywhere in one line that all rows make up.
    line = (OH - 1) * columns + OW
    in_line = (line + LANES - 1) // LANES
    in_rows = (OW + LANES - 1) // LANES * OH
    terms = I * kh * kw
    flat = OW < LANES or columns == OW or 8 * in_line < 7 * in_rows
    scattered = flat and (columns > OW or line < LANES)
    size = I * rows * columns + LANES + kw
    buffer = image + size * SIZE
    padded = not (top == 0 and left == 0 and rows == H and seen == W and (line >= LANES or not flat))
    if padded:
        clear(image, size)
    for n in range(samples):
        source = x + n * x_stride * SIZE
        if padded:
            pad(source, I, H, W, top, left, image, rows, columns, seen)
            source = image
        to, weight, left_over = y + n * y_stride * SIZE, packed, O
        end = to + O * OH * OW * SIZE
        tiles = (O + ROWS - 1) // ROWS
        while tiles > 0:
            m = (left_over + tiles - 1) // tiles
            if scattered:
                room = max(line, LANES)
                tiles_of(m, source, I, rows, columns, 0, rows, weight, workspace, kh, kw, 1, room, buffer, room)
                for r in range(m):
                    for p in range(OH):
                        at = to + (r * OH + p) * OW * SIZE
                        if OW < LANES and at + LANES * SIZE <= end:  # what is too much is overwritten later
                            move(at, buffer + (r * room + p * columns) * SIZE)
                        else:
                            copy(at, buffer + (r * room + p * columns) * SIZE, OW)
            elif flat:
                tiles_of(m, source, I, rows, columns, 0, rows, weight, workspace, kh, kw, 1, line, to, line)
            else:
                tiles_of(m, source, I, rows, columns, top, H, weight, workspace, kh, kw, OH, OW, to, OH * OW)
            weight += m * terms * SIZE
            to += m * OH * OW * SIZE
            left_over -= m
            tiles -= 1


@njit
def tiles_of(m, x, I, rows, columns, top, H, packed, table, kh, kw, lines, length, y, y_stride):
    places = stack(64)
    each = (length + LANES - 1) // LANES
    p = 0
    while p < lines:
        # kernel rows that see a row of the image: zeros above and below need no sums
        first, last = max(0, top - p), min(kh, top + H - p)
        end = max(p + 1, min(lines, top + H - kh + 1)) if first == 0 else p + 1
        q, total = 0, (end - p) * each
        while total > 0:
            vectors = vectors_of(m, total)
            for j in range(vectors):
                at = min(q, length - LANES)
                store(places, j, x + (p * columns + at) * SIZE)
                store(places, vectors + j, y + (p * length + at) * SIZE)
                q += LANES
                if q >= length:
                    p, q = p + 1, 0
            tile(m, vectors, packed + first * kw * m * SIZE, SIZE, m * SIZE, (kh - last + first) * kw * m * SIZE,
                 I if last > first else 0, table + first * kw * 8, (last - first) * kw, places,
                 rows * columns * SIZE, y_stride * SIZE, 0)
            total -= vectors


def weight(x, samples, I, H, W, x_stride, g, O, OH, OW, g_stride, kh, kw, top, left, sums, workspace, pack_panels):
    for q in range(OW):
        store(workspace, q, q * PANEL * SIZE)
    image = workspace + (OW * 8 + 63) // 64 * 64
    rows, columns = OH + kh - 1, OW + kw - 1
    few = I < kw  # then a tile's rows are not channels but kernel columns: in a padded image all see OW columns
    size = I * rows * columns if few else 0
    clear(image, size)
    panels = image + (size * SIZE + 63) // 64 * 64
    plane = kh * kw * LANES * SIZE
    for n in range(samples):
        source = x + n * x_stride * SIZE
        call(pack_panels, g + n * g_stride * SIZE, 1, OH * OW, OH * OW, O, panels)
        if few:
            pad(source, I, H, W, top, left, image, rows, columns, columns)
        for v in range(0, (O + LANES - 1) // LANES, 2):
            vectors = min(2, (O + LANES - 1) // LANES - v)
            for a in range(kh):
                to = sums + v * I * plane + a * kw * LANES * SIZE
                if few:
                    for i in range(I):
                        at = image + (i * rows + a) * columns * SIZE
                        pixels(kw, at, SIZE, columns, panels, OH, OW, v, vectors, 0, OH, 0, OW, workspace,
                               to + i * plane, I * plane, LANES * SIZE, n)
                else:
                    p, bottom = max(0, top - a), min(OH, H + top - a)
                    for b in range(kw):
                        q, right = max(0, left - b), min(OW, W + left - b)
                        at = source + ((p + a - top) * W + q + b - left) * SIZE
                        pixels(I, at, H * W * SIZE, W, panels, OH, OW, v, vectors, p, bottom, q, right, workspace,
                               to + b * LANES * SIZE, I * plane, plane, n)


@njit
def pixels(left_over, at, row_stride, columns, panels, OH, OW, v, vectors, top, bottom, left, right, table, to, beside,
           ldc, accumulate):
    places = stack(64)
    across = right - left
    count = bottom - top if across > 0 else 0
    tiles = (left_over + ROWS - 1) // ROWS
    while tiles > 0:
        m = (left_over + tiles - 1) // tiles
        for j in range(vectors):
            panel, lane = (v + j) * LANES // PANEL, (v + j) * LANES % PANEL
            store(places, j, panels + (((panel * OH + top) * OW + left) * PANEL + lane) * SIZE)
            store(places, vectors + j, to + j * beside)
        tile(m, vectors, at, row_stride, SIZE, (columns - across) * SIZE, count, table, across, places,
             OW * PANEL * SIZE, ldc, accumulate)
        at += m * row_stride
        to += m * ldc
        left_over -= m
        tiles -= 1


def unpack(sums, O, terms, w):
    for first in range(0, O, LANES):
        for k in range(terms):
            for lane in range(min(LANES, O - first)):
                store(w, (first + lane) * terms + k, load(sums, (first * terms + k * LANES) + lane, Float))
"""


@functools.cache
def source(dtype: str, shape: Shape) -> str:
    size = np.dtype(dtype).itemsize
    lanes = shape.width // size
    constants = f"""
Float = np.{dtype}
SIZE, LANES, ROWS, PANEL = {size}, {lanes}, {shape.rows}, {shape.vectors * lanes}
"""
    few = max(2, shape.rows // 4)  # rows that leave registers for four vectors
    tiles = [(m, v) for m in range(1, shape.rows + 1) for v in ((1, 2, 4) if m <= few else (1, 2))]
    lines = [tile_text(m, v, dtype, shape) for m, v in tiles]
    element = vector_types(dtype, shape)[1]
    for name, n in (("move", lanes), ("move_half", lanes // 2)):
        lines.append(copy_text(name, element, n, size))
    lines += ["@njit", "def vectors_of(m, left):", f"    if m <= {few} and left >= 4: return 4"]
    lines += ["    return min(left, 2)", "@njit", f"def tile(m, v, {ARGUMENTS}):"]
    for m, v in reversed(tiles):
        lines += [f"    if m == {m} and v == {v}:", f"        tile_{m}_{v}({ARGUMENTS})", "        return"]
    return "\n".join([constants, *lines, HELPERS, CONV])


class Addresses(NamedTuple):
    pack: int
    conv: int
    weight: int
    unpack: int


COUNTS = Addresses(pack=10, conv=17, weight=18, unpack=4)


@functools.cache
def addresses(dtype: np.dtype, shape: Shape = SHAPE) -> Addresses:
    """C functions, for generated kernels too. They take int64: addresses, sizes, and strides in elements.

    pack(w, o_stride, i_stride, h_stride, w_stride, O, I, kh, kw, packed): a weight as `conv` reads it.
    conv(x, samples, I, H, W, x_sample_stride, packed, O, kh, kw, top, left, OH, OW, y, y_sample_stride, workspace):
    y[n, o, p, q] = sum of x[n, i, p + a - top, q + b - left] w[o, i, a, b], zeros outside of x; a sample is contiguous.
    weight(x, samples, I, H, W, x_sample_stride, g, O, OH, OW, g_sample_stride, kh, kw, top, left, sums, workspace,
    matmul's pack): the gradient with respect to w, of which g is y's cotangent, LANES output channels side by side;
    unpack(sums, O, I kh kw, w) puts them in their places.
    """
    text = source(np.dtype(dtype).name, shape)
    types = [", ".join(["intp"] * count) for count in COUNTS]
    return Addresses(*build.addresses(text, dict(zip(Addresses._fields, types))))


@functools.cache
def _compiled(dtype: np.dtype, shape: Shape) -> Addresses:
    prototypes = [ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * count) for count in COUNTS]
    return Addresses(*[prototype(address) for prototype, address in zip(prototypes, addresses(dtype, shape))])


def aligned(size: int, dtype) -> np.ndarray:
    """Uninitialised, on a cache line."""
    nbytes = size * np.dtype(dtype).itemsize
    memory, _ = _room(nbytes)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes].view(dtype)


def _room(nbytes: int) -> tuple[np.ndarray, int]:
    """Memory, and the address of a cache line in it after which there are as many bytes."""
    memory = np.empty(nbytes + 64, np.uint8)
    return memory, memory.ctypes.data + 63 & ~63


def packed_buffer(O: int, I: int, kh: int, kw: int, dtype) -> np.ndarray:
    """Uninitialised room for a packed weight."""
    return aligned(O * I * kh * kw, dtype)


def _table_size(entries: int, dtype) -> int:
    return -(-entries * 8 // 64) * 64 // np.dtype(dtype).itemsize


def workspace_size(I, H, W, kh, kw, top, left, OH, OW, O, dtype, shape: Shape = SHAPE) -> int:
    """Elements of workspace that `conv` needs: a table of offsets, a padded image, a tile's rows of y."""
    lanes = shape.width // np.dtype(dtype).itemsize
    rows, columns = OH + kh - 1, OW + kw - 1
    image = I * rows * columns + lanes + kw
    return _table_size(kh * kw, dtype) + image + shape.rows * max(OH * columns, lanes) + lanes


# Multiplications from which a second thread pays: waking one costs some 100 us.
LARGE = 1 << 24

RUN = 512  # pixels that are added one after another
Pairs = tuple[tuple[int, int], tuple[int, int]]


def conv2d(x: np.ndarray, weight: np.ndarray, padding: Pairs, shape: Shape = SHAPE) -> np.ndarray:
    """Cross-correlation of x (N, I, H, W) with weight (O, I, kh, kw), of one dtype, float32 or float64.

    padding: zeros ((above, below), (left, right)); a negative number takes rows or columns away.
    """
    O, I, kh, kw = weight.shape if weight.ndim == 4 else (0,) * 4
    OH, OW = _sides(x, (kh, kw), padding)
    fits = I * O > 0 and x.dtype == weight.dtype and x.dtype in FLOATS and x.shape[1] == I and min(OH, OW) > 0
    if not fits:
        refuse("conv2d", f"images (N, I, H, W) and a weight (O, I, kh, kw) of one dtype, {padding=}", x, weight)
    n, _, H, W = x.shape
    top, left = padding[0][0], padding[1][0]
    x, weight = in_order(x), weight if weight.flags.aligned else weight.copy()
    y = np.empty((n, O, OH, OW), x.dtype)
    kernels, size = _compiled(x.dtype, shape), x.itemsize
    at_x, at_w, at_y = x.ctypes.data, weight.ctypes.data, y.ctypes.data
    strides = [stride // size for stride in weight.strides]

    def pack(first, last, to):
        kernels.pack(at_w + first * strides[0] * size, *strides, last - first, I, kh, kw, to)

    def convolve(samples, channels, packed=None):
        """A range of samples, a range of channels that come out; packed: the address of their weights."""
        k, o = samples[0], channels[0]
        O_part, weights = channels[1] - o, (channels[1] - o) * I * kh * kw * size
        nbytes = workspace_size(I, H, W, kh, kw, top, left, OH, OW, O_part, x.dtype, shape) * size
        _memory, workspace = _room(nbytes + weights + 64)  # kept until the end
        if packed is None:
            packed = workspace + nbytes + 63 & ~63
            pack(*channels, packed)
        kernels.conv(
            at_x + k * I * H * W * size, samples[1] - k, I, H, W, I * H * W, packed, O_part, kh, kw, top, left, OH, OW,
            at_y + (k * O + o) * OH * OW * size, O * OH * OW, workspace,
        )  # fmt: skip

    # More pieces than threads: one that another process keeps from its work leaves more of it to the others.
    if threads.count == 1 or y.size * I * kh * kw < LARGE:
        convolve((0, n), (0, O))
    elif n < threads.count or weight.size > x.size:  # each piece packs its own weights, and pads all images
        threads.share([functools.partial(convolve, (0, n), piece) for piece in _pieces(O, 2 * threads.count)])
    else:
        _memory, packed = _room(weight.size * size)
        pack(0, O, packed)
        threads.share([functools.partial(convolve, piece, (0, O), packed) for piece in _pieces(n, 4 * threads.count)])
    return y


def _sides(x: np.ndarray, kernel: tuple[int, int], padding: Pairs) -> tuple[int, ...]:
    """Rows and columns of what comes out of a convolution; zeros if x is no images, or the kernel covers nothing."""
    if x.ndim != 4 or min(kernel) < 1:
        return 0, 0
    return tuple([n + before + after - k + 1 for n, k, (before, after) in zip(x.shape[2:], kernel, padding)])


def conv_transpose2d(x: np.ndarray, weight: np.ndarray, padding: Pairs, shape: Shape = SHAPE) -> np.ndarray:
    """The transpose of conv2d: to x (N, O, OH, OW) and weight (O, I, kh, kw) the (N, I, H, W) that gives such an x."""
    kernel = weight.shape[2:]
    padding = tuple([(k - 1 - before, k - 1 - after) for k, (before, after) in zip(kernel, padding)])
    return conv2d(x, weight[:, :, ::-1, ::-1].swapaxes(0, 1), padding, shape)


def conv2d_weight(
    x: np.ndarray, g: np.ndarray, kernel: tuple[int, int], padding: Pairs, shape: Shape = SHAPE
) -> np.ndarray:
    """The gradient of conv2d with respect to its weight (O, I, *kernel), g (N, O, OH, OW) that of its result.

    Sums over more than RUN pixels are sums of those over fewer, so that their rounding error does not grow with them.
    """
    fits = x.ndim == g.ndim == 4 and len(x) == len(g) and x.dtype == g.dtype and x.dtype in FLOATS and x.size and g.size
    if not fits or _sides(x, kernel, padding) != g.shape[2:]:
        refuse("conv2d_weight", f"images and cotangents (N, O, OH, OW) of one dtype, {kernel=}, {padding=}", x, g)
    n, I, H, W = x.shape
    _, O, OH, OW = g.shape
    kh, kw = kernel
    if OH > 1 and OH * OW > 2 * RUN and x.dtype == np.float32:
        return add_reduce(_by_lines(x, g, kernel, padding, shape), (0,))
    x, g = in_order(x), in_order(g)
    lanes = shape.width // x.itemsize
    terms = I * kh * kw
    kernels, size = _compiled(x.dtype, shape), x.itemsize
    pack_panels = matmul.addresses(x.dtype, shape).pack
    at_x, at_g = x.ctypes.data, g.ctypes.data
    image = I * (OH + kh - 1) * (OW + kw - 1) + 64 // size if kw > I else 0
    room = _table_size(OW, x.dtype) + image + matmul.packed_size(OH * OW, O, x.dtype, shape)
    pieces = _pieces(n, threads.count if g.size * terms >= LARGE else 1)
    partial = [aligned(-(-O // lanes) * lanes * terms, x.dtype) for _ in pieces]
    run = max(1, RUN // (OH * OW)) if x.dtype == np.float32 else n

    def gradient(first, last, sums):
        _memory, workspace = _room(room * size)
        add(first, min(first + run, last), sums, workspace)
        part = aligned(sums.size, sums.dtype) if last - first > run else sums
        for k in range(first + run, last, run):
            add(k, min(k + run, last), part, workspace)
            np.add(sums, part, out=sums)

    def add(k, end, sums, workspace):
        kernels.weight(
            at_x + k * I * H * W * size, end - k, I, H, W, I * H * W, at_g + k * O * OH * OW * size, O, OH, OW,
            O * OH * OW, kh, kw, padding[0][0], padding[1][0], sums.ctypes.data, workspace, pack_panels,
        )  # fmt: skip

    tasks = [functools.partial(gradient, *piece, sums) for piece, sums in zip(pieces, partial)]
    threads.run(tasks) if len(tasks) > 1 else tasks[0]()
    for sums in partial[1:]:
        partial[0] += sums
    result = np.empty((O, I, kh, kw), x.dtype)
    kernels.unpack(partial[0].ctypes.data, O, terms, result.ctypes.data)
    return result


def _by_lines(x, g, kernel, padding: Pairs, shape: Shape) -> np.ndarray:
    """The gradients of bands of output lines, stacked."""
    H, OH, OW = x.shape[2], *g.shape[2:]
    (top, _), sides = padding
    lines, found = max(1, RUN // OW), []
    for p in range(0, OH, lines):
        end = min(p + lines, OH)
        first, last = p - top, end + kernel[0] - 1 - top  # lines of the image that the band sees
        seen = x[:, :, max(0, first) : max(0, min(last, H))]
        if seen.shape[2]:
            rows = (max(0, -first), max(0, last - H))
            found.append(conv2d_weight(seen, g[:, :, p:end], kernel, (rows, sides), shape))
    return np.stack(found)


def _pieces(n: int, most: int) -> list[tuple[int, int]]:
    count = min(n, most)
    return [(n * k // count, n * (k + 1) // count) for k in range(count)]
