"""Busts and corrections: what was counted is uncounted to the last unit, once, and the order follows."""

import pytest

from engine.state import W_CONTRACTS, W_DUPLICATES, W_FILLS
from market.enums import ExecType, OrderAction, OrdStatus, RiskState, Side
from tests.engine.step.rig import CALL, LOT, EventCode, Rig

FEE = 130  # 0.0130 a fill


@pytest.fixture
def rig():
    """A chain that is quoted, acknowledged, and from here on still."""
    rig = Rig()
    for order in rig.open().orders:
        rig.ack(order)
    rig.freeze()
    return rig


def bid_of(rig):
    """An ORDER-like view of our bid, for the rig's reports."""
    order = rig.order(CALL, Side.BUY)
    names = ("session", "instrument", "side", "cl_ord_id", "price_ticks", "qty")
    return {name: order[name] for name in names} | {"orig_cl_ord_id": 0}


def account(rig):
    row = rig.engine.ledger[CALL]
    numbers = {name: int(row[name]) for name in ("cash_e4", "fees_e4", "bought", "sold", "fills")}
    words = rig.engine.words
    return numbers | {
        "position": rig.position(CALL), "counted": int(words[W_FILLS]), "contracts": int(words[W_CONTRACTS]),
        "edge": pytest.approx(float(row["edge"]), abs=1e-9),
    }  # fmt: skip


def amend(rig, bid, ref, exec_type, last_qty, ticks, cum, order_qty, **fields):
    leaves = order_qty - cum
    status = fields.pop("status", OrdStatus.PARTIALLY_FILLED if cum else OrdStatus.NEW)
    values = {"orig_cl_ord_id": ref, "last_qty": last_qty, "last_ticks": ticks, "cum_qty": cum,
              "order_qty": order_qty, "leaves_qty": leaves, "commission_e4": FEE} | fields  # fmt: skip
    return rig.report(bid, exec_type, status, **values)


def bust(rig, bid, ref, qty, ticks, cum, order_qty, **fields):
    return amend(rig, bid, ref, ExecType.TRADE_CANCEL, qty, ticks, cum, order_qty, **fields)


def correct(rig, bid, ref, qty, ticks, cum, order_qty, **fields):
    return amend(rig, bid, ref, ExecType.TRADE_CORRECT, qty, ticks, cum, order_qty, **fields)


def test_a_bust_of_a_live_orders_fill_leaves_no_trace_in_the_account(rig):
    bid, before = bid_of(rig), account(rig)
    rig.fill(bid, 2, commission_e4=FEE)
    assert account(rig) != before
    ref, ticks = rig.exec_id, int(bid["price_ticks"])
    out = bust(rig, bid, ref, 2, ticks, 0, LOT - 2)
    assert account(rig) == before
    assert out.event(EventCode.TRADE_BUST)["ref"] == 2
    assert rig.state(CALL) == RiskState.ACTIVE, "what fits what we know halts nothing"
    order = rig.order(CALL, Side.BUY)
    assert (order["cum_qty"], order["qty"], order["status"]) == (0, LOT - 2, OrdStatus.PARTIALLY_FILLED)
    assert rig.working(CALL)[0] == LOT - 2, "the busted quantity is not back in the market"


def test_the_rest_of_a_busted_order_still_trades(rig):
    bid = bid_of(rig)
    rig.fill(bid, 2)
    bust(rig, bid, rig.exec_id, 2, int(bid["price_ticks"]), 0, LOT - 2)
    slot = rig.slot(CALL, Side.BUY)
    rig.fill(bid | {"qty": LOT - 2}, LOT - 2)
    assert rig.position(CALL) == LOT - 2
    assert rig.engine.orders[slot]["status"] == OrdStatus.FILLED
    assert rig.state(CALL) == RiskState.ACTIVE


def test_a_fill_told_again_after_its_bust_is_not_counted_again(rig):
    bid, before = bid_of(rig), account(rig)
    rig.fill(bid, 2)
    ref = rig.exec_id
    bust(rig, bid, ref, 2, int(bid["price_ticks"]), 0, LOT - 2, commission_e4=0)
    seen = int(rig.engine.words[W_DUPLICATES])
    rig.fill(bid, 2, exec_id=ref, poss_dup=1)
    assert account(rig) == before
    assert rig.engine.words[W_DUPLICATES] == seen + 1


def test_a_bust_told_again_counts_once(rig):
    bid = bid_of(rig)
    rig.fill(bid, 2)
    ref, ticks = rig.exec_id, int(bid["price_ticks"])
    rig.fill(bid, 1, cum=3)
    bust(rig, bid, ref, 2, ticks, 1, LOT - 2)
    after, number = account(rig), rig.exec_id
    bust(rig, bid, ref, 2, ticks, 1, LOT - 2, exec_id=number, poss_dup=1)
    assert account(rig) == after
    assert rig.position(CALL) == 1


def test_a_bust_after_the_orders_end(rig):
    bid, before = bid_of(rig), account(rig)
    rig.fill(bid, LOT)
    ref = rig.exec_id
    out = bust(rig, bid, ref, LOT, int(bid["price_ticks"]), 0, LOT, leaves_qty=0, status=OrdStatus.CANCELED)
    assert rig.position(CALL) == 0
    assert account(rig)["cash_e4"] == before["cash_e4"]
    assert EventCode.BUST_UNPLACED not in out.codes()
    assert rig.working(CALL)[0] == 0


def test_an_order_that_the_venue_revives_by_a_bust_is_cancelled(rig):
    bid = bid_of(rig)
    rig.fill(bid, LOT)
    out = bust(rig, bid, rig.exec_id, LOT, int(bid["price_ticks"]), 0, LOT, status=OrdStatus.NEW)
    (cancel,) = out.of(OrderAction.CANCEL)
    assert cancel["orig_cl_ord_id"] == bid["cl_ord_id"] and cancel["order_id"] == 77


def test_a_correction_of_price_moves_cash_and_nothing_else(rig):
    bid = bid_of(rig)
    ticks = int(bid["price_ticks"])
    rig.fill(bid, 2, commission_e4=FEE)
    ref, before, edge = rig.exec_id, account(rig), float(rig.engine.ledger[CALL]["edge"])
    out = correct(rig, bid, ref, 2, ticks - 3, 2, LOT)
    after = account(rig)
    assert after["cash_e4"] - before["cash_e4"] == 2 * 3 * 100 * 100, "bought 3 ticks cheaper: 2 contracts of 100"
    assert {k: after[k] for k in ("position", "fills", "bought", "fees_e4", "counted")} == {
        k: before[k] for k in ("position", "fills", "bought", "fees_e4", "counted")
    }
    assert float(rig.engine.ledger[CALL]["edge"]) - edge == pytest.approx(2 * 100 * 0.03)
    assert out.event(EventCode.TRADE_CORRECTED)["value"] == pytest.approx((ticks - 3) / 100)


def test_a_correction_can_be_corrected_and_then_busted(rig):
    bid, before = bid_of(rig), account(rig)
    ticks = int(bid["price_ticks"])
    rig.fill(bid, 4, commission_e4=FEE)
    first = rig.exec_id
    correct(rig, bid, first, 3, ticks, 3, LOT - 1)
    second = rig.exec_id
    assert rig.position(CALL) == 3 and rig.order(CALL, Side.BUY)["qty"] == LOT - 1
    correct(rig, bid, second, 2, ticks + 1, 2, LOT - 2)
    third = rig.exec_id
    assert rig.position(CALL) == 2
    correct(rig, bid, first, 3, ticks, 3, LOT - 1, exec_id=second, poss_dup=1)
    assert rig.position(CALL) == 2, "the first correction, told again, does not undo the second"
    bust(rig, bid, third, 2, ticks + 1, 0, LOT - 4)
    assert account(rig) == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"last_qty": 1}, "it busts another quantity than was filled"),
        ({"last_ticks": 1}, "it busts another price than was filled"),
        ({"cum_qty": 1}, "what is left filled does not follow"),
    ],
)
def test_a_bust_that_contradicts_us_is_counted_and_halts(rig, change, why):
    bid = bid_of(rig)
    rig.fill(bid, 2)
    values = {"last_qty": 2, "last_ticks": int(bid["price_ticks"]), "cum_qty": 0} | change
    out = rig.report(bid, ExecType.TRADE_CANCEL, OrdStatus.NEW, orig_cl_ord_id=rig.exec_id, order_qty=LOT - 2, **values)
    assert rig.position(CALL) == 0, "the execution that it names is gone, whatever else it says"
    assert EventCode.BUST_UNPLACED in out.codes() and rig.state(CALL) == RiskState.HALTED, why


def test_a_second_bust_of_one_fill_halts(rig):
    bid = bid_of(rig)
    rig.fill(bid, 2)
    ref, ticks = rig.exec_id, int(bid["price_ticks"])
    bust(rig, bid, ref, 2, ticks, 0, LOT - 2)
    out = bust(rig, bid, ref, 2, ticks, 0, LOT - 2)
    assert rig.position(CALL) == 0
    assert EventCode.BUST_UNPLACED in out.codes() and rig.state(CALL) == RiskState.HALTED


def test_a_bust_of_a_fill_of_another_session_is_not_ours(rig):
    bid = bid_of(rig)
    rig.fill(bid, 2)
    out = bust(rig, bid, rig.exec_id, 2, int(bid["price_ticks"]), 0, LOT - 2, session=3, cl_ord_id=0)
    assert EventCode.BUST_UNPLACED in out.codes(), "the same ExecID of another venue names another fill"


def test_a_bust_of_a_fill_that_an_unknown_order_had(rig):
    stranger = {"session": 0, "instrument": CALL, "side": Side.SELL, "cl_ord_id": 99 << 40, "orig_cl_ord_id": 0,
                "price_ticks": 510, "qty": 4}  # fmt: skip
    rig.fill(stranger, 4)
    assert rig.position(CALL) == -4
    bust(rig, stranger, rig.exec_id, 4, 510, 0, 0)
    assert rig.position(CALL) == 0


def test_a_bust_without_quantity_takes_all_of_the_fill_back(rig):
    bid = bid_of(rig)
    rig.fill(bid, 2)
    out = bust(rig, bid, rig.exec_id, 0, 0, 0, LOT - 2)
    assert rig.position(CALL) == 0 and EventCode.BUST_UNPLACED not in out.codes()
