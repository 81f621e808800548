"""After every logon the venue is asked what it holds, and its answer is compared order by order."""

import pytest

from engine.state import W_ORPHANS
from market.enums import ControlVerb, ExecType, OrderAction, OrdStatus, RiskState, SessionState, Side
from market.ids import make_cl_ord_id
from market.records import EXEC_BAD_VALUE, NO_INSTRUMENT
from tests.engine.step.rig import CALL, LOT, OPT, PUT, STUCK_NS, EventCode, Rig, S

STRANGER = int(make_cl_ord_id(9, 9, 9))


@pytest.fixture
def rig() -> Rig:
    """Four orders stand; then the options session drops."""
    rig = Rig()
    for order in rig.open().orders:
        rig.ack(order)
    rig.wait(S)
    rig.session(OPT, SessionState.DOWN)
    rig.wait(S)
    return rig


def _slots(rig: Rig) -> list[int]:
    return [rig.slot(n, side) for n in (CALL, PUT) for side in (Side.BUY, Side.SELL)]


def _answer(rig: Rig, request: int, slots: list[int], **fields):
    for n, slot in enumerate(slots):
        out = rig.status_of(slot, request, last=n == len(slots) - 1, **fields)
    return out


def test_nothing_new_is_sent_between_logon_and_the_answer(rig):
    rig.logon(OPT)
    rig.alive()
    rig.market()
    assert not rig.commit().orders


def test_agreement_with_policy_cancel_cancels_each_order(rig):
    out = _answer(rig, rig.logon(OPT), _slots(rig))
    event = out.event(EventCode.RECONCILED)
    assert (event["ref"], event["value"]) == (4, 0)
    assert len(out.of(OrderAction.CANCEL)) == 4
    assert rig.engine.links[OPT]["state"] == SessionState.READY


def test_agreement_with_policy_adopt_keeps_them(rig):
    rig.engine.links[OPT]["adopt"] = 1
    out = _answer(rig, rig.logon(OPT), _slots(rig))
    assert not out.orders
    assert rig.status(CALL, Side.BUY) == OrdStatus.NEW


def test_a_drain_beats_adoption(rig):
    rig.engine.links[OPT]["adopt"] = 1
    rig.control(ControlVerb.DRAIN)
    assert len(_answer(rig, rig.logon(OPT), _slots(rig)).of(OrderAction.CANCEL)) == 4


def test_a_kill_while_the_line_was_down_cancels_what_is_found(rig):
    rig.engine.links[OPT]["adopt"] = 1
    rig.control(ControlVerb.KILL)
    assert len(_answer(rig, rig.logon(OPT), _slots(rig)).of(OrderAction.CANCEL)) == 4


def _restarted(adopt: int) -> tuple[Rig, list[int]]:
    """A run that ended with four orders open; the next one has found them, and has quotes but no theo."""
    rig = Rig()
    for order in rig.open().orders:
        rig.ack(order)
    slots = _slots(rig)
    rig.engine.links["adopt"] = adopt
    rig.wait(S)
    rig.run_start(run=2)
    rig.no_orders(1, rig.logon(1))
    _answer(rig, rig.logon(OPT), slots)
    rig.quote(0, 9999, 10001, 1000)
    return rig, slots


def test_adopted_orders_stand_until_the_series_can_be_judged():
    rig, slots = _restarted(adopt=1)
    assert not rig.quote(CALL, 480, 520).orders
    rig.control(ControlVerb.ARM)
    assert not rig.timer(S).orders
    rig.quote(PUT, 380, 420)
    rig.theo(CALL)
    rig.theo(PUT, 4.0)
    rig.alive()
    out = rig.commit()
    kept = {int(rig.engine.orders[s]["instrument"]) for s in slots if rig.engine.orders[s]["status"] == OrdStatus.NEW}
    assert kept == {CALL}, "where theo agrees with what stands, the place in the queue was worth keeping"
    assert {int(o["instrument"]) for o in out.orders} == {PUT}


def test_adopted_orders_do_not_stand_unjudged_for_ever():
    rig, _ = _restarted(adopt=1)
    assert not rig.timer(5 * S).of(OrderAction.CANCEL)
    assert len(rig.timer(6 * S).of(OrderAction.CANCEL)) == 4


def test_adopted_orders_go_when_their_instrument_is_halted():
    rig, _ = _restarted(adopt=1)
    assert len(rig.halt(CALL).of(OrderAction.CANCEL)) == 2


def test_a_new_run_never_repeats_an_id():
    rig, _ = _restarted(adopt=0)
    assert all(int(o["last_id"]) >> 48 in (1, 2) for o in rig.engine.orders[:4])
    assert rig.engine.words[0] == 2


def test_an_order_that_is_not_named_is_gone(rig):
    slots = _slots(rig)
    out = _answer(rig, rig.logon(OPT), slots[1:])
    event = out.event(EventCode.RECON_MISSING)
    assert event["ref"] == slots[0]
    assert rig.engine.orders[slots[0]]["status"] == OrdStatus.CANCELED
    assert rig.working(CALL) == (0, LOT)


def test_the_venue_holds_nothing(rig):
    out = rig.no_orders(OPT, rig.logon(OPT))
    assert out.codes().count(EventCode.RECON_MISSING) == 4
    assert rig.working(CALL) == rig.working(PUT) == (0, 0)


def test_series_are_quoted_again_as_soon_as_the_session_is_ready(rig):
    rig.alive()
    rig.market()
    rig.commit()
    rig.no_orders(OPT, rig.logon(OPT))
    assert len(rig.timer().of(OrderAction.NEW)) == 4


def test_a_stranger_is_cancelled(rig):
    request = rig.logon(OPT)
    out = rig.execution(
        exec_type=ExecType.ORDER_STATUS, ord_status=OrdStatus.NEW, orig_cl_ord_id=request, tot_reports=1, last_report=1,
        cl_ord_id=STRANGER, order_id=55, instrument=PUT, side=Side.BUY, order_qty=9, leaves_qty=9,
    )  # fmt: skip
    (cancel,) = out.of(OrderAction.CANCEL)
    assert (cancel["orig_cl_ord_id"], cancel["order_id"], cancel["qty"]) == (STRANGER, 55, 9)
    assert out.event(EventCode.UNKNOWN_ORDER)["cl_ord_id"] == STRANGER


def test_a_stranger_in_an_unknown_symbol_is_shown(rig):
    request = rig.logon(OPT)
    out = rig.execution(
        exec_type=ExecType.ORDER_STATUS, ord_status=OrdStatus.NEW, orig_cl_ord_id=request, tot_reports=1,
        cl_ord_id=STRANGER, instrument=NO_INSTRUMENT, leaves_qty=9,
    )  # fmt: skip
    assert EventCode.UNKNOWN_SYMBOL in out.codes() and rig.engine.words[W_ORPHANS] == 1


def test_a_fill_that_we_never_saw_is_counted_and_halts(rig):
    slots = _slots(rig)
    request = rig.logon(OPT)
    ticks = int(rig.engine.orders[slots[0]]["price_ticks"])
    out = rig.status_of(slots[0], request, last=False, cum_qty=2, leaves_qty=3)
    event = out.event(EventCode.RECON_MISMATCH)
    assert (event["value"], event["bound"]) == (2, 0)
    assert rig.position(CALL) == 2 and rig.cash(CALL) == -2.0 * ticks
    assert rig.state(CALL) == RiskState.HALTED
    assert rig.engine.orders[slots[0]]["status"] != OrdStatus.UNKNOWN, "or it would be asked about for ever"


def test_the_venues_price_and_id_are_adopted(rig):
    """The acknowledgement of a replace was lost with the line."""
    slots = _slots(rig)
    rig.engine.links[OPT]["adopt"] = 1
    request = rig.logon(OPT)
    newer = int(rig.engine.orders[slots[0]]["cl_ord_id"])
    rig.status_of(slots[0], request, last=False, price_ticks=470, order_qty=4, leaves_qty=4, cl_ord_id=newer)
    out = _answer(rig, request, slots[1:])
    assert rig.order(CALL, Side.BUY)["price_ticks"] == 470 and rig.working(CALL)[0] == 4
    assert out.event(EventCode.RECONCILED)["value"] == 1


def test_an_unreadable_answer_keeps_the_order_and_halts(rig):
    slots = _slots(rig)
    request = rig.logon(OPT)
    numbers = {"price_ticks": 0, "order_qty": 0, "cum_qty": 0, "leaves_qty": 0}
    rig.status_of(slots[0], request, last=False, flags=EXEC_BAD_VALUE, **numbers)
    _answer(rig, request, slots[1:])
    order = rig.engine.orders[slots[0]]
    assert order["in_use"] == 1 and order["qty"] == LOT and rig.state(CALL) == RiskState.HALTED


def test_an_answer_to_an_older_request_is_not_an_answer(rig):
    old = rig.logon(OPT)
    rig.session(OPT, SessionState.DOWN)
    new = rig.logon(OPT)
    assert new != old
    assert not rig.no_orders(OPT, old).events
    assert rig.engine.links[OPT]["state"] == SessionState.LOGGED_ON
    assert EventCode.RECONCILED in rig.no_orders(OPT, new).codes()


def test_a_repeated_answer_is_not_an_answer(rig):
    request = rig.logon(OPT)
    out = rig.status_of(_slots(rig)[0], request, last=True, poss_dup=1)
    assert EventCode.RECONCILED not in out.codes()


def test_a_request_without_answer_is_asked_again():
    rig = Rig()
    rig.run_start()
    rig.define()
    rig.logon(OPT)
    assert not rig.timer(9 * S).of(OrderAction.MASS_STATUS)
    assert len(rig.timer(2 * S).of(OrderAction.MASS_STATUS)) == 1


def _silent(after_ns: int) -> tuple[Rig, object]:
    """Orders sent, never answered."""
    rig = Rig()
    rig.open()
    rig.wait(after_ns)
    rig.alive()
    rig.market()
    return rig, rig.timer(0)


def test_an_order_unanswered_for_the_limit_is_not_stuck():
    _, out = _silent(STUCK_NS)
    assert EventCode.STUCK_ORDER not in out.codes()


def test_an_order_unanswered_for_longer_is_asked_about_once():
    rig, out = _silent(STUCK_NS + 1)
    assert EventCode.STUCK_ORDER in out.codes() and len(out.of(OrderAction.MASS_STATUS)) == 1
    assert not rig.timer(100_000_000).of(OrderAction.MASS_STATUS)


def test_an_order_sent_after_the_question_is_not_missed_in_the_answer():
    rig, out = _silent(STUCK_NS + 1)
    request = int(out.of(OrderAction.MASS_STATUS)[0]["cl_ord_id"])
    slots = _slots(rig)
    rig.wait(1)
    rig.engine.orders[slots[0]]["sent_ns"] = rig.now  # as one sent just now would have it
    out = rig.no_orders(OPT, request)
    assert out.codes().count(EventCode.RECON_MISSING) == 3
    assert rig.engine.orders[slots[0]]["in_use"] == 1


def test_an_order_the_venue_never_saw_is_released():
    rig, out = _silent(STUCK_NS + 1)
    rig.no_orders(OPT, int(out.of(OrderAction.MASS_STATUS)[0]["cl_ord_id"]))
    assert rig.working(CALL) == (0, 0)
