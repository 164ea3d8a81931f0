"""Digits that move, and which way."""

import numpy as np
import pytest
from hypothesis import given

from minigrad.models.tasks import video
from minigrad.models.tasks.video import DIGIT, FRAME, LENGTH, MOTIONS, clips
from minigrad.testing import seeds


@pytest.mark.parametrize("frames", video.FRAMES)
def test_a_few_steps(few_steps, frames):
    figures, folder = few_steps("video", "--hidden", 4, "--channels", 2, "--batch", 2, "--frames", frames)
    assert figures["wrong"] > 0 and figures["wrong_at_a_change"] > 0
    assert (folder / "motion.png").read_bytes().startswith(b"\x89PNG")


def test_bad_frames(minigrad, tmp_path):
    code, _, err = minigrad("train", "video", "--out", tmp_path / "run", "--frames", "after")
    assert code == 2 and "--frames after: wanted before or alone" in err and not (tmp_path / "run").exists()


@given(rng=seeds())
def test_a_frame_is_the_one_before_moved(rng):
    digits = rng.random((3, DIGIT, DIGIT), dtype=np.float32)
    film, motion = clips(digits, 4, rng)
    assert film.shape == (LENGTH, 4, 1, FRAME, FRAME) and film.dtype == np.float32
    for t, k in np.ndindex(LENGTH, 4):
        if t:
            np.testing.assert_array_equal(film[t, k, 0], np.roll(film[t - 1, k, 0], MOTIONS[motion[t, k]], (0, 1)))
        assert np.isclose(film[t, k].sum(), digits.sum(axis=(1, 2))).any()


def test_a_frame_tells_nothing_of_its_motion():
    """Every place is as likely, whatever the motion; and motions last."""
    digit = np.zeros((1, DIGIT, DIGIT), np.float32)
    digit[0, 0, 0] = 1  # its upper left corner
    film, motion = clips(digit, 4000, np.random.default_rng(0))
    place = film.reshape(LENGTH, 4000, -1).argmax(axis=-1)
    for t in (1, LENGTH - 1):
        for k in range(len(MOTIONS)):
            counts = np.bincount(place[t][motion[t] == k] // (FRAME * 2), minlength=8)  # eight bands of rows
            assert abs(counts / counts.sum() - 1 / 8).max() < 0.05
    assert 0.14 < (motion[1:] != motion[:-1]).mean() < 0.18  # 0.2, a fifth of them to the same


def test_held_out_digits_are_not_trained_on(tmp_path):
    task = video.Video(out=tmp_path / "run", hidden=2)
    assert task.about == "1438 digits to train on and 359 held out"
    film, _ = task.test
    trained = {np.sort(digit, axis=None)[-DIGIT * DIGIT :].tobytes() for digit in task.digits}
    assert not trained & {np.sort(frame, axis=None)[-DIGIT * DIGIT :].tobytes() for frame in film[0]}
