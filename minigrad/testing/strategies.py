"""Hypothesis strategies that draw the inputs of ops and cells. Hypothesis is imported when one is called."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.arguments import Count, Size, checked, require
from minigrad.tensor import Tensor


@checked
def spread(
    rng: np.random.Generator, shape: tuple[Count, ...], low: float = -2.0, high: float = 2.0,
    away: Sequence[float] = (0.0,), used: set | None = None,
) -> np.ndarray:  # fmt: skip
    """Different float64 values from [low, high], at least 2^-8 apart (less if there is no room) and 0.05 from `away`.

    They lie on odd multiples of 2^-9, so that float32 holds them exactly and none is an integer. `used`: values that
    are not to be drawn; those that are drawn join it.

    Examples
    --------
    >>> x = mg.testing.spread(np.random.default_rng(0), (2, 2), -1.0, 1.0)
    >>> x.shape, bool(abs(x).max() <= 1)
    ((2, 2), True)
    """
    if not 2.0**-20 < high - low < 2.0**20:
        raise ValueError(f"spread: got the interval from {low} to {high}, wanted low < high, not far apart")
    size, used = int(np.prod(shape)), set() if used is None else used
    step = 2.0**-8
    while True:
        values = (np.arange(np.floor(low / step), np.ceil(high / step)) + 0.5) * step
        values = values[(values > low) & (values < high)]
        for point in away:
            values = values[abs(values - point) > min(0.05, (high - low) / 20)]
        values = np.array([x for x in values if x not in used])
        if len(values) >= size:
            break
        step /= 2
    drawn = rng.choice(values, size, replace=False) if size else values[:0]
    used.update(drawn.tolist())
    return drawn.reshape(shape)


def seeds() -> Any:
    """Random generators of NumPy.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, database=None)
    ... @given(mg.testing.seeds())
    ... def holds(rng):
    ...     assert rng.normal(size=3).shape == (3,)
    >>> holds()
    """
    import hypothesis.strategies as st

    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def valid(name: str, strategy):
    """The strategy. Raises ValueError where Hypothesis would refuse it when it is first drawn from."""
    from hypothesis.errors import InvalidArgument

    try:
        strategy.validate()
    except InvalidArgument as error:
        raise ValueError(f"{name}: {error}") from error
    return strategy


@checked
def shapes(min_dims: Count = 0, max_dims: Count = 3, min_side: Count = 1, max_side: Count = 4):
    """Shapes of arrays. Raises ValueError for a least number above the greatest.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, database=None)
    ... @given(mg.testing.shapes(min_dims=1, max_dims=2))
    ... def holds(shape):
    ...     assert mg.zeros(shape).shape == shape
    >>> holds()
    """
    from hypothesis.extra.numpy import array_shapes

    strategy = array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)
    return valid("shapes", strategy)


@checked
def broadcastable_shapes(count: Size, min_side: Count = 1, max_side: Count = 4, max_dims: Count = 3):
    """Tuples of `count` shapes that broadcast with one another. Raises ValueError as `shapes` does.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, database=None)
    ... @given(mg.testing.broadcastable_shapes(2))
    ... def holds(shapes):
    ...     mg.zeros(shapes[0]) + mg.zeros(shapes[1])
    >>> holds()
    """
    from hypothesis.extra.numpy import mutually_broadcastable_shapes

    strategy = mutually_broadcastable_shapes(
        num_shapes=count, min_side=min_side, max_side=max_side, min_dims=0, max_dims=max_dims
    )
    return valid("broadcastable_shapes", strategy).map(lambda drawn: drawn.input_shapes)


@checked
def arrays(shape=None, dtype="float64", low: float = -2.0, high: float = 2.0, away: Sequence[float] = (0.0,)):
    """Arrays of well separated values (see `spread`). shape: a shape or a strategy; any small one by default.

    Raises TypeError for a dtype besides float32 and float64 and for what is no shape, ValueError for an interval as
    `spread` does.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, database=None)
    ... @given(mg.testing.arrays(shape=(3,)))
    ... def holds(x):
    ...     np.testing.assert_allclose(mg.square(x).numpy(), x * x)
    >>> holds()
    """
    import hypothesis.strategies as st

    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"arrays: got dtype={dtype}, wanted float32 or float64")
    if shape is None:
        shape = shapes()
    elif not isinstance(shape, st.SearchStrategy):
        require("arrays", "shape", shape, tuple[Count, ...])
        shape = st.just(tuple(shape))
    spread(np.random.default_rng(0), (0,), low, high, away)  # raises now for what it would raise for when it is drawn
    return st.builds(lambda rng, shape: spread(rng, shape, low, high, away).astype(dtype), seeds(), shape)


@checked
def tensors(shape=None, dtype="float64", low: float = -2.0, high: float = 2.0, away: Sequence[float] = (0.0,)):
    """Tensors that require a gradient, with the values of `arrays`, and its errors.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=5, database=None)
    ... @given(mg.testing.tensors(shape=(3,)))
    ... def holds(x):
    ...     assert mg.testing.gradcheck(lambda x: mg.tanh(x).sum(), [x])
    >>> holds()
    """
    return arrays(shape, dtype, low, high, away).map(lambda array: Tensor(array).requires_grad_())


class Draw:
    """What an op's sample is drawn with, in a Hypothesis test: `Draw(data)` of `data` from `st.data()`.

    All arrays of one Draw have different values, so that no two operands tie.

    Examples
    --------
    >>> from hypothesis import given, settings, strategies as st
    >>> @settings(max_examples=5, database=None)
    ... @given(st.data())
    ... def holds(data):
    ...     draw = mg.testing.Draw(data)
    ...     x = draw.array(draw.shape(min_dims=1), low=0.5, high=2.0)
    ...     assert (x >= 0.5).all()
    >>> holds()
    """

    def __init__(self, data: Any):
        import hypothesis.strategies as st

        self.draw, self.st = data.draw, st
        self.used: set = set()

    def array(self, shape, low=-2.0, high=2.0, away: Sequence[float] = (0.0,)) -> np.ndarray:
        return spread(self.draw(seeds()), shape, low, high, away, self.used)

    def shape(self, min_dims=0, max_dims=3, max_side=4) -> tuple[int, ...]:
        return self.draw(shapes(min_dims, max_dims, 1, max_side))

    def axis(self, ndim: int) -> int:
        return self.integer(-ndim, ndim - 1)

    def axes(self, ndim: int):
        """None, an axis, or a tuple of different axes."""
        several = self.st.permutations(range(ndim)).flatmap(
            lambda order: self.st.integers(min(1, ndim), ndim).map(lambda count: tuple(order[:count]))
        )
        one = [self.st.integers(-ndim, ndim - 1)] if ndim else []
        return self.draw(self.st.one_of(self.st.none(), *one, several))

    def boolean(self) -> bool:
        return self.draw(self.st.booleans())

    def choice(self, options: Sequence):
        return self.draw(self.st.sampled_from(options))

    def integer(self, low: int, high: int) -> int:
        return self.draw(self.st.integers(low, high))

    def permutation(self, n: int) -> tuple[int, ...]:
        return tuple(self.draw(self.st.permutations(range(n))))

    def indices(self, shape, n: int) -> np.ndarray:
        """Integers in [0, n), with repetitions."""
        return self.draw(seeds()).integers(0, n, shape)

    def mask(self, shape) -> np.ndarray:
        return self.draw(seeds()).random(shape) < 0.5

    def positive_definite(self, n: int) -> np.ndarray:
        """A symmetric matrix with eigenvalues of at least n."""
        a = self.array((n, n))
        return np.round(a @ a.T * 64) / 64 + n * np.eye(n)
