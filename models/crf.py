"""The linear-chain conditional random field (Lafferty, McCallum & Pereira 2001): whole paths of tags have scores.

The score of a path y given emissions P (a network's scores of each tag at each step) is

    s(y) = start[y_1] + Σ_t P[t, y_t] + Σ_t A[y_{t-1}, y_t] + end[y_T]

and its probability exp(s(y)) / Z, with Z the sum over all paths (Lample et al. 2016, arXiv:1603.01360, section 2.2).
"""

from collections.abc import Iterable, Sequence

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Generator, Size, checked
from minigrad.models.lengths import valid_steps


class CRF(nn.Module):
    """`log_likelihood = crf(emissions, tags, lengths)`; `tags, scores = crf.decode(emissions, lengths)`.

    emissions: (T, B, K) floats, K = num_tags. tags: (T, B) integers. lengths: B integers from 1 to T, by default T;
    what is padding changes nothing. Parameters: transitions (K, K), from the tag of the row to that of the column,
    start_transitions and end_transitions (K,), all U(±0.1): K² + 2K numbers, named as in the package pytorch-crf.

    forbidden: pairs (i, j) of tags, where j never follows i; (None, j) forbids j at the start, (i, None) i at the end.
    Paths that do so have probability 0: Z leaves them out, and they are never decoded (`bio_forbidden` makes the
    pairs of a BIO scheme).

    Raises ValueError for shapes and lengths that do not fit, TypeError for wrong dtypes, IndexError for tags that are
    none of the K.

    Examples
    --------
    >>> crf = models.CRF(3)
    >>> emissions = 9 * mg.one_hot([[0], [2], [1]], 3)
    >>> tags, scores = crf.decode(emissions)
    >>> tags[:, 0].tolist(), crf(emissions, tags).item() > -0.1
    ([0, 2, 1], True)
    """

    @checked
    def __init__(
        self, num_tags: Size, forbidden: Iterable[tuple[int | None, int | None]] = (), *, generator: Generator = None
    ):
        self.num_tags = K = num_tags
        self.transitions = nn.Parameter(nn.init.uniform((K, K), 0.1, generator=generator))
        self.start_transitions = nn.Parameter(nn.init.uniform((K,), 0.1, generator=generator))
        self.end_transitions = nn.Parameter(nn.init.uniform((K,), 0.1, generator=generator))
        self.forbidden = np.zeros((K + 1, K + 1), bool)  # the last row is the start, the last column the end
        for pair in forbidden:
            if not all(tag is None or 0 <= tag < K for tag in pair):
                raise ValueError(f"CRF: got a forbidden transition {pair}, wanted tags from 0 to {K - 1}, or None")
            self.forbidden[tuple(K if tag is None else tag for tag in pair)] = True

    def scores(self):
        """start (K,), transitions (K, K) and end (K,), with -inf for what is forbidden."""
        K, never = self.num_tags, mg.tensor(self.forbidden)
        return (
            mg.where(never[K, :K], -np.inf, self.start_transitions),
            mg.where(never[:K, :K], -np.inf, self.transitions),
            mg.where(never[:K, K], -np.inf, self.end_transitions),
        )

    @checked
    def forward(self, emissions, tags, lengths=None):
        """Log-likelihood of the tags, (B,); -inf for tags that are forbidden."""
        tags = tags if isinstance(tags, mg.Tensor) else mg.tensor(tags)
        if tags.shape != emissions.shape[:2]:
            raise ValueError(f"CRF: got tags {tags.shape}, wanted one for each step, {emissions.shape[:2]}")
        if tags.dtype.kind not in "iu":
            raise TypeError(f"CRF: got tags of {tags.dtype}, wanted integers")
        if not mg.tracing():
            given = tags.numpy()[self.valid(emissions, lengths).numpy()]
            if ((given < 0) | (given >= self.num_tags)).any():
                raise IndexError(f"CRF: got tags {given.tolist()}, wanted them from 0 to {self.num_tags - 1}")
        named = tags[..., None] == mg.tensor(np.arange(self.num_tags))
        score = self.log_partition(mg.where(named, emissions, -np.inf), lengths)  # the sum over one path alone
        return score - self.log_partition(emissions, lengths)

    @checked
    def log_partition(self, emissions, lengths=None):
        """log Z, (B,), by the forward recursion α_t(j) = logsumexp_i(α_{t-1}(i) + A[i, j]) + P[t, j]."""
        valid = self.valid(emissions, lengths)
        start, transitions, end = self.scores()

        def step(alpha, inputs):
            emission, valid = inputs
            moved = mg.logsumexp(alpha[:, :, None] + transitions, axis=1) + emission
            return mg.where(valid[:, None], moved, alpha), None

        alpha, _ = mg.scan(step, start + emissions[0], (emissions[1:], valid[1:]))
        return mg.logsumexp(alpha + end, axis=1)

    @checked
    def marginals(self, emissions, lengths=None):
        """p(y_t = k), (T, B, K), 0 in padding: the gradient of log Z with respect to the emissions."""
        return mg.grad(lambda emissions: self.log_partition(emissions, lengths).sum())(emissions)

    @checked
    def decode(self, emissions, lengths=None):
        """The likeliest tags (T, B), 0 in padding, and their scores s(y), (B,) (Viterbi 1967)."""
        valid = self.valid(emissions, lengths)
        start, transitions, end = self.scores()
        tags = mg.tensor(np.arange(self.num_tags))

        def step(best, inputs):
            emission, valid = inputs
            moved = best[:, :, None] + transitions
            origin = mg.where(valid[:, None], moved.argmax(axis=1), tags)
            return mg.where(valid[:, None], moved.max(axis=1) + emission, best), origin

        def back(tag, origin):
            return mg.take_along_axis(origin, tag, axis=1), tag

        best, origins = mg.scan(step, start + emissions[0], (emissions[1:], valid[1:]))
        best = best + end
        first, rest = mg.scan(back, best.argmax(axis=1, keepdims=True), origins, reverse=True)
        path = mg.concatenate([first[None], rest])[:, :, 0]
        return mg.where(valid, path, 0), best.max(axis=1)

    def valid(self, emissions, lengths):
        if emissions.ndim != 3 or emissions.shape[2] != self.num_tags or emissions.shape[0] == 0:
            raise ValueError(f"CRF: got emissions {emissions.shape}, wanted (T, B, {self.num_tags}) with T at least 1")
        return valid_steps("CRF", lengths, *emissions.shape[:2], least=1)


@checked
def bio_forbidden(tags: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """What the BIO scheme forbids (Ramshaw & Marcus 1995): I-x anywhere but after B-x or I-x.

    tags: their names, "O", "B-x" and "I-x". Raises ValueError for other names.

    Examples
    --------
    >>> models.bio_forbidden(["O", "B-x", "I-x"])
    [(None, 2), (0, 2)]
    """
    wrong = [tag for tag in tags if tag != "O" and tag[:2] not in ("B-", "I-")]
    if wrong:
        raise ValueError(f"bio_forbidden: got the tags {', '.join(wrong)}, wanted 'O', 'B-...' and 'I-...'")
    inside = [(j, tag[2:]) for j, tag in enumerate(tags) if tag.startswith("I-")]
    before: list = [(None, "O"), *enumerate(tags)]
    return [(i, j) for i, tag in before for j, kind in inside if tag not in (f"B-{kind}", f"I-{kind}")]
