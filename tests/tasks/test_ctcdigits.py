"""Strings of handwritten digits, read with CTC."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minigrad.models.tasks import ctcdigits
from minigrad.models.tasks.ctcdigits import GAP, HEIGHT, SIDE, edits, strips_of


def test_a_few_steps(few_steps):
    figures, folder = few_steps("ctcdigits", "--hidden", 4, "--batch", 2, "--longest", 3)
    assert figures.keys() >= {"held_out_loss", "label_error"} and figures["label_error"] > 0
    assert (folder / "reading.png").read_bytes().startswith(b"\x89PNG")


def test_strips():
    images = np.arange(1, 11, dtype=np.float32)[:, None, None] * np.ones((10, SIDE, SIDE), np.float32)
    images[:, 0, 0] = 0.5  # the upper left corner
    labels = np.arange(10)[::-1]
    strips, lengths, told, counts = strips_of((images, labels), 4, 60, np.random.default_rng(0))
    assert strips.shape == (4 * (SIDE + GAP), 60, HEIGHT) and told.shape == (60, 4)
    assert set(counts) == {1, 2, 3, 4} and lengths.min() >= SIDE and lengths.max() <= len(strips)
    for b in range(60):
        strip = strips[:, b]
        assert not strip[lengths[b] :].any() and strip[lengths[b] - 1].any()
        starts, tops = np.nonzero(strip == 0.5)
        assert len(starts) == counts[b] and (np.diff(starts) >= SIDE).all() and (np.diff(starts) <= SIDE + GAP).all()
        for label, start, top in zip(told[b], starts, tops):
            digit = strip[start : start + SIDE, top : top + SIDE].T
            np.testing.assert_array_equal(digit, images[labels.tolist().index(label)])


def test_held_out_digits_are_not_trained_on(tmp_path):
    task = ctcdigits.CTCDigits(out=tmp_path / "run", hidden=2, longest=1)
    assert task.about == "1438 digits to train on and 359 held out"
    trained = {image.tobytes() for image in task.digits[0]}
    assert len(trained) == 1438
    for (strips, lengths, *_), among in ((task.test, False), (task.draw(task.draws, 30), True)):
        for b, length in enumerate(lengths):
            digits = [strips[length - SIDE : length, b, top : top + SIDE].T for top in range(HEIGHT - SIDE + 1)]
            assert any(np.ascontiguousarray(digit).tobytes() in trained for digit in digits) == among


strings = st.lists(st.integers(0, 2), max_size=5)


@given(a=strings, b=strings, c=strings, k=st.integers(0, 4))
def test_edits_are_a_distance(a, b, c, k):
    assert edits(a, b) == edits(b, a) and (edits(a, b) == 0) == (a == b)
    assert edits(a, c) <= edits(a, b) + edits(b, c)
    assert abs(len(a) - len(b)) <= edits(a, b) <= max(len(a), len(b))
    assert edits(a, [*a[:k], 9, *a[k:]]) == 1 and edits([*a, 9], [*a, 8]) == 1


def test_edits_of_words():
    assert edits(list("kitten"), list("sitting")) == 3 and edits(list("sunday"), list("saturday")) == 3
