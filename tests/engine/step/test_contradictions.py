"""What venues say that cannot be: it is counted where it is a trade, shown, and the instrument halts."""

import pytest

from engine.state import W_DUPLICATES, W_ORPHANS
from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, RiskState, Side
from market.ids import make_cl_ord_id
from market.records import EXEC_BAD_VALUE, EXEC_FOREIGN_ID, EXEC_UNKNOWN_SYMBOL, EXECUTION, NO_INSTRUMENT
from tests.engine.step.rig import CALL, EQ, OPT, PUT, UNDER, EventCode, Rig

NEVER_SENT = int(make_cl_ord_id(1, 4_000_000, 3))


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    for order in rig.open().orders:
        rig.ack(order)
    return rig


def _unknown_fill(rig, **fields):
    values = {
        "cl_ord_id": NEVER_SENT, "instrument": CALL, "side": Side.SELL, "last_qty": 4, "cum_qty": 4, "order_qty": 4,
        "last_ticks": 510, "exec_id": 900, "exec_type": ExecType.TRADE, "ord_status": OrdStatus.FILLED,
    } | fields  # fmt: skip
    return rig.execution(**values)


def test_a_fill_of_an_order_we_never_sent_is_counted_shown_and_halts_that_instrument(rig):
    out = _unknown_fill(rig)
    event = out.event(EventCode.UNKNOWN_FILL)
    assert (event["target"], event["cl_ord_id"], event["ref"]) == (CALL, NEVER_SENT, 4 * 2 + 1)
    assert rig.position(CALL) == -4 and rig.cash(CALL) == 4 * 510.0
    assert rig.state(CALL) == RiskState.HALTED and rig.state(PUT) == RiskState.ACTIVE
    assert sorted(int(o["side"]) for o in out.of(OrderAction.CANCEL)) == [Side.BUY, Side.SELL]


def test_an_unknown_fill_delivered_again_counts_once(rig):
    _unknown_fill(rig)
    _unknown_fill(rig, poss_dup=1)
    assert rig.position(CALL) == -4 and rig.engine.words[W_DUPLICATES] == 1


def test_two_venues_may_use_the_same_exec_id(rig):
    _unknown_fill(rig)
    _unknown_fill(rig, session=EQ, instrument=UNDER, last_ticks=10_000)
    assert (rig.position(CALL), rig.position(UNDER)) == (-4, -4)


def test_an_id_of_the_slots_order_before_is_not_taken_for_the_present_one(rig):
    order = rig.order(CALL, Side.BUY)
    slot, sequence = rig.slot(CALL, Side.BUY), (int(order["first_id"]) >> 16) & 0xFFFFFFFF
    older = int(make_cl_ord_id(1, sequence - 1, slot))
    out = _unknown_fill(rig, cl_ord_id=older)
    assert EventCode.UNKNOWN_FILL in out.codes() and order["cum_qty"] == 0


def test_a_foreign_id_is_never_looked_up(rig):
    mine = int(rig.order(CALL, Side.BUY)["cl_ord_id"])
    out = _unknown_fill(rig, cl_ord_id=mine, flags=EXEC_FOREIGN_ID)
    assert EventCode.UNKNOWN_FILL in out.codes() and rig.order(CALL, Side.BUY)["cum_qty"] == 0


def test_an_unreadable_value_halts_and_changes_no_quantity(rig):
    bid = rig.order(CALL, Side.BUY).copy()
    out = rig.execution(
        cl_ord_id=bid["cl_ord_id"], instrument=CALL, side=Side.BUY, exec_type=ExecType.TRADE,
        ord_status=OrdStatus.PARTIALLY_FILLED, flags=EXEC_BAD_VALUE,
    )  # fmt: skip
    assert out.event(EventCode.BAD_VALUE)["target"] == CALL
    assert rig.state(CALL) == RiskState.HALTED and rig.position(CALL) == 0
    assert rig.order(CALL, Side.BUY)["status"] == OrdStatus.PENDING_CANCEL


def test_the_fill_after_an_unreadable_one_brings_its_quantity_too(rig):
    bid = rig.order(CALL, Side.BUY).copy()
    known = {"cl_ord_id": bid["cl_ord_id"], "instrument": CALL, "side": Side.BUY, "exec_type": ExecType.TRADE}
    status = OrdStatus.PARTIALLY_FILLED
    rig.execution(**known, ord_status=status, flags=EXEC_BAD_VALUE)
    rig.execution(
        **known, ord_status=status, last_qty=1, cum_qty=3, leaves_qty=2, order_qty=5, last_ticks=bid["price_ticks"]
    )
    assert rig.position(CALL) == 3


@pytest.mark.parametrize("instrument", [NO_INSTRUMENT, 7])
def test_a_symbol_we_do_not_know_is_shown_and_harms_nothing(rig, instrument):
    out = _unknown_fill(rig, instrument=instrument, flags=EXEC_UNKNOWN_SYMBOL, msg_seq=17)
    event = out.event(EventCode.UNKNOWN_SYMBOL)
    assert (event["target"], event["ref"]) == (OPT, 17)
    assert rig.engine.words[W_ORPHANS] == 1 and rig.position(CALL) == 0


def test_a_known_order_needs_no_symbol(rig):
    bid = rig.order(CALL, Side.BUY).copy()
    rig.execution(
        cl_ord_id=bid["cl_ord_id"], instrument=NO_INSTRUMENT, side=Side.BUY, exec_type=ExecType.TRADE, last_qty=1,
        cum_qty=1, leaves_qty=4, last_ticks=489, ord_status=OrdStatus.PARTIALLY_FILLED, flags=EXEC_UNKNOWN_SYMBOL,
    )  # fmt: skip
    assert rig.position(CALL) == 1


def test_a_live_order_that_we_do_not_know_is_cancelled(rig):
    out = rig.execution(
        cl_ord_id=NEVER_SENT, order_id=55, instrument=CALL, side=Side.SELL, exec_type=ExecType.NEW,
        ord_status=OrdStatus.NEW, order_qty=4, leaves_qty=4,
    )  # fmt: skip
    (cancel,) = out.of(OrderAction.CANCEL)
    assert (cancel["orig_cl_ord_id"], cancel["order_id"], cancel["instrument"]) == (NEVER_SENT, 55, CALL)
    assert EventCode.UNKNOWN_ORDER in out.codes()
    answer = {"cl_ord_id": cancel["cl_ord_id"], "orig_cl_ord_id": NEVER_SENT, "instrument": CALL, "side": Side.SELL}
    out = rig.execution(**answer, exec_type=ExecType.CANCELED, ord_status=OrdStatus.CANCELED)
    assert not out.orders and not out.events, "gone, as asked"


def test_a_refusal_for_an_unknown_request_is_shown(rig):
    out = rig.execution(
        FrameKind.CANCEL_REJECT, cl_ord_id=NEVER_SENT, instrument=NO_INSTRUMENT, ord_status=OrdStatus.REJECTED
    )
    assert out.event(EventCode.CANCEL_REJECTED)["target"] == OPT


@pytest.mark.parametrize("exec_type", [ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT])
def test_an_amendment_of_a_fill_we_never_had_waits_for_a_person(rig, exec_type):
    bid = rig.order(CALL, Side.BUY).copy()
    out = rig.execution(
        cl_ord_id=bid["cl_ord_id"], instrument=CALL, side=Side.BUY, exec_type=exec_type, last_qty=2, last_ticks=489,
        ord_status=OrdStatus.NEW, order_qty=5, leaves_qty=5, orig_cl_ord_id=4711,
    )  # fmt: skip
    assert EventCode.BUST_UNPLACED in out.codes() and rig.state(CALL) == RiskState.HALTED


def test_a_report_of_a_session_that_does_not_exist_is_not_believed(rig):
    before = [a.tobytes() for a in (rig.engine.orders, rig.engine.links, rig.engine.risk.instruments)]
    out = _unknown_fill(rig, session=999)
    assert (
        not out.orders
        and [a.tobytes() for a in (rig.engine.orders, rig.engine.links, rig.engine.risk.instruments)] == before
    )


def test_an_unknown_kind_of_frame_changes_nothing_but_the_count(rig):
    out = rig.feed(EXECUTION, FrameKind.TRADE, instrument=1)
    assert not out.orders and not out.events
