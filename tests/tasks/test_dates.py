"""Dates as people write them, and in ISO 8601."""

import datetime

import numpy as np
import pytest

from minigrad.models.tasks import dates

SMALL = ("--hidden", 4, "--embedding", 3, "--batch", 4)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_few_steps(few_steps, cell):
    figures, folder = few_steps("dates", *SMALL, "--cell", cell)
    assert figures.keys() >= {"held_out_loss", "exact"} and 0 <= figures["exact"] <= 1
    assert (folder / "attention.png").read_bytes().startswith(b"\x89PNG")


def test_formats_say_the_same_day():
    d = datetime.date(2021, 9, 22)
    assert [f.format(**dates.names(d)) for f in dates.FORMATS] == [
        "22 September 2021", "September 22, 2021", "Wednesday, 22nd of September 2021", "Wednesday Sep 22 2021",
        "Sep 22nd, 2021", "22 Sep 21", "September 22, 21", "22/9/2021", "22.09.21", "22-Sep-2021",
    ]  # fmt: skip
    assert max(len(f.format(**dates.names(d))) for f in dates.FORMATS) == dates.LONGEST
    nths = [dates.names(datetime.date(2000, 1, day))["nth"] for day in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 31)]
    assert nths == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "31st"]


def test_no_text_means_two_days_and_every_text_fits():
    seen: dict = {}
    for day in range(dates.DAYS):
        d = dates.FIRST + datetime.timedelta(day)
        for f in dates.FORMATS:
            text = f.format(**dates.names(d))
            assert seen.setdefault(text, d) == d and len(text) <= dates.LONGEST
    assert d == datetime.date(2069, 12, 31)


def test_batches():
    source, lengths, target = dates.encoded(["3 May 1980", "3/5/1980"], ["1980-05-03", "1980-05-03"])
    assert source.shape == (dates.LONGEST, 2) and target.shape == (11, 2) and lengths.tolist() == [10, 8]
    assert "".join(dates.READ[k - 1] for k in source[:8, 1]) == "3/5/1980" and not source[8:, 1].any()
    assert "".join(dates.WRITTEN[k] for k in target[:, 0]) == "1980-05-03>"
    assert (target[:, 0] == target[:, 1]).all()


def test_days_held_out_are_not_trained_on(tmp_path):
    task = dates.Dates(out=tmp_path / "run", hidden=2)
    assert len(task.held_out) + len(task.days) == dates.DAYS and not np.intersect1d(task.held_out, task.days).size
    isos = {(dates.FIRST + datetime.timedelta(int(day))).isoformat() for day in task.days}
    _, _, target = task.draw(task.draws, 50)
    assert {"".join(dates.WRITTEN[k] for k in column[:-1]) for column in target.T} <= isos
