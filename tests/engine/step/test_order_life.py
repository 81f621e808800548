"""One order from quote to end: what leaves, what counts meanwhile, and each report exactly once."""

import pytest

from engine.state import W_DUPLICATES, W_FILLS, W_OPEN, W_REJECTED
from market.enums import ExecType, OrderAction, OrdStatus, Side
from strategies.quoting import QuotingParam
from tests.engine.step.rig import CALL, EQ, LOT, MS, OPT, PUT, UNDER, EventCode, Rig, S


def test_a_chain_with_theo_is_quoted_two_sided_post_only():
    out = Rig().open()
    sides = sorted((int(o["instrument"]), int(o["side"])) for o in out.orders)
    assert sides == [(CALL, Side.BUY), (CALL, Side.SELL), (PUT, Side.BUY), (PUT, Side.SELL)]
    for order in out.orders:
        assert order["action"] == OrderAction.NEW and order["post_only"] == 1 and order["qty"] == LOT
        assert order["session"] == OPT
        good = order["price_ticks"] < 500 if order["side"] == Side.BUY else order["price_ticks"] > 500
        assert good, "theo is 500 ticks: a quote keeps an edge on its side of it"


def test_an_order_counts_as_working_before_it_is_acknowledged():
    rig = Rig()
    rig.open()
    assert rig.working(CALL) == (LOT, LOT)
    assert rig.status(CALL, Side.BUY) == OrdStatus.PENDING_NEW
    assert rig.engine.words[W_OPEN] == 4


def _bid(rig: Rig) -> object:
    out = rig.open()
    (bid,) = [o for o in out.orders if o["instrument"] == CALL and o["side"] == Side.BUY]
    return bid


def test_new_acknowledged_filled_in_two_parts():
    rig = Rig()
    bid = _bid(rig)
    rig.ack(bid)
    assert rig.status(CALL, Side.BUY) == OrdStatus.NEW
    out = rig.fill(bid, 2)
    assert out.event(EventCode.FILL)["ref"] == 2 * 2, "quantity doubled, even for a buy"
    assert rig.status(CALL, Side.BUY) == OrdStatus.PARTIALLY_FILLED
    assert (rig.position(CALL), rig.working(CALL)[0]) == (2, LOT - 2)
    slot = rig.slot(CALL, Side.BUY)
    rig.fill(bid, 3, cum=5)
    assert rig.position(CALL) == LOT
    assert rig.engine.orders[slot]["status"] == OrdStatus.FILLED
    assert rig.cash(CALL) == -5 * 100 * int(bid["price_ticks"]) / 100
    assert rig.engine.words[W_FILLS] == 2


def test_a_filled_side_is_quoted_anew_at_once():
    rig = Rig()
    bid = _bid(rig)
    rig.ack(bid)
    out = rig.fill(bid, LOT)
    assert [o["side"] for o in out.of(OrderAction.NEW)] == [Side.BUY]


def test_a_fill_delivered_again_counts_once():
    rig = Rig()
    bid = _bid(rig)
    rig.ack(bid)
    rig.fill(bid, 2)
    cash, seen = rig.cash(CALL), int(rig.engine.words[W_DUPLICATES])
    rig.fill(bid, 2, poss_dup=1)
    rig.fill(bid, 2)
    assert (rig.position(CALL), rig.cash(CALL)) == (2, cash)
    assert rig.engine.words[W_DUPLICATES] == seen + 2


def test_a_fill_may_overtake_the_acknowledgement():
    rig = Rig()
    bid = _bid(rig)
    rig.fill(bid, 2)
    assert rig.status(CALL, Side.BUY) == OrdStatus.PARTIALLY_FILLED
    rig.ack(bid)
    assert rig.status(CALL, Side.BUY) == OrdStatus.PARTIALLY_FILLED
    assert rig.working(CALL)[0] == LOT - 2


def test_a_rejected_order_is_released_and_its_side_waits():
    rig = Rig()
    bid = _bid(rig)
    out = rig.report(bid, ExecType.REJECTED, OrdStatus.REJECTED, leaves_qty=0, reason=99)
    assert out.event(EventCode.ORDER_REJECTED)["ref"] == 99
    assert rig.working(CALL)[0] == 0 and rig.slot(CALL, Side.BUY) < 0
    assert not out.orders, "the same order at once would be rejected at once"
    assert not rig.timer(100 * MS).orders
    assert rig.timer(200 * MS).of(OrderAction.NEW)
    assert rig.engine.words[W_REJECTED] == 1


def _acked_chain() -> tuple[Rig, object]:
    """Everything quoted and acknowledged; the call's bid as it was sent."""
    rig = Rig()
    sent = rig.open().orders
    for order in sent:
        rig.ack(order)
    (bid,) = [o for o in sent if o["instrument"] == CALL and o["side"] == Side.BUY]
    return rig, bid


def _move_up(rig: Rig) -> list[object]:
    """Theo 10 ticks up: every quote of the call is replaced."""
    rig.wait(S)
    rig.alive()
    rig.quote(CALL, 490, 530)
    rig.theo(CALL, 5.10)
    rig.theo(PUT, 5.0)
    return rig.commit().of(OrderAction.REPLACE)


def test_theo_moves_and_both_quotes_are_replaced_the_one_that_moves_away_first():
    rig, _ = _acked_chain()
    ask, bid = _move_up(rig)
    assert (ask["side"], bid["side"]) == (Side.SELL, Side.BUY)
    assert bid["orig_cl_ord_id"] == rig.order(CALL, Side.BUY)["cl_ord_id"] != bid["cl_ord_id"]
    assert bid["order_id"] == 77 and bid["post_only"] == 1
    assert rig.status(CALL, Side.BUY) == OrdStatus.PENDING_REPLACE


def test_no_second_request_while_one_is_in_flight():
    rig, _ = _acked_chain()
    _move_up(rig)
    rig.theo(CALL, 5.30)
    assert not [o for o in rig.commit().orders if o["instrument"] == CALL]
    assert rig.engine.series[CALL]["dirty"] == 1, "it is looked at again when the answer is there"


def test_replaced_takes_the_venues_price_and_quantity():
    rig, _ = _acked_chain()
    _, bid = _move_up(rig)
    rig.replaced(bid)
    order = rig.order(CALL, Side.BUY)
    assert order["status"] == OrdStatus.NEW and order["pending_id"] == 0
    assert (order["cl_ord_id"], order["price_ticks"]) == (bid["cl_ord_id"], bid["price_ticks"])


def test_a_fill_crossing_a_replace_counts_both_ways():
    """Replace to 5 + what had traded; meanwhile 2 trade on the old order; the new total stays."""
    rig, before = _acked_chain()
    _, bid = _move_up(rig)
    rig.fill(before, 2)
    assert rig.status(CALL, Side.BUY) == OrdStatus.PENDING_REPLACE
    assert rig.working(CALL)[0] == LOT - 2
    rig.replaced(bid, cum=2)
    assert rig.position(CALL) == 2
    order = rig.order(CALL, Side.BUY)
    assert (order["qty"], order["cum_qty"]) == (LOT, 2)


def test_a_replace_to_more_counts_the_larger_quantity_until_acknowledged():
    rig, first = _acked_chain()
    rig.fill(first, 4)  # below the refill share: asked for 5 open again
    (refill,) = rig.hot.of(OrderAction.REPLACE)
    assert refill["qty"] == 4 + LOT, "FIX's OrderQty is the total"
    assert rig.working(CALL)[0] == LOT
    rig.freeze()
    rig.refuse_change(refill)
    assert rig.working(CALL)[0] == 1, "the old quantity again"


def test_a_refused_replace_gives_back_what_it_counted():
    rig, first = _acked_chain()
    rig.engine.quoting[QuotingParam.LOT] = 10
    _, bid = _move_up(rig)
    assert rig.working(CALL)[0] == 10
    rig.freeze()
    rig.refuse_change(bid)
    order = rig.order(CALL, Side.BUY)
    assert (order["pending_id"], order["pending_qty"], order["status"]) == (0, 0, OrdStatus.NEW)
    assert rig.working(CALL)[0] == LOT
    assert int(order["cl_ord_id"]) == int(first["cl_ord_id"])


def test_an_order_filled_while_its_replace_is_in_flight_is_over():
    rig, first = _acked_chain()
    slot = rig.slot(CALL, Side.BUY)
    _, bid = _move_up(rig)
    rig.fill(first, LOT)
    assert rig.engine.orders[slot]["status"] == OrdStatus.FILLED
    out = rig.refuse_change(bid, OrdStatus.FILLED)
    assert EventCode.CANCEL_REJECTED not in out.codes(), "the refusal was to be expected"
    assert rig.position(CALL) == LOT


def test_a_replace_delivered_again_does_not_undo_the_next_one():
    rig, _ = _acked_chain()
    _, second = _move_up(rig)
    rig.replaced(second)
    rig.theo(CALL, 5.00)
    third = [o for o in rig.commit().of(OrderAction.REPLACE) if o["side"] == Side.BUY]
    assert third, "theo went back: replaced again"
    before = rig.order(CALL, Side.BUY).copy()
    rig.replaced(second, poss_dup=1)
    after = rig.order(CALL, Side.BUY)
    assert after["pending_id"] == before["pending_id"] == third[0]["cl_ord_id"]
    assert after["status"] == OrdStatus.PENDING_REPLACE
    rig.replaced(third[0])
    rig.replaced(second, poss_dup=1)
    assert rig.order(CALL, Side.BUY)["price_ticks"] == third[0]["price_ticks"]


def test_a_fill_under_an_id_from_before_two_replaces_is_still_that_orders():
    rig, first = _acked_chain()
    rig.fill(first, 1)
    _, second = _move_up(rig)
    rig.replaced(second, cum=1)
    seen = int(rig.engine.words[W_DUPLICATES])
    out = rig.fill(first, 1, poss_dup=1)
    assert EventCode.UNKNOWN_FILL not in out.codes()
    assert rig.position(CALL) == 1 and rig.engine.words[W_DUPLICATES] == seen + 1


def test_the_venue_may_reduce_an_order_by_itself():
    """Self-trade prevention decrements: REPLACED under the same id, our own request stays in flight."""
    rig, first = _acked_chain()
    _, bid = _move_up(rig)
    rig.report(first, ExecType.REPLACED, OrdStatus.NEW, order_qty=3, leaves_qty=3)
    order = rig.order(CALL, Side.BUY)
    assert order["qty"] == 3 and order["pending_id"] == bid["cl_ord_id"]
    assert rig.working(CALL)[0] == LOT, "the larger of 3 and the 5 asked for"


def test_canceled_releases_the_slot_and_what_it_counted():
    rig, first = _acked_chain()
    slot = rig.slot(CALL, Side.BUY)
    rig.freeze()
    rig.canceled(first)
    assert rig.engine.orders[slot]["in_use"] == 0 and rig.slot(CALL, Side.BUY) < 0
    assert rig.working(CALL) == (0, LOT)


@pytest.mark.parametrize(
    ("exec_type", "end"), [(ExecType.CANCELED, OrdStatus.CANCELED), (ExecType.EXPIRED, OrdStatus.EXPIRED)]
)
def test_an_end_is_an_end_whatever_status_the_report_carries(exec_type, end):
    rig, first = _acked_chain()
    slot = rig.slot(CALL, Side.BUY)
    rig.freeze()
    rig.report(first, exec_type, OrdStatus.NEW, leaves_qty=0)
    assert rig.engine.orders[slot]["status"] == end


def test_an_end_that_reveals_a_missed_fill_counts_it_and_halts():
    rig, first = _acked_chain()
    out = rig.canceled(first, cum=3)
    assert out.event(EventCode.RECON_MISMATCH)["value"] == 3
    assert rig.position(CALL) == 3 and rig.state(CALL) == 2
    assert rig.cash(CALL) == -3.0 * int(first["price_ticks"])


def test_a_cancel_reject_naming_a_dead_order_makes_it_unknown_not_dead():
    rig, _ = _acked_chain()
    _, bid = _move_up(rig)
    rig.refuse_change(bid, OrdStatus.CANCELED)
    assert rig.status(CALL, Side.BUY) == OrdStatus.UNKNOWN
    assert rig.working(CALL)[0] == LOT, "fail closed: it may still be there"


def test_a_cancel_reject_for_another_request_changes_nothing():
    rig, first = _acked_chain()
    _, bid = _move_up(rig)
    stale = bid.copy()
    stale["cl_ord_id"] = int(first["cl_ord_id"])
    rig.refuse_change(stale, OrdStatus.CANCELED)
    assert rig.status(CALL, Side.BUY) == OrdStatus.PENDING_REPLACE


def test_a_refused_cancel_is_asked_again_a_second_later_not_at_once():
    rig, _ = _acked_chain()
    out = rig.halt(CALL)
    cancel = next(o for o in out.of(OrderAction.CANCEL) if o["side"] == Side.BUY)
    out = rig.refuse_change(cancel)
    assert not out.orders
    assert not rig.timer(500 * MS).of(OrderAction.CANCEL)
    assert rig.timer(600 * MS).of(OrderAction.CANCEL)


def test_slots_are_taken_again_only_after_all_others():
    rig, first = _acked_chain()
    slot = rig.slot(CALL, Side.BUY)
    out = rig.fill(first, LOT)
    seen = {slot}
    for _ in range(len(rig.engine.orders) - 4):
        (order,) = out.of(OrderAction.NEW)
        assert int(order["slot"]) not in seen
        seen.add(int(order["slot"]))
        rig.ack(order)
        rig.wait(S)
        rig.alive()
        rig.theo(CALL)
        rig.quote(CALL, 480, 520)
        out = rig.canceled(order)


def test_a_late_fill_of_a_finished_order_is_counted_and_halts():
    rig, first = _acked_chain()
    rig.canceled(first)
    out = rig.fill(first, 2)
    assert out.event(EventCode.OVERFILL)["ref"] == 2
    assert rig.position(CALL) == 2 and rig.state(CALL) == 2


def test_a_fill_beyond_the_order_is_counted_and_halts():
    rig, first = _acked_chain()
    out = rig.fill(first, LOT + 3)
    assert EventCode.OVERFILL in out.codes()
    assert rig.position(CALL) == LOT + 3 and rig.state(CALL) == 2


def test_a_gap_in_cum_qty_is_counted_in_full_and_halts():
    rig, first = _acked_chain()
    out = rig.fill(first, 1, cum=3)
    assert EventCode.OVERFILL in out.codes()
    assert rig.position(CALL) == 3, "the venue's CumQty is what we hold"


def test_a_full_arena_says_so_once_and_sends_nothing():
    rig = Rig(options=4, max_orders=4)
    out = rig.open()
    assert len(out.orders) == 4
    assert out.codes().count(EventCode.ARENA_FULL) == 4, "once a side"
    rig.theo(3)
    assert EventCode.ARENA_FULL not in rig.commit().codes()


def test_one_lot_size_change_binds_at_the_next_quote():
    rig, _ = _acked_chain()
    rig.engine.quoting[QuotingParam.LOT] = 2
    replaces = _move_up(rig)
    assert {int(o["qty"]) for o in replaces} == {2}


def test_orders_of_different_sessions_are_counted_apart():
    rig = Rig()
    rig.open()
    sessions = rig.engine.risk.sessions["open_orders"]
    assert (sessions[OPT], sessions[EQ]) == (4, 0) and rig.position(UNDER) == 0
