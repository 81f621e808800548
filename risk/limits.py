"""The limits: one table of names, units, defaults and reasons, over one array of float64 words.

The words may lie in memory shared with other processes; a rule reads its word at every order, so
a changed limit binds from the next order on. Three things are the same for all of them: a smaller
value allows less, the unit is in the table, and a word that cannot be read as a number >= 0
counts as zero, which allows nothing.
"""

import difflib
import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from market.jit import kernel
from risk.errors import LimitError

LIMIT_WORDS = 64
_LARGEST = 1e300  # above it a word is taken for damage, not for a limit


class Limit(IntEnum):
    """Index of a limit in the array of words. Numbers are in journals: never reuse one."""

    MAX_ORDER_QTY = 1
    MAX_ORDER_NOTIONAL = 2
    MAX_HEDGE_ORDER_QTY = 3
    MAX_HEDGE_ORDER_NOTIONAL = 4
    MAX_COLLAR_THEO_BP = 5
    MAX_COLLAR_THEO_TICKS = 6
    MAX_COLLAR_MARKET_TICKS = 7
    MAX_OPTION_FEED_AGE_MS = 8
    MAX_UNDERLYING_AGE_MS = 9
    MAX_THEO_AGE_MS = 10
    MAX_SERIES_POSITION = 11
    MAX_HEDGE_POSITION = 12
    MAX_UNDERLYING_POSITION = 13
    MAX_PORTFOLIO_DELTA = 14
    MAX_HELD_DELTA = 15
    MAX_PORTFOLIO_VEGA = 16
    MAX_HELD_VEGA = 17
    MAX_MESSAGES_PER_S = 18
    MAX_MESSAGE_BURST = 19
    MAX_NEW_ORDER_SHARE = 20
    MAX_OPEN_ORDERS = 21
    MAX_DUPLICATES = 22


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """What one limit means. The range of accepted values is 0 .. ``high``, both included."""

    unit: str
    default: float
    high: float
    meaning: str
    reason: str  #: why the default is what it is

    def check(self, name: str, value: float) -> float:
        """Return ``value``; LimitError when it is outside the range or not a number."""
        if not math.isfinite(value) or not 0.0 <= value <= self.high:
            raise LimitError(f"{name} must be 0..{self.high:g} {self.unit}, was {value:g}")
        return float(value)


LIMITS: dict[Limit, LimitSpec] = {
    Limit.MAX_ORDER_QTY: LimitSpec(
        "contracts", 50, 100_000, "open quantity of one option order", "ten quoting lots: larger is a mistake"
    ),
    Limit.MAX_ORDER_NOTIONAL: LimitSpec(
        "currency", 1_000_000, 1e9, "premium of one option order", "50 contracts of a 200.00 option"
    ),
    Limit.MAX_HEDGE_ORDER_QTY: LimitSpec(
        "shares", 10_000, 10_000_000, "open quantity of one order in the underlying", "hedges go out in slices"
    ),
    Limit.MAX_HEDGE_ORDER_NOTIONAL: LimitSpec(
        "currency", 10_000_000, 1e10, "value of one order in the underlying", "10,000 shares at 1,000.00"
    ),
    Limit.MAX_COLLAR_THEO_BP: LimitSpec(
        "bp of theo", 500, 10_000, "how far past theo, against us, an order may be priced", "half of a usual width"
    ),
    Limit.MAX_COLLAR_THEO_TICKS: LimitSpec(
        "price units", 10, 10_000, "the same for cheap options: the wider of the two counts", "two nickel ticks"
    ),
    Limit.MAX_COLLAR_MARKET_TICKS: LimitSpec(
        "price units", 50, 100_000, "how far past the market's near side an order may be priced", "0.50: fat fingers"
    ),
    Limit.MAX_OPTION_FEED_AGE_MS: LimitSpec(
        "ms", 2_000, 600_000, "silence of the instrument's feed, heartbeats included", "20 heartbeats of a venue"
    ),
    Limit.MAX_UNDERLYING_AGE_MS: LimitSpec(
        "ms", 2_000, 600_000, "silence of the underlying's feed", "20 heartbeats of a venue"
    ),
    Limit.MAX_THEO_AGE_MS: LimitSpec(
        "ms", 5_000, 600_000, "age of a series' theo", "refreshes follow each other within a second"
    ),
    Limit.MAX_SERIES_POSITION: LimitSpec(
        "contracts", 200, 1_000_000, "position of one series either way, working orders counted", "four orders' worth"
    ),
    Limit.MAX_HEDGE_POSITION: LimitSpec(
        "shares", 500_000, 100_000_000, "position in an underlying itself, working orders counted",
        "ten times the delta that may be held",
    ),
    Limit.MAX_UNDERLYING_POSITION: LimitSpec(
        "contracts", 100_000, 100_000_000,
        "gross contracts of an underlying: each series at the worst its working orders can make of it",
        "2,200 series, 45 contracts each",
    ),
    Limit.MAX_PORTFOLIO_DELTA: LimitSpec(
        "shares", 5_000_000, 1e12, "delta of an underlying if every working order that moves it one way filled",
        "quoting a chain of 2,200 series takes about a tenth of it",
    ),
    Limit.MAX_HELD_DELTA: LimitSpec(
        "shares", 50_000, 1e12, "delta of an underlying held, after the one order in question filled",
        "beyond it only orders that bring delta back",
    ),
    Limit.MAX_PORTFOLIO_VEGA: LimitSpec(
        "currency per 1.00 vol", 1e9, 1e15, "vega of an underlying if every working order that moves it one way filled",
        "quoting a chain of 2,200 series on a 750.00 underlying takes about a tenth of it",
    ),
    Limit.MAX_HELD_VEGA: LimitSpec(
        "currency per 1.00 vol", 2e7, 1e15, "vega of an underlying held, after the one order in question filled",
        "200,000 per volatility point",
    ),
    Limit.MAX_MESSAGES_PER_S: LimitSpec(
        "messages per s", 20_000, 1_000_000, "sustained messages of one session", "what our venue takes with ease"
    ),
    Limit.MAX_MESSAGE_BURST: LimitSpec(
        "messages", 10_000, 1_000_000, "messages of one session at once", "a chain of 2,200 series, twice two-sided"
    ),
    Limit.MAX_NEW_ORDER_SHARE: LimitSpec(
        "share of the burst", 0.8, 1, "what new orders and replaces may use of the burst", "the rest waits for cancels"
    ),
    Limit.MAX_OPEN_ORDERS: LimitSpec(
        "orders", 10_000, 60_000, "open orders of one session, in flight counted", "a chain of 2,200 series, doubled"
    ),
    Limit.MAX_DUPLICATES: LimitSpec(
        "orders per s", 20, 100_000, "repeats of a new order (instrument, side, price, quantity) within 1 s",
        "a quote refilled after each fill stays below it, a loop gone wild does not",
    ),
}  # fmt: skip


def default_limits() -> npt.NDArray[np.float64]:
    """Words float64[64] with every default; unused words are zero."""
    words = np.zeros(LIMIT_WORDS, np.float64)
    for limit, spec in LIMITS.items():
        words[limit] = spec.default
    return words


def limit_by_name(text: str) -> Limit:
    """The limit called ``text`` in either case; LimitError suggests the nearest name."""
    name = text.strip().upper().replace("-", "_")
    if name in Limit.__members__:
        return Limit[name]
    near = difflib.get_close_matches(name, Limit.__members__, 1, 0.0)
    raise LimitError(f"unknown limit {text!r}: did you mean {near[0].lower()}?")


def checked_value(limit: Limit, value: float) -> float:
    """Return ``value`` if the limit may take it; LimitError names the range otherwise."""
    return LIMITS[limit].check(limit.name.lower(), value)


def limits_table() -> str:
    """Markdown table of all limits, for the documentation."""
    rows = ["| limit | unit | default | up to | bounds | why this default |", "|---|---|---|---|---|---|"]
    for limit, spec in LIMITS.items():
        name, default = limit.name.lower(), f"{spec.default:,g}"
        rows.append(f"| `{name}` | {spec.unit} | {default} | {spec.high:,g} | {spec.meaning} | {spec.reason} |")
    return "\n".join(rows) + "\n"


@kernel(inline=True)
def bound(words: npt.NDArray[np.float64], limit: int) -> float:
    """The limit's value; zero for a word that is not a number >= 0, so that damage denies."""
    value = words[limit]
    if value >= 0.0 and value < _LARGEST:
        return value
    return 0.0
