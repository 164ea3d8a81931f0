"""Scenes of digits, and captions of them."""

import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.models import doubly_stochastic
from minigrad.models.tasks import captions
from minigrad.models.tasks.captions import DIGITS, WORDS, Regions, caption_of, scenes
from minigrad.testing import seeds

SIZES = {"hidden": 4, "embedding": 3, "channels": 2, "batch": 2}


@pytest.mark.parametrize("decoder", captions.DECODERS)
def test_a_few_steps(few_steps, decoder):
    sizes = [word for name, size in SIZES.items() for word in (f"--{name}", size)]
    figures, folder = few_steps("captions", *sizes, "--decoder", decoder)
    assert 0 <= figures["exact"] <= 1 and 0 <= figures["unfinished"] <= 1 and 0 <= figures["bleu"] <= 100
    assert (folder / "attention.png").exists() == (decoder == "attend")


def test_bad_decoder(minigrad, tmp_path):
    code, _, err = minigrad("train", "captions", "--out", tmp_path / "run", "--decoder", "see")
    assert code == 2 and "--decoder see: wanted attend or tell" in err and err.count("\n") == 1


@given(rng=seeds())
def test_captions_say_what_is_where(rng):
    images = rng.uniform(0.5, 1, (30, 8, 8)).astype(np.float32)
    labels = rng.integers(10, size=30)
    scene, told = scenes(images, labels, 20, rng)
    assert scene.shape == (20, 1, 20, 20) and scene.dtype == np.float32 and told.shape == (12, 20)
    for (image,), column in zip(scene, told.T):
        words = [WORDS[k] for k in column]
        end = words.index("<end>")
        assert set(words[end:]) == {"<end>"}
        said = {}
        for phrase in " ".join(words[:end]).split(" and "):
            digit, row, side = phrase.split()
            said[row, side] = DIGITS.index(digit)
        assert 1 <= len(said) <= 3 and list(said) == sorted(said, key=lambda p: (p[0] != "top", p[1] != "left"))
        for row, half in (("top", image[:10]), ("bottom", image[10:])):
            for side, quarter in (("left", half[:, :10]), ("right", half[:, 10:])):
                if (row, side) not in said:
                    assert not quarter.any()
                    continue
                top, left = np.argwhere(quarter).min(axis=0)
                seen = quarter[top : top + 8, left : left + 8]
                (which,) = [k for k, whole in enumerate(images) if np.array_equal(whole, seen)]
                assert labels[which] == said[row, side] and np.count_nonzero(quarter) == 64


def test_scenes_vary():
    ones = np.ones((10, 8, 8), np.float32)
    scene, told = scenes(ones, np.arange(10), 400, np.random.default_rng(0))
    texts = [caption_of(column) for column in told.T]
    assert {text.count(" and ") for text in texts} == {0, 1, 2}
    assert {word for text in texts for word in text.split()} == {*WORDS} - {"<start>", "<end>"}
    corners = {tuple(np.argwhere(image[0]).min(axis=0)) for image, text in zip(scene, texts) if " and " not in text}
    assert corners == {(r, c) for r in (0, 1, 2, 10, 11, 12) for c in (0, 1, 2, 10, 11, 12)}


def test_held_out_digits_are_not_trained_on(tmp_path):
    task = captions.Captions(out=tmp_path / "run", **SIZES)
    rest, test = [{image.tobytes() for image in images} for images, _ in task.digits]
    assert len(rest) == 1438 and len(test) == 359 and not rest & test
    for images, whose in ((task.test[0][:20], test), (task.draw(task.draws, 20)[0], rest)):
        for (image,) in images:
            windows = np.lib.stride_tricks.sliding_window_view(image, (8, 8)).reshape(-1, 8, 8)
            assert any(np.ascontiguousarray(window).tobytes() in whose for window in windows)


def test_regions():
    regions = Regions(3)
    digit = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    images = np.zeros((2, 1, 20, 20), np.float32)
    images[0, 0, :8, :8], images[1, 0, 12:, 8:16] = digit, digit
    maps = regions(mg.tensor(images)).numpy()
    assert maps.shape == (2, 6, 5, 5)
    assert np.abs(maps[0, :, 1, 1] - maps[1, :, 4, 3]).max() > 1e-3  # the same pixels in another place
    places = np.meshgrid(np.linspace(-1, 1, 20), np.linspace(-1, 1, 20), indexing="ij")
    placed = np.stack([np.stack([image[0], *places]) for image in images]).astype(np.float32)
    plain = regions.convolutions(mg.tensor(placed)).numpy()
    plain = (plain - plain.mean(axis=1, keepdims=True)) / np.sqrt(plain.var(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(maps, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder", captions.DECODERS)
def test_loss_is_of_the_words_and_the_end(tmp_path, decoder):
    task = captions.Captions(out=tmp_path / "run", decoder=decoder, penalty=0.5, detection=0.7, **SIZES)
    images, told = task.draw(task.draws, 5)
    logits, weights = task.model(mg.tensor(images), mg.tensor(told))
    logits = logits.numpy().astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    lengths = [column.tolist().index(WORDS.index("<end>")) + 1 for column in told.T]
    wanted = -np.mean([log_p[t, b, told[t, b]] for b in range(5) for t in range(lengths[b])])
    seen = task.model.detector(task.model.see(mg.tensor(images))).numpy().max(axis=0)
    for b, k in np.ndindex(5, len(WORDS)):
        chance = 1 / (1 + np.exp(-np.float64(seen[b, k])))
        wanted -= 0.7 * np.log(chance if k in told[:, b] else 1 - chance) / (5 * len(WORDS))
    if decoder == "attend":
        wanted += 0.5 * doubly_stochastic(weights, np.arange(12)[:, None] < np.array(lengths)).item()
    assert task.loss_of(images, told).item() == pytest.approx(wanted, rel=1e-5)
