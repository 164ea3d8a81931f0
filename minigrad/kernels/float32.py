"""Elementary functions of float32 that LLVM can vectorise: no branches, no calls to a maths library, no tables.

Each function takes and returns one `np.float32`; it is expanded into the loop that uses it, and that loop then does
8 or 16 elements at a time. What makes this possible, and keeps the results within 2 ULP of the true value:

- every choice is a conditional expression between two values that are both computed: a select, not a jump. Comparisons
  are written so that they are false for NaN where NaN has to pass through;
- every constant is an `np.float32`, since `1.0 - y` is a float64 in a kernel, which is half as fast. Where float32
  does not suffice (sin of large arguments, pow) a few steps are done in float64, in view;
- `fma` stands where the single rounding is what makes the result right. The compiler may fuse other products with sums
  as well (`contract`); no bound depends on whether it does;
- polynomials are minimax fits (Remez's algorithm, in mpmath; the coefficients rounded to float32 one by one from the
  lowest, and the others fitted anew each time), made for this file. The highest power comes first.

The errors in the docstrings are the worst ones over all 2^32 arguments, found by `benchmarks/ulp.py`.
"""

import numpy as np

from minigrad.kernels.intrinsics import fma

INFINITY = np.float32(np.inf)
NAN = np.float32(np.nan)
ZERO = np.float32(0)
QUARTER = np.float32(0.25)
HALF = np.float32(0.5)
ONE = np.float32(1)
TWO = np.float32(2)

# Adding 1.5 * 2^23 leaves no room for a fraction: it rounds to an integer, which then stands in the sum's lowest bits.
ROUNDER = np.float32(1.5 * 2.0**23)
ROUNDER_64 = np.float64(1.5 * 2.0**52)

# A constant that float32 holds too coarsely is the sum of a high and a low part.
LOG2_E = np.float32(1.442695)
LN2_HIGH = np.float32(0.6931472)
LN2_LOW = np.float32(-1.9046543e-09)

MIN_NORMAL = np.float32(2.0**-126)
FRACTION_BITS = np.int32(0x007FFFFF)
SQRT_HALF_BITS = np.int32(0x3F3504F3)

# (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2
EXP = tuple(np.float32([0.001383822, 0.008369296, 0.041668087, 0.16666515, 0.49999994]))

# 2^r for |r| <= 1/2, and the same in float64
EXP2 = tuple(np.float32([0.000133329, 0.0013387945, 0.009625445, 0.055503663, 0.24022594, 0.6931472, 1.0]))
EXP2_64 = (
    1.5345744949900967e-04, 1.3399956271279323e-03, 9.618489377805657e-03, 5.550328715289814e-02,
    2.402264688515095e-01, 6.931472057656277e-01, 1.0000000005551644e00,
)  # fmt: skip

# (log(1 + f) - f + f^2 / 2) / f^3 for sqrt(1/2) <= 1 + f <= sqrt(2)
LOG = tuple(np.float32([
    0.053414613, -0.109183505, 0.12107818, -0.1254925, 0.14209637, -0.16659373, 0.20002222, -0.25000167, 0.33333313,
]))  # fmt: skip

# log2((1 + s) / (1 - s)) / s in float64, in powers of s^2, for |s| <= 3 - sqrt(8)
LOG2_64 = (
    3.407382431561744e-01, 4.1167222404877163e-01, 5.770835943617525e-01, 9.617966732847897e-01, 2.88539008179014e00,
)  # fmt: skip

# (log(1 + t) - t) / t^2 for 0 <= t <= 1
LOG1P_UNIT = tuple(np.float32([
    0.0020843777, -0.013691132, 0.042114176, -0.08323861, 0.12479523, -0.16135171, 0.19899623, -0.24988864, 0.33332714,
    -0.49999988,
]))  # fmt: skip

# erf(x) / x - 1 in powers of x^2 for |x| <= 1, and log2(1 - erf(x)) for 1 <= x <= 4
ERF_CENTRE = tuple(np.float32([
    7.806904e-05, -0.0007997853, 0.005187162, -0.026853347, 0.11283579, -0.37612626, 0.12837917,
]))  # fmt: skip
ERFC_LOG2 = tuple(np.float32([
    0.00026888345, -0.004252536, 0.03150556, -0.14875144, -0.9206485, -1.626046, -0.0004927156,
]))  # fmt: skip

# (sinh(x) / x - 1) / x^2 for |x| <= 1, in powers of x^2
SINH = tuple(np.float32([2.7822132e-06, 0.00019842896, 0.0083333105, 0.16666667]))


def horner(x, coefficients):
    """The polynomial in x with these coefficients, the highest power first: one fma a step."""
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = fma(total, x, coefficient)
    return total


def bits_of(x):
    """The 32 bits of x, as an int32."""
    return np.float32(x).view(np.int32)


def float_of(bits):
    """The float32 that has these bits."""
    return np.int32(bits).view(np.float32)


def bfloat16(x):
    """x rounded to bfloat16, the upper half of its bits: to the nearest, to the even one of two. What is less than a
    normal number is zero, as for the CPU's own products."""
    bits = bits_of(x)
    odd = (bits >> np.int32(16)) & np.int32(1)
    upper = float_of(np.int32(bits + np.int32(odd + np.int32(0x7FFF))) & np.int32(-0x10000))
    upper = x * ZERO if abs(x) < MIN_NORMAL else upper
    return upper if x == x else x


def power_of_two(n):
    """2^n for an integer n from -126 to 127: n goes into the exponent's bits, which lie above 23 others."""
    return float_of((n + np.int32(127)) << np.int32(23))


def scale(x, n):
    """x * 2^n, rounded once, for x near 1 and n from -250 to 250, in two steps since 2^n alone may be no float32."""
    first = np.int32(n) >> np.int32(1)
    return x * power_of_two(first) * power_of_two(n - first)


def split_exponential(x):
    """The integer n and t with e^x = 2^n (1 + t), for |x| < 10^6: x = n ln 2 + r with |r| <= ln(2) / 2, t = e^r - 1.

    n * LN2_HIGH has more bits than a float32 holds, x - n * LN2_HIGH has not: the first fma is exact.
    """
    shifted = fma(x, LOG2_E, ROUNDER)
    n = shifted - ROUNDER
    r = fma(-n, LN2_LOW, fma(-n, LN2_HIGH, x))
    return np.int32(bits_of(shifted) - bits_of(ROUNDER)), fma(r * r, horner(r, EXP), r)


def exp(x):
    """e^x = 2^n e^r, with a polynomial of degree 6 for e^r. Worst error 1.02 ULP."""
    x = np.float32(89) if x > np.float32(89) else x
    x = np.float32(-104) if x < np.float32(-104) else x
    n, t = split_exponential(x)
    return scale(ONE + t, n)


def expm1(x):
    """e^x - 1 = 2^n t + (2^n - 1), of which the last part is exact where it matters. Worst error 1.47 ULP.

    Powers are halved, since 2^128 is no float32, except for n = 0, where halves of subnormal numbers would be lost.
    """
    clamped = np.float32(89) if x > np.float32(89) else x
    clamped = np.float32(-18) if x < np.float32(-18) else clamped
    n, t = split_exponential(clamped)
    half_power = power_of_two(n - np.int32(1))
    result = t if n == np.int32(0) else TWO * fma(half_power, t, half_power - HALF)
    return result if x != ZERO else x


def log_of_parts(e, f):
    """e ln 2 + log(1 + f) for an integer e, as a float32, and sqrt(1/2) <= 1 + f <= sqrt(2)."""
    square = f * f
    fraction = fma(square, fma(horner(f, LOG), f, -HALF), f)
    return fma(e, LN2_HIGH, fma(e, LN2_LOW, fraction))


def split_logarithm(x):
    """The integer e, as a float32, and f with x = 2^e (1 + f), sqrt(1/2) <= 1 + f <= sqrt(2), for finite x > 0.

    The bits of 1 + f are those of x with another exponent. Counting from the bits of sqrt(1/2) makes the exponent
    change there and not at 1. Subnormal numbers are multiplied by 2^23 first.
    """
    is_subnormal = x < MIN_NORMAL
    normal_bits = bits_of(x * np.float32(2.0**23) if is_subnormal else x)
    bits = np.int32(normal_bits - (SQRT_HALF_BITS + np.int32(23 << 23) if is_subnormal else SQRT_HALF_BITS))
    return np.float32(bits >> np.int32(23)), float_of((bits & FRACTION_BITS) + SQRT_HALF_BITS) - ONE


def log(x):
    """log x = e ln 2 + log(1 + f), with a polynomial of degree 11. Worst error 0.91 ULP."""
    e, f = split_logarithm(x)
    result = log_of_parts(e, f)
    result = result if x < INFINITY else x
    return result if x > ZERO else (-INFINITY if x == ZERO else (NAN if x < ZERO else x))


def log1p(x):
    """log(1 + x) as for log; f = 2^-e x + (2^-e - 1) keeps the bits that 1 + x loses. Worst error 1.45 ULP."""
    bits = np.int32(bits_of(ONE + x) - SQRT_HALF_BITS)
    e = bits >> np.int32(23)
    inverse_power = power_of_two(-e if e < np.int32(126) else np.int32(-126))
    f = float_of(bits_of(x) - (e << np.int32(23))) + (inverse_power - ONE)
    result = log_of_parts(np.float32(e), f)
    result = result if x < INFINITY else x
    result = result if x > -ONE else (-INFINITY if x == -ONE else (NAN if x < -ONE else x))
    return result if x != ZERO else x


def tanh(x):
    """tanh |x| = h / (h + 1) with h = (e^(2|x|) - 1) / 2 = 2^(n - 1) t + (2^(n - 1) - 1/2). Worst error 1.81 ULP.

    Below 0.35 a quotient q is improved to h - h q, in which its own error hardly counts. Where n is large, neither does
    that of h, so the low part of ln 2 is left out. From 9.1 on the result is 1.
    """
    a = np.abs(x)
    a = np.float32(9.1) if a > np.float32(9.1) else a
    shifted = fma(a, TWO * LOG2_E, ROUNDER)
    r = fma(ROUNDER - shifted, LN2_HIGH, a + a)
    t = fma(r * r, horner(r, EXP), r)
    half_power = power_of_two(bits_of(shifted) - bits_of(ROUNDER) - np.int32(1))
    h = fma(half_power, t, half_power - HALF)
    quotient = h / (h + ONE)
    return np.copysign(fma(-h, quotient, h) if a < np.float32(0.35) else quotient, x)


def sigmoid(x):
    """1 / (1 + e^-x) = 1 / (2^n t + (2^n + 1)) with e^-x = 2^n (1 + t). Worst error 1.95 ULP.

    Everything is multiplied by 2^-64, so that n can reach 150, where the result is the smallest subnormal number. From
    x = 30 on it is 1. The sum 2^n + 1 is exact up to n = 23; for n = 24, where to lose the 1 costs a ULP, t takes it.
    """
    y = np.float32(-30) if x > np.float32(30) else -x
    y = np.float32(104) if y > np.float32(104) else y
    n, t = split_exponential(y)
    t = t + (np.float32(2.0**-24) if n == np.int32(24) else ZERO)
    unit = np.float32(2.0**-64)
    power = power_of_two(n - np.int32(64))
    return unit / fma(power, t, power + unit)


def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), the latter by a polynomial in e^-|x|. Worst error 1.86 ULP."""
    e = exp(-np.abs(x))
    return fma(e * e, horner(e, LOG1P_UNIT), e) + (ZERO if x < ZERO else x)


def log_sigmoid(x):
    """log(1 / (1 + e^-x)) = -softplus(-x). Worst error 1.86 ULP."""
    return -softplus(-x)


def erf(x):
    """x times a polynomial in x^2 up to 1, from there 1 - 2^p(x), p a polynomial of degree 6. Worst error 1.14 ULP."""
    a = np.abs(x)
    a = np.float32(4) if a > np.float32(4) else a
    centre = fma(a, horner(a * a, ERF_CENTRE), a)
    exponent = horner(a, ERFC_LOG2)
    shifted = exponent + ROUNDER
    power = power_of_two(bits_of(shifted) - bits_of(ROUNDER))
    tail = ONE - horner(exponent - (shifted - ROUNDER), EXP2) * power
    return np.copysign(tail if a > ONE else centre, x)


def rsqrt(x):
    """1 / sqrt(x): two roundings. Worst error 1.49 ULP."""
    return ONE / np.sqrt(x)


def pow(x, y):
    """x^y = 2^(y log2 |x|), in float64, with the special cases of C99's Annex F.

    log2(1 + f) = log2((1 + s) / (1 - s)) with s = f / (2 + f): the quotient in float32, and one Newton step with the
    derivative 1 / (2 + f) = (1 - s) / 2. Zeros, infinities and NaN of x pass through as e. Worst error 0.53 ULP in
    2^26 samples.
    """
    a = np.abs(x)
    e, f = split_logarithm(a)
    e = e if a > ZERO else -INFINITY
    e = e if a < INFINITY else a
    wide = np.float64(f)
    quotient = np.float64(f / (TWO + f))
    s = fma(fma(-quotient, 2.0 + wide, wide), 0.5 - 0.5 * quotient, quotient)
    exponent = np.float64(y) * fma(s, horner(s * s, LOG2_64), np.float64(e))
    exponent = np.float64(200) if exponent > np.float64(200) else exponent
    exponent = np.float64(-200) if exponent < np.float64(-200) else exponent
    shifted = exponent + ROUNDER_64
    n = np.float64(shifted).view(np.int64) - np.float64(ROUNDER_64).view(np.int64)
    power = np.int64((n + np.int64(1023)) << np.int64(52)).view(np.float64)
    result = np.float32(horner(exponent - (shifted - ROUNDER_64), EXP2_64) * power)

    is_integer = np.floor(y) == y
    is_odd = is_integer & (np.floor(y * HALF) * TWO != y)
    result = -result if is_odd & (bits_of(x) < np.int32(0)) else result
    result = NAN if (x < ZERO) & (x > -INFINITY) & (np.floor(y) < y) else result
    return ONE if (y == ZERO) | (x == ONE) | ((x == -ONE) & (np.abs(y) == INFINITY)) else result


def sqrt(x):
    """The square root, a machine instruction: correctly rounded."""
    return np.sqrt(x)


def half_exp(a):
    """e^a / 2 for 0 <= a, which exceeds the largest float32 only where sinh and cosh do."""
    n, t = split_exponential(np.float32(90) if a > np.float32(90) else a)
    return scale(fma(HALF, t, HALF), n)


def sinh(x):
    """e^|x| / 2 - 1 / (2 e^|x|), below 1 an odd polynomial of degree 9. Worst error 1.62 ULP."""
    a = np.abs(x)
    half = half_exp(a)
    square = a * a
    small = fma(a * square, horner(square, SINH), a)
    return np.copysign(small if a < ONE else half - QUARTER / half, x)


def cosh(x):
    """e^|x| / 2 + 1 / (2 e^|x|). Worst error 1.47 ULP."""
    half = half_exp(np.abs(x))
    return half + QUARTER / half


def abs(x):
    """|x|"""
    return np.abs(x)


def sign(x):
    """-1, 0 or 1, and NaN for NaN. The zero has no sign."""
    return ONE if x > ZERO else (-ONE if x < ZERO else (ZERO if x == ZERO else x))


def floor(x):
    """The largest integer not above x."""
    return np.floor(x)


def ceil(x):
    """The smallest integer not below x."""
    return np.ceil(x)


def round(x):
    """The nearest integer, and of two equally near the even one."""
    return np.rint(x)
