"""The gate every order passes before it may leave, and the order in which its rules speak.

1. permission: instrument known, side and quantity readable, session ready, state, open, not expired
2. the order itself: price, tick, quantity, notional
3. data: feed, underlying and theo fresh; theo known; a market there and not crossed
4. price: collar against theo, collar against the market, own crossing orders
5. exposure: series, underlying, portfolio delta and vega, working orders counted
6. rates: open orders, duplicates, messages per session

The first rule that denies ends it, and its two numbers stand in ``firm[0].value`` and ``.bound``.
Rates come last, so that a denied order uses no budget. Cancels always pass. Cost: under 100
ns within the step. Nothing here may raise, allocate or read a clock.
"""

from typing import NamedTuple

import numpy as np

from market.enums import RiskState as TradingState
from market.enums import SecurityKind, SessionState, Side, TradingStatus
from market.instruments import tick_step
from market.jit import kernel
from risk import rules
from risk.denials import Denial
from risk.exposure import worst_qty
from risk.limits import Limit, bound
from risk.state import RiskState, effective_state, int64

_DUPLICATE_WINDOW_NS = 1_000_000_000
_NS_PER_S = 1e9
_NS_PER_MS = 1e6


class Intent(NamedTuple):
    """The order that wants to leave. ``qty`` is open quantity: of a replace, its OrderQty less CumQty."""

    instrument: int
    session: int
    side: int
    price_ticks: int
    qty: int


class MarketView(NamedTuple):
    """What the step knows of the instrument's market when the order wants to leave.

    Bid and ask have our own orders taken out; 0 means none. ``own_opposite_ticks`` is our best
    working price on the other side, unacknowledged replaces included; 0 means none. ``theo`` is in
    currency. ``feed_ns`` and ``underlying_ns`` are when these feeds were last heard, ``theo_ns``
    when the theo arrived, all by the step's clock; ``market_ns`` is the market's UTC time.
    """

    status: int
    bid_ticks: int
    ask_ticks: int
    own_opposite_ticks: int
    theo: float
    theo_ok: int
    feed_ns: int
    underlying_ns: int
    theo_ns: int
    market_ns: int


@kernel(inline=True)
def _refuse(risk: RiskState, session: int, denial: int, value: float, limit: float) -> int:
    firm = risk.firm[0]
    firm.denied += 1
    firm.denial = denial
    firm.value = value
    firm.bound = limit
    if 0 <= session < risk.sessions.shape[0]:
        risk.sessions[session].denied += 1
    return denial


@kernel(inline=True)
def reducible_qty(risk: RiskState, instrument: int, side: int, others: int) -> int:
    """Contracts that an order on ``side`` may have and still only reduce, ``others`` working there already.

    Of an option: what is left of the opposite position. Of the underlying: what is left of the
    position or of the portfolio's delta, whichever is more, since hedging reduces risk as well.
    """
    row = risk.instruments[instrument]
    opposite = -row.position if side == Side.BUY else row.position
    if row.security == SecurityKind.EQUITY:
        delta = risk.underlyings[row.underlying].held_delta
        opposite = max(opposite, int64(-delta if side == Side.BUY else delta))
    return max(opposite - others, 0)


@kernel(inline=True)
def _permission(risk: RiskState, intent: Intent, view: MarketView, reducible: int) -> int:
    row = risk.instruments[intent.instrument]
    session = intent.session
    denial = rules.session_ready(risk.sessions[session].link)
    if denial != 0:
        return _refuse(risk, session, denial, risk.sessions[session].link, SessionState.READY.value)
    state = effective_state(risk, intent.instrument, session)
    denial = rules.trading_state(state, intent.qty, reducible)
    if denial != 0:
        value = intent.qty if state == TradingState.REDUCING else state
        return _refuse(risk, session, denial, value, reducible)
    denial = rules.instrument_open(view.status)
    if denial != 0:
        return _refuse(risk, session, denial, view.status, TradingStatus.OPEN.value)
    denial = rules.not_expired(view.market_ns, row.expiry_ns)
    if denial != 0:
        return _refuse(risk, session, denial, view.market_ns, row.expiry_ns)
    return 0


@kernel(inline=True)
def _order_itself(risk: RiskState, intent: Intent) -> int:
    row = risk.instruments[intent.instrument]
    hedge = row.security == SecurityKind.EQUITY
    denial = rules.price_valid(intent.price_ticks)
    if denial != 0:
        return _refuse(risk, intent.session, denial, intent.price_ticks, 1.0)
    denial = rules.price_on_tick(row.tick_rule, intent.price_ticks)
    if denial != 0:
        return _refuse(risk, intent.session, denial, intent.price_ticks, tick_step(row.tick_rule, intent.price_ticks))
    limit = bound(risk.limits, Limit.MAX_HEDGE_ORDER_QTY.value if hedge else Limit.MAX_ORDER_QTY.value)
    denial = rules.order_qty(intent.qty, limit)
    if denial != 0:
        return _refuse(risk, intent.session, denial, intent.qty, limit)
    limit = bound(risk.limits, Limit.MAX_HEDGE_ORDER_NOTIONAL.value if hedge else Limit.MAX_ORDER_NOTIONAL.value)
    notional = row.price_unit * intent.price_ticks * intent.qty * row.multiplier
    denial = rules.order_notional(notional, limit)
    if denial != 0:
        return _refuse(risk, intent.session, denial, notional, limit)
    return 0


@kernel(inline=True)
def _data(risk: RiskState, intent: Intent, view: MarketView, now_ns: int) -> int:
    limit = bound(risk.limits, Limit.MAX_UNDERLYING_AGE_MS.value)
    age = (now_ns - view.underlying_ns) / _NS_PER_MS
    denial = rules.fresh(age, limit, Denial.STALE_UNDERLYING.value)
    if denial != 0:
        return _refuse(risk, intent.session, denial, age, limit)
    if risk.instruments[intent.instrument].security == SecurityKind.OPTION:
        limit = bound(risk.limits, Limit.MAX_OPTION_FEED_AGE_MS.value)
        age = (now_ns - view.feed_ns) / _NS_PER_MS
        denial = rules.fresh(age, limit, Denial.STALE_FEED.value)
        if denial != 0:
            return _refuse(risk, intent.session, denial, age, limit)
        denial = rules.theo_known(view.theo, view.theo_ok)
        if denial != 0:
            return _refuse(risk, intent.session, denial, view.theo, 0.0)
        limit = bound(risk.limits, Limit.MAX_THEO_AGE_MS.value)
        age = (now_ns - view.theo_ns) / _NS_PER_MS
        denial = rules.fresh(age, limit, Denial.STALE_THEO.value)
        if denial != 0:
            return _refuse(risk, intent.session, denial, age, limit)
    denial = rules.market_present(view.bid_ticks, view.ask_ticks)
    if denial == 0:
        denial = rules.market_sane(view.bid_ticks, view.ask_ticks)
    if denial != 0:
        return _refuse(risk, intent.session, denial, view.bid_ticks, view.ask_ticks)
    return 0


@kernel(inline=True)
def _price(risk: RiskState, intent: Intent, view: MarketView) -> int:
    row = risk.instruments[intent.instrument]
    if row.security == SecurityKind.OPTION:
        price = intent.price_ticks * row.price_unit
        limit_bp = bound(risk.limits, Limit.MAX_COLLAR_THEO_BP.value)
        limit_ticks = bound(risk.limits, Limit.MAX_COLLAR_THEO_TICKS.value)
        worst = rules.worst_price_by_theo(intent.side, view.theo, limit_bp, limit_ticks, row.price_unit)
        denial = rules.theo_collar(intent.side, price, worst)
        if denial != 0:
            return _refuse(risk, intent.session, denial, price, worst)
    limit = bound(risk.limits, Limit.MAX_COLLAR_MARKET_TICKS.value)
    worst = rules.worst_ticks_by_market(intent.side, view.bid_ticks, view.ask_ticks, limit)
    denial = rules.market_collar(intent.side, intent.price_ticks, worst)
    if denial != 0:
        return _refuse(risk, intent.session, denial, intent.price_ticks, worst)
    denial = rules.no_own_cross(intent.side, intent.price_ticks, view.own_opposite_ticks)
    if denial != 0:
        return _refuse(risk, intent.session, denial, intent.price_ticks, view.own_opposite_ticks)
    return 0


@kernel(inline=True)
def _position(risk: RiskState, intent: Intent, counted: int, growth: int, reducible: int) -> int:
    """Series (or hedge) position and gross contracts; ``counted`` is what the order will count with."""
    row = risk.instruments[intent.instrument]
    buys = row.working_buy + (growth if intent.side == Side.BUY else 0)
    sells = row.working_sell + (growth if intent.side == Side.SELL else 0)
    worst = row.position + buys if intent.side == Side.BUY else sells - row.position
    if row.security == SecurityKind.EQUITY:
        limit = bound(risk.limits, Limit.MAX_HEDGE_POSITION.value)
        denial = rules.position_within(worst, limit, Denial.POSITION_HEDGE.value)
        return _refuse(risk, intent.session, denial, worst, limit) if denial != 0 else 0
    limit = bound(risk.limits, Limit.MAX_SERIES_POSITION.value)
    denial = rules.position_within(worst, limit, Denial.POSITION_SERIES.value)
    if denial != 0:
        return _refuse(risk, intent.session, denial, worst, limit)
    gross = risk.underlyings[row.underlying].gross_contracts
    gross += worst_qty(row.position, buys, sells) - worst_qty(row.position, row.working_buy, row.working_sell)
    limit = bound(risk.limits, Limit.MAX_UNDERLYING_POSITION.value)
    denial = rules.gross_within(gross, limit, counted > reducible)
    return _refuse(risk, intent.session, denial, gross, limit) if denial != 0 else 0


@kernel(inline=True)
def _greeks(risk: RiskState, intent: Intent, counted: int, growth: int) -> int:
    row = risk.instruments[intent.instrument]
    book = risk.underlyings[row.underlying]
    way = 1.0 if intent.side == Side.BUY else -1.0
    change = way * row.unit_delta * growth
    if way * row.unit_delta != 0.0:
        up = way * row.unit_delta > 0.0
        worst = book.held_delta + book.working_delta_up if up else book.working_delta_down - book.held_delta
        worst += abs(change)
        limit = bound(risk.limits, Limit.MAX_PORTFOLIO_DELTA.value)
        denial = rules.worst_greek(worst, limit, Denial.DELTA_PORTFOLIO.value)
        if denial != 0:
            return _refuse(risk, intent.session, denial, worst, limit)
        change = way * row.unit_delta * counted
        limit = bound(risk.limits, Limit.MAX_HELD_DELTA.value)
        denial = rules.held_greek(book.held_delta, change, limit, Denial.DELTA_HELD.value)
        if denial != 0:
            return _refuse(risk, intent.session, denial, book.held_delta + change, limit)
    if way * row.unit_vega != 0.0:
        up = way * row.unit_vega > 0.0
        worst = book.held_vega + book.working_vega_up if up else book.working_vega_down - book.held_vega
        worst += abs(row.unit_vega * growth)
        limit = bound(risk.limits, Limit.MAX_PORTFOLIO_VEGA.value)
        denial = rules.worst_greek(worst, limit, Denial.VEGA_PORTFOLIO.value)
        if denial != 0:
            return _refuse(risk, intent.session, denial, worst, limit)
        change = way * row.unit_vega * counted
        limit = bound(risk.limits, Limit.MAX_HELD_VEGA.value)
        denial = rules.held_greek(book.held_vega, change, limit, Denial.VEGA_HELD.value)
        if denial != 0:
            return _refuse(risk, intent.session, denial, book.held_vega + change, limit)
    return 0


@kernel(inline=True)
def _repeats(risk: RiskState, intent: Intent, now_ns: int) -> int:
    """How often in a row, within one second, this order has been let through already."""
    row = risk.instruments[intent.instrument]
    if intent.side == Side.BUY:
        ticks, qty, since_ns, count = row.buy_ticks, row.buy_qty, row.buy_since_ns, row.buy_count
    else:
        ticks, qty, since_ns, count = row.sell_ticks, row.sell_qty, row.sell_since_ns, row.sell_count
    same = ticks == intent.price_ticks and qty == intent.qty
    return count if same and 0 <= now_ns - since_ns < _DUPLICATE_WINDOW_NS else 0


@kernel(inline=True)
def _remember(risk: RiskState, intent: Intent, repeats: int, now_ns: int) -> None:
    row = risk.instruments[intent.instrument]
    if intent.side == Side.BUY:
        row.buy_ticks = intent.price_ticks
        row.buy_qty = intent.qty
        row.buy_count = repeats + 1
        if repeats == 0:
            row.buy_since_ns = now_ns
    else:
        row.sell_ticks = intent.price_ticks
        row.sell_qty = intent.qty
        row.sell_count = repeats + 1
        if repeats == 0:
            row.sell_since_ns = now_ns


@kernel(inline=True)
def _burst_used(risk: RiskState, session: int, now_ns: int) -> float:
    """Messages of the burst in use, this one included; infinite where nothing may be sent.

    The budget is one word, the time at which it will be full again (a leaky bucket turned round),
    so it is exact for any rate and needs no refill timer. A clock that jumps back finds at most one
    whole burst in use.
    """
    rate = bound(risk.limits, Limit.MAX_MESSAGES_PER_S.value)
    burst = bound(risk.limits, Limit.MAX_MESSAGE_BURST.value)
    if rate <= 0.0:
        return np.inf
    waiting = max(risk.sessions[session].arrival_ns - now_ns, 0) * rate / _NS_PER_S
    return min(waiting, burst) + 1.0


@kernel(inline=True)
def _count_message(risk: RiskState, session: int, now_ns: int, used: float) -> None:
    row = risk.sessions[session]
    row.messages += 1
    rate = bound(risk.limits, Limit.MAX_MESSAGES_PER_S.value)
    if rate > 0.0:
        burst = bound(risk.limits, Limit.MAX_MESSAGE_BURST.value)
        row.arrival_ns = now_ns + int64(min(used, burst) * _NS_PER_S / rate)


@kernel(inline=True)
def _rate(risk: RiskState, intent: Intent, now_ns: int, is_new: bool) -> int:
    session = intent.session
    repeats = 0
    if is_new:
        limit = bound(risk.limits, Limit.MAX_OPEN_ORDERS.value)
        count = risk.sessions[session].open_orders + 1
        denial = rules.open_orders(count, limit)
        if denial != 0:
            return _refuse(risk, session, denial, count, limit)
        limit = bound(risk.limits, Limit.MAX_DUPLICATES.value)
        repeats = _repeats(risk, intent, now_ns)
        denial = rules.duplicates(repeats, limit)
        if denial != 0:
            return _refuse(risk, session, denial, repeats, limit)
    used = _burst_used(risk, session, now_ns)
    limit = bound(risk.limits, Limit.MAX_MESSAGE_BURST.value) * bound(risk.limits, Limit.MAX_NEW_ORDER_SHARE.value)
    denial = rules.message_rate(used, limit)
    if denial != 0:
        return _refuse(risk, session, denial, used, limit)
    _count_message(risk, session, now_ns, used)
    if is_new:
        _remember(risk, intent, repeats, now_ns)
    risk.firm[0].accepted += 1
    return 0


@kernel(inline=True)
def _check(risk: RiskState, intent: Intent, view: MarketView, now_ns: int, old_counted: int, is_new: bool) -> int:
    session = intent.session
    instruments = risk.instruments.shape[0]
    if intent.instrument < 0 or intent.instrument >= instruments or risk.instruments[intent.instrument].defined == 0:
        return _refuse(risk, session, Denial.INSTRUMENT_UNKNOWN.value, intent.instrument, instruments)
    if session < 0 or session >= risk.sessions.shape[0]:
        return _refuse(risk, session, Denial.SESSION_NOT_READY.value, -1.0, SessionState.READY.value)
    denial = rules.side_valid(intent.side)
    if denial != 0:
        return _refuse(risk, session, denial, intent.side, 0.0)
    denial = rules.qty_valid(intent.qty)
    if denial != 0:
        return _refuse(risk, session, denial, intent.qty, 1.0)
    row = risk.instruments[intent.instrument]
    counted = max(intent.qty, old_counted)  # a replace may trade at either quantity until it is acknowledged
    others = (row.working_buy if intent.side == Side.BUY else row.working_sell) - old_counted
    reducible = reducible_qty(risk, intent.instrument, intent.side, others)
    denial = _permission(risk, intent, view, reducible)
    if denial == 0:
        denial = _order_itself(risk, intent)
    if denial == 0:
        denial = _data(risk, intent, view, now_ns)
    if denial == 0:
        denial = _price(risk, intent, view)
    if denial == 0:
        denial = _position(risk, intent, counted, counted - old_counted, reducible)
    if denial == 0:
        denial = _greeks(risk, intent, counted, counted - old_counted)
    if denial == 0:
        denial = _rate(risk, intent, now_ns, is_new)
    return denial


@kernel(inline=True)
def _int64_intent(intent: Intent) -> Intent:
    return Intent(
        int64(intent.instrument),
        int64(intent.session),
        int64(intent.side),
        int64(intent.price_ticks),
        int64(intent.qty),
    )


@kernel(inline=True)
def _int64_view(view: MarketView) -> MarketView:
    return MarketView(
        int64(view.status),
        int64(view.bid_ticks),
        int64(view.ask_ticks),
        int64(view.own_opposite_ticks),
        float(view.theo),
        int64(view.theo_ok),
        int64(view.feed_ns),
        int64(view.underlying_ns),
        int64(view.theo_ns),
        int64(view.market_ns),
    )


@kernel
def check_new(risk: RiskState, intent: Intent, view: MarketView, now_ns: int) -> int:
    """May this new order leave? ``Denial`` or 0.

    On 0 one message of the session's budget is used and the order is remembered for duplicates;
    the caller sends it and at once counts it: ``on_working(+qty)``, ``on_open(+1)``.
    """
    return _check(risk, _int64_intent(intent), _int64_view(view), int64(now_ns), int64(0), True)


@kernel
def check_replace(risk: RiskState, intent: Intent, view: MarketView, now_ns: int, old_counted: int) -> int:
    """May the order that counts with ``old_counted`` become ``intent``? ``Denial`` or 0.

    On 0 the caller sends it and counts ``on_working(max(old_counted, qty) - old_counted)``. When
    denied the old order is still there, at a price that is no longer wanted: cancel it.
    """
    return _check(risk, _int64_intent(intent), _int64_view(view), int64(now_ns), int64(old_counted), False)


@kernel
def check_cancel(risk: RiskState, session: int, now_ns: int) -> int:
    """Always 0, in every state: taking risk away is never refused. Counts the message."""
    if 0 <= session < risk.sessions.shape[0]:
        _count_message(risk, session, int64(now_ns), _burst_used(risk, session, int64(now_ns)))
        risk.sessions[session].cancels += 1
    return 0
