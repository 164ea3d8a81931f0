import numpy as np

from minigrad.models.tasks.digits import Digits


def test_a_run(few_steps):
    row, _ = few_steps("digits", "--hidden", 3, "--batch", 2)
    assert 0.5 < row["wrong"] <= 1


def test_pixels(tmp_path):
    from sklearn.datasets import load_digits

    task, digits = Digits(out=tmp_path), load_digits()
    known = {image.tobytes(): label for image, label in zip(digits.images, digits.target)}
    seen = []
    for x, labels in (task.training, task.test):
        assert x.shape == (64, len(labels), 1) and x.dtype == np.float32 and 0 <= x.min() < x.max() == 1
        images = [(x[:, k, 0].reshape(8, 8) * 16).astype(float).tobytes() for k in range(len(labels))]
        assert [known[image] for image in images] == list(labels)
        seen.append(images)
    assert len(seen[1]) == 359 and sorted(seen[0] + seen[1]) == sorted(image.tobytes() for image in digits.images)
