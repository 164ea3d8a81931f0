"""Binary parses of sentences, with a label at every phrase: (3 (2 It) (4 (2 's) (4 good)))."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigrad import disk
from minigrad.badinput import BadInput

TOKEN = re.compile(r"[()]|[^() \t\r\n]+")  # "8 1\\/2" with a no-break space is a word


class Parse(NamedTuple):
    """The nodes of a parse in the order of its text: the root first, what is below a node right behind it.

    words: of the leaves, in lower case; "" of the other nodes. labels: from 0 to 4. parents: -1 is the root's.
    positions: 0 for the left one of two nodes, 1 for the right one. Each has one entry a node.
    """

    words: list[str]
    labels: np.ndarray
    parents: np.ndarray
    positions: np.ndarray


def parsed(text: str) -> Parse:
    """The parse that a text in brackets tells. Raises ValueError for what is none."""
    tokens = TOKEN.findall(text)[::-1]
    nodes: list[list] = []

    def take(pattern: str, wanted: str) -> str:
        token = tokens.pop() if tokens else "the end"
        if not re.fullmatch(pattern, token):
            raise ValueError(f"got {token!r} before {' '.join(tokens[:-4:-1])!r}, wanted {wanted}")
        return token

    def node(parent: int, position: int) -> None:
        take(r"\(", "an opening bracket")
        number, label = len(nodes), int(take("[0-4]", "a label from 0 to 4"))
        nodes.append(["", label, parent, position])
        if tokens and tokens[-1] == "(":
            node(number, 0)
            node(number, 1)
        else:
            nodes[number][0] = take("[^()]+", "a word, or two phrases in brackets").lower()
        take(r"\)", "a closing bracket")

    node(-1, 0)
    if tokens:
        raise ValueError(f"got {' '.join(tokens[:-4:-1])!r} behind the end of the parse")
    words, *numbers = zip(*nodes)
    return Parse(list(words), *map(np.array, numbers))


def read(folder: Path | str | None, part: str) -> list[Parse]:
    """The parses of a folder's file, PART.txt, one a line. Raises BadInput for what is no such file."""
    if folder is None:
        raise BadInput("--data: wanted the folder of the treebank's train.txt, dev.txt and test.txt")
    path = Path(folder) / f"{part}.txt"
    try:
        lines = disk.read_text(path).split("\n")
    except OSError as error:
        raise BadInput(f"--data {folder}: {path.name}: {error.strerror}") from error
    parses = []
    for number, line in enumerate(lines, 1):
        try:
            parses += [parsed(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise BadInput(f"--data {folder}: {path.name}, line {number}: {error}") from error
    if not parses:
        raise BadInput(f"--data {folder}: {path.name} has no parse")
    return parses


def of_prompt(text: str) -> Parse:
    """The parse of a text, in brackets without labels, "(not (very good))"; without brackets, each word is joined to
    all that follow. All labels are 2. Raises ValueError for brackets that are no binary parse."""
    words = text.split()
    if "(" not in text and words:
        text = "".join(f"({word} " for word in words[:-1]) + words[-1] + ")" * (len(words) - 1)
    return parsed(TOKEN.sub(lambda token: {"(": "(2 ", ")": ")"}.get(token[0], f"(2 {token[0]})"), text))


def phrases(parse: Parse) -> list[tuple[str, ...]]:
    """The words below each node."""
    sentence, count = [word for word in parse.words if word], np.array([bool(word) for word in parse.words], int)
    first = np.cumsum(count) - count
    for node in range(len(count) - 1, 0, -1):  # what is below a node stands behind it
        count[parse.parents[node]] += count[node]
    return [tuple(sentence[a : a + n]) for a, n in zip(first, count)]


def depths(parse: Parse) -> list[int]:
    """How far each node is below the root."""
    found = [0]
    for above in parse.parents[1:]:
        found.append(found[above] + 1)
    return found


def is_turned(parse: Parse, middle: float) -> bool:
    """Whether it has a "not" before a phrase with a label above the middle, and both together have one below it."""
    pairs = zip(parse.words, parse.positions, parse.parents, parse.labels[1:])  # the phrase is the node behind "not"
    return any(
        word in ("not", "n't") and position == 0 and 0 <= parse.labels[above] < middle < label
        for word, position, above, label in pairs
    )
