"""exp, log, log(a/b) and the normal tail, written so that a loop over them becomes vectors.

libm's functions are calls, and a loop with calls is not vectorised (the numba of the package index
has no vector maths library). These are arithmetic only: range reduction in the bits of the number,
a minimax polynomial or rational (even and odd powers apart: half the waiting), no branch, no table.
All of them propagate NaN, keep infinities and full relative accuracy over the whole domain,
subnormal numbers included; the same source runs one number at a time, in vectors, on CUDA and (JIT
off) as plain Python.

Errors in units in the last place, measured against 60 digits, are in each docstring.
Coefficients: interpolation in Chebyshev nodes at 70 digits (within 1.2x of the best possible).
"""

# ruff: noqa: FURB136  (min and max lose NaN where a comparison written out keeps it)

import math
import struct
from typing import Any

from numba import types
from numba.extending import intrinsic

from gpu.maths.wide import wide_helper
from market.jit import JIT_ENABLED

LOG2_E = 1.4426950408889634
LN2_HIGH = 6.93147180369123816490e-01  # 33 bits, so that a whole multiple of it is exact
LN2_LOW = 1.90821492927058770002e-10
INV_SQRT_2PI = 0.3989422804014327
SQRT_2PI = 2.5066282746310002
LOG_SQRT_2PI = 0.9189385332046727

#: Adding 1.5 * 2^52 leaves the nearest whole number in the low bits of the sum.
_ROUND = 6755399441055744.0
_ROUND_BITS = 0x4338000000000000
_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_HALF_OCTAVE = 1 << 51
_MIN_NORMAL = 2.2250738585072014e-308
_TWO_54 = 18014398509481984.0

if JIT_ENABLED:

    @intrinsic  # type: ignore[untyped-decorator]
    def bits_of(typing_context: Any, x: Any) -> Any:
        """The 64 bits of a double as a signed whole number."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(types.int64))

        return types.int64(types.float64), generate

    @intrinsic  # type: ignore[untyped-decorator]
    def float_of(typing_context: Any, bits: Any) -> Any:
        """The double that has these 64 bits."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(types.float64))

        return types.float64(types.int64), generate

else:

    def bits_of(x: float) -> int:
        """The 64 bits of a double as a signed whole number."""
        return int(struct.unpack("<q", struct.pack("<d", x))[0])

    def float_of(bits: int) -> float:
        """The double that has these 64 bits."""
        wrapped = (int(bits) + (1 << 63)) % (1 << 64) - (1 << 63)
        return float(struct.unpack("<d", struct.pack("<q", wrapped))[0])


@wide_helper
def _exp_series(shifted: float, x: float) -> float:
    """2^-n e^x, 0.7 to 1.42, for the whole n that ``shifted`` = x log2(e) + _ROUND has rounded to."""
    whole = shifted - _ROUND
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    w = r * r
    even = 2.7620088445409746e-07
    even = even * w + 2.4801521295954376e-05
    even = even * w + 0.0013888888917213717
    even = even * w + 0.04166666666662413
    even = even * w + 0.5
    odd = 2.510038549551032e-08
    odd = odd * w + 2.7557268459997064e-06
    odd = odd * w + 0.00019841269863053618
    odd = odd * w + 0.008333333333330062
    odd = odd * w + 0.16666666666666669
    return 1.0 + (r + w * (odd * r + even))


@wide_helper
def exp_fast(x: float) -> float:
    """e^x for every double: 0 below -745.2, inf above 709.79, exact rounding into the subnormals.

    Error: <= 1.1 ulp. Method: x = n ln 2 + r, degree 11 in r, two steps of scaling by powers of two
    (one would leave the exponent's range before the result does).
    """
    x = -750.0 if x < -750.0 else x  # written so that NaN falls through
    x = 710.0 if x > 710.0 else x
    shifted = x * LOG2_E + _ROUND
    n = bits_of(shifted) - _ROUND_BITS
    half = n >> 1
    return _exp_series(shifted, x) * float_of((half + 1023) << 52) * float_of((n - half + 1023) << 52)


@wide_helper
def exp_near(x: float) -> float:
    """e^x for |x| <= 708, four operations less than :func:`exp_fast`; outside (but for NaN): garbage, unnoticed."""
    shifted = x * LOG2_E + _ROUND
    return _exp_series(shifted, x) * float_of((bits_of(shifted) - (_ROUND_BITS - 1023)) << 52)


@wide_helper
def _log_series(w: float) -> float:
    """(log((1 + s) / (1 - s)) - 2 s) / s^3 for w = s^2 <= 0.0429, relative error 1e-18 in the log."""
    v = w * w
    odd = 0.13749857380940048
    odd = odd * v + 0.1538986696707483
    odd = odd * v + 0.22222223390404355
    odd = odd * v + 0.4000000000001285
    even = 0.13190729070760318
    even = even * v + 0.1818171171858661
    even = even * v + 0.2857142856514672
    even = even * v + 0.6666666666666666
    return odd * w + even


@wide_helper
def log_fast(x: float) -> float:
    """Natural logarithm of every double: -inf at 0, NaN below, inf at inf; relative error <= 1 ulp, near 1 too."""
    tiny = x < _MIN_NORMAL
    bits = bits_of(x * _TWO_54 if tiny else x)
    n = (bits - _SQRT_HALF_BITS) >> 52
    f = float_of(bits - (n << 52)) - 1.0  # exact, in -0.293 .. 0.414
    e = (float(n) - 54.0) if tiny else float(n)
    s = f / (2.0 + f)
    half_square = 0.5 * f * f
    rest = s * s * _log_series(s * s)
    # f stands alone at the front, so that only its small correction carries rounding errors.
    value = e * LN2_HIGH + (f - (half_square - (s * (half_square + rest) + e * LN2_LOW)))
    value = value if x < math.inf else x  # inf, NaN
    return value if x > 0.0 or x != x else (-math.inf if x == 0.0 else math.nan)


@wide_helper
def log_ratio(a: float, b: float) -> float:
    """log(a / b) of positive normal doubles (2.3e-308 .. 1.8e308), relative error <= 2 ulp.

    Accurate relative to itself for a close to b, where log(a / b) has lost all but the digits of
    a / b - 1: there a - b is exact. One division. Anything else, NaN included: garbage, unnoticed.
    """
    n = (bits_of(a) - bits_of(b) + _HALF_OCTAVE) >> 52  # the nearest power of two, by the bits' slope
    # Scale both halfway: 2^n alone may leave the range.
    half = n >> 1
    top = a * float_of((1023 - half) << 52)
    low = b * float_of((1023 + n - half) << 52)
    s = (top - low) / (top + low)  # at most 0.2
    e = float(n)
    return e * LN2_HIGH + (2.0 * s + (s * s * s * _log_series(s * s) + e * LN2_LOW))


@wide_helper
def mills(z: float) -> float:
    """Mills' ratio N(-z) / pdf(z) = sqrt(pi/2) erfcx(z / sqrt 2) for z >= 0; relative error <= 7e-16.

    One rational of degrees 10 and 11 for all z up to 1e26 (clamped there); every coefficient is
    positive, so no digit cancels. Fit error 2.1e-17. NaN stays NaN; z < 0 is outside.
    """
    z = 1e26 if z > 1e26 else z
    w = z * z
    p0 = 8.167186278852194e-07
    p0 = p0 * w + 0.0003509052579034722
    p0 = p0 * w + 0.0216820552920904
    p0 = p0 * w + 0.37588898842132307
    p0 = p0 * w + 1.8190876135679577
    p0 = p0 * w + 1.2533141373155003
    p1 = 2.4061476449046566e-05
    p1 = p1 * w + 0.0032853846138972656
    p1 = p1 * w + 0.10488563689998714
    p1 = p1 * w + 0.9860993220343295
    p1 = p1 * w + 2.148251285054395
    q0 = 2.4061476449046586e-05
    q0 = q0 * w + 0.0033094460903484424
    q0 = q0 * w + 0.10812289857673744
    q0 = q0 * w + 1.084654825627664
    q0 = q0 * w + 2.9556609380608485
    q0 = q0 * w + 1.0
    q1 = 8.167186278852194e-07
    q1 = q1 * w + 0.00035172197653134764
    q1 = q1 * w + 0.02203132711250106
    q1 = q1 * w + 0.3968773996953847
    q1 = q1 * w + 2.1550606272479476
    q1 = q1 * w + 2.511941093872683
    return (p1 * z + p0) / (q1 * z + q0)


@wide_helper
def mills_anywhere(z: float) -> float:
    """Mills' ratio for every z; below -36, where it is 1e281, the value there. Two tails' worth of work."""
    size = abs(z)
    size = 36.0 if z < -36.0 else size
    value = mills(size)
    return value if z >= 0.0 else SQRT_2PI * exp_fast(0.5 * size * size) - value


@wide_helper
def density(z: float) -> float:
    """Standard normal density, relative error <= (3 + z^2 / 2) eps; 0 beyond 38.6."""
    return INV_SQRT_2PI * exp_fast(-0.5 * z * z)


@wide_helper
def tail(z: float, density_at_z: float) -> float:
    """N(-z) for z >= 0 from the density already at hand: no second exponential, full accuracy in the tail."""
    return density_at_z * mills(z)


@wide_helper
def normal_cdf(x: float) -> float:
    """N(x), relative error <= (5 + x^2 / 2) eps on both sides."""
    z = abs(x)
    t = density(z) * mills(z)
    return 1.0 - t if x > 0.0 else t
