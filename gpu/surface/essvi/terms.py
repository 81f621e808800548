"""eSSVI slice: total variance from three numbers, and the conditions under which it is free of arbitrage.

w(k) = (theta + eta k + sqrt((theta + eta k)^2 + (psi^2 - eta^2) k^2)) / 2 with k = ln(strike / forward),
theta the at-the-money total variance, psi = theta phi(theta) and eta = rho psi: the surface SSVI of
Gatheral and Jacquier (arXiv 1204.0646) with a correlation per maturity (Hendriks and Martini, SSRN
2971502). w is homogeneous of degree one in (theta, psi, eta).

Written in the wing slopes u = psi + eta (right) and v = psi - eta (left), each twice the slope of w:

* no butterfly:  max(u, v) < 4,  psi max(u, v) <= 4 theta           (Gatheral-Jacquier, theorem 4.2)
* no calendar:   u, v and theta do not fall and psi / theta does not rise with maturity (Hendriks-Martini,
  in the sufficient form of Corbetta et al., arXiv 1804.04924, and Mingone, arXiv 2204.00312)

So u and v rise freely up to 4 and theta has only lower bounds: :func:`essvi_floor` is the largest. That
is Mingone's set of parameters without his bounds that look ahead. A mixture in time, linear in (theta,
psi, eta), keeps all of it: u and v stay monotone, psi / theta is a quotient of linear functions, and
psi max(u, v) is convex along the line where 4 theta is linear.
"""

import math

from market.jit import kernel

#: Bound on u and v (twice Lee's slope bound 2), a little inside so that the density stays positive far out.
MAX_WING = 3.96
#: theta stands this far (relative) over its lower bounds, so that rounding cannot undo them.
FLOOR_MARGIN = 1e-6


@kernel(inline=True)
def essvi_terms(theta: float, psi: float, eta: float, k: float) -> tuple[float, float, float]:
    """(w, dw/dk, d2w/dk2) at log-moneyness ``k``; theta > 0, |eta| <= psi. Rounding: a few eps of w, both wings."""
    lift = theta + eta * k
    bend = psi * psi - eta * eta
    root = math.sqrt(lift * lift + bend * k * k)
    # On the falling side of a steep wing theta + eta k is negative and the sum would cancel.
    w = 0.5 * (lift + root) if lift >= 0.0 else 0.5 * bend * k * k / (root - lift)
    first = 0.5 * (eta + (eta * lift + bend * k) / root)
    return w, first, 0.5 * theta * theta * bend / (root * root * root)


@kernel(inline=True)
def essvi_variance(theta: float, psi: float, eta: float, k: float) -> float:
    """Total variance alone; see :func:`essvi_terms`."""
    lift = theta + eta * k
    bend = psi * psi - eta * eta
    root = math.sqrt(lift * lift + bend * k * k)
    return 0.5 * (lift + root) if lift >= 0.0 else 0.5 * bend * k * k / (root - lift)


@kernel(inline=True)
def essvi_gradient(theta: float, psi: float, eta: float, k: float) -> tuple[float, float, float]:
    """Derivatives of w in theta, psi and eta at fixed ``k``; theta > 0."""
    lift = theta + eta * k
    inverse = 0.5 / math.sqrt(lift * lift + (psi * psi - eta * eta) * k * k)
    return 0.5 + lift * inverse, psi * k * k * inverse, 0.5 * k + theta * k * inverse


@kernel(inline=True)
def essvi_floor(u: float, v: float, before_theta: float, before_psi: float) -> float:
    """Least theta of a slice with wings ``u``, ``v`` behind one of (``before_theta``, ``before_psi``).

    The larger of the butterfly bound psi max(u, v) / 4 and the calendar bound theta' psi / psi', with the
    margin. Pass ``before_psi`` = 0 for the first slice.
    """
    psi = 0.5 * (u + v)
    floor = 0.25 * psi * max(u, v)
    if before_psi > 0.0:
        floor = max(floor, before_theta * psi / before_psi)
    return floor * (1.0 + FLOOR_MARGIN)


@kernel(inline=True)
def essvi_fault(theta: float, psi: float, eta: float, before_theta: float, before_psi: float, before_eta: float) -> int:
    """0 where a slice meets every condition behind the slice before it (three zeros: none).

    Else 1 butterfly, 2 calendar, 3 not a slice (NaN, theta or psi not positive, |eta| > psi).
    """
    if not (0.0 < theta < math.inf and 0.0 < psi < math.inf and abs(eta) <= psi):
        return 3
    u, v = psi + eta, psi - eta
    if max(u, v) >= 4.0 or psi * max(u, v) > 4.0 * theta:
        return 1
    if u < before_psi + before_eta or v < before_psi - before_eta or theta < before_theta:
        return 2
    return 2 if psi * before_theta > theta * before_psi else 0
