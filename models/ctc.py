"""Connectionist temporal classification: labels without an alignment (Graves, Fernández, Gomez & Schmidhuber 2006).

A network gives the probabilities of C classes at each of T frames; one class is the blank. A path names a class at each
frame, and stands for the labelling that is left when repeats are merged and then blanks removed. The probability of a
labelling is the sum over all its paths.
"""

import math
from collections import defaultdict
from typing import Literal

import numpy as np

import minigrad as mg
from minigrad.arguments import Count, Size, checked
from minigrad.models.lengths import valid_steps

Reduction = Literal["mean", "sum", "none"]


@checked
def ctc_loss(
    log_probs, targets, input_lengths=None, target_lengths=None, blank: Count = 0, reduction: Reduction = "mean",
    zero_infinity: bool = False,
):  # fmt: skip
    """-log p(targets), by the forward recursion in log space (Graves et al. 2006, equations 5 to 8).

    The labels l_1 ... l_U are interleaved with blanks, z = (blank, l_1, blank, ..., l_U, blank), and α_t(s) is the
    probability of all that leads to z_s at frame t:

        α_t(s) = (α_{t-1}(s) + α_{t-1}(s-1) + α_{t-1}(s-2)) p_t(z_s)

    with the last term only where z_s is not z_{s-2}: between two equal labels there has to be a blank.

    log_probs: (T, B, C) logarithms of probabilities, float. targets: (B, S) integers, padded on the right with
    anything. input_lengths, target_lengths: (B,) integers up to T and S, those by default. reduction: "mean" divides
    each loss by its number of labels (at least 1) and takes the mean over the batch, as PyTorch; "sum"; "none", (B,).

    Where targets need more frames than there are, the loss is inf, with zero_infinity 0; its gradient is 0 in both
    cases (PyTorch's is NaN for inf). The gradient with respect to log_probs is minus the posterior of each class at
    each frame; that with respect to the logits of a log_softmax, softmax less posterior (equation 16), follows from it.

    Raises ValueError for shapes, lengths and a blank that do not fit, TypeError for wrong dtypes, IndexError for
    targets that are blank or no class.

    Examples
    --------
    >>> log_probs = mg.log_softmax(mg.zeros((4, 1, 3)))
    >>> round(models.ctc_loss(log_probs, [[1, 2]], reduction="sum").item(), 4)
    1.6864
    """
    log_probs, targets = [x if isinstance(x, mg.Tensor) else mg.tensor(x) for x in (log_probs, targets)]
    if log_probs.ndim != 3 or targets.ndim != 2 or log_probs.shape[1] != targets.shape[0]:
        raise ValueError(
            f"ctc_loss: got log_probs {log_probs.shape} and targets {targets.shape}, wanted (T, B, C) and (B, S)"
        )
    (T, B, C), S = log_probs.shape, targets.shape[1]
    if log_probs.dtype.kind != "f" or targets.dtype.kind not in "iu":
        raise TypeError(f"ctc_loss: got {log_probs.dtype} and {targets.dtype}, wanted float log_probs, integer targets")
    if not 0 <= blank < C:
        raise ValueError(f"ctc_loss: got blank={blank}, wanted one of the {C} classes, 0 to {C - 1}")
    frames = valid_steps("ctc_loss", input_lengths, T, B, name="input_lengths")
    labels = valid_steps("ctc_loss", target_lengths, S, B, name="target_lengths").T
    if not mg.tracing():
        given = targets.numpy()[labels.numpy()]
        if ((given < 0) | (given >= C) | (given == blank)).any():
            raise IndexError(
                f"ctc_loss: got targets {given.tolist()}, wanted classes from 0 to {C - 1} without the blank, {blank}"
            )
    blanks = mg.full((B, S + 1), blank)
    pairs = mg.stack([mg.where(labels, targets, blank), blanks[:, 1:]], axis=-1)
    z = mg.concatenate([blanks[:, :1], pairs.reshape(B, 2 * S)], axis=1)
    two_before = mg.concatenate([mg.full((B, 2), blank), z], axis=1)[:, :-2]
    skips = z != two_before  # never to a blank
    emitted = mg.take_along_axis(log_probs, z[None], axis=2)  # (T, B, 2S + 1)
    never = mg.full((B, 2), -np.inf, log_probs.dtype)

    def step(alpha, inputs):
        emitted, valid = inputs
        shifted = mg.concatenate([never, alpha], axis=1)
        ways = mg.stack([alpha, shifted[:, 1:-1], mg.where(skips, shifted[:, :-2], -np.inf)])
        return mg.where(valid[:, None], mg.logsumexp(ways, axis=0) + emitted, alpha), None

    # from the 0 the recursion reaches the first blank and the first label, and nothing else
    before = [mg.zeros((B, 1), log_probs.dtype), mg.full((B, 2 * S), -np.inf, log_probs.dtype)]
    alpha, _ = mg.scan(step, mg.concatenate(before, axis=1), (emitted, frames))
    counts = labels.sum(axis=1)
    place = mg.arange(2 * S + 1)
    ends = (place == 2 * counts[:, None]) | (place == 2 * counts[:, None] - 1)
    losses = -mg.logsumexp(mg.where(ends, alpha, -np.inf), axis=1)
    if zero_infinity:
        losses = mg.where(mg.isfinite(losses), losses, 0)
    if reduction == "mean":
        return (losses / mg.maximum(counts, 1).astype(losses.dtype)).mean()
    return losses.sum() if reduction == "sum" else losses


@checked
def ctc_greedy(log_probs, input_lengths=None, blank: Count = 0) -> list[list[int]]:
    """The labelling of the likeliest path, for each sequence of the batch: best path decoding (Graves et al. 2006).

    log_probs (T, B, C), also any other scores; input_lengths (B,) integers up to T.

    Examples
    --------
    >>> log_probs = np.log(np.array([[[0.1, 0.8, 0.1]], [[0.8, 0.1, 0.1]], [[0.1, 0.1, 0.8]]]))
    >>> models.ctc_greedy(log_probs)
    [[1, 2]]
    """
    paths, lengths = frames_of("ctc_greedy", log_probs, input_lengths, blank)
    return [collapse(path[:length].argmax(axis=-1), blank) for path, length in zip(paths, lengths)]


def collapse(path, blank: int = 0) -> list[int]:
    """The labelling that a path stands for: repeats merged, then blanks removed."""
    path = np.asarray(path)
    first = np.concatenate([[True], path[1:] != path[:-1]])[: len(path)]
    return path[first & (path != blank)].tolist()


@checked
def ctc_beam(log_probs, input_lengths=None, width: Size = 10, blank: Count = 0) -> list[list[tuple[list[int], float]]]:
    """Prefix beam search (Graves 2012; as in Hannun et al. 2014, arXiv:1408.2873, without a language model).

    Of each sequence of the batch, up to `width` labellings with their log probabilities, the likeliest first. A prefix
    keeps the probability of its paths that end in a blank apart from that of those that do not, for a repeat of its
    last label makes it longer after a blank only. Paths of prefixes that fell out of the beam are missing in the sums;
    a beam that holds them all gives the exact probabilities.

    log_probs (T, B, C); input_lengths (B,) integers up to T; width at least 1.

    Examples
    --------
    >>> log_probs = np.log(np.array([[[0.1, 0.8, 0.1]], [[0.8, 0.1, 0.1]], [[0.1, 0.1, 0.8]]]))
    >>> labels, score = models.ctc_beam(log_probs, width=5)[0][0]
    >>> labels
    [1, 2]
    """
    paths, lengths = frames_of("ctc_beam", log_probs, input_lengths, blank)
    return [prefix_search(path[:length], width, blank) for path, length in zip(paths, lengths)]


def prefix_search(log_probs, width: int, blank: int) -> list[tuple[list[int], float]]:
    beam = {(): (0.0, -math.inf)}  # prefix -> log probability of its paths that end in a blank, and in its last label
    for frame in log_probs.tolist():
        grown: defaultdict = defaultdict(lambda: (-math.inf, -math.inf))
        for prefix, (in_blank, in_label) in beam.items():
            total = log_add(in_blank, in_label)
            of_blank, of_label = grown[prefix]
            stays = in_label + frame[prefix[-1]] if prefix else -math.inf
            grown[prefix] = log_add(of_blank, total + frame[blank]), log_add(of_label, stays)
            for label, log_p in enumerate(frame):
                if label != blank:
                    of_blank, of_label = grown[*prefix, label]
                    came = in_blank if prefix and label == prefix[-1] else total
                    grown[*prefix, label] = of_blank, log_add(of_label, came + log_p)
        possible = {prefix: log_add(*ends) for prefix, ends in grown.items() if max(ends) > -math.inf}
        best = sorted(possible, key=possible.__getitem__, reverse=True)[:width]
        beam = {prefix: grown[prefix] for prefix in best}
    return [(list(prefix), log_add(*ends)) for prefix, ends in beam.items()]


def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)); of two numbers Python's own functions take a fifth of NumPy's time."""
    high, low = (a, b) if a >= b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def frames_of(owner: str, log_probs, input_lengths, blank: int):
    """(log_probs as an array (B, T, C), lengths), checked."""
    log_probs = mg.tensor(log_probs.detach() if isinstance(log_probs, mg.Tensor) else log_probs).numpy()
    if log_probs.ndim != 3:
        raise ValueError(f"{owner}: got log_probs of shape {log_probs.shape}, wanted (T, B, C)")
    T, B, C = log_probs.shape
    if not 0 <= blank < C:
        raise ValueError(f"{owner}: got blank={blank}, wanted one of the {C} classes, 0 to {C - 1}")
    return log_probs.swapaxes(0, 1), valid_steps(owner, input_lengths, T, B, name="input_lengths").numpy().sum(axis=0)
