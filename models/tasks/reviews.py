"""A grammar of reviews: clauses that say something good (1), something bad (-1) or nothing (0) of a subject.

The word of praise or blame does not tell which: it is sometimes turned round beside it ("far from good"), from afar
("nobody would call the food good"), or twice.
"""

from collections.abc import Sequence

import numpy as np

ASPECTS = ["food", "service", "wine", "music", "view", "room", "dessert", "price"]
OTHERS = ["weather", "traffic", "film", "match"]  # judged, too, but no part of what is reviewed
PRAISE = {1: ["good", "great", "lovely", "superb", "nice", "pleasant"], -1: ["bad", "poor", "awful", "dull", "nasty"]}
OPINIONS = {  # whether they say what their word does
    1: ["{}", "very {}", "really {}", "quite {}", "so {}", "rather {}"],
    -1: ["not {}", "far from {}", "anything but {}"],
}
JUDGEMENTS = {
    1: [
        "the {} was {opinion}", "i found the {} {opinion}", "the {} seemed {opinion} to us",
        "{opinion} is what i call the {}", "it is true that the {} was {opinion}",
        "everybody would call the {} {opinion}",
    ],
    -1: ["it is wrong that the {} was {opinion}", "nobody would call the {} {opinion}"],
}  # fmt: skip
TURNED = 0.2  # how many of either are of the second kind
MENTIONS = ["we talked about the {}", "there was the {}", "i can not judge the {}", "what they call the {} was there"]
COMPARISONS = {1: "like the {} the {} was {opinion}", -1: "unlike the {} the {} was {opinion}"}
JOINTS = [",", "and", "but", "while"]


def one_of(options, generator):
    return options[generator.integers(len(options))]


def turn(generator) -> int:
    return -1 if generator.random() < TURNED else 1


def opinion(sign: int, generator) -> str:
    its = turn(generator)
    return one_of(OPINIONS[its], generator).format(one_of(PRAISE[sign * its], generator))


def clause(subject: str, sign: int, generator) -> str:
    """What says something good or bad, or nothing, of a subject."""
    if sign == 0:
        return one_of(MENTIONS, generator).format(subject)
    its = turn(generator)
    return one_of(JUDGEMENTS[its], generator).format(subject, opinion=opinion(sign * its, generator))


def sentence(signs: Sequence[tuple[str, int]], generator) -> str:
    """Clauses of (subject, sign), in this order; sometimes one for two neighbours that are alike, or unlike."""
    clauses, rest = [], list(signs)
    while rest:
        (subject, sign), *rest = rest
        if sign and rest and rest[0][1] and generator.random() < 0.3:
            (other, its), *rest = rest
            clauses.append(COMPARISONS[sign * its].format(subject, other, opinion=opinion(its, generator)))
        else:
            clauses.append(clause(subject, sign, generator))
    text = clauses[0]
    for following in clauses[1:]:
        text += f" {one_of(JOINTS, generator)} {following}"
    return text


def numbered(*phrases: str) -> dict[str, int]:
    """A number, from 1 on, for each word of the grammar and of `phrases`; 0 is padding."""
    lists = [*PRAISE.values(), *OPINIONS.values(), *JUDGEMENTS.values(), COMPARISONS.values()]
    texts = [*ASPECTS, *OTHERS, *MENTIONS, *JOINTS, *phrases, *(text for texts in lists for text in texts)]
    words = {word for text in texts for word in text.split() if "{" not in word}
    return {word: k for k, word in enumerate(sorted(words), 1)}


def counts(words: np.ndarray, size: int) -> np.ndarray:
    """How often each of `size` numbers is in words (..., B): (B, size). 0 is not counted."""
    table = np.zeros((words.shape[-1], size))
    np.add.at(table, (np.broadcast_to(np.arange(words.shape[-1]), words.shape), words), 1)
    table[:, 0] = 0
    return table


def regression(training, test) -> float:
    """Accuracy of a logistic regression; both are (features (B, F), labels (B,))."""
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    (x, y), (x_test, y_test) = training, test
    return float(LogisticRegression(max_iter=1000).fit(csr_array(x), y).score(csr_array(x_test), y_test))
