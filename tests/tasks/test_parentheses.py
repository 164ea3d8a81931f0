import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.models.tasks.parentheses import Parentheses, parentheses


def test_a_run(few_steps):
    row, _ = few_steps("parentheses", "--length", 9, "--hidden", 4, "--batch", 3)
    assert 0 < row["wrong"] <= 1 and 0.5 < row["most_frequent"] < 0.9


@given(length=st.integers(1, 60), seed=st.integers(0, 99))
def test_the_depth_is_that_of_the_text(length, seed):
    x, depth = parentheses(length, 20, np.random.default_rng(seed))
    assert x.shape == (length, 20, 6) and x.dtype == np.float32 and (x.sum(axis=-1) == 1).all()
    assert depth.min() >= 0 and depth.max() <= 9
    for k in range(20):
        text = "".join("abcd()"[symbol] for symbol in x[:, k].argmax(axis=-1))
        assert [text[: t + 1].count("(") - text[: t + 1].count(")") for t in range(length)] == depth[:, k].tolist()


def test_half_of_the_symbols_are_letters_and_all_depths_occur():
    x, depth = parentheses(500, 200, np.random.default_rng(0))
    assert x[..., :4].mean() * 4 == pytest.approx(0.55, abs=0.02)  # and those in the place of what is forbidden
    np.testing.assert_allclose(np.bincount(depth[400:].ravel()) / depth[400:].size, 0.1, atol=0.02)


def test_it_learns(tmp_path):
    row = Parentheses(length=20, hidden=32, steps=300, every=300, lr=0.02, out=tmp_path).run()
    assert row["wrong"] < 0.1 < 0.5 < row["most_frequent"]
