"""Entities: find the names, dates and numbers of a sentence, with BIO tags and a CRF that knows what may follow what.

Model, files and options are those of `tagging` (BiLSTM and CRF: Lample et al. 2016, arXiv:1603.01360). The first word
of an entity has the tag B-kind, the others I-kind, words of none O; the CRF never decodes an I-kind that has nothing of
its kind to go on with. What the entities are follows from the treebank's universal tags, which the model does not see:
a date is a month or weekday, as a proper noun that is beside no other, with its day and year (Tuesday, May 4, 2004), or
a date in digits; a name is any other run of proper nouns, a number any other run of numerals.

The figure is F1 of entities, right if kind and both ends are. Beside it is the baseline's, that gives each word the tag
that it most often has, and how many words are told to go on with what never began; F1 counts them as beginnings. With
--softmax, a softmax a word in place of the CRF, there are some.
"""

import re
from itertools import pairwise

from minigrad.models import bio_forbidden
from minigrad.models.tasks.dates import MONTHS, WEEKDAYS
from minigrad.models.tasks.tagging import Sentence, Tagging
from minigrad.models.tasks.training import Row

MONTH, WEEKDAY = ({short.lower() for name in names for short in (name, name[:3])} for names in (MONTHS, WEEKDAYS))
DATE, DAY, YEAR = (re.compile(p) for p in (r"\d{1,4}([/-])\d{1,2}\1\d{1,4}", r"[0-3]?\d", r"1\d{3}|20\d\d"))
ORDINAL = re.compile(r"[0-3]?\d(st|nd|rd|th)")
# over the letters that `letter` makes of the words
ENTITY = re.compile(r"(?P<date>(w,?)?(m[dt]?|[dt]m)(,?y)?|w|i)|(?P<name>[Pmw]+)|(?P<number>[ndy]+)")


class Entities(Tagging):
    figure, known = "f1", "above most_frequent_tag"
    higher_is_better = True
    family = "structured"
    rows = [Row("--data ud-ewt", "most_frequent_tag")]
    crf = True

    def sentences(self, *parts):
        return [Sentence(s.words, entity_tags(*s)) for s in super().sentences(*parts)]

    def forbidden(self):
        return bio_forbidden(self.tags)

    def figures_of(self, told):
        pairs = [pair for tags in told for pair in pairwise(["O", *tags])]
        return {
            "f1": f1(told, [sentence.tags for sentence in self.test]),
            "never_began": sum(tag[0] == "I" and not goes_on(before, tag) for before, tag in pairs),
        }


def entity_tags(words: list[str], tags: list[str]) -> list[str]:
    """BIO tags of a sentence, from its universal tags."""
    letters = "".join(map(letter, words, tags))
    letters = re.sub("[Pmw]*P[Pmw]*", lambda run: "P" * len(run[0]), letters)  # April Smith, Black Friday
    made = ["O"] * len(words)
    for found in ENTITY.finditer(letters):
        first, end = found.span()
        made[first:end] = [f"B-{found.lastgroup}", *[f"I-{found.lastgroup}"] * (end - first - 1)]
    return made


def letter(word: str, tag: str) -> str:
    """What a word can be: m month, w weekday, d day, t day as an ordinal, y year, i date in digits, n other numeral,
    P other proper noun, or a comma; o is anything else."""
    name = word.lower().rstrip(".")
    if tag == "PROPN":
        return "m" if name in MONTH or name == "sept" else "w" if name in WEEKDAY else "P"
    if tag == "NUM":
        return "i" if DATE.fullmatch(word) else "d" if DAY.fullmatch(word) else "y" if YEAR.fullmatch(word) else "n"
    return "," if word == "," else "t" if ORDINAL.fullmatch(word) else "o"


def goes_on(before: str, tag: str) -> bool:
    """Whether the tag goes on with the entity of the one before."""
    return before != "O" and tag == f"I-{before[2:]}"


def spans(tags: list[str]) -> set[tuple[int, int, str]]:
    """(first, end, kind) of each entity. An I-kind with nothing to go on with begins one."""
    found, first = set(), 0
    for end, (before, tag) in enumerate(pairwise(["O", *tags, "O"])):
        if not goes_on(before, tag):
            if before != "O":
                found.add((first, end, before[2:]))
            first = end
    return found


def f1(told: list[list[str]], truth: list[list[str]]) -> float:
    """2 · right / (told + true), of the entities of all sentences."""
    found, there = ({(k, *span) for k, tags in enumerate(part) for span in spans(tags)} for part in (told, truth))
    return 2 * len(found & there) / max(len(found) + len(there), 1)
