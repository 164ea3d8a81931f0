"""Files of sentences whose words have tags: CoNLL-U, and columns with BIO tags."""

import re
from pathlib import Path
from typing import NamedTuple

from minigrad import disk
from minigrad.badinput import BadInput


class Sentence(NamedTuple):
    words: list[str]
    tags: list[str]


def read(folder: Path | str | None, formats: dict, *parts: str) -> list[Sentence]:
    """The sentences of the first of the parts ("train", "dev", "test") that the folder has.

    formats: what reads the text of a file, by the pattern that its name has around the part, "*{}.conllu".
    """
    if folder is None:
        train, dev, test = (either(formats, part) for part in ("train", "dev", "test"))
        raise BadInput(f"--data is missing: wanted a folder with {train} or {dev}, and {test}")
    for part in parts:
        for pattern, sentences_of in formats.items():
            for path in sorted(Path(folder).glob(pattern.format(part))):
                try:
                    sentences = sentences_of(disk.read_text(path))
                except (OSError, ValueError) as error:
                    why = getattr(error, "strerror", None) or error
                    raise BadInput(f"--data {folder}: {path.name}: {why}") from error
                if sentences:
                    return sentences
    raise BadInput(f"--data {folder}: no sentence in any {either(formats, *parts)} there")


def either(formats: dict, *parts: str) -> str:
    return " or ".join(pattern.format(part) for part in parts for pattern in formats)


def conllu(text: str) -> list[Sentence]:
    """Words and universal tags of a text in CoNLL-U: a line a word, of ten columns, an empty line after a sentence.

    Left out are comments, and lines that are no words of the sentence's tree: those numbered 1-2 or 1.1. Raises
    ValueError for a line of other columns.
    """
    sentences: list[Sentence] = []
    words: list[tuple[str, str]] = []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        columns = line.split("\t")
        if not line.strip():
            if words:
                sentences.append(Sentence(*map(list, zip(*words))))
            words = []
        elif not line.startswith("#") and len(columns) != 10:
            raise ValueError(f"line {number} has {len(columns)} columns, wanted the ten of CoNLL-U")
        elif columns[0].isdigit():
            words.append((columns[1], columns[3]))
    return sentences


def columns(text: str) -> list[Sentence]:
    """Words and BIO tags of a text of two columns, a tab between: a line a word, an empty line after a sentence.

    Raises ValueError for a line of other columns, and for tags that are not O, B-kind or I-kind.
    """
    sentences: list[Sentence] = []
    words: list[tuple[str, str]] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if not line.strip():
            if words:
                sentences.append(Sentence(*map(list, zip(*words))))
            words = []
            continue
        word, *tags = line.rstrip("\r").split("\t")
        if len(tags) != 1 or not word:
            raise ValueError(f"line {number} has {len(tags) + 1} columns, wanted a word and its tag")
        if tags[0] != "O" and not re.fullmatch("[BI]-.+", tags[0]):
            raise ValueError(f"line {number} has the tag {tags[0]!r}, wanted O, B-kind or I-kind")
        words.append((word, tags[0]))
    return sentences
