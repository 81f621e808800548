"""The hedge: one order in the underlying at a time, from the band's edge on."""

import pytest

from market.enums import ExecType, OrderAction, OrdStatus, SessionState, Side, TimeInForce
from risk.denials import Denial
from risk.limits import Limit
from strategies.hedging import HedgingParam
from tests.engine.step.rig import CALL, EQ, LOT, MS, UNDER, Rig, S


@pytest.fixture
def rig() -> Rig:
    """Long five calls of delta 0.5: 250 shares, outside the narrowest band."""
    rig = Rig(hedging=True)
    rig.engine.hedging[HedgingParam.MIN_BAND] = 100
    rig.engine.hedging[HedgingParam.MAX_BAND] = 100
    for order in rig.open().orders:
        rig.ack(order)
    return rig


def _buy_calls(rig: Rig):
    bid = rig.order(CALL, Side.BUY).copy()
    return rig.execution(
        cl_ord_id=bid["cl_ord_id"], instrument=CALL, side=Side.BUY, exec_type=ExecType.TRADE, last_qty=LOT, cum_qty=LOT,
        leaves_qty=0, last_ticks=bid["price_ticks"], ord_status=OrdStatus.FILLED,
    )  # fmt: skip


def _hedges(out) -> list[object]:
    return [o for o in out.of(OrderAction.NEW) if o["instrument"] == UNDER]


def test_a_fill_beyond_the_band_is_hedged_in_the_same_step(rig):
    (hedge,) = _hedges(_buy_calls(rig))
    assert (hedge["side"], hedge["tif"], hedge["session"]) == (Side.SELL, TimeInForce.IOC, EQ)
    assert hedge["qty"] == 200, "250 shares back to half of the band of 100"
    assert hedge["price_ticks"] < 9999 and hedge["post_only"] == 0


def test_no_second_hedge_while_one_is_in_flight(rig):
    _buy_calls(rig)
    for _ in range(20):
        rig.alive()
        assert not _hedges(rig.timer(50 * MS))


def test_what_the_first_hedge_left_is_hedged_after_the_interval(rig):
    (hedge,) = _hedges(_buy_calls(rig))
    rig.ack(hedge)
    rig.fill(hedge, 50)
    rig.canceled(hedge, cum=50)
    assert not _hedges(rig.timer(99 * MS))
    (second,) = _hedges(rig.timer(1 * MS))
    assert second["qty"] == 150 and rig.position(UNDER) == -50


def test_inside_the_band_nothing_is_done(rig):
    rig.engine.hedging[HedgingParam.MIN_BAND] = rig.engine.hedging[HedgingParam.MAX_BAND] = 250
    assert not _hedges(_buy_calls(rig))


def test_a_denied_hedge_leaves_no_slot_and_is_said_once(rig):
    rig.limit(Limit.MAX_HEDGE_ORDER_QTY, 10)
    out = _buy_calls(rig)
    assert not _hedges(out) and Denial.SIZE_QTY in out.codes()
    assert rig.engine.underlyings[0]["hedge_slot"] == -1
    rig.alive()
    assert Denial.SIZE_QTY not in rig.timer(200 * MS).codes()
    rig.limit(Limit.MAX_HEDGE_ORDER_QTY, 1000)
    rig.alive()
    assert len(_hedges(rig.timer(200 * MS))) == 1


def test_no_hedge_while_the_underlyings_session_is_down(rig):
    rig.session(EQ, SessionState.DOWN)
    assert not _hedges(_buy_calls(rig))


def test_a_hedge_of_unknown_fate_blocks_the_next_until_reconciled(rig):
    _buy_calls(rig)
    rig.session(EQ, SessionState.DOWN)
    request = rig.logon(EQ)
    rig.quote(UNDER, 9999, 10001, 1000)
    assert not _hedges(rig.timer(S))
    rig.wait(1)
    rig.no_orders(EQ, request)
    rig.quote(UNDER, 9999, 10001, 1000)
    assert len(_hedges(rig.timer(100 * MS))) == 1
