"""The text of the kernels of a direct convolution of images (N, channels, rows, columns), and of its weight's gradient.

Both are sums over k of A[r, k] B[k, pixel], a tile of which one microkernel keeps in registers: A's numbers are spread
over all lanes, B's come a vector at a time. For y, A is the weight, packed so that the numbers of a tile lie in the
order in which they are read, and B the padded image as it lies: what kernel element (a, b) sees of a row of pixels is
a row of pixels, so nothing is unfolded. For the weight's gradient, A is the image and B the cotangent, channels last: k
runs over the pixels; of few channels it is one sum of products of lines of pixels for each number.

A stride is one of 1 once the image is sorted into planes, one for each remainder of a row and of a column: what kernel
element (a, b) sees of a row is a row of one plane. With dilation it lies further on. The transpose of a convolution
with a stride is one of stride 1 of an image with zeros between its pixels. Groups come one after another.
"""

import functools

import numpy as np

from minigrad.kernels.tiles import Shape, copy_text, every_lane, in_llvm, pointer, vector_types

FEW = 4  # of the lanes of a vector, the part that is too few channels to fill them
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
def pad(x, I, H, W, top, left, sh, sw, ah, aw, planes_h, planes_w, to, rows, columns, seen):
    # Into zeros: pixels (ah, aw) apart, sorted into planes_h * planes_w planes by what the strides leave of row and
    # column; rows of a plane are `columns` apart, of which the kernel sees `seen`, those of the next row among them.
    for plane in range(planes_h):
        if ah == 1:
            p = max(0, (top - plane + sh - 1) // sh)
            h, step = p * sh + plane - top, 1
            count = min(rows, (top + H - plane + sh - 1) // sh) - p
        else:
            h, step = (max(0, -top) + ah - 1) // ah, ah
            p = top + h * ah
            count = min(H, (rows - top + ah - 1) // ah) - h
        for i in range(I):
            at = x + (i * H + h) * W * SIZE
            to_row = to + ((i * planes_h + plane) * planes_w * rows + p) * columns * SIZE
            for k in range(count):
                for q in range(planes_w):
                    spread_row(at, W, left, sw, aw, q, to_row + q * rows * columns * SIZE, seen)
                at += sh * W * SIZE
                to_row += step * columns * SIZE


@njit
def spread_row(source, W, left, sw, aw, plane, to, seen):
    if sw == 1 and aw == 1:
        first = max(0, left)
        copy(to + first * SIZE, source + (first - left) * SIZE, min(seen, left + W) - first)
    elif sw == 1:
        for w in range((max(0, -left) + aw - 1) // aw, min(W, (seen - left + aw - 1) // aw)):
            store(to, left + w * aw, load(source, w, Float))
    else:
        first = max(0, (left - plane + sw - 1) // sw)
        for q in range(first, min(seen, (left + W - plane + sw - 1) // sw)):
            store(to, q, load(source, q * sw + plane - left, Float))


@njit
def clear(to, n):
    for i in range(n):
        store(to, i, Float(0))
"""

CONV = """
def pack(w, o_stride, i_stride, h_stride, w_stride, O, I, kh, kw, groups, group_stride, packed):
    for g in range(groups):
        at_o, left_over = w + g * group_stride * SIZE, O
        tiles = (O + ROWS - 1) // ROWS
        while tiles > 0:
            m = (left_over + tiles - 1) // tiles
            for i in range(I):
                for a in range(kh):
                    for b in range(kw):
                        for r in range(m):
                            at = r * o_stride + i * i_stride + a * h_stride + b * w_stride
                            store(packed, r, load(at_o, at, Float))
                        packed += m * SIZE
            at_o += m * o_stride * SIZE
            left_over -= m
            tiles -= 1


@njit
def offsets(table, kh, kw, sh, sw, dh, dw, planes_w, rows, columns):
    # of what each kernel element sees of the image
    for a in range(kh):
        for b in range(kw):
            plane = (a * dh) % sh * planes_w + (b * dw) % sw
            store(table, a * kw + b, ((plane * rows + a * dh // sh) * columns + b * dw // sw) * SIZE)


def conv(x, samples, x_stride, packed, y, y_stride, workspace,
         groups, I, H, W, O, kh, kw, top, left, sh, sw, dh, dw, ah, aw, OH, OW):
    if samples <= 0 or O <= 0 or OH <= 0 or OW <= 0:
        return
    planes_h, planes_w = min(sh, (kh - 1) * dh + 1), min(sw, (kw - 1) * dw + 1)
    rows, seen = OH + (kh - 1) * dh // sh, OW + (kw - 1) * dw // sw
    columns, width = seen, (W - 1) * aw + 1
    if sw == 1:  # the zeros after a row are those before the next
        columns = max(min(left + width, seen), seen - max(0, left), OW)
    plain = sh == 1 and sw == 1 and ah == 1 and aw == 1
    offsets(workspace, kh, kw, sh, sw, dh, dw, planes_w, rows, columns)
    image = workspace + (kh * kw * 8 + 63) // 64 * 64
    # Vectors lie in rows of the image; or, where that wastes lanes, anywhere in one line that all rows make up.
    line = (OH - 1) * columns + OW
    in_line = (line + LANES - 1) // LANES
    in_rows = (OW + LANES - 1) // LANES * OH
    terms, plane = I * kh * kw, planes_h * planes_w * rows * columns
    flat = OW < LANES or columns == OW or 8 * in_line < 7 * in_rows
    scattered = flat and (columns > OW or line < LANES)
    size = I * plane + LANES + (kw - 1) * dw + 1
    buffer = image + size * SIZE
    padded = not (plain and top == 0 and left == 0 and rows == H and seen == W and (line >= LANES or not flat))
    seen_top, seen_rows = (top, H) if plain and dh == 1 else (0, OH + kh - 1)
    if padded:
        clear(image, size)
    for k in range(samples * groups):
        n, g = k // groups, k % groups
        source = x + (n * x_stride + g * I * H * W) * SIZE
        if padded:
            pad(source, I, H, W, top, left, sh, sw, ah, aw, planes_h, planes_w, image, rows, columns, seen)
            source = image
        to, weight, left_over = y + (n * y_stride + g * O * OH * OW) * SIZE, packed + g * O * terms * SIZE, O
        end = to + O * OH * OW * SIZE
        tiles = (O + ROWS - 1) // ROWS
        while tiles > 0:
            m = (left_over + tiles - 1) // tiles
            if scattered:
                room = max(line, LANES)
                tiles_of(m, source, I, plane, columns, 0, kh, weight, workspace, kh, kw, 1, room, buffer, room)
                for r in range(m):
                    for p in range(OH):
                        at = to + (r * OH + p) * OW * SIZE
                        if OW < LANES and at + LANES * SIZE <= end:  # what is too much is overwritten later
                            move(at, buffer + (r * room + p * columns) * SIZE)
                        else:
                            copy(at, buffer + (r * room + p * columns) * SIZE, OW)
            elif flat:
                tiles_of(m, source, I, plane, columns, 0, kh, weight, workspace, kh, kw, 1, line, to, line)
            else:
                tiles_of(m, source, I, plane, columns, seen_top, seen_rows, weight, workspace, kh, kw, OH, OW, to,
                         OH * OW)
            weight += m * terms * SIZE
            to += m * OH * OW * SIZE
            left_over -= m
            tiles -= 1


@njit
def tiles_of(m, x, I, plane, columns, top, H, packed, table, kh, kw, lines, length, y, y_stride):
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
                 plane * SIZE, y_stride * SIZE, 0)
            total -= vectors


def weight(x, samples, x_stride, g, g_stride, sums, workspace, pack_panels,
           groups, I, H, W, O, kh, kw, top, left, sh, sw, dh, dw, ah, aw, OH, OW):
    each = (O + LANES - 1) // LANES * LANES * I * kh * kw
    for n in range(samples):
        for k in range(groups):
            source, cotangent = x + (n * x_stride + k * I * H * W) * SIZE, g + (n * g_stride + k * O * OH * OW) * SIZE
            to = sums + k * each * SIZE
            if O <= FEW:
                of_few(source, cotangent, to, workspace, n, I, H, W, O, kh, kw, top, left, sh, sw, dh, dw, OH, OW)
            else:
                of_many(source, cotangent, to, workspace, pack_panels, n,
                        I, H, W, O, kh, kw, top, left, sh, sw, dh, dw, OH, OW)


@njit
def of_few(x, g, sums, workspace, adds, I, H, W, O, kh, kw, top, left, sh, sw, dh, dw, OH, OW):
    planes_h, planes_w = min(sh, (kh - 1) * dh + 1), min(sw, (kw - 1) * dw + 1)
    rows, columns = OH + (kh - 1) * dh // sh, OW + (kw - 1) * dw // sw
    offsets(workspace, kh, kw, sh, sw, dh, dw, planes_w, rows, columns)
    image = workspace + (kh * kw * 8 + 63) // 64 * 64
    plane, line = planes_h * planes_w * rows * columns, (OH - 1) * columns + OW
    cotangents = image + I * plane * SIZE
    clear(image, I * plane + O * line)
    pad(x, I, H, W, top, left, sh, sw, 1, 1, planes_h, planes_w, image, rows, columns, columns)
    for o in range(O):
        to = cotangents + o * line * SIZE
        for p in range(OH):
            copy(to + p * columns * SIZE, g + (o * OH + p) * OW * SIZE, OW)
        for i in range(I):
            for k in range(kh * kw):
                total = of_lines(image + i * plane * SIZE + load_any(workspace, k, np.int64), to, line)
                at = (i * kh * kw + k) * LANES + o
                store_any(sums, at, total + (load_any(sums, at, Float) if adds > 0 else Float(0)))


@njit(fastmath={"contract", "reassoc", "nsz"})
def of_lines(a, b, n):
    total = Float(0)
    for k in range(n):
        total += load_any(a, k, Float) * load_any(b, k, Float)
    return total


@njit
def of_many(x, g, sums, workspace, pack_panels, adds, I, H, W, O, kh, kw, top, left, sh, sw, dh, dw, OH, OW):
    for q in range(OW):
        store(workspace, q, q * PANEL * SIZE)
    image = workspace + (OW * 8 + 63) // 64 * 64
    rows, columns = (OH - 1) * sh + (kh - 1) * dh + 1, (OW - 1) * sw + (kw - 1) * dw + 1
    few = I < kw  # then a tile's rows are not channels but kernel columns: in a padded image all see OW columns
    size = I * rows * columns if few else 0
    panels = image + (size * SIZE + 63) // 64 * 64
    plane = kh * kw * LANES * SIZE
    call(pack_panels, g, 1, OH * OW, OH * OW, O, panels)
    if few:
        clear(image, size)
        pad(x, I, H, W, top, left, 1, 1, 1, 1, 1, 1, image, rows, columns, columns)
    for v in range(0, (O + LANES - 1) // LANES, 2):
        vectors = min(2, (O + LANES - 1) // LANES - v)
        for a in range(kh):
            to, above = sums + v * I * plane + a * kw * LANES * SIZE, top - a * dh
            if few:
                for i in range(I):
                    at = image + (i * rows + a * dh) * columns * SIZE
                    pixels(kw, at, dw * SIZE, sw * SIZE, sh * columns, panels, OH, OW, v, vectors, 0, OH, 0, OW,
                           workspace, to + i * plane, I * plane, LANES * SIZE, adds)
            else:
                p, bottom = (max(0, above) + sh - 1) // sh, min(OH, (H - 1 + above) // sh + 1)
                for b in range(kw):
                    before = left - b * dw
                    q, right = (max(0, before) + sw - 1) // sw, min(OW, (W - 1 + before) // sw + 1)
                    at = x + ((p * sh - above) * W + q * sw - before) * SIZE
                    pixels(I, at, H * W * SIZE, sw * SIZE, sh * W, panels, OH, OW, v, vectors, p, bottom, q, right,
                           workspace, to + b * LANES * SIZE, I * plane, plane, adds)


@njit
def pixels(left_over, at, row_stride, step, columns, panels, OH, OW, v, vectors, top, bottom, left, right, table, to,
           beside, ldc, accumulate):
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
        tile(m, vectors, at, row_stride, step, columns * SIZE - across * step, count, table, across, places,
             OW * PANEL * SIZE, ldc, accumulate)
        at += m * row_stride
        to += m * ldc
        left_over -= m
        tiles -= 1


def unpack(sums, w, adds, groups, O, terms):
    for g in range(groups):
        for first in range(0, O, LANES):
            for k in range(terms):
                for lane in range(min(LANES, O - first)):
                    number, at = load_any(sums, first * terms + k * LANES + lane, Float), (first + lane) * terms + k
                    store_any(w, at, number + (load_any(w, at, Float) if adds != 0 else Float(0)))
        sums += (O + LANES - 1) // LANES * LANES * terms * SIZE
        w += O * terms * SIZE
"""


@functools.cache
def source(dtype: str, shape: Shape) -> str:
    size = np.dtype(dtype).itemsize
    lanes = shape.width // size
    constants = f"""
Float = np.{dtype}
SIZE, LANES, ROWS, PANEL = {size}, {lanes}, {shape.rows}, {shape.vectors * lanes}
FEW = {lanes // FEW}
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
