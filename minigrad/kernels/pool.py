"""Windows of images: where the largest element lies, the sum, and its transpose.

The numbers of a window are constants of a kernel's text, so that one inside of the image is unrolled. What is padded is
not there: a window at the edge is smaller.
"""

import functools
from typing import NamedTuple

import numpy as np

from minigrad.kernels import build, loops, pieces
from minigrad.kernels.entry import FLOATS, in_order, refuse

TEXT = """
@njit(forceinline=True)
def first_inside(start, step):
    # the first k with start + k * step >= 0
    return max(0, (step - 1 - start) // step)


@njit(forceinline=True)
def end_inside(start, step, count, n):
    # the first k, at most count, with start + k * step >= n
    return min(count, max(0, (n - start + step - 1) // step))


@njit(forceinline=True)
def largest_place(x, corner, w, i, i_end, j, j_end):
    # In floats: a choice between integers would become a branch, which nobody can predict.
    row, column, best = Float(i), Float(j), LOWEST
    for a in range(i, i_end):
        for b in range(j, j_end):
            value = x[corner + a * DH * w + b * DW]
            better = value > best or value != value
            best = value if better else best
            row = Float(a) if better else row
            column = Float(b) if better else column
    return corner + np.int64(row) * DH * w + np.int64(column) * DW


def largest(index, x, images, h, w, oh, ow, top, left):
    inner = first_inside(-left, SW)  # the first window that has all columns, and the first behind it that has not
    inner_end = end_inside((KW - 1) * DW - left, SW, ow, w)
    for r in range(images):
        image = r * h * w
        for p in range(oh):
            row, to = p * SH - top, (r * oh + p) * ow
            i, i_end = first_inside(row, DH), end_inside(row, DH, KH, h)
            whole = i == 0 and i_end == KH
            if whole:
                for q in range(inner, inner_end):
                    index[to + q] = largest_place(x, image + row * w + q * SW - left, w, 0, KH, 0, KW) - image
            for q in range(ow):
                if not whole or q < inner or q >= inner_end:
                    column = q * SW - left
                    j, j_end = first_inside(column, DW), end_inside(column, DW, KW, w)
                    index[to + q] = largest_place(x, image + row * w + column, w, i, i_end, j, j_end) - image


@njit(forceinline=True)
def window_sum(x, corner, w, i, i_end, j, j_end):
    s = Float(0)
    for a in range(i, i_end):
        line = Float(0)
        for b in range(j, j_end):
            line += x[corner + a * w + b]
        s += line
    return s


def total(y, x, images, h, w, oh, ow, top, left):
    for r in range(images):
        for p in range(oh):
            row = p * SH - top
            i, i_end = first_inside(row, 1), end_inside(row, 1, KH, h)
            for q in range(ow):
                column = q * SW - left
                j, j_end = first_inside(column, 1), end_inside(column, 1, KW, w)
                corner, to = r * h * w + row * w + column, (r * oh + p) * ow + q
                if i == 0 and i_end == KH and j == 0 and j_end == KW:
                    y[to] = window_sum(x, corner, w, 0, KH, 0, KW)
                else:
                    y[to] = window_sum(x, corner, w, i, i_end, j, j_end)


@njit(forceinline=True)
def add_to_window(y, value, corner, w, i, i_end, j, j_end):
    for a in range(i, i_end):
        for b in range(j, j_end):
            y[corner + a * w + b] += value


def spread(g, y, images, h, w, oh, ow, top, left):
    for r in range(images):
        for k in range(r * h * w, (r + 1) * h * w):
            y[k] = Float(0)
        for p in range(oh):
            row = p * SH - top
            i, i_end = first_inside(row, 1), end_inside(row, 1, KH, h)
            for q in range(ow):
                column = q * SW - left
                j, j_end = first_inside(column, 1), end_inside(column, 1, KW, w)
                corner, value = r * h * w + row * w + column, g[(r * oh + p) * ow + q]
                if i == 0 and i_end == KH and j == 0 and j_end == KW:
                    add_to_window(y, value, corner, w, 0, KH, 0, KW)
                else:
                    add_to_window(y, value, corner, w, i, i_end, j, j_end)
"""


class Windows(NamedTuple):
    """Two numbers each, of rows and of columns. sides: how many windows there are. padding: before the first row and
    the first column."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    sides: tuple[int, int]


@functools.cache
def source(windows: Windows, dtype: str) -> str:
    (KH, KW), (SH, SW), (DH, DW) = windows.kernel, windows.stride, windows.dilation
    constants = f"KH, KW, SH, SW, DH, DW = {KH}, {KW}, {SH}, {SW}, {DH}, {DW}"
    return f"Float = np.{dtype}\nLOWEST = Float(-np.inf)\n{constants}\n{TEXT}"


@functools.cache
def compiled(name: str, windows: Windows, dtype: np.dtype) -> int:
    result = "int64" if name == "largest" else dtype.name
    kinds = f"CPointer({result}), CPointer({dtype.name})"
    return build.address(source(windows, dtype.name), name, f"{kinds}, {', '.join(['intp'] * 7)}")


def run(name: str, by_window: np.ndarray, images: np.ndarray, windows: Windows) -> None:
    """Run a function of TEXT over images (N, channels, height, width) and their windows (N, channels, *sides).

    largest writes into by_window, int64, where each window's largest element lies, counted over the image's rows: the
    first of several, or a NaN. total writes the sums of windows; spread writes into the images what lies in all windows
    of each place. Threads share the images.

    Raises ValueError for arrays that do not fit.
    """
    good = images.ndim == 4 and images.dtype in FLOATS and by_window.shape == (*images.shape[:2], *windows.sides)
    good = good and by_window.dtype == (np.int64 if name == "largest" else images.dtype)
    if not good or any(in_order(a) is not a for a in (by_window, images)):
        refuse(name, f"windows, in C order, of images (N, channels, height, width); {windows}", by_window, images)
    (n, channels, h, w), (oh, ow), (top, left) = images.shape, windows.sides, windows.padding
    numbers = h, w, oh, ow, top, left
    if loops.INTERPRETED:
        namespace: dict = {"np": np}
        exec("from numba import njit\n" + source(windows, images.dtype.name), namespace)
        with np.errstate(all="ignore"):
            namespace[name](by_window.reshape(-1), images.reshape(-1), n * channels, *numbers)
    elif by_window.size or name == "spread":
        size = images.itemsize
        given = [(by_window, oh * ow * by_window.itemsize), (images, h * w * size)]
        function = compiled(name, windows, images.dtype)
        pieces.call(function, n * channels, max(1, h * w), given, *numbers)
