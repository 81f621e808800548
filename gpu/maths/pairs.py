"""Numbers as pairs high + low: sums that cancel keep digits that one double has lost.

The rounding error of a sum is a double, found by six additions (Knuth; three if the larger is known: Dekker), that of
a product by one fused multiply-add. A logarithm made of these has 22 digits. Same rules as ``functions.py``: no branch,
no table, one source for vectors, scalars, CUDA and plain Python. A processor without that instruction
(x86 before 2013) is served by libm: as exact, and slow.

The compilers may fuse ``a * b + c`` at will, on CUDA whatever they are told. A product whose rounding
error is asked for must therefore not be a multiplication: it is ``fused(a, b, zero)`` with a zero that no compiler
knows (x - x, which is not 0 for what is no number). Where the product is exact, fusing changes nothing.
"""

import math
from fractions import Fraction
from typing import Any, TypeAlias

from numba import types
from numba.extending import intrinsic

from gpu.maths.functions import LN2_HIGH, LN2_LOW, bits_of, float_of
from gpu.maths.wide import wide_helper
from market.jit import JIT_ENABLED

Pair: TypeAlias = tuple[float, float]

_HALF_OCTAVE = 1 << 51
_TWO_THIRDS, _TWO_THIRDS_LOW = 0.6666666666666666, 3.700743415417188e-17
_TWO_FIFTHS, _TWO_FIFTHS_LOW = 0.4, -2.2204460492503132e-17
_TWO_SEVENTHS, _TWO_SEVENTHS_LOW = 0.2857142857142857, 1.586032892321652e-17


def fused_exactly(a: float, b: float, c: float) -> float:
    """The double nearest to a b + c, in whole numbers; what is not finite as the machine does it."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    return float(Fraction(a) * Fraction(b) + Fraction(c))


if JIT_ENABLED:

    @intrinsic  # type: ignore[untyped-decorator]
    def fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        """The double nearest to a b + c."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.fma(*arguments)

        return types.float64(types.float64, types.float64, types.float64), generate

else:
    fused = fused_exactly


@wide_helper
def two_sum(a: float, b: float) -> Pair:
    """Sum of a and b, exactly. Neither may be a product that has been rounded (see above)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@wide_helper
def _ratio_term(constant: float, low: float, w: float, w_low: float, q: float, q_low: float, zero: float) -> Pair:
    """(constant + low) + (w + w_low) (q + q_low) for constant >= the product."""
    product = fused(w, q, zero)
    error = fused(w, q, -product) + fused(w_low, q, fused(w, q_low, low))
    total = constant + product
    return total, ((constant - total) + product) + error


@wide_helper
def log_ratio_pair(a: float, b: float) -> Pair:
    """log(a / b) of positive normal doubles as high + low: relative error <= 1.5e-22, so 5e-23 for 0.7 < a / b < 1.4.

    s = (a - b) / (a + b) after scaling by a power of two, with the division's remainder as its low part;
    then 2 atanh(s), the series to s^7 in pairs. As ``functions.log_ratio`` otherwise, at four times its work.
    """
    n = (bits_of(a) - bits_of(b) + _HALF_OCTAVE) >> 52
    half = n >> 1
    top = a * float_of((1023 - half) << 52)
    low = b * float_of((1023 + n - half) << 52)
    gap = top - low  # exact
    zero = gap - gap
    total = top + low
    inverse = 1.0 / total
    s = fused(gap, inverse, zero)
    s_low = (fused(-s, total, gap) - s * (gap - (total - 2.0 * low))) * inverse
    w = fused(s, s, zero)
    w_low = fused(2.0 * s, s_low, fused(s, s, -w))
    v = w * w
    odd = 0.10104106813294253
    odd = odd * v + 0.10529582943945856
    odd = odd * v + 0.13333333971424255
    odd = odd * v + 0.18181818181824347
    even = 0.09429097005383383
    even = even * v + 0.1176464382458643
    even = even * v + 0.15384615381399716
    even = even * v + 0.2222222222222222
    ninth = odd * w + even
    rest = fused(w, ninth, _TWO_SEVENTHS_LOW)
    q = _TWO_SEVENTHS + rest
    q_low = (_TWO_SEVENTHS - q) + rest
    q, q_low = _ratio_term(_TWO_FIFTHS, _TWO_FIFTHS_LOW, w, w_low, q, q_low, zero)
    q, q_low = _ratio_term(_TWO_THIRDS, _TWO_THIRDS_LOW, w, w_low, q, q_low, zero)
    q, q_low = _ratio_term(2.0, 0.0, w, w_low, q, q_low, zero)
    value = fused(s, q, zero)
    value_low = fused(s, q, -value) + fused(s_low, q, s * q_low)
    e = float(n)
    whole = e * LN2_HIGH  # exact
    high = whole + value
    return high, fused(e, LN2_LOW, ((whole - high) + value) + value_low)


@wide_helper
def add_pairs(a: float, a_low: float, b: float, b_low: float) -> Pair:
    """(a + a_low) + (b + b_low) as high + low, however much of a and b cancels."""
    total, error = two_sum(a, b)
    return total, error + (a_low + b_low)


@wide_helper
def sum_pair(a: float, a_low: float, b: float, b_low: float) -> float:
    """(a + a_low) + (b + b_low) rounded about once, however much of a and b cancels."""
    total, low = add_pairs(a, a_low, b, b_low)
    return total + low


@wide_helper
def difference_times(a: float, b: float, c: float) -> Pair:
    """(a - b) c, relative error 1e-32."""
    gap, gap_low = two_sum(a, -b)
    high = fused(gap, c, gap - gap)
    return high, fused(gap, c, -high) + gap_low * c
