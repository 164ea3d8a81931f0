import numpy as np
import pytest

from minigrad.models.tasks.temporal import temporal_order


def test_a_run(few_steps):
    row, _ = few_steps("temporal", "--hidden", 3, "--batch", 2)
    assert 0 <= row["wrong"] <= 1


@pytest.mark.parametrize("symbols, places", [(2, [(10, 20), (50, 60)]), (3, [(10, 20), (33, 43), (66, 76)])])
def test_sequences(symbols, places):
    x, order = temporal_order(symbols, 300, np.random.default_rng(0))
    assert x.shape == (111, 300, 8) and x.dtype == np.float32
    lengths = x.any(axis=-1).sum(axis=0)
    assert set(lengths) == set(range(101, 112)) and set(order) == set(range(2**symbols))
    for k in range(300):
        letters = "".join("abcdBEXY"[code] for code in x[-lengths[k] :, k].argmax(axis=-1))
        assert letters[0] == "B" and letters[-1] == "E" and letters.count("B") == letters.count("E") == 1
        found = [(t, letter) for t, letter in enumerate(letters) if letter in "XY"]
        assert len(found) == symbols and all(low <= t <= high for (t, _), (low, high) in zip(found, places))
        assert int("".join(str("XY".index(letter)) for _, letter in found), 2) == order[k]
