"""The scoring of the Numenta Anomaly Benchmark (Lavin & Ahmad 2015, arXiv:1510.03336), and its files.

Of each series some windows are labelled. A detector gives every record a score; a threshold makes detections of them.
Of the detections in a window the earliest counts, with σ(y) A_TP / σ(-1), where y goes from -1 at the window's first
record to nearly 0 at its last and σ(y) = 2 / (1 + exp(5y)) - 1; a window without any costs A_FN. A detection outside
of windows costs -σ(y) A_FP, where y is its distance from the end of the last window in window lengths: little just
behind it, A_FP from three lengths on, and before the first window. The first 15% of a series, at most 750 records, do
not count. The sum over the corpus, with the threshold that makes it largest, is put on a scale where a detector that
never detects has 0 and one that detects at the beginning of each window, and nowhere else, 100.

The benchmark's own results (version 1.1) come out to the last digit of what it publishes when its files of scores are
scored so: windowed Gaussian 39.65, 20.87 and 47.41 on the three profiles, KNN CAD 57.99, 43.41 and 64.81, relative
entropy 54.64, 47.60 and 58.84, null 0.
"""

import csv
import io
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigrad import disk
from minigrad.badinput import BadInput

WINDOWS = "labels/combined_windows.json"


class Profile(NamedTuple):
    """What a window that is found is worth, and what a false alarm and a window that is missed cost."""

    found: float
    false_alarm: float
    missed: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low_fp": Profile(1.0, 0.22, 1.0),
    "low_fn": Profile(1.0, 0.11, 2.0),
}


class Series(NamedTuple):
    times: np.ndarray  # datetime64[s]
    values: np.ndarray
    windows: list[tuple[int, int]]  # first and last record of each

    @property
    def probation(self) -> int:
        """How many records at the beginning do not count."""
        return math.ceil(min(math.floor(0.15 * len(self.values)), 0.15 * 5000))


def read_corpus(folder: Path | str | None) -> dict[str, Series]:
    """The series that the labels name. Raises BadInput for files that are missing or not in the benchmark's format."""
    if folder is None:
        raise BadInput("--data: wanted the folder of the Numenta Anomaly Benchmark, with data and labels")
    try:
        labels = json.loads(disk.read_text(Path(folder) / WINDOWS))
        if not isinstance(labels, dict):
            raise ValueError(f"{WINDOWS}: wanted the windows of each file of data, by its name")
        return {name: read_series(Path(folder) / "data" / name, labels[name]) for name in sorted(labels)}
    except OSError as error:
        raise BadInput(f"--data {folder}: {error.strerror} ({error.filename})") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise BadInput(f"--data {folder}: {error}") from error


def read_series(path: Path, windows: list) -> Series:
    rows = csv.DictReader(io.StringIO(disk.read_text(path)))
    try:
        times, values = zip(*((row["timestamp"], float(row["value"])) for row in rows))
        stamps = np.array(times, dtype="datetime64[s]")
        ends = np.array(windows, dtype="datetime64[us]").reshape(-1, 2).astype("datetime64[s]")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path.name}: wanted columns timestamp and value, and pairs of timestamps as windows; {error}"
        ) from error
    if not np.isfinite(values).all():
        raise ValueError(f"{path.name}: a value that is not finite")
    if missing := [str(end) for end in ends.ravel() if end not in stamps]:
        raise ValueError(f"{path.name}: no record at {missing[0]}, where a window begins or ends")
    # clocks are put back in autumn: of several records of one time the first is meant
    return Series(stamps, np.array(values), [(first_at(stamps, a), first_at(stamps, b)) for a, b in ends])


def first_at(stamps: np.ndarray, time) -> int:
    return int((stamps == time).argmax())


def scaled_sigmoid(y):
    """σ(y), and -1 from 3 on."""
    return np.where(y < 3, 2 / (1 + np.exp(5 * np.minimum(y, 3))) - 1, -1.0)


def worth(series: Series, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    """(what a detection at each record is worth, the number of the window that it lies in or -1)."""
    gain, window = np.full(len(series.values), -profile.false_alarm), np.full(len(series.values), -1)
    for k, (first, last) in enumerate(series.windows):
        length = last - first + 1
        inside, after = np.arange(length), np.arange(1, len(gain) - last)
        gain[first : last + 1] = profile.found * scaled_sigmoid(inside / length - 1) / scaled_sigmoid(-1.0)
        gain[last + 1 :] = profile.false_alarm * scaled_sigmoid(after / max(length - 1, 1))
        window[first : last + 1] = k
    return gain, window


def score(corpus: dict[str, Series], told: dict[str, np.ndarray], profile: str, threshold: float | None = None):
    """The normalised score of detections where `told` is at least a threshold: that one, or the best there is."""
    weights, parts, count = PROFILES[profile], [], 0
    for name, series in corpus.items():
        gain, window = worth(series, weights)
        window = np.where(window >= 0, window + count, -1)
        parts.append(np.stack([gain, window, told[name]])[:, series.probation :])
        count += len(series.windows)
    gain, window, scores = np.concatenate(parts, axis=1)
    order = np.argsort(-scores, kind="stable")
    gain, window, scores = gain[order], window[order].astype(int), scores[order]
    best = np.full(count, -weights.missed)  # of each window, as the threshold falls
    for k in np.flatnonzero(window >= 0):
        better = max(best[window[k]], gain[k])
        gain[k], best[window[k]] = better - best[window[k]], better
    totals = np.concatenate([[0], np.cumsum(gain)])  # above those of a detector that never detects
    if threshold is None:
        total = totals[np.append(True, np.append(np.diff(scores) != 0, True))].max()
    else:
        total = totals[np.count_nonzero(scores >= threshold)]
    return 100 * float(total) / (count * (weights.found + weights.missed))
