"""Elementary functions of one float64, written so that LLVM can vectorise a loop over them.

There are no branches and no calls: both sides of a choice are computed and one is selected, with comparisons that are
false for NaN, so that NaN passes through. Exponents are read and written as bits. Generated kernels paste the text of
the functions that they use and let the compiler contract `a * b + c` into one rounding where it likes; where an exact
product or an exact rounding error matters, `fma` spells it out and nothing is left to the compiler.

Each docstring gives the worst error in ULP (units in the last place of the exact result, by mpmath) over some 100,000
arguments, sampled as tests/kernels/test_float64.py samples them. The polynomials are minimax fits, made for this file
with Remez' algorithm in 50 digits. The highest power comes first, and there is an even number of coefficients.
"""

import numpy as np

from minigrad.kernels.intrinsics import fma

INFINITY = np.float64(np.inf)
NAN = np.float64(np.nan)
SMALLEST_NORMAL = np.float64(2.0**-1022)

ONE_BITS = 0x3FF0000000000000  # the bits of 1.0: its exponent is 0, stored as 1023
SIGN_AND_MANTISSA = ~0x7FF0000000000000

# Adding 1.5 * 2**52 leaves no room for a fraction: the sum is rounded to an integer, which stands in its lowest bits.
ROUNDER = np.float64(1.5 * 2.0**52)


def bits_of(x):
    """The 64 bits of a float as an integer."""
    return np.float64(x).view(np.int64)


def float_of(bits):
    """The float that has these 64 bits."""
    return np.int64(bits).view(np.float64)


def power_of_two(exponent):
    """2**exponent for an integer from -1022 to 1023."""
    return float_of((exponent << 52) + ONE_BITS)


def clamp(x, low, high):
    """x kept between two bounds; NaN stays NaN."""
    x = high if x > high else x
    return low if x < low else x


def product(a, b):
    """a * b rounded, out of reach of contraction: fma(a, b, -product(a, b)) is then what the rounding took away."""
    return fma(a, b, np.float64(0.0))


def polynomial(x, coefficients):
    """Horner's rule for odd and for even powers apart: two chains of dependent steps, each half as long."""
    square = x * x
    odd = np.float64(coefficients[0])
    even = np.float64(coefficients[1])
    for i in range(2, len(coefficients), 2):
        odd = fma(odd, square, coefficients[i])
        even = fma(even, square, coefficients[i + 1])
    return fma(odd, x, even)


# Exponentials. x = k ln(2) + r, so that e**x = 2**k e**r with |r| <= ln(2) / 2.

LOG2_E = np.float64(1.4426950408889634)
LN2_HIGH = np.float64(0.6931471805598903)  # 42 bits: its product with an exponent is exact
LN2_LOW = np.float64(5.497923018708371e-14)

# (e**r - 1 - r) / r**2 on |r| <= ln(2) / 2, relative error of r + r**2 polynomial(r): 2**-55.6
EXP_TAIL = (
    2.51145114238481e-08, 2.762636390154801e-07, 2.7557227833896084e-06, 2.4801504356160204e-05,
    0.00019841269903164875, 0.0013888888932449422, 0.008333333333314529, 0.041666666666573426,
    0.16666666666666685, 0.5000000000000006,
)  # fmt: skip


def reduce_exp(x):
    """Integer k and r with x = k ln(2) + r, for |x| <= 800."""
    shifted = fma(x, LOG2_E, ROUNDER)
    k = shifted - ROUNDER
    return bits_of(shifted) - bits_of(ROUNDER), fma(-k, LN2_LOW, fma(-k, LN2_HIGH, x))


def expm1_reduced(r):
    """e**r - 1 for |r| <= ln(2) / 2."""
    return fma(r * r, polynomial(r, EXP_TAIL), r)


def exp_reduced(k, r):
    """2**k e**r, rounded once: by two factors, since one would reach neither the subnormal results nor the largest."""
    half = k >> 1
    return (1.0 + expm1_reduced(r)) * power_of_two(half) * power_of_two(k - half)


def quarter_exp(x):
    """s and s (e**r - 1) with e**x = 4 s e**r, for -700 <= x <= 710.7: a quarter, so that s never overflows."""
    k, r = reduce_exp(x)
    s = power_of_two(k - 2)
    return s, s * expm1_reduced(r)


def exp(x):
    """e**x by reduction to |r| <= ln(2) / 2 and a polynomial of degree 11. Worst error 1.1 ULP."""
    k, r = reduce_exp(clamp(x, np.float64(-760.0), np.float64(720.0)))
    return exp_reduced(k, r)


def expm1(x):
    """e**x - 1, as 2**k (e**r - 1) + (2**k - 1): for k = 0, where it is small, nothing cancels. Worst error 2.2 ULP."""
    s, rest = quarter_exp(clamp(x, np.float64(-60.0), np.float64(710.0)))
    value = 4.0 * (rest + (s - 0.25))
    return x if np.fabs(x) < 2.0**-54 else value


def tanh(x):
    """(1 - e**-2x) / (1 + e**-2x) of |x|, both terms as in expm1; 1 from 22 on. Worst error 2.1 ULP."""
    magnitude = np.fabs(x)
    s, rest = quarter_exp(-2.0 * (np.float64(22.0) if magnitude > 22.0 else magnitude))
    value = np.copysign((rest + (s - 0.25)) / (rest + (s + 0.25)), x)
    return x if magnitude < 2.0**-54 else value


def sinh(x):
    """m / 2 (1 + 1 / (m + 1)) with m = e**|x| - 1. Worst error 2.6 ULP."""
    magnitude = np.fabs(x)
    s, rest = quarter_exp(np.float64(710.6) if magnitude > 710.6 else magnitude)
    half = 2.0 * (rest + (s - 0.25))
    value = np.copysign(half * (1.0 + 1.0 / (2.0 * half + 1.0)), x)
    return x if magnitude < 2.0**-27 else value


def cosh(x):
    """(e**|x| + e**-|x|) / 2. Worst error 1.3 ULP."""
    magnitude = np.fabs(x)
    s, rest = quarter_exp(np.float64(710.6) if magnitude > 710.6 else magnitude)
    half = 2.0 * (rest + s)
    return half + 0.25 / half


def sigmoid(x):
    """1 / (1 + e**-x), for negative x as e**x / (1 + e**x), which keeps its relative accuracy. Worst error 2.2 ULP."""
    e = exp(-np.fabs(x))
    return (e if x < 0.0 else 1.0) / (1.0 + e)


# Logarithms. x = 2**k m with sqrt(1/2) <= m < sqrt(2), and log(m) = log((1 + s) / (1 - s)) with s = (m - 1) / (m + 1).

SQRT_HALF_BITS = 0x3FE6A09E667F3BCD

# (log((1 + s) / (1 - s)) - 2 s) / s**3 in powers of s**2, on |s| <= 3 - sqrt(8), relative error of the logarithm 2**-66
LOG_TAIL = (
    0.13251322707748, 0.13250118704085354, 0.1538709073917988, 0.1818177566573955, 0.22222222646796735,
    0.2857142856908586, 0.4000000000000625, 0.6666666666666666,
)  # fmt: skip

# The same on |s| <= 1/3, relative error of the logarithm 2**-59
LOG_WIDE_TAIL = (
    0.170196397295302, 0.08339540950972227, 0.121062112471991, 0.133009582271542, 0.15386561056740236,
    0.18181743873561804, 0.2222222397113041, 0.2857142854783245, 0.40000000000157404, 0.6666666666666631,
)  # fmt: skip


def split_exponent(x):
    """Integer k and m with x = 2**k m and sqrt(1/2) <= m < sqrt(2), for a positive normal x."""
    k = (bits_of(x) - SQRT_HALF_BITS) >> 52
    return k, float_of(bits_of(x) - (k << 52))


def split_any_exponent(x):
    """The same for a positive x that may be subnormal."""
    is_subnormal = x < SMALLEST_NORMAL
    k, m = split_exponent(x * 2.0**54 if is_subnormal else x)
    return k - 54 if is_subnormal else k, m


def log_reduced(k, f):
    """k ln(2) + log(1 + f). The large term f stands outside of the rounded products: log(1 + f) = f - s (f - ...)."""
    s = f / (2.0 + f)
    z = s * s
    log_1_f = fma(-s, fma(-z, polynomial(z, LOG_TAIL), f), f)
    exponent = np.float64(k)
    return fma(exponent, LN2_HIGH, fma(exponent, LN2_LOW, log_1_f))


def log(x):
    """Natural logarithm, by the series of log((1 + s) / (1 - s)) made minimax. Worst error 1.2 ULP."""
    k, m = split_any_exponent(x)
    value = log_reduced(k, m - 1.0)
    value = value if x < INFINITY else x
    return value if x > 0.0 else (-INFINITY if x == 0.0 else NAN)


def log1p(x):
    """log(1 + x) as log of the rounded sum, with what the rounding lost added to m - 1. Worst error 1.5 ULP."""
    total = 1.0 + x
    part = total - x
    lost = (1.0 - part) + (x - (total - part))
    k, m = split_exponent(total)
    value = log_reduced(k, (m - 1.0) + lost * power_of_two(max(-k, -1000)))
    value = x if (np.fabs(x) < 2.0**-54) | (x == INFINITY) else value
    return value if x > -1.0 else (-INFINITY if x == -1.0 else NAN)


def softplus(x):
    """log(1 + e**x) as max(x, 0) + log(1 + e) with e = e**-|x|. There s = e / (2 + e) is at most 1/3, so that the
    series of the logarithm serves as it is. Worst error 1.5 ULP."""
    e = exp(-np.fabs(x))
    s = e / (2.0 + e)
    z = s * s
    return (x if x > 0.0 else 0.0) + fma(-s, fma(-z, polynomial(z, LOG_WIDE_TAIL), e), e)


def log_sigmoid(x):
    """log(sigmoid(x)) = -softplus(-x). Worst error 1.6 ULP."""
    return -softplus(-x)


# Powers. x**y = e**(y log(x)), and y log(x) may be 700, so log(x) is needed to 64 bits: as a sum of two floats.

TWO_THIRDS = np.float64(2.0 / 3.0)
TWO_THIRDS_LOW = np.float64(3.700743415417188e-17)

# (log((1 + s) / (1 - s)) - 2 s - 2/3 s**3) / s**5 in powers of s**2, on |s| <= 3 - sqrt(8), relative error of the
# logarithm 2**-73
LOG_LONG_TAIL = (
    0.11989012975465055, 0.11674818563811043, 0.13336317414472934, 0.15384556871161886, 0.1818181887031166,
    0.22222222217536491, 0.2857142857144511, 0.3999999999999998,
)  # fmt: skip


def log_pair(k, m):
    """log(2**k m) as high + low to 65 bits, low at most 2**-12 of high. 2 s and 2/3 s**3 are pairs, the rest is not."""
    denominator = m + 1.0
    inverse = 1.0 / denominator
    s = product(m - 1.0, inverse)
    s_low = fma(-s, m - (denominator - 1.0), fma(-s, denominator, m - 1.0)) * inverse
    z = product(s, s)
    z_low = fma(s, s, -z) + 2.0 * s * s_low
    third = product(z, TWO_THIRDS)
    third_low = fma(z, TWO_THIRDS, -third) + fma(z, TWO_THIRDS_LOW, z_low * TWO_THIRDS)
    rest = fma(z * z, polynomial(z, LOG_LONG_TAIL), third_low)
    cubic = product(s, third)
    cubic_low = fma(s, third, -cubic) + fma(s, rest, s_low * third)

    # Each sum's first term is 0 or the larger one, so what its rounding lost is found by two subtractions.
    exponent = np.float64(k)
    whole = exponent * LN2_HIGH
    linear = whole + 2.0 * s
    high = linear + cubic
    lost = (2.0 * s - (linear - whole)) + (cubic - (high - linear))
    return high, lost + (fma(exponent, LN2_LOW, 2.0 * s_low) + cubic_low)


def pow(x, y):
    """x**y as C99's Annex F has it: e**(y log|x|) with the logarithm and the product as pairs of floats, then the sign
    for odd y and the exceptions. Worst error 1.5 ULP."""
    magnitude = np.fabs(x)
    k, m = split_any_exponent(magnitude)
    log_x, log_x_low = log_pair(k, m)
    log_x = log_x if magnitude < INFINITY else magnitude
    log_x = -INFINITY if magnitude == 0.0 else log_x

    bounded_y = clamp(y, np.float64(-1e300), np.float64(1e300))  # so that 1**inf is e**0
    high = product(bounded_y, log_x)
    low = fma(bounded_y, log_x, -high) + bounded_y * log_x_low if np.fabs(high) < 760.0 else 0.0
    high = clamp(high, np.float64(-760.0), np.float64(760.0))
    exponent = high + low
    k, r = reduce_exp(exponent)
    value = exp_reduced(k, r + (low - (exponent - high)))

    is_integer = np.floor(y) == y
    is_odd = is_integer & (np.floor(0.5 * y) != 0.5 * y)
    value = np.copysign(value, x) if is_odd else value
    value = value if is_integer | (x >= 0.0) | (x == -INFINITY) else NAN
    return 1.0 if (y == 0.0) | (x == 1.0) else value


def sqrt(x):
    """Square root: a machine instruction, correctly rounded."""
    return np.sqrt(x)


def rsqrt(x):
    """1 / sqrt(x), two roundings. Worst error 1.5 ULP."""
    return 1.0 / np.sqrt(x)


# -log(erfc(x)) / x on 0 <= x <= 6, relative error of erf 2**-55
ERF_EXPONENT = (
    -3.608814137375764e-15, 1.6220485382672126e-13, -3.3787326054036934e-12, 4.319550282463889e-11,
    -3.7758642664548406e-10, 2.369993607880327e-09, -1.081842269311813e-08, 3.475149218102061e-08,
    -6.621953866709005e-08, -1.0580431359531445e-08, 5.685409901511543e-07, -2.034086638640981e-06,
    3.129292846803415e-06, 3.1731138659884916e-06, -2.9578204420759942e-05, 6.442192161237336e-05,
    2.5903869082080535e-05, -0.0005901322263562787, 0.0016962076226013378, -0.00020919484642598164,
    -0.01912844699385218, 0.102772603301359, 0.6366197723675898, 1.1283791670955126,
)  # fmt: skip


def erf(x):
    """1 - e**-g(x) with g = -log(erfc), a smooth function that one polynomial on [0, 6] covers, since its error counts
    less and less as erf nears 1; expm1 keeps small x accurate. Worst error 2.6 ULP."""
    magnitude = np.fabs(x)
    magnitude = np.float64(6.0) if magnitude > 6.0 else magnitude
    return np.copysign(expm1(-magnitude * polynomial(magnitude, ERF_EXPONENT)), x)


def abs(x):
    """Magnitude."""
    return np.fabs(x)


def sign(x):
    """-1, 0 or 1; NaN for NaN."""
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else x + 0.0)


def floor(x):
    """The largest integer that is not above x."""
    return np.floor(x)


def ceil(x):
    """The smallest integer that is not below x."""
    return np.ceil(x)


def round(x):
    """The nearest integer; of two equally near ones the even one."""
    return np.rint(x)
