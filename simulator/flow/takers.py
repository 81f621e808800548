"""Takers: a Hawkes process of orders that trade against the books.

Two directions (the market goes up, the market goes down) excite themselves and each other with an
exponential kernel; arrivals are drawn exactly by thinning (Ogata 1981), which is cheap because the
intensity only falls between events. Time here is *wall-scaled*: simulated time divided by the
speed, so that the rate on the screen does not depend on the speed.

An arrival picks a series by weight (near the money and near expiry trade most) and a side, and has
a reservation distance drawn from Exp(k): it pays the touch only if that is at most so many
reference half-spreads away from fair value. So the fill intensity of a quote at distance d is
A exp(-k d), which is what closed-form market making assumes, and a better quote trades more.
It sends an IOC limit order at the touch: takers never rest and never walk the book.

Randomness comes as a buffer of uniforms, since then the same kernel gives the same bits with and
without the JIT.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from market.enums import OrderAction, Right, SecurityKind, Side, TimeInForce
from market.jit import kernel
from simulator.flow.quoter import write_order
from simulator.flow.settings import TakerSettings

OWNER_TAKER = 15
MAX_ARRIVALS_PER_STEP = 64
_PICKS = 3
_BUFFER = 8192
_PAUSE_S = 1.0
_NS_PER_S = 1_000_000_000
_NS_PER_YEAR = 365 * 86_400 * _NS_PER_S
_TYPICAL_VOL = 0.25

_BUY, _SELL, _IOC, _NEW = int(Side.BUY), int(Side.SELL), int(TimeInForce.IOC), int(OrderAction.NEW)

# Words of ``state`` (float64): base rate of either direction, the two excitations, decay, jumps of
# the excitation, candidate's time and bound, edge decay, shares.
_MU, _EXCITED_UP, _EXCITED_DOWN, _BETA, _ALPHA_SELF, _ALPHA_CROSS = 0, 1, 2, 3, 4, 5
_CLOCK, _CANDIDATE, _BOUND, _EDGE, _UNDERLYING_SHARE, _DIRECTIONAL = 6, 7, 8, 9, 10, 11
_MEAN_SIZE, _MAX_SIZE, _LOT, _WORDS = 12, 13, 14, 16

# Words of ``counters`` (int64): next uniform, sequence of identifiers, arrivals, orders sent.
_NEXT_UNIFORM, _SEQUENCE, _ARRIVALS, _SENT = 0, 1, 2, 3


@kernel(inline=True)
def _draw_candidate(state: Any, counters: Any, uniforms: Any) -> None:
    """Set the time of the next candidate under the bound that holds from ``_CLOCK`` on."""
    bound = 2.0 * state[_MU] + state[_EXCITED_UP] + state[_EXCITED_DOWN]
    u = uniforms[counters[_NEXT_UNIFORM]]
    counters[_NEXT_UNIFORM] += 1
    state[_BOUND] = bound
    state[_CANDIDATE] = state[_CLOCK] - math.log(1.0 - u) / bound


@kernel
def next_arrival(until_s: float, state: Any, counters: Any, uniforms: Any) -> int:
    """Advance to the next event at or before ``until_s``: 1 up, -1 down, 0 none (the candidate is kept).

    Event times do not depend on how time is cut into steps, because a candidate that lies beyond
    the step is kept and not drawn again. Takes at most ``MAX_ARRIVALS_PER_STEP`` candidates a call.
    """
    for _ in range(MAX_ARRIVALS_PER_STEP):
        if state[_CANDIDATE] > until_s:
            return 0
        fade = math.exp(-state[_BETA] * (state[_CANDIDATE] - state[_CLOCK]))
        state[_EXCITED_UP] *= fade
        state[_EXCITED_DOWN] *= fade
        state[_CLOCK] = state[_CANDIDATE]
        up = state[_MU] + state[_EXCITED_UP]
        down = state[_MU] + state[_EXCITED_DOWN]
        u = uniforms[counters[_NEXT_UNIFORM]] * state[_BOUND]
        counters[_NEXT_UNIFORM] += 1
        direction = 0
        if u < up:
            direction = 1
            state[_EXCITED_UP] += state[_ALPHA_SELF]
            state[_EXCITED_DOWN] += state[_ALPHA_CROSS]
        elif u < up + down:
            direction = -1
            state[_EXCITED_DOWN] += state[_ALPHA_SELF]
            state[_EXCITED_UP] += state[_ALPHA_CROSS]
        _draw_candidate(state, counters, uniforms)
        if direction != 0:
            return direction
    return 0


@kernel(inline=True)
def _pick(cumulative: Any, u: float) -> int:
    """Index drawn from cumulative weights (ascending, last > 0)."""
    low, high = 0, cumulative.shape[0] - 1
    target = u * cumulative[high]
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > target:
            high = middle
        else:
            low = middle + 1
    return low


@kernel(inline=True)
def _sign(right: int, direction: int, has_view: bool, coin: bool) -> int:
    """+1 to buy, -1 to sell: the underlying with the direction, options as the view or the coin says."""
    if right == 0:
        return direction
    if has_view:
        return 1 if direction * right > 0 else -1
    return 1 if coin else -1


@kernel
def take(
    until_s: float, now_ns: int, state: Any, counters: Any, uniforms: Any, cumulative: Any, right: Any, listed: Any,
    books: Any, fair_ticks: Any, half_ticks: Any, out: Any, first: int,
) -> int:  # fmt: skip
    """Write the orders of all arrivals up to ``until_s`` (wall-scaled) to ``out`` from row ``first``.

    ``books`` QUOTE[n]; ``fair_ticks`` float64[n] (NaN: unknown, nobody trades it), ``half_ticks``
    float64[n] reference half-spreads; ``right`` int8[n], 0 for the underlying, which is number 0.
    Returns the row after the last one written. ~200 ns per arrival.
    """
    k = first
    share = state[_UNDERLYING_SHARE]
    for _ in range(MAX_ARRIVALS_PER_STEP):
        if k >= out.shape[0] or counters[_NEXT_UNIFORM] + 4 * MAX_ARRIVALS_PER_STEP > uniforms.shape[0]:
            break
        direction = next_arrival(until_s, state, counters, uniforms)
        if direction == 0:
            break
        counters[_ARRIVALS] += 1
        at = counters[_NEXT_UNIFORM]
        counters[_NEXT_UNIFORM] += 4 + _PICKS
        size = 1.0 - math.log(1.0 - uniforms[at]) * state[_MEAN_SIZE]
        reservation = -math.log(1.0 - uniforms[at + 1]) / state[_EDGE]
        has_view, coin = uniforms[at + 2] < state[_DIRECTIONAL], uniforms[at + 3] < 0.5
        for u in uniforms[at + 4 : at + 4 + _PICKS]:
            i = _pick(cumulative, (u - share) / (1.0 - share)) if u >= share else 0
            sign = _sign(int(right[i]), direction, has_view, coin)
            price = books[i].ask_ticks if sign > 0 else books[i].bid_ticks
            resting = books[i].ask_qty if sign > 0 else books[i].bid_qty
            distance = sign * (price - fair_ticks[i])
            if listed[i] == 0 or resting <= 0 or not (half_ticks[i] > 0.0 and math.isfinite(distance)):
                continue  # not quoted: look at another series
            if distance <= reservation * half_ticks[i]:
                qty = int(min(size, state[_MAX_SIZE])) * (int(state[_LOT]) if right[i] == 0 else 1)
                counters[_SEQUENCE] += 1
                write_order(
                    out, k, now_ns, OWNER_TAKER, i, _BUY if sign > 0 else _SELL, _IOC, _NEW,
                    np.uint64(counters[_SEQUENCE]), np.uint64(0), np.uint64(0), price, min(qty, resting),
                )  # fmt: skip
                counters[_SENT] += 1
                k += 1
            break
    return k


class Takers:
    """The taker process of one market; its clock starts at ``begin``."""

    def __init__(self, settings: TakerSettings, master_rows: Any, count: int, speed: float, seed: int) -> None:
        self._settings = settings
        self._rows = master_rows[:count]
        self._speed = speed
        self._seed = seed
        self.right = np.ascontiguousarray(self._rows["right"]).astype(np.int8)
        self._state = np.zeros(_WORDS)
        self._counters = np.zeros(4, np.int64)
        self._uniforms = np.zeros(_BUFFER)
        self._cumulative = np.ones(count)
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._start_ns = 0
        self._last_s = 0.0

    @property
    def arrivals(self) -> int:
        """Takers that came, whether or not they found a price good enough."""
        return int(self._counters[_ARRIVALS])

    @property
    def sent(self) -> int:
        """Orders sent."""
        return int(self._counters[_SENT])

    def begin(self, start_ns: int, spot: float) -> None:
        """Start the process at ``start_ns`` with the weights that ``spot`` [currency] implies."""
        wanted = self._settings
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed, 2])))
        self._uniforms[:] = self._random.random(_BUFFER)
        self._counters[[_NEXT_UNIFORM, _ARRIVALS, _SENT]] = 0
        state = self._state
        # The touch of the flow's own makers is about one half-spread away: exp(-k) of the arrivals pay it.
        rate = wanted.trades_per_wall_s * math.exp(wanted.edge_decay)
        jump = wanted.branching * wanted.decay_per_wall_s
        state[_MU] = max(0.5 * rate * (1.0 - wanted.branching), 1e-12)
        state[_EXCITED_UP] = state[_EXCITED_DOWN] = 0.5 * rate * wanted.branching  # in equilibrium from the start
        state[_BETA] = wanted.decay_per_wall_s
        state[_ALPHA_SELF], state[_ALPHA_CROSS] = jump * (1 - wanted.cross_excitation), jump * wanted.cross_excitation
        state[_CLOCK] = 0.0
        state[_EDGE] = wanted.edge_decay
        state[_UNDERLYING_SHARE], state[_DIRECTIONAL] = wanted.underlying_share, wanted.directional
        state[_MEAN_SIZE], state[_MAX_SIZE] = wanted.max_contracts / 3.0, wanted.max_contracts
        state[_LOT] = wanted.lot_shares
        self._start_ns, self._last_s = start_ns, 0.0
        self._weigh(spot, start_ns)
        _draw_candidate(state, self._counters, self._uniforms)

    def _weigh(self, spot: float, now_ns: int) -> None:
        """Cumulative weights: a bell in standardised moneyness, falling with the time to expiry."""
        years = np.maximum((self._rows["expiry_ns"] - now_ns) / _NS_PER_YEAR, 0.0)
        option = self._rows["security"] == int(SecurityKind.OPTION)
        strike = np.where(option, self._rows["strike"], 1.0)
        deviation = 1.2 * _TYPICAL_VOL * np.sqrt(years) + 0.01
        bell = np.exp(-0.5 * (np.log(strike / max(spot, 1e-9)) / deviation) ** 2)
        weight = np.where(option & (years > 0) & (self.right != int(Right.NONE)), bell / (0.15 + np.sqrt(years)), 0.0)
        self._cumulative = np.cumsum(weight if weight.sum() > 0 else np.ones_like(weight))

    def act(
        self, now_ns: int, listed: Any, books: Any, fair_ticks: npt.NDArray[np.float64],
        half_ticks: npt.NDArray[np.float64], out: Any, first: int,
    ) -> int:  # fmt: skip
        """Orders of everyone who came since the last call; see :func:`take`.

        After a pause of more than a wall second (a stopped process) the arrivals of the pause are
        left out: a burst of them would be an artefact.
        """
        if self._settings.trades_per_wall_s <= 0:
            return first
        until_s = (now_ns - self._start_ns) / _NS_PER_S / self._speed
        if until_s - self._last_s > _PAUSE_S and self._state[_CANDIDATE] < until_s:
            self._state[_CLOCK] = until_s
            _draw_candidate(self._state, self._counters, self._uniforms)
        self._last_s = until_s
        if self._counters[_NEXT_UNIFORM] > _BUFFER // 2:
            self._refill()
        return int(
            take(
                until_s, now_ns, self._state, self._counters, self._uniforms, self._cumulative, self.right, listed,
                books, fair_ticks, half_ticks, out, first,
            )
        )  # fmt: skip

    def _refill(self) -> None:
        """Move the unused uniforms to the front and draw the rest anew: the stream stays the same."""
        used = int(self._counters[_NEXT_UNIFORM])
        rest = _BUFFER - used
        self._uniforms[:rest] = self._uniforms[used:].copy()
        self._uniforms[rest:] = self._random.random(used)
        self._counters[_NEXT_UNIFORM] = 0
