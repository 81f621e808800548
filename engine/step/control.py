"""Operators, sessions, instruments and time: the frames that are neither market data nor answers."""

import numpy as np

from engine.events import EventCode
from engine.handle import (
    Handle,
    books,
    in_control,
    in_instrument,
    in_run_start,
    in_session,
    in_timer,
    instruments,
    links,
    options,
    orders,
    quoting_params,
    risk,
    scalars,
    series,
    source_ns,
    underlying_of,
    underlyings,
)
from engine.state import (
    MAX_SESSIONS,
    MAX_UNDERLYINGS,
    NO_SLOT,
    O_REASK_NS,
    O_STUCK_NS,
    SOURCE_VOID,
    W_ARMED,
    W_DRAINING,
    W_INSTRUMENTS,
    W_LAST_SAMPLE,
    W_MARKET_NS,
    W_NOW,
    W_OUT,
    W_PRESENCE_ALLOWED,
    W_PRESENCE_TWO_SIDED,
    W_RUN,
    W_SEQUENCE,
    W_UNDERLYINGS,
)
from engine.step.books import forget_book
from engine.step.emit import ZERO, emit_event
from engine.step.hedging import maybe_hedge
from engine.step.quoting import leave, pull, quotable, requote_dirty, two_sided
from engine.step.reconcile import mass_cancel, request_status, unknown_orders
from engine.step.submit import can_change, data_fresh, submit_cancel
from market.enums import ControlVerb, OrdStatus, RiskState, ScopeKind, SecurityKind, SessionState
from market.jit import kernel
from market.orders import is_open
from risk.denials import Denial
from risk.state import define_instrument, effective_state, kill, rearm, set_limit, set_session, set_state

_LIMIT_SET = np.int64(ControlVerb.LIMIT_SET)
_HALT = np.int64(ControlVerb.HALT)
_RESUME = np.int64(ControlVerb.RESUME)
_KILL = np.int64(ControlVerb.KILL)
_REARM = np.int64(ControlVerb.REARM)
_ARM = np.int64(ControlVerb.ARM)
_DRAIN = np.int64(ControlVerb.DRAIN)
_PARAM = np.int64(ControlVerb.QUOTING_PARAM)
_JUMP = np.int64(ControlVerb.CLOCK_JUMP)
_PULL = np.int64(ControlVerb.PULL)
_FIRM = np.int64(ScopeKind.FIRM)
_UNDERLYING = np.int64(ScopeKind.UNDERLYING)
_INSTRUMENT = np.int64(ScopeKind.INSTRUMENT)
_SESSION = np.int64(ScopeKind.SESSION)
_ACTIVE = np.int64(RiskState.ACTIVE)
_REDUCING = np.int64(RiskState.REDUCING)
_HALTED = np.int64(RiskState.HALTED)
_DOWN = np.int64(SessionState.DOWN)
_LOGGED_ON = np.int64(SessionState.LOGGED_ON)
_READY = np.int64(SessionState.READY)
_EQUITY = np.int64(SecurityKind.EQUITY)
_OPTION = np.int64(SecurityKind.OPTION)
_S_PENDING_NEW = np.int64(OrdStatus.PENDING_NEW)
_S_PENDING_CANCEL = np.int64(OrdStatus.PENDING_CANCEL)
_S_PENDING_REPLACE = np.int64(OrdStatus.PENDING_REPLACE)
_S_UNKNOWN = np.int64(OrdStatus.UNKNOWN)
_E_STATE = np.int64(EventCode.SCOPE_STATE)
_E_KILLED = np.int64(EventCode.KILLED)
_E_REARMED = np.int64(EventCode.REARMED)
_E_ARMED = np.int64(EventCode.ARMED)
_E_DRAINING = np.int64(EventCode.DRAINING)
_E_LIMIT = np.int64(EventCode.LIMIT_CHANGED)
_E_JUMP = np.int64(EventCode.CLOCK_JUMP)
_E_REFUSED = np.int64(EventCode.REFUSED_CONTROL)
_E_DONE = np.int64(EventCode.CONTROL_DONE)
_E_DOWN = np.int64(EventCode.SESSION_DOWN)
_E_UP = np.int64(EventCode.SESSION_UP)
_E_STUCK = np.int64(EventCode.STUCK_ORDER)

_FIRST_DATA_DENIAL = np.int64(Denial.STALE_FEED)
_LAST_DATA_DENIAL = np.int64(Denial.MARKET_CROSSED)
SAMPLE_NS = 100_000_000  # presence is sampled ten times a second


@kernel(internal=True)
def cancel_everything(e: Handle) -> None:
    """Mass cancel on every session that is up; needs no strategy and no book."""
    for session in range(MAX_SESSIONS):
        if links(e)[session].defined != 0 and links(e)[session].state != _DOWN:
            mass_cancel(e, session)


@kernel(internal=True)
def _pull_scope(e: Handle, scope: int, target: int) -> None:
    """Cancel, one by one, the open orders within a scope."""
    for slot in range(len(orders(e))):
        order = orders(e)[slot]
        if order.in_use == 0 or not can_change(e, slot):
            continue
        under = np.int64(instruments(e)[order.instrument].underlying)
        inside = (
            scope == _FIRM
            or (scope == _INSTRUMENT and order.instrument == target)
            or (scope == _UNDERLYING and under == target)
            or (scope == _SESSION and order.session == target)
        )
        if inside:
            submit_cancel(e, slot)


@kernel(internal=True)
def _dirty_all(e: Handle) -> None:
    for instrument in range(scalars(e)[W_INSTRUMENTS]):
        if instruments(e)[instrument].security == _OPTION:
            series(e)[instrument].dirty = 1


@kernel(internal=True)
def _change_state(e: Handle, scope: int, target: int, state: int) -> bool:
    """Set a scope's state; halting pulls its orders, resuming looks at every series again."""
    if not set_state(risk(e), scope, target, state):
        return False
    emit_event(e, _E_STATE, scope, target, ZERO, 0.0, 0.0, state)
    if state >= _HALTED:
        _pull_scope(e, scope, target)
    _dirty_all(e)
    return True


@kernel(internal=True)
def on_control(e: Handle, i: int) -> None:
    """Carry out an operator's request; always answered by CONTROL_DONE or REFUSED_CONTROL."""
    c = in_control(e)[i]
    verb, scope, target = np.int64(c.verb), np.int64(c.scope), np.int64(c.target)
    done = True
    if verb == _LIMIT_SET:
        done = 0 < c.limit < len(risk(e).limits)
        if done:
            old = risk(e).limits[c.limit]
            set_limit(risk(e), np.int64(c.limit), c.value)
            emit_event(e, _E_LIMIT, _FIRM, ZERO, ZERO, c.value, old, np.int64(c.limit))
            _dirty_all(e)
    elif verb == _HALT:
        done = _change_state(e, scope, target, _HALTED)
    elif verb == _RESUME:
        done = _change_state(e, scope, target, _ACTIVE)
    elif verb == _KILL:
        kill(risk(e))
        scalars(e)[W_ARMED] = 0
        emit_event(e, _E_KILLED, _FIRM, ZERO, ZERO, 0.0, 0.0, ZERO)
        cancel_everything(e)
    elif verb == _REARM:
        done = rearm(risk(e))
        if done:
            emit_event(e, _E_REARMED, _FIRM, ZERO, ZERO, 0.0, 0.0, ZERO)
    elif verb == _ARM:
        done = scalars(e)[W_DRAINING] == 0 and set_state(risk(e), _FIRM, 0, _ACTIVE)
        if done:
            scalars(e)[W_ARMED] = 1
            emit_event(e, _E_ARMED, _FIRM, ZERO, ZERO, 0.0, 0.0, ZERO)
            _dirty_all(e)
    elif verb == _DRAIN:
        scalars(e)[W_DRAINING] = 1
        emit_event(e, _E_DRAINING, _FIRM, ZERO, ZERO, 0.0, 0.0, ZERO)
        cancel_everything(e)
    elif verb == _PULL:
        _pull_scope(e, scope, target)
    elif verb == _PARAM:
        done = 0 <= target < len(quoting_params(e))
        if done:
            quoting_params(e)[target] = c.value
            _dirty_all(e)
    elif verb == _JUMP:
        emit_event(e, _E_JUMP, _FIRM, ZERO, ZERO, c.value, 0.0, ZERO)
        done = _change_state(e, _FIRM, 0, _HALTED)
    else:
        done = False
    code = _E_DONE if done else _E_REFUSED
    emit_event(e, code, scope, target, ZERO, c.value, 0.0, np.int64(c.request_id))


@kernel(internal=True)
def _forget_said_statuses(e: Handle, session: int) -> None:
    """What a venue said by message of its instruments held as long as it would have said otherwise."""
    for instrument in range(scalars(e)[W_INSTRUMENTS]):
        if instruments(e)[instrument].session == session:
            books(e)[instrument].said_status = 0


@kernel(internal=True)
def on_session(e: Handle, i: int) -> None:
    """A session went up or down. READY is never told from outside: reconciliation gives it."""
    s = in_session(e)[i]
    if s.session >= MAX_SESSIONS:
        return
    session = np.int64(s.session)
    link = links(e)[session]
    link.defined = 1
    if s.state == _DOWN:
        was = link.state
        link.state = _DOWN
        link.recon = 0
        set_session(risk(e), session, _DOWN)
        _forget_said_statuses(e, session)
        count = unknown_orders(e, session)
        if was != _DOWN:
            emit_event(e, _E_DOWN, _SESSION, session, ZERO, 0.0, 0.0, count)
        return
    if s.state == _LOGGED_ON and link.state != _READY:
        link.state = _LOGGED_ON
        set_session(risk(e), session, _LOGGED_ON)
        emit_event(e, _E_UP, _SESSION, session, ZERO, 0.0, 0.0, ZERO)
        request_status(e, session)


@kernel(internal=True)
def on_instrument(e: Handle, i: int) -> None:
    """Define an instrument; the underlying of an option must stand before it."""
    d = in_instrument(e)[i]
    number = np.int64(d.instrument)
    if number >= len(instruments(e)) or np.int64(d.underlying) >= len(instruments(e)):
        return
    known = number < scalars(e)[W_INSTRUMENTS]
    instruments(e)[number] = d
    if number >= scalars(e)[W_INSTRUMENTS]:
        scalars(e)[W_INSTRUMENTS] = number + 1
    slot = define_instrument(
        risk(e), number, np.int64(d.underlying), np.int64(d.security), np.int64(d.right), np.int64(d.multiplier),
        np.int64(d.price_scale), np.int64(d.tick_rule), np.int64(d.session), d.expiry_ns,
    )  # fmt: skip
    if known:
        return
    if d.security == _EQUITY:
        row = scalars(e)[W_UNDERLYINGS]
        if row < MAX_UNDERLYINGS:
            underlyings(e)[row].instrument = number
            underlyings(e)[row].risk_slot = slot
            underlying_of(e)[number] = row
            scalars(e)[W_UNDERLYINGS] = row + 1
    else:
        underlying_of(e)[number] = underlying_of(e)[d.underlying]


@kernel(internal=True)
def _watch_requests(e: Handle) -> None:
    """Orders unanswered too long are asked about; unknown ones are resolved by asking."""
    now = scalars(e)[W_NOW]
    for session in range(MAX_SESSIONS):
        link = links(e)[session]
        if link.defined == 0 or link.state == _DOWN:
            continue
        if link.recon != 0:
            if now - link.recon_ns > options(e)[O_REASK_NS]:
                request_status(e, session)
            continue
        if now - link.recon_ns <= options(e)[O_STUCK_NS]:
            continue  # asked and answered just now
        for slot in range(len(orders(e))):
            order = orders(e)[slot]
            if order.in_use == 0 or order.session != session or now - order.sent_ns <= options(e)[O_STUCK_NS]:
                continue
            status = order.status
            waiting = status == _S_PENDING_NEW or status == _S_PENDING_CANCEL or status == _S_PENDING_REPLACE
            if waiting or status == _S_UNKNOWN:
                age = (now - order.sent_ns) * 1e-9
                emit_event(e, _E_STUCK, _INSTRUMENT, np.int64(order.instrument), order.cl_ord_id, age, 0.0, slot)
                request_status(e, session)
                break


@kernel(internal=True)
def _sample_series(e: Handle) -> None:
    """Ten times a second, every series: pull what stands on stale data, and count presence.

    Presence: the samples at which risk allowed quotes, and those with both sides there. A series
    whose bid would be below one tick is offered only, and not counted.
    """
    for instrument in range(scalars(e)[W_INSTRUMENTS]):
        if instruments(e)[instrument].security != _OPTION:
            continue
        row = series(e)[instrument]
        if not quotable(e, instrument) or not data_fresh(e, instrument):
            if row.bid_slot != NO_SLOT or row.ask_slot != NO_SLOT:
                leave(e, instrument)
            continue
        stale_bid = _FIRST_DATA_DENIAL <= row.bid_denial <= _LAST_DATA_DENIAL
        stale_ask = _FIRST_DATA_DENIAL <= row.ask_denial <= _LAST_DATA_DENIAL
        if stale_bid or stale_ask:
            row.dirty = 1  # the data are back, perhaps with the very prices of before
        present = two_sided(e, instrument)
        if row.priceable != 0 and (present or (row.bid_denial == 0 and row.ask_denial == 0)):
            row.allowed_samples += 1
            scalars(e)[W_PRESENCE_ALLOWED] += 1
            if present:
                row.present_samples += 1
                scalars(e)[W_PRESENCE_TWO_SIDED] += 1


@kernel(internal=True)
def on_timer(e: Handle, i: int) -> None:
    """Timer 0 is the clock; timer 1+k says that source k was alive at ``wall_ns``, or that its books are void."""
    t = in_timer(e)[i]
    if t.timer > 0:
        source = np.int64(t.timer) - 1
        if t.period_ns == SOURCE_VOID:
            for instrument in range(scalars(e)[W_INSTRUMENTS]):
                if books(e)[instrument].source == source:
                    forget_book(e, instrument)
        elif source < len(source_ns(e)) and t.wall_ns > source_ns(e)[source]:
            source_ns(e)[source] = t.wall_ns
        return
    requote_dirty(e)
    for under in range(scalars(e)[W_UNDERLYINGS]):
        maybe_hedge(e, under)
    if scalars(e)[W_NOW] - scalars(e)[W_LAST_SAMPLE] >= SAMPLE_NS:
        scalars(e)[W_LAST_SAMPLE] = scalars(e)[W_NOW]
        _sample_series(e)
        _watch_requests(e)


@kernel(internal=True)
def on_run_start(e: Handle, i: int) -> None:
    """A new run: fresh ClOrdIDs, every session down, every open order unknown, disarmed."""
    r = in_run_start(e)[i]
    scalars(e)[W_RUN] = np.int64(r.run)
    scalars(e)[W_SEQUENCE] = 0
    scalars(e)[W_ARMED] = 0
    scalars(e)[W_DRAINING] = 0
    scalars(e)[W_MARKET_NS] = 0  # another market may stand earlier in time than the one before
    scalars(e)[W_PRESENCE_ALLOWED] = 0
    scalars(e)[W_PRESENCE_TWO_SIDED] = 0
    set_state(risk(e), _FIRM, 0, _HALTED)
    for session in range(MAX_SESSIONS):
        links(e)[session].state = _DOWN
        links(e)[session].recon = 0
        set_session(risk(e), session, _DOWN)
        unknown_orders(e, session)
    for instrument in range(scalars(e)[W_INSTRUMENTS]):
        forget_book(e, instrument)
        books(e)[instrument].said_status = 0
        row = series(e)[instrument]
        row.status = -1
        row.allowed_samples = 0
        row.present_samples = 0
    source_ns(e)[:] = 0


__all__ = [
    "NO_SLOT", "W_OUT", "cancel_everything", "effective_state", "is_open", "on_control", "on_instrument",
    "on_run_start", "on_session", "on_timer", "pull",
]  # fmt: skip
