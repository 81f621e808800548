"""Finite differences for American and European options: the slow, general answer that others are judged by.

TR-BDF2 in time (Bank et al. 1985; for American options Le Floc'h 2014), central differences on a
grid in log-spot that is dense around the strike, the early exercise condition solved exactly at
both stages by policy iteration (Howard; Forsyth and Labahn 2007), so that one exercise boundary,
two of them (negative rates) or none need no case of their own. Dividends in cash are jumps of the
spot (``DividendModel.SPOT``) or an escrow beside a lognormal rest (``ESCROWED``). Steps grow
quadratically from each date at which the value has a kink. Without jumps, the error of the same
grid on the European option, which is known, is taken off (control variate).

Not for the hot path: milliseconds per option. Error: see docs/numerics/american-extras.md.
"""

import math
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gpu.european.formulas import MIN_DEVIATION, spot_domain
from gpu.european.greeks import spot_greeks
from gpu.status import PriceStatus
from market.jit import kernel

F8: TypeAlias = npt.NDArray[np.float64]


class DividendModel(IntEnum):
    """What is lognormal when cash dividends are paid."""

    SPOT = 0  # the spot itself between the dates, dropping by the amount at each (never below zero)
    ESCROWED = 1  # the spot less the present value of the dividends that are still to come


SPOT = int(DividendModel.SPOT)
ESCROWED = int(DividendModel.ESCROWED)

#: Rows of the work array ``[GRID_WORK, nodes]``; the first four can be read afterwards.
GRID_WORK = 14
_X, _S, _VALUE, _EUROPEAN, _STAGE, _LOWER, _UPPER, _RHS, _CP, _DP, _FLOOR, _ACTIVE, _OLD, _KEEP = range(GRID_WORK)

OUT_ROWS = 11
_BUMP_VOL = 0.015  # relative: a second difference of less would show the noise of the grid
_BUMP_RATE = 2.5e-4
OK = int(PriceStatus.OK)
INTRINSIC = int(PriceStatus.INTRINSIC)
BAD_INPUT = int(PriceStatus.BAD_INPUT)

_HIGHEST = 20.0  # standard deviations: the value is its maximum to the last bit, and the grid does not overflow
_WIDTH = 7.0  # standard deviations of the log-spot to either side of strike and spot
_GAMMA = 1.0 - math.sqrt(0.5)  # both stages of TR-BDF2 have the matrix I + gamma k A for alpha = 2 - sqrt 2
_W_STAGE = 1.0 / (2.0 * (math.sqrt(2.0) - 1.0))  # 1 / (alpha (2 - alpha))
_MAX_POLICY = 40
_MIN_SEGMENT_STEPS = 12
_TIE = 1e-13  # relative to the strike: two values closer than this are equal


@kernel(internal=True)
def _place_nodes(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, work: F8
) -> None:
    """Nodes sinh-spaced in log-spot, the strike halfway between two of them.

    The dense part covers the deviation of the log-spot, or less where early exercise keeps the
    life of the option close to the strike (the boundary of the perpetual option scales so).
    """
    nodes = work.shape[1]
    deviation = vol * math.sqrt(years)
    reach = _WIDTH * deviation + abs(rate - dividend_yield) * years
    centre = math.log(strike)
    away = math.log(spot) - centre
    pull = max(abs(rate), abs(dividend_yield))
    density = 1.5 * deviation / (1.0 + 1.5 * deviation * pull / (vol * vol))
    low, high = math.asinh((min(away, 0.0) - reach) / density), math.asinh((max(away, 0.0) + reach) / density)
    step = (high - low) / (nodes - 1)
    first = math.floor(-low / step) + 0.5  # index of the strike
    for i in range(nodes):
        x = centre + density * math.sinh((i - first) * step)
        work[_X, i] = x
        work[_S, i] = math.exp(x)


@kernel(internal=True)
def _set_operator(rate: float, dividend_yield: float, vol: float, work: F8) -> None:
    """Weights of the left and right neighbour in the generator without discounting."""
    diffusion = vol * vol
    drift = rate - dividend_yield - 0.5 * diffusion
    for i in range(1, work.shape[1] - 1):
        left, right = work[_X, i] - work[_X, i - 1], work[_X, i + 1] - work[_X, i]
        work[_LOWER, i] = (diffusion - drift * right) / (left * (left + right))
        work[_UPPER, i] = (diffusion + drift * left) / (right * (left + right))


@kernel
def pending(amounts: F8, times: F8, carry: float, now: float, years: float) -> float:
    """Value at ``now`` of the dividends after it, up to expiry, in the spot; ``carry`` = rate - dividend yield.

    The carry, not the rate: with it the spot, escrow included, earns the carry between the dates.
    """
    total = 0.0
    for j in range(amounts.shape[0]):
        if now < times[j] <= years:
            total += amounts[j] * math.exp(-carry * (times[j] - now))
    return total


@kernel(internal=True)
def _hold_deep(
    spot: float, strike: float, years: float, now: float, rate: float, dividend_yield: float,
    right: int, amounts: F8, times: F8, model: int, american: bool,
) -> float:  # fmt: skip
    """Value deep in the money, where no uncertainty is left: the best date to exercise, known in advance.

    Exercise pays most now, at expiry, or just before a dividend (between them the two discounted
    legs are exponentials whose difference has its extremes at the ends, or, for yields and rates
    of one sign, grows with time by less than the grid's own error at the edge).
    """
    escrow = pending(amounts, times, rate - dividend_yield, now, years) if model == ESCROWED else 0.0
    best = right * (spot + escrow - strike) if american else -math.inf
    asset, paid, since = spot, 0.0, now  # the asset leg now worth what exercise at ``since`` would receive
    for j in range(amounts.shape[0]):
        if now < times[j] <= years:
            fade = math.exp(-dividend_yield * (times[j] - since))
            asset, paid, since = asset * fade, paid * fade, times[j]
            discount = math.exp(-rate * (since - now))
            if american:
                rest = 0.0
                if model == ESCROWED:
                    rest = amounts[j] + pending(amounts, times, rate - dividend_yield, since, years)
                best = max(best, right * (asset - paid - (strike - rest) * discount))
            if model == SPOT:
                paid += amounts[j] * discount
    fade = math.exp(-dividend_yield * (years - since))
    return max(best, right * ((asset - paid) * fade - strike * math.exp(-rate * (years - now))), 0.0)


@kernel(internal=True)
def _solve_stage(work: F8, weight: float, rate: float, tie: float, american: bool) -> int:
    """Solve (I + weight A) v = rhs with v >= floor into ``_STAGE``; ends of rhs are given values."""
    n = work.shape[1]
    lower, upper, rhs, cp, dp = work[_LOWER], work[_UPPER], work[_RHS], work[_CP], work[_DP]
    floor, active, value = work[_FLOOR], work[_ACTIVE], work[_STAGE]
    for turn in range(_MAX_POLICY):
        cp[0], dp[0] = 0.0, rhs[0]
        for i in range(1, n - 1):
            if active[i] > 0.0:
                cp[i], dp[i] = 0.0, floor[i]
            else:
                low, up = weight * lower[i], weight * upper[i]
                inverse = 1.0 / (1.0 + low + up + weight * rate - low * cp[i - 1])
                cp[i] = up * inverse
                dp[i] = (rhs[i] + low * dp[i - 1]) * inverse
        value[n - 1] = rhs[n - 1]
        for i in range(n - 2, -1, -1):
            value[i] = dp[i] + cp[i] * value[i + 1]
        if not american:
            return turn
        changes = 0
        for i in range(1, n - 1):
            if active[i] > 0.0:
                low, up = weight * lower[i], weight * upper[i]
                surplus = (1.0 + low + up + weight * rate) * value[i] - low * value[i - 1] - up * value[i + 1] - rhs[i]
                if surplus < -tie:
                    active[i] = 0.0
                    changes += 1
            elif value[i] < floor[i] - tie:
                active[i] = 1.0
                changes += 1
        if changes == 0:
            return turn
    return _MAX_POLICY


@kernel(internal=True)
def _set_floor(
    strike: float, years: float, now: float, carry: float, right: int, amounts: F8, times: F8, model: int, work: F8
) -> None:
    """What exercise pays at each node at time ``now``."""
    escrow = pending(amounts, times, carry, now, years) if model == ESCROWED else 0.0
    for i in range(work.shape[1]):
        work[_FLOOR, i] = right * (work[_S, i] + escrow - strike)


@kernel(internal=True)
def _segment(
    start: float, end: float, steps: int, strike: float, years: float, rate: float, dividend_yield: float,
    right: int, amounts: F8, times: F8, model: int, american: bool, row: int, work: F8,
) -> None:  # fmt: skip
    """March row ``row`` from ``start`` to ``end`` years before expiry, steps growing from the start."""
    n = work.shape[1]
    value, old, rhs, stage = work[row], work[_OLD], work[_RHS], work[_STAGE]
    tie = _TIE * strike
    deep, far = (0, n - 1) if right < 0 else (n - 1, 0)
    for step in range(steps):
        before = start + (end - start) * (step / steps) ** 2
        after = start + (end - start) * ((step + 1) / steps) ** 2
        length = after - before
        weight = _GAMMA * length
        for stage_number in range(2):
            at = before + (2.0 * weight if stage_number == 0 else length)
            if stage_number == 0:
                for i in range(1, n - 1):
                    old[i] = value[i]
                    rhs[i] = value[i] + weight * (
                        work[_LOWER, i] * (value[i - 1] - value[i])
                        + work[_UPPER, i] * (value[i + 1] - value[i])
                        - rate * value[i]
                    )
            else:
                for i in range(1, n - 1):
                    rhs[i] = old[i] + _W_STAGE * (stage[i] - old[i])
            if american:
                _set_floor(strike, years, years - at, rate - dividend_yield, right, amounts, times, model, work)
            edge = work[_S, deep]
            rhs[far] = 0.0
            rhs[deep] = _hold_deep(
                edge, strike, years, years - at, rate, dividend_yield, right, amounts, times, model, american
            )
            _solve_stage(work, weight, rate, tie, american)
        for i in range(n):
            value[i] = stage[i]


@kernel(internal=True)
def _cubic(work: F8, row: int, x: float) -> float:
    """Four-point interpolation of a row at ``x``, held between the two neighbours (values are monotone)."""
    n = work.shape[1]
    xs, ys = work[_X], work[row]
    j = min(max(np.searchsorted(xs, x), 1), n - 1)
    k = min(max(j - 2, 0), n - 4)
    total = 0.0
    for a in range(k, k + 4):
        term = ys[a]
        for b in range(k, k + 4):
            if b != a:
                term *= (x - xs[b]) / (xs[a] - xs[b])
        total += term
    return min(max(total, min(ys[j - 1], ys[j])), max(ys[j - 1], ys[j]))


@kernel(internal=True)
def _pay_dividend(amount: float, work: F8, row: int) -> None:
    """Value just before the spot drops by ``amount``, from the value just after; the spot stops at zero."""
    n = work.shape[1]
    lowest = work[_S, 0]
    stage = work[_STAGE]
    for i in range(n):
        after = work[_S, i] - amount
        stage[i] = work[row, 0] if after <= lowest else _cubic(work, row, math.log(after))
    for i in range(n):
        work[row, i] = stage[i]


@kernel
def march(
    strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    amounts: F8, times: F8, model: int, american: bool, steps: int, row: int, work: F8,
) -> None:  # fmt: skip
    """Value at every node of ``work`` (nodes and operator already set) into its row ``row``."""
    n = work.shape[1]
    value = work[row]
    for i in range(n):
        value[i] = max(right * (work[_S, i] - strike), 0.0)
        work[_ACTIVE, i] = 0.0
    at = 0.0
    for j in range(amounts.shape[0] - 1, -2, -1):
        if j >= 0 and not 0.0 < times[j] <= years:
            continue
        end = years if j < 0 else years - times[j]
        if end > at:
            count = max(_MIN_SEGMENT_STEPS, math.ceil(steps * math.sqrt((end - at) / years)))
            _segment(
                at, end, count, strike, years, rate, dividend_yield, right, amounts, times, model, american, row, work
            )
            at = end
        if j >= 0:
            if model == SPOT:
                _pay_dividend(amounts[j], work, row)
            if american:
                just_before = times[j] * (1.0 - 1e-15)  # so that the escrow of this dividend still counts
                carry = rate - dividend_yield
                _set_floor(strike, years, just_before, carry, right, amounts, times, model, work)
                for i in range(n):
                    value[i] = max(value[i], work[_FLOOR, i])


@kernel(internal=True)
def _local(work: F8, x: float, american: bool) -> tuple[float, float, float, float]:
    """Row ``_STAGE`` and its three log-spot derivatives at ``x``: polynomial through six nodes (Newton form).

    The nodes lie on one side of an exercise boundary, where the second derivative jumps.
    """
    n = work.shape[1]
    xs, active, c = work[_X], work[_ACTIVE], work[_CP]
    right_node = min(max(np.searchsorted(xs, x), 1), n - 1)
    first = min(max(right_node - 3, 0), n - 6)
    if american:
        for _ in range(6):
            left = first < right_node and active[first] > 0.0 and first < n - 6
            right = first + 5 >= right_node and active[first + 5] > 0.0 and first > 0
            if left and not right:
                first += 1
            elif right and not left:
                first -= 1
    for a in range(6):
        c[a] = work[_STAGE, first + a]
    for order in range(1, 6):
        for a in range(5, order - 1, -1):
            c[a] = (c[a] - c[a - 1]) / (xs[first + a] - xs[first + a - order])
    p0 = p1 = p2 = p3 = 0.0
    for a in range(5, -1, -1):
        z = x - xs[first + a]
        p3 = p3 * z + 3.0 * p2
        p2 = p2 * z + 2.0 * p1
        p1 = p1 * z + p0
        p0 = p0 * z + c[a]
    return p0, p1, p2, p3


@kernel(internal=True)
def _at_spot(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    amounts: F8, times: F8, model: int, american: bool, steps: int, work: F8,
) -> tuple[float, float, float, float, bool]:  # fmt: skip
    """Price, delta, gamma, speed on nodes already placed, and whether the option is exercised now."""
    _set_operator(rate, dividend_yield, vol, work)
    march(strike, years, rate, dividend_yield, vol, right, amounts, times, model, american, steps, _VALUE, work)
    escrow = pending(amounts, times, rate - dividend_yield, 0.0, years) if model == ESCROWED else 0.0
    rest = spot - escrow
    x = math.log(rest)
    n = work.shape[1]
    node = min(max(np.searchsorted(work[_X], x), 1), n - 1)
    if american and work[_ACTIVE, node - 1] > 0.0 and work[_ACTIVE, node] > 0.0:
        return right * (spot - strike), float(right), 0.0, 0.0, True
    control = model == ESCROWED or amounts.shape[0] == 0
    if control and american:
        for i in range(n):
            work[_KEEP, i] = work[_ACTIVE, i]
        march(strike, years, rate, dividend_yield, vol, right, amounts, times, model, False, steps, _EUROPEAN, work)
        for i in range(n):
            work[_ACTIVE, i] = work[_KEEP, i]
            work[_STAGE, i] = work[_VALUE, i] - work[_EUROPEAN, i]
    else:
        for i in range(n):
            work[_STAGE, i] = 0.0 if control else work[_VALUE, i]
    price, p1, p2, p3 = _local(work, x, american)
    delta = p1 / rest
    gamma = (p2 - p1) / (rest * rest)
    speed = (p3 - 3.0 * p2 + 2.0 * p1) / (rest * rest * rest)
    if control:
        exact = spot_greeks(rest, strike, years, rate, dividend_yield, vol, right)
        price, delta, gamma, speed = price + exact[0], delta + exact[1], gamma + exact[2], speed + exact[10]
    if american and price < right * (spot - strike):
        return right * (spot - strike), float(right), 0.0, 0.0, True
    return price, delta, gamma, speed, False


@kernel
def calendar_greeks(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float,
    amounts: F8, times: F8, model: int, greeks: tuple[float, float, float, float, bool],
) -> tuple[float, float]:  # fmt: skip
    """-dV/dT and -d2V/dS dT by the pricing equation, dates of dividends staying where they are in the calendar."""
    price, delta, gamma, speed, exercised = greeks
    if exercised:
        return 0.0, 0.0
    escrow = pending(amounts, times, rate - dividend_yield, 0.0, years) if model == ESCROWED else 0.0
    rest, drift, variance = spot - escrow, rate - dividend_yield, vol * vol
    theta = rate * price - drift * spot * delta - 0.5 * variance * rest * rest * gamma
    charm = dividend_yield * delta - (drift * spot + variance * rest) * gamma - 0.5 * variance * rest * rest * speed
    return theta, charm


@kernel(internal=True)
def _deterministic_row(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, right: int,
    amounts: F8, times: F8, model: int, american: bool, out: F8,
) -> None:  # fmt: skip
    """No time or no volatility left: the best date known in advance; first orders by differences, second none."""
    escrow = pending(amounts, times, rate - dividend_yield, 0.0, years) if model == ESCROWED else 0.0
    for row in range(OUT_ROWS):
        out[row] = 0.0
    out[0] = _hold_deep(spot - escrow, strike, years, 0.0, rate, dividend_yield, right, amounts, times, model, american)
    if years <= 0.0 or out[0] == 0.0 or (american and out[0] == right * (spot - strike)):
        out[1] = float(right) if out[0] > 0.0 else 0.0
        return
    for side in (-1.0, 1.0):
        weight = 0.5 * side / _BUMP_RATE
        carry = rate + side * _BUMP_RATE - dividend_yield
        up = pending(amounts, times, carry, 0.0, years) if model == ESCROWED else 0.0
        out[1] += 0.5 * side / (_BUMP_RATE * spot) * _hold_deep(
            spot * (1.0 + side * _BUMP_RATE) - escrow, strike, years, 0.0, rate, dividend_yield, right, amounts, times,
            model, american,
        )  # fmt: skip
        out[5] += weight * _hold_deep(
            spot - up, strike, years, 0.0, rate + side * _BUMP_RATE, dividend_yield, right, amounts, times, model,
            american,
        )  # fmt: skip
        out[10] += weight * _hold_deep(
            spot - escrow, strike, years, 0.0, rate, dividend_yield + side * _BUMP_RATE, right, amounts, times, model,
            american,
        )  # fmt: skip
    greeks = (out[0], out[1], 0.0, 0.0, False)
    out[4], out[8] = calendar_greeks(spot, strike, years, rate, dividend_yield, 0.0, amounts, times, model, greeks)


@kernel(internal=True)
def _bumped_greeks(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    amounts: F8, times: F8, model: int, american: bool, steps: int, base: tuple[float, float, float, float, bool],
    work: F8, out: F8,
) -> None:  # fmt: skip
    """Vega, rho, vanna, volga, veta, dividend rho by central differences on the nodes of the unmoved inputs."""
    h = _BUMP_VOL * vol
    down = _at_spot(
        spot, strike, years, rate, dividend_yield, vol - h, right, amounts, times, model, american, steps, work
    )
    up = _at_spot(
        spot, strike, years, rate, dividend_yield, vol + h, right, amounts, times, model, american, steps, work
    )
    out[3] = (up[0] - down[0]) / (2.0 * h)
    out[6] = (up[1] - down[1]) / (2.0 * h)
    out[7] = (up[0] - 2.0 * base[0] + down[0]) / (h * h)
    theta_up, _ = calendar_greeks(spot, strike, years, rate, dividend_yield, vol + h, amounts, times, model, up)
    theta_down, _ = calendar_greeks(spot, strike, years, rate, dividend_yield, vol - h, amounts, times, model, down)
    out[9] = (theta_up - theta_down) / (2.0 * h)
    out[5] = out[10] = 0.0
    for side in (-1.0, 1.0):
        moved = side * _BUMP_RATE
        out[5] += side * _at_spot(
            spot, strike, years, rate + moved, dividend_yield, vol, right, amounts, times, model, american, steps, work
        )[0] / (2.0 * _BUMP_RATE)  # fmt: skip
        out[10] += side * _at_spot(
            spot, strike, years, rate, dividend_yield + moved, vol, right, amounts, times, model, american, steps, work
        )[0] / (2.0 * _BUMP_RATE)  # fmt: skip


@kernel
def finite_difference_row(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float, vol: float, right: int,
    amounts: F8, times: F8, model: int, american: bool, steps: int, all_greeks: bool, work: F8, out: F8,
) -> int:  # fmt: skip
    """One option on ``work.shape[1]`` nodes and about ``steps`` time steps; returns its ``PriceStatus``.

    ``out[11]``: the first ten rows of ``Greek``, then the derivative in the dividend yield.
    ``times`` ascend, in years from now; those outside (0, years] do not count. Without ``all_greeks``
    only price, delta, gamma, theta and charm are filled (one solution instead of seven), the others NaN.
    """
    for row in range(OUT_ROWS):
        out[row] = math.nan
    total = years + vol  # the domain lets -inf of these pass
    for j in range(amounts.shape[0]):
        total += amounts[j] + times[j]
        if not (amounts[j] >= 0.0 and (j == 0 or times[j] >= times[j - 1])):
            return BAD_INPUT
    sound = spot_domain(spot, strike, years, rate, dividend_yield, vol, float(right))
    if not (sound and abs(total) < math.inf):
        return BAD_INPUT
    if model == ESCROWED and pending(amounts, times, rate - dividend_yield, 0.0, years) >= spot:
        return BAD_INPUT
    if years <= 0.0 or vol <= 0.0 or vol * math.sqrt(years) <= MIN_DEVIATION:
        _deterministic_row(spot, strike, years, rate, dividend_yield, right, amounts, times, model, american, out)
        return INTRINSIC
    vol = min(vol, _HIGHEST / math.sqrt(years))
    escrow = pending(amounts, times, rate - dividend_yield, 0.0, years) if model == ESCROWED else 0.0
    _place_nodes(spot - escrow, strike, years, rate, dividend_yield, vol, work)
    base = _at_spot(spot, strike, years, rate, dividend_yield, vol, right, amounts, times, model, american, steps, work)
    out[0], out[1], out[2] = base[0], base[1], base[2]
    out[4], out[8] = calendar_greeks(spot, strike, years, rate, dividend_yield, vol, amounts, times, model, base)
    if not all_greeks:
        return OK
    if base[4]:
        for row in (3, 5, 6, 7, 9, 10):
            out[row] = 0.0
        return OK
    _bumped_greeks(
        spot, strike, years, rate, dividend_yield, vol, right, amounts, times, model, american, steps, base, work, out
    )
    return OK
