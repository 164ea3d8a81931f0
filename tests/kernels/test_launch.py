"""What comes before and after a kernel in machine code, against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels import launch, loops
from minigrad.kernels.launch import COPY, PUT, TOTAL32, TOTAL64, WIDTH, ZERO, Launch

pytestmark = pytest.mark.skipif(loops.INTERPRETED, reason="no machine code")
DTYPES = ["float32", "float64", "int64", "int32", "bool", "int8"]


def launched(places, before=(), after=(), first=0) -> Launch:
    steps = [np.array(rows, np.int64).reshape(-1, WIDTH) for rows in (before, after)]
    return Launch(places, first, *steps, 0, np.zeros((0, 2), np.int64))


@st.composite
def arrays(draw):
    """Of any layout, at any address."""
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    x = np.zeros([2 * n + 1 for n in shape], dtype)[tuple([slice(k, k + n) for k, n in enumerate(shape)])]
    x = x.transpose(draw(st.permutations(range(len(shape)))))
    if draw(st.booleans()):
        x = np.ascontiguousarray(x).reshape(x.shape)
    if draw(st.booleans()):  # not at a multiple of its itemsize
        x = np.zeros(x.nbytes + 1, np.int8)[1:].view(dtype).reshape(x.shape)
    return x.view(np.memmap) if draw(st.integers(0, 9)) == 0 else x


def test_python_and_numpy_keep_arrays_as_machine_code_thinks():
    assert launch.knows_arrays()


@given(st.lists(st.tuples(arrays(), arrays() | st.none()), min_size=1, max_size=4))
def test_arrays_are_taken_that_are_what_is_wanted(pairs):
    """wanted: like the second of each pair; the first where there is none."""
    given = [x for x, _ in pairs]
    wanted = [((x if y is None else y).shape, (x if y is None else y).dtype, (x if y is None else y).strides)
              for x, y in pairs]  # fmt: skip
    one = launched(np.zeros(len(given) + 1, np.int64), first=1)
    one.expect(wanted)
    fits = [launch.fits(x, *each) for x, each in zip(given, wanted)]
    found = one.look(given)
    assert found == (-1 if all(fits) else fits.index(False))
    taken = len(given) if found < 0 else found
    assert one.places[1 : 1 + taken].tolist() == [x.ctypes.data for x in given[:taken]]


@pytest.mark.parametrize(
    "shape, dtype", [((2, 3), "float64"), ((3, 2), "float32"), ((2, 3, 1), "float32"), ((6,), "float32")]
)
def test_each_difference_is_seen(shape, dtype):
    one = launched(np.zeros(1, np.int64))
    x = np.zeros((2, 3), "float32")
    one.expect([(x.shape, x.dtype, x.strides)])
    assert one.look([x]) == -1 and one.look([np.zeros((4, 3), "float32")[::2]]) == 0
    assert one.look([np.zeros(shape, dtype)]) == 0


@given(st.integers(0, 40), st.integers(1, 3), st.integers(0, 7))
def test_steps(n, parts, skip):
    a, b = np.random.default_rng(n).integers(0, 2, (2, 64)).astype(np.int8)
    x = np.random.default_rng(n).normal(size=(parts, n))
    y32, y64, slot, zeroed = np.empty(n, "float32"), np.empty(n), np.zeros(1, np.int64), np.ones(64, np.int8)
    places = np.array([array.ctypes.data for array in (a, b, x, y32, y64, zeroed)], np.int64)
    wanted_b, wanted_zeroed = b.copy(), zeroed.copy()
    wanted_b[skip : skip + n], wanted_zeroed[:n] = a[1 : 1 + n], 0
    one = launched(
        places,
        [[PUT, 1, 5, 0, slot.ctypes.data, 0, 0, 0], [COPY, 0, 1, 1, skip, n, 0, 0], [ZERO, 5, 0, 0, 0, n, 0, 0]],
        [[TOTAL32, 2, 0, 3, 0, n, parts, 8 * n], [TOTAL64, 2, 0, 4, 0, n, parts, 8 * n]],
    )
    one.before()
    assert slot[0] == b.ctypes.data + 5 and (b == wanted_b).all() and (zeroed == wanted_zeroed).all()
    one.after()
    np.testing.assert_allclose(y64, x.sum(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(y32, y64.astype("float32"))
