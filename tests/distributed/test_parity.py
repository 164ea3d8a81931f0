"""Tasks of their real sizes on 2, 3 and 4 ranks are the run of one process, in float64."""

import json

import numpy as np
import pytest

from minigrad import io

pytestmark = pytest.mark.heavy
WORDS = 400  # different ones


def treebank(folder) -> None:
    """Sentences as long as those of a newspaper, of 17 tags."""
    rng = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    words = ["".join(rng.choice(letters, rng.integers(1, 12))) for _ in range(WORDS)]
    folder.mkdir()
    for part, count in (("train", 300), ("test", 20)):
        with (folder / f"xx-ud-{part}.conllu").open("w", encoding="utf-8") as file:
            for _ in range(count):
                for k in range(rng.integers(1, 50)):
                    n = rng.integers(WORDS)
                    file.write("\t".join([str(k + 1), words[n], "_", f"T{n % 17}", *"______"]) + "\n")
                file.write("\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The words for train_tasks.py of runs into a folder."""
    data = tmp_path_factory.mktemp("data") / "treebank"
    treebank(data)
    few = {"steps": 4, "every": 4}
    tasks = {
        "charlm": ("charlm", few),
        "charlm with dropout": ("charlm", {**few, "dropout": 0.2, "layers": 2}),
        "nextframe": ("nextframe", {"steps": 3, "every": 3}),
        "listops": ("listops", few),
        "tagging": ("tagging", {**few, "data": str(data)}),
        "tagging with a CRF": ("tagging", {**few, "data": str(data), "crf": True}),
    }

    def into(folder) -> str:
        return json.dumps([[task, {**options, "out": str(folder / name)}] for name, (task, options) in tasks.items()])

    return tasks, into


@pytest.fixture(scope="module")
def alone(runs, on_ranks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    assert on_ranks(1, "train_tasks.py", runs[1](folder), timeout=3600).returncode == 0
    return folder


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_are_as_one_process(runs, alone, on_ranks, tmp_path, ranks):
    tasks, into = runs
    result = on_ranks(ranks, "train_tasks.py", into(tmp_path), timeout=3600)
    assert result.returncode == 0, result.stderr
    for name in tasks:
        (one, _), (several, _) = (io.load(folder / name / "checkpoint.safetensors") for folder in (alone, tmp_path))
        assert one.keys() == several.keys()
        apart = {key: np.abs(one[key] - several[key]).max(initial=0) for key in one}
        worst = max(apart, key=apart.__getitem__)
        print(f"{name} on {ranks} ranks: {apart[worst]:.2g}, of {worst}")
        assert apart[worst] < 1e-12, (name, worst)


def test_a_run_goes_on_on_another_number_of_ranks(on_ranks, tmp_path):
    """Three ranks, interrupted; one; four, interrupted; two: as one process that nothing has interrupted."""
    (tmp_path / "text.txt").write_text("".join(np.random.default_rng(0).choice(list("abcd "), 4000)))
    options = {
        "steps": 40, "every": 10, "hidden": 8, "embedding": 4, "length": 10, "batch": 9, "dropout": 0.2, "layers": 2,
        "text": str(tmp_path / "text.txt"), "out": str(tmp_path / "whole"),
    }  # fmt: skip
    result = on_ranks(1, "train_tasks.py", json.dumps([["charlm", options]]))
    assert result.returncode == 0, result.stderr
    given = {**options, "out": str(tmp_path / "parts")}
    for ranks, calls in ((3, 7), (1, 12), (4, 5), (2, None)):
        failure = {"fails": "interrupt", "at": calls, "on": ranks - 1} if calls else {}
        result = on_ranks(ranks, "train_tasks.py", json.dumps([["charlm", given, failure]]))
        assert result.returncode == (130 if calls else 0), result.stderr
        given = {"resume": True, "out": str(tmp_path / "parts")}
    for file in ("checkpoint.safetensors", "weights.safetensors"):
        (one, _), (other, _) = (io.load(tmp_path / name / file) for name in ("whole", "parts"))
        assert max(np.abs(one[key] - other[key]).max(initial=0) for key in one) < 1e-12
