"""The drop-copy session of the daemon against a real venue: what agrees, and what stops trading."""

from types import SimpleNamespace

import pytest

from config.sessions import SessionConfig
from engine.copygateway import CopyGateway
from fix.codec import SymbolTable
from fix.session import State
from fix.store import MessageStore
from market.enums import ExecType, FrameKind, ScopeKind, Side
from market.records import EXECUTION, frames
from tests.engine.copy_rig import World
from tests.simulator.venue_orders import MAKER, Orders

MS = 1_000_000


async def test_a_fill_is_reconciled_with_its_copy(tmp_path):
    world = await World(tmp_path).open()
    world.trade(4)
    await world.until(lambda: world.copy.reconciler.matched == 1)
    world.book(4)
    world.later(5000)
    document = world.copy.document()
    assert (document["matched"], document["pending"], document["mismatched"], document["listening"]) == (1, 0, 0, True)
    assert document["covers"] == ["TRADE"]
    assert not world.halts
    await world.close()


def invented(exec_id):
    """A frame of a fill that the venue knows nothing of."""
    cells = frames(1)
    row = cells.reshape(-1).view(EXECUTION)[0]
    row["kind"], row["exec_type"], row["side"] = FrameKind.EXECUTION, ExecType.TRADE, Side.BUY
    row["exec_id"], row["last_qty"], row["cl_ord_id"] = exec_id, 3, 0x10001
    return cells


async def test_our_execution_that_nobody_copies_halts_its_session_after_the_time_allowed(tmp_path):
    world = await World(tmp_path).open()
    world.copy.own(5, invented(77), 1)
    world.book(3)
    world.later(999)
    assert not world.halts
    world.later(1)
    [(scope, target, reason)] = world.halts
    assert (scope, target) == (ScopeKind.SESSION, 5)
    assert reason.startswith(
        "DROP_COPY_MISMATCH: our execution is not on the drop copy: buy 3 (ExecID 000000000000004D"
    )
    assert [line["what"] for line in world.record] == ["not_copied"]
    assert world.copy.document()["unresolved"] == 1
    assert world.copy.accept() == 1
    assert world.copy.document()["unresolved"] == 0
    assert [line["what"] for line in world.record] == ["not_copied", "accepted"]
    world.later(60_000)
    assert len(world.halts) == 1
    await world.close()


async def test_an_execution_that_only_the_copy_knows_halts_the_session_of_its_instrument(tmp_path):
    world = await World(tmp_path, clients=("AXIOM", "OTHER")).open()
    other = await world.room.trader("OTHER").log_on()
    world.room.flow(Orders().add(MAKER, side=Side.SELL, qty=2))
    other.send(Orders().add(0, cl_ord_id=1, qty=2))
    await world.until(lambda: world.copy.reconciler.pending == 1)
    world.later(1000)
    assert [(scope, target) for scope, target, _ in world.halts] == [(ScopeKind.SESSION, 5)]
    assert "the drop copy has an execution that we do not know: buy 2" in world.halts[0][2]
    await world.close()


async def test_nothing_is_late_while_the_trading_session_is_down(tmp_path):
    world = await World(tmp_path, session={"reconnect_min_ms": 60_000, "reconnect_max_ms": 60_000}).open()
    world.copy.own(5, invented(78), 1)
    world.book(3)
    world.gateway.session.abort("cut")
    world.later(10_000)
    world.later(10_000)
    assert not world.halts and world.copy.reconciler.pending == 1
    await world.close()


async def test_a_process_that_stood_still_does_not_take_it_for_a_missing_copy(tmp_path):
    world = await World(tmp_path).open()
    world.copy.own(5, invented(79), 1)
    world.book(3)
    world.copy.stalled()
    world.later(5000)
    assert not world.halts
    world.later(999)
    assert not world.halts
    world.later(1)
    assert [target for _, target, _ in world.halts] == [5]
    await world.close()


async def test_a_step_that_books_something_else_is_halted_with_both_numbers(tmp_path):
    world = await World(tmp_path).open()
    world.trade(4)
    await world.until(lambda: world.copy.reconciler.matched == 1)
    world.book(3)
    world.behind = 1  # frames on their way to the step: no judgement
    world.later(1)
    assert not world.halts
    world.behind = 0
    world.later(1)
    [(scope, target, reason)] = world.halts
    assert (scope, target) == (ScopeKind.SESSION, 5)
    assert reason.endswith(": executions say 4, the step holds 3")
    world.later(1)
    assert len(world.halts) == 1
    await world.close()


@pytest.mark.parametrize(("policy", "halted"), [("alert", False), ("halt", True)])
async def test_a_drop_copy_that_is_lost_is_said_and_halts_where_the_policy_wants_it(
    tmp_path, monkeypatch, policy, halted
):
    world = await World(tmp_path, copy={"drop_copy_lost": policy, "reconnect_max_ms": 60_000}).open()
    clock = SimpleNamespace(s=1000.0)
    monkeypatch.setattr("engine.copygateway.time", SimpleNamespace(monotonic=lambda: clock.s, time_ns=lambda: 0))
    await world.room.venue.acceptor.close()
    await world.until(lambda: world.copy.session.state is State.DISCONNECTED)
    assert any(severity == "warning" and "drop copy down" in text for severity, text in world.alerts)
    world.later(1)
    assert not world.halts
    clock.s += 1.1
    world.later(1)
    world.later(1)
    assert [(target, reason[:14]) for _, target, reason in world.halts] == [(5, "DROP_COPY_DOWN")][: int(halted)]
    await world.close()


async def test_copies_that_came_before_a_restart_are_known_after_it(tmp_path):
    world = await World(tmp_path).open()
    world.trade(4)
    await world.until(lambda: world.copy.reconciler.matched == 1)
    for gateway in (world.gateway, world.copy):
        await gateway.stop()
        gateway.close()
    common = {"venue": "OPT", "target_comp_id": "OPT", "port": world.room.venue.port, "reconnect_min_ms": 10}
    copied = SessionConfig(name="DC", sender_comp_id="COPY", role="drop_copy", **common)
    copy = CopyGateway(
        6, copied, MessageStore(tmp_path / "copy"), SymbolTable(8), world, world, [], tmp_path / "dropcopy"
    )
    assert (copy.reconciler.restored, copy.reconciler.pending) == (1, 0)
    copy.close()
    await world.room.close()


@pytest.mark.parametrize(("policy", "left"), [("ask", 1), ("cancel", 0)])
async def test_orders_are_pulled_after_a_lost_line_where_the_policy_wants_it(tmp_path, policy, left):
    world = await World(tmp_path, session={"on_reconnect": policy}).open()
    orders = Orders().add(0, cl_ord_id=0x20001, price_ticks=80)
    world.gateway.session.send_orders(orders.buffer.rows, 1)
    await world.until(lambda: world.room.venue.core.live_orders == 1)
    before = world.gateway.messages_in
    world.gateway.session.abort("cut")
    await world.until(lambda: world.gateway.reconnects == 1 and world.gateway.session.steady)
    await world.until(lambda: world.gateway.messages_in > before + left)
    await world.until(lambda: world.room.venue.core.live_orders == left)
    await world.close()


async def test_busts_and_corrections_are_reconciled_to_the_contract(tmp_path):
    world = await World(tmp_path).open()
    world.trade(4)
    await world.until(lambda: world.copy.reconciler.matched == 1)
    world.book(4)
    world.later(1)
    fill = int(world.posted[-1].view(EXECUTION)[0]["exec_id"])
    operations = world.room.venue.operations
    for qty, moved in ((6, 2), (1, -5), (0, -1)):
        seen = world.copy.reconciler.matched
        operations.correct(fill, qty=qty, ticks=101) if qty else operations.bust(fill)
        await world.until(lambda seen=seen: world.copy.reconciler.matched == seen + 1)
        world.book(moved)
        world.later(1)
        assert not world.halts, (qty, world.halts)
    document = world.copy.document()
    assert (document["matched"], document["trades"], document["pending"], document["mismatched"]) == (4, 0, 0, 0)
    await world.close()


async def test_a_correction_that_the_step_books_otherwise_is_halted_with_both_numbers(tmp_path):
    world = await World(tmp_path).open()
    world.trade(4)
    await world.until(lambda: world.copy.reconciler.matched == 1)
    world.book(4)
    world.later(1)
    fill = int(world.posted[-1].view(EXECUTION)[0]["exec_id"])
    world.room.venue.operations.correct(fill, qty=6, ticks=101)
    await world.until(lambda: world.copy.reconciler.matched == 2)
    world.book(6)  # as if the corrected quantity came on top
    world.later(1)
    [(scope, target, reason)] = world.halts
    assert (scope, target) == (ScopeKind.SESSION, 5)
    assert reason.endswith(": executions say 6, the step holds 10")
    await world.close()
