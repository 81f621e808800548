"""First guess of the exercise boundary at all nodes: a solved quadratic approximation."""

import math

from gpu.american.rules import F8, LEAST_EXPONENT
from gpu.maths.functions import exp_fast, log_fast, mills
from gpu.maths.wide import FAST, wide_kernel
from market.jit import kernel

_INV_SQRT_2PI = 0.3989422804014327
#: Distance of the start from the true boundary, as found over the whole domain: see ``first_guess``.
_POLE = 0.1  # of the right side
_NEAR_SCALE = 1.05
_STEPS = 5


@kernel(inline=True, fastmath=set(FAST))
def _one_less_exp(x: float) -> float:
    """1 - exp(-x), without cancellation for small x (relative error 1e-11: it is a guess)."""
    series = x * (1.0 - x * (0.5 - x * (0.16666666666666666 - x * 0.041666666666666664)))
    return series if abs(x) < 1e-3 else 1.0 - exp_fast(-x)


@wide_kernel
def _prepare(
    n: int, rate: float, dividend: float, dev: float, root: F8, gone: F8, paid: F8, share: F8, guess: F8
) -> None:
    """Constants of each node and an asymptotic guess of z = ln(X / B)."""
    carry = rate - dividend
    beta = 2.0 * carry / (dev * dev)
    top = 1.0 if carry >= 0.0 else rate / dividend
    far = 0.5 * (beta - 1.0 + math.sqrt((beta - 1.0) * (beta - 1.0) + 8.0 * rate / (dev * dev)))
    limit = log_fast(top * (1.0 + far) / far) if far > 1e-12 else 50.0
    for i in range(n):
        tau = root[i] * root[i]
        lost = _one_less_exp(rate * tau)
        gone[i] = lost
        paid[i] = _one_less_exp(dividend * tau)
        ratio = rate / lost if rate > 0.0 else 1.0 / tau
        share[i] = 0.5 * (beta - 1.0 + math.sqrt((beta - 1.0) * (beta - 1.0) + 8.0 * ratio / (dev * dev)))
        # r >= q: Evans, Kuske and Keller's two expansions joined, on the far side of the truth, from where
        # Newton does not overshoot. r < q: the same seen from the strike, but at least their constant.
        size = 7.0898154036 * rate * tau + 5.0132565493 * root[i] * (max(0.0, carry)) / dev
        level = 2.0 * log_fast(1.0 + 1.0 / size) + 0.5
        v = dev * root[i]
        z = v * math.sqrt(level)
        if_away = z + log_fast(top)
        if_away = max(0.7 * v, if_away)
        z = if_away if carry < 0.0 else z
        guess[i] = 1.0 / math.sqrt(1.0 / (z * z) + 1.0 / (limit * limit))


@wide_kernel
def _improve(
    n: int, rate: float, dividend: float, dev: float, root: F8, gone: F8, paid: F8, share: F8, guess: F8
) -> None:
    """One Newton step of the quadratic approximation, on logarithms: they are nearly linear in z^2."""
    carry = rate - dividend
    near = carry >= 0.0
    top = 0.0 if near else log_fast(rate / dividend)
    keep = 1.0 if near else 0.0
    for i in range(n):
        z = guess[i]
        tau = root[i] * root[i]
        v = dev * root[i]
        spot = exp_fast(top - z)
        d1 = (top - z + carry * tau) / v + 0.5 * v
        d2 = d1 - v
        asset, cash = 1.0 - paid[i], 1.0 - gone[i]
        density1 = _INV_SQRT_2PI * exp_fast(max(LEAST_EXPONENT, -0.5 * d1 * d1))
        density2 = _INV_SQRT_2PI * exp_fast(max(LEAST_EXPONENT, -0.5 * d2 * d2))
        t1 = density1 * mills(abs(d1))
        t2 = density2 * mills(abs(d2))
        n1 = asset * (t1 if d1 < 0.0 else 1.0 - t1)
        n2 = cash * (t2 if d2 < 0.0 else 1.0 - t2)
        over = 1.0 / share[i]
        # American less European value on the left, the quadratic approximation's premium on the right.
        left = gone[i] - spot * paid[i] * (1.0 + keep * over) - (spot * n1 - n2)
        inside = n1 + (1.0 - keep) * paid[i]
        right = spot * over * inside
        left_z = spot * paid[i] * (1.0 + keep * over) + spot * n1
        right_z = -right - spot * over * asset * density1 / v
        safe = left if left > 0.0 else 1.0
        ratio = safe / right
        f = log_fast(max(1e-300, ratio))
        slope = left_z / safe - right_z / right
        square = z * z
        move = square - 2.0 * z * f / slope
        move = max(0.25 * square, move)
        move = min(4.0 * square, move)
        # Far on the near side: Newton would creep away from the pole of the logarithm.
        move = move if left > _POLE * right else 2.25 * square
        guess[i] = math.sqrt(move)


@wide_kernel
def _finish(n: int, rate: float, dividend: float, dev: float, root: F8, guess: F8, values: F8) -> None:
    near = rate >= dividend
    top = 0.0 if near else -log_fast(rate / dividend)
    for i in range(n):
        square = guess[i] * guess[i]
        level = square / (dev * dev * root[i] * root[i])
        scale = 0.816 + 0.5 * (level - 0.5)  # 0.408 : 0.5 at expiry, where both limits are known
        scale = max(0.816, scale)
        scale = min(1.03, scale)
        scale = _NEAR_SCALE if near else scale
        z = math.sqrt(square * scale)
        values[i] = z * (z + 2.0 * top)  # (top + z)^2 - top^2


@kernel
def first_guess(n: int, rate: float, dividend: float, dev: float, root: F8, scratch: F8, values: F8) -> None:
    """Fill ``values[n]`` with Z = ln^2(B/K) - ln^2(X/K), X the boundary's limit at expiry; within some 10 %.

    Everything per life of the option: ``rate``, ``dividend`` times years, ``dev`` = vol sqrt(years),
    ``root[n]`` = square roots of the nodes' fractions of time. Barone-Adesi and Whaley's quadratic
    approximation (1987), five Newton steps, then the mean distance that it keeps from the truth.
    ``scratch`` holds 4 n words.
    """
    gone, paid, share, guess = scratch[:n], scratch[n : 2 * n], scratch[2 * n : 3 * n], scratch[3 * n : 4 * n]
    _prepare(n, rate, dividend, dev, root, gone, paid, share, guess)
    for _ in range(_STEPS):
        _improve(n, rate, dividend, dev, root, gone, paid, share, guess)
    for i in range(n - 2, -1, -1):
        # The boundary falls with the time left. Where the approximation is flat (long lives, rate close to
        # the yield) five steps do not reach it, and a kink there would send the solver astray.
        guess[i] = max(guess[i], guess[i + 1])
    _finish(n, rate, dividend, dev, root, guess, values)
