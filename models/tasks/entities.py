"""Entities: find the names of a sentence, of persons, places and works, with BIO tags and a CRF that knows their order.

Model and options are those of `tagging` (BiLSTM and CRF: Lample et al. 2016, arXiv:1603.01360). The first word of an
entity has the tag B-kind, the others I-kind, words of none O; the CRF never decodes an I-kind that has nothing of its
kind to go on with. --data is a folder with *train*.conll (or *dev*.conll) and *test*.conll or *test*.annotated, a word
and its tag a line, a tab between, and an empty line after a sentence: those of the WNUT 2017 shared task
(github.com/leondz/emerging_entities_17), whose test has new names in new kinds of text (Derczynski et al. 2017,
aclanthology W17-4418). Of a Universal Dependencies treebank (*train.conllu or *dev.conllu, and *test.conllu) the
entities follow from the universal tags, which the model does not see: a date is a month or weekday, as a proper noun
that is beside no other, with its day and year (Tuesday, May 4, 2004), or a date in digits; a name is any other run of
proper nouns, a number any other run of numerals.

The figure is F1 of entities, right if kind and both ends are; surface_f1 counts each different one once, as the shared
task does. Beside them is the baseline's, that gives each word the tag that it most often has, and how many words are
told to go on with what never began; F1 counts them as beginnings. With --softmax, a softmax a word in place of the CRF,
there are some. tags.png shows how probable each tag is at each word of a sentence.
"""

import re
from functools import partial
from itertools import pairwise

import minigrad as mg
from minigrad.models import bio_forbidden
from minigrad.models.tasks import files, tagging
from minigrad.models.tasks.conll import Sentence, columns, conllu
from minigrad.models.tasks.dates import MONTHS, WEEKDAYS
from minigrad.models.tasks.tagging import Tagging
from minigrad.models.tasks.training import Row

MONTH, WEEKDAY = ({short.lower() for name in names for short in (name, name[:3])} for names in (MONTHS, WEEKDAYS))
DATE, DAY, YEAR = (re.compile(p) for p in (r"\d{1,4}([/-])\d{1,2}\1\d{1,4}", r"[0-3]?\d", r"1\d{3}|20\d\d"))
ORDINAL = re.compile(r"[0-3]?\d(st|nd|rd|th)")
# over the letters that `letter` makes of the words
ENTITY = re.compile(r"(?P<date>(w,?)?(m[dt]?|[dt]m)(,?y)?|w|i)|(?P<name>[Pmw]+)|(?P<number>[ndy]+)")
WNUT = "with vectors of words and lists of names from elsewhere 0.419, surface 0.402 (Aguilar et al. 2017, W17-4419)"


class Entities(Tagging):
    steps, every, hide = 2400, 300, 0.3
    figure, known = "f1", "above most_frequent_tag"
    higher_is_better = True
    family = "structured"
    rows = [
        Row("--data ud-ewt", "most_frequent_tag"),
        *(Row(f"--data wnut17 {decoder}", "most_frequent_tag", WNUT) for decoder in ("--crf", "--softmax")),
    ]
    crf = True

    formats = {
        "*{}.conllu": lambda text: [Sentence(s.words, entity_tags(*s)) for s in conllu(text)],
        "*{}*.conll": columns,
        "*{}*.annotated": columns,
    }

    forbidden = staticmethod(bio_forbidden)

    def figures_of(self, told):
        pairs = [pair for tags in told for pair in pairwise(["O", *tags])]
        return {
            "f1": f1(told, self.test),
            "surface_f1": surface_f1(told, self.test),
            "never_began": sum(tag[0] == "I" and not goes_on(before, tag) for before, tag in pairs),
        }

    def evaluate(self):
        figures = super().evaluate()
        self.draw_tags()
        return figures

    def draw_tags(self) -> None:
        """The probability of each tag at each word, of the short sentence that has most entities; the true tags as
        squares, those that are told as dots."""
        from matplotlib.figure import Figure

        k = max(range(len(self.test)), key=lambda k: (len(self.test[k].words) <= 15, len(spans(self.test[k].tags))))
        sentence, rows = self.test[k], list(self.tags)
        inputs, _, lengths = mg.tree.map(mg.tensor, self.annotator.numbers([sentence]))
        scores = self.model(inputs, lengths)
        crf = self.annotator.model.crf
        p = mg.softmax(scores, axis=-1) if crf is None else crf.marginals(scores, lengths)
        T = len(sentence.words)
        figure = Figure(figsize=(0.5 * T + 2, 0.25 * len(rows) + 1.5), layout="constrained")
        axes = figure.subplots()
        axes.imshow(p.numpy()[:T, 0].T, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
        true, told = (
            [rows.index(tag) if tag in rows else -1 for tag in tags] for tags in (sentence.tags, self.told[k])
        )
        axes.scatter(range(T), true, marker="s", s=110, facecolors="none", edgecolors="black")
        axes.scatter(range(T), told, marker=".", color="black")
        axes.set_ylim(len(rows) - 0.5, -0.5)  # a tag that training has not is above
        axes.set_xticks(range(T), sentence.words, rotation=60, ha="right")
        axes.set_yticks(range(len(rows)), rows)
        files.save_figure(figure, self.out / "tags.png")


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


def f1(told: list[list[str]], test: list[Sentence]) -> float:
    """2 · right / (told + true), of the entities of all sentences."""
    found, there = entities_in(told), entities_in([sentence.tags for sentence in test])
    return 2 * len(found & there) / max(len(found) + len(there), 1)


def surface_f1(told: list[list[str]], test: list[Sentence]) -> float:
    """The same of the different (words, kind), each counted once, however often it is there."""
    found, there = entities_in(told), entities_in([sentence.tags for sentence in test])

    def surfaces(entities):
        return {(*test[k].words[first:end], kind) for k, first, end, kind in entities}

    return 2 * len(surfaces(found & there)) / max(len(surfaces(found)) + len(surfaces(there)), 1)


def entities_in(tags: list[list[str]]) -> set[tuple[int, int, int, str]]:
    """(sentence, first, end, kind) of each entity of several sentences."""
    return {(k, *span) for k, sentence in enumerate(tags) for span in spans(sentence)}


sample = partial(tagging.sample, task=Entities)
