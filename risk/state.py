"""``RiskState``: every word the gate reads, as five record arrays, and who may trade what.

One thread (the step's) writes all of it, except ``limits``, whose words others may set. States are
held per firm, underlying, instrument and session; the tightest one counts. What was never set is
shut: the firm starts HALTED, an undefined instrument is denied, a session is DOWN. KILLED is
latched: only ``rearm`` leaves it, and it leaves to HALTED, so that arming is a second, separate act.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from market.enums import Right, ScopeKind, SecurityKind, SessionState
from market.enums import RiskState as TradingState
from market.instruments import TickRule
from market.jit import kernel
from market.records import packed, table
from risk.limits import LIMIT_WORDS, default_limits

_LAST_TICK_RULE = max(TickRule)

FIRM = packed(
    [
        ("state", "<i8"),  # enums.RiskState
        ("killed", "<i8"),  # latch: 1 until rearm
        ("underlying_count", "<i8"),
        ("accepted", "<i8"),  # new orders and replaces let through
        ("denied", "<i8"),
        ("denial", "<i8"),  # the last denial, with its two numbers
        ("value", "<f8"),
        ("bound", "<f8"),
    ]
)

#: Greeks are totals over the underlying and its options: delta in shares, gamma in shares per 1.00 of
#: spot, vega in currency per 1.00 of volatility. ``held`` is of positions alone; ``working_*_up`` and
#: ``_down`` (both >= 0) are how far working orders could still move it up or down.
UNDERLYING_RISK = packed(
    [
        ("instrument", "<i8"),  # the underlying's own instrument number
        ("state", "<i8"),
        ("gross_contracts", "<i8"),  # sum over its options of the worst |position|
        ("held_delta", "<f8"),
        ("working_delta_up", "<f8"),
        ("working_delta_down", "<f8"),
        ("held_gamma", "<f8"),
        ("held_vega", "<f8"),
        ("working_vega_up", "<f8"),
        ("working_vega_down", "<f8"),
    ]
)

INSTRUMENT_RISK = packed(
    [
        ("position", "<i8"),  # contracts or shares, signed
        ("working_buy", "<i8"),  # open quantity, in flight counted, a replace at the larger of old and new
        ("working_sell", "<i8"),
        ("state", "<i8"),
        ("defined", "<i8"),
        ("underlying", "<i8"),  # slot in ``underlyings``
        ("security", "<i8"),  # enums.SecurityKind
        ("session", "<i8"),
        ("multiplier", "<i8"),
        ("tick_rule", "<i8"),  # instruments.TickRule
        ("expiry_ns", "<i8"),  # 0: never
        ("price_unit", "<f8"),  # currency
        ("unit_delta", "<f8"),  # of one contract: per option times multiplier
        ("unit_gamma", "<f8"),
        ("unit_vega", "<f8"),
        ("buy_ticks", "<i8"),  # the last new buy let through, for duplicates
        ("buy_qty", "<i8"),
        ("buy_since_ns", "<i8"),
        ("buy_count", "<i8"),
        ("sell_ticks", "<i8"),
        ("sell_qty", "<i8"),
        ("sell_since_ns", "<i8"),
        ("sell_count", "<i8"),
    ]
)

SESSION_RISK = packed(
    [
        ("state", "<i8"),
        ("link", "<i8"),  # enums.SessionState
        ("open_orders", "<i8"),
        ("arrival_ns", "<i8"),  # when the message budget will be full again
        ("messages", "<i8"),
        ("cancels", "<i8"),
        ("denied", "<i8"),
    ]
)


class RiskState(NamedTuple):
    """All words of the gate. Plain memory: copy the arrays to snapshot it."""

    limits: Any  #: float64[64], indexed by limits.Limit
    firm: Any  #: FIRM[1]
    underlyings: Any  #: UNDERLYING_RISK[max_underlyings]
    instruments: Any  #: INSTRUMENT_RISK[capacity_instruments], by instrument number
    sessions: Any  #: SESSION_RISK[max_sessions]


def make_risk_state(
    capacity_instruments: int,
    max_underlyings: int,
    max_sessions: int,
    limits: npt.NDArray[np.float64] | None = None,
) -> RiskState:
    """A state in which nothing may trade yet.

    Parameters
    ----------
    limits
        float64[64] words, possibly shared memory; the defaults of ``limits.LIMITS`` if None.
    """
    if min(capacity_instruments, max_underlyings, max_sessions) < 1:
        raise ValueError("capacity_instruments, max_underlyings and max_sessions must be at least 1")
    words = default_limits() if limits is None else limits
    if words.shape != (LIMIT_WORDS,) or words.dtype != np.float64:
        raise ValueError(f"limits must be float64[{LIMIT_WORDS}], was {words.dtype}{list(words.shape)}")
    risk = RiskState(
        limits=words,
        firm=table(FIRM, 1),
        underlyings=table(UNDERLYING_RISK, max_underlyings),
        instruments=table(INSTRUMENT_RISK, capacity_instruments),
        sessions=table(SESSION_RISK, max_sessions),
    )
    risk.firm[0]["state"] = int(TradingState.HALTED)
    return risk


@kernel(inline=True)
def int64(value: Any) -> int:
    """One signed width: record fields come unsigned and narrow, and uint64 with int64 makes float64."""
    return np.int64(value)  # type: ignore[return-value]


@kernel
def underlying_slot(risk: RiskState, underlying_instrument: int) -> int:
    """Slot of the underlying with that instrument number; -1 if no instrument on it is defined."""
    for slot in range(risk.firm[0].underlying_count):
        if risk.underlyings[slot].instrument == underlying_instrument:
            return slot
    return -1


@kernel
def _claim_slot(risk: RiskState, underlying_instrument: int) -> int:
    slot = underlying_slot(risk, underlying_instrument)
    if slot >= 0:
        return slot
    slot = risk.firm[0].underlying_count
    if slot >= risk.underlyings.shape[0]:
        return -1
    risk.underlyings[slot].instrument = underlying_instrument
    risk.firm[0].underlying_count = slot + 1
    return slot


@kernel
def define_instrument(
    risk: RiskState,
    instrument: int,
    underlying_instrument: int,
    security: int,
    right: int,
    multiplier: int,
    price_scale: int,
    tick_rule: int,
    session: int,
    expiry_ns: int,
) -> int:
    """Make an instrument known: arguments are the fields of its INSTRUMENT frame.

    Returns its underlying's slot, or -1 when a number is out of range or the tables are full: the
    instrument then stays unknown and is denied. Defining again keeps position and working orders.
    Until its first theo an option counts with the largest delta it can have (+1 call, -1 put).
    """
    if instrument < 0 or instrument >= risk.instruments.shape[0] or multiplier <= 0:
        return -1
    row = risk.instruments[instrument]
    if row.defined != 0:
        return row.underlying
    if session < 0 or session >= risk.sessions.shape[0] or tick_rule < 0 or tick_rule > _LAST_TICK_RULE:
        return -1
    slot = _claim_slot(risk, underlying_instrument)
    if slot < 0:
        return -1
    row.underlying = slot
    row.security = security
    row.session = session
    row.multiplier = multiplier
    row.tick_rule = tick_rule
    row.expiry_ns = expiry_ns
    row.price_unit = 10.0 ** (-price_scale)
    delta = 1.0 if security == SecurityKind.EQUITY or right == Right.CALL else -1.0
    row.unit_delta = delta * multiplier
    row.defined = 1
    return slot


@kernel(inline=True)
def effective_state(risk: RiskState, instrument: int, session: int) -> int:
    """The tightest state over firm, underlying, instrument and session; indices must be defined ones."""
    row = risk.instruments[instrument]
    state = max(risk.firm[0].state, row.state)
    state = max(state, risk.underlyings[row.underlying].state)
    state = max(state, risk.sessions[session].state)
    if risk.firm[0].killed != 0:
        return max(state, TradingState.KILLED.value)
    return state


@kernel
def set_state(risk: RiskState, scope: int, target: int, state: int) -> bool:
    """Set one scope's state; ``target`` of UNDERLYING is the underlying's instrument number.

    False when refused: unknown scope or target, a state that is none, or a way out of KILLED.
    KILLED is set on the whole firm, whatever the scope.
    """
    if state < TradingState.ACTIVE or state > TradingState.KILLED:
        return False
    if state == TradingState.KILLED:
        return kill(risk)
    if scope == ScopeKind.FIRM:
        if risk.firm[0].killed != 0:
            return False
        risk.firm[0].state = state
        return True
    if scope == ScopeKind.UNDERLYING:
        slot = underlying_slot(risk, target)
        if slot >= 0:
            risk.underlyings[slot].state = state
        return slot >= 0
    if scope == ScopeKind.INSTRUMENT and 0 <= target < risk.instruments.shape[0]:
        risk.instruments[target].state = state
        return True
    if scope == ScopeKind.SESSION and 0 <= target < risk.sessions.shape[0]:
        risk.sessions[target].state = state
        return True
    return False


@kernel
def kill(risk: RiskState) -> bool:
    """Latch KILLED. Two words, no condition: it must work when nothing else does."""
    risk.firm[0].killed = 1
    risk.firm[0].state = TradingState.KILLED.value
    return True


@kernel
def rearm(risk: RiskState) -> bool:
    """Unlatch; the firm is HALTED until it is armed. False when it was not killed."""
    if risk.firm[0].killed == 0:
        return False
    risk.firm[0].killed = 0
    risk.firm[0].state = TradingState.HALTED.value
    return True


@kernel
def set_session(risk: RiskState, session: int, link: int) -> bool:
    """Take the session's SessionState; anything that is not one counts as DOWN."""
    if session < 0 or session >= risk.sessions.shape[0]:
        return False
    known = link == SessionState.LOGGED_ON or link == SessionState.READY
    risk.sessions[session].link = link if known else SessionState.DOWN.value
    return known or link == SessionState.DOWN


@kernel
def set_limit(risk: RiskState, limit: int, value: float) -> bool:
    """Set a limit's word. False, and nothing changed, for an index outside the words."""
    if limit < 1 or limit >= risk.limits.shape[0]:
        return False
    risk.limits[limit] = value
    return True
