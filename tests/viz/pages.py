"""Cells to show, and what a page holds."""

import base64
import json
import re

import numpy as np

from minigrad import nn
from minigrad.models.tasks.cells import CELLS, example_input

DTYPES = {"ints": np.int32, "floats": np.float32}


def cell_and_input(name, steps=3, batch=2, hidden=8, seed=0):
    nn.manual_seed(seed)
    cell = CELLS[name](3, hidden)
    return cell, example_input(cell, steps, batch, np.random.default_rng(seed))


def data_of(page: str) -> dict:
    """The data, its columns as arrays."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data = json.loads(text)
    for kind, dtype in DTYPES.items():
        data |= {name: np.frombuffer(base64.b64decode(c), dtype) for name, c in data[kind].items()}
    return data


def parents(data, n: int) -> list[int]:
    return data["parent"][data["starts"][n] : data["starts"][n + 1]].tolist()
