"""The throttle: no window sees more than its messages, and a reserve that only cancels may use."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fix.endpoints import QueueDropped
from fix.endpoints.gate import Gate, Waiting
from fix.errors import SettingsError, ThrottledError
from fix.throttle import Throttle, ThrottlePolicy, ThrottleSettings
from market import records
from market.enums import OrderAction
from tests.fix.endpoints.world import World, new_orders

S = 10**9


def test_window_slides() -> None:
    throttle = Throttle(ThrottleSettings(messages=3))
    assert [throttle.take(now, 1, cancels=False) for now in (0, 1, 2, 3)] == [1, 1, 1, 0]
    assert throttle.next_free_ns(3, cancels=False) == S
    assert throttle.take(S - 1, 1, cancels=False) == 0
    assert throttle.take(S, 2, cancels=False) == 1, "the one of time 0 has left the window, that of 1 has not"


def test_reserve_is_for_cancels_alone() -> None:
    throttle = Throttle(ThrottleSettings(messages=10, reserve_for_cancels=4))
    assert throttle.take(0, 100, cancels=False) == 6
    assert throttle.take(0, 1, cancels=False) == 0
    assert throttle.take(0, 100, cancels=True) == 4
    assert throttle.next_free_ns(1, cancels=True) == S


def test_new_orders_wait_until_the_reserve_is_whole_again() -> None:
    throttle = Throttle(ThrottleSettings(messages=5, reserve_for_cancels=2))
    assert throttle.take(0, 3, cancels=True) == 3
    assert throttle.take(1, 2, cancels=True) == 2
    assert throttle.take(S, 1, cancels=False) == 1, "two of five are used: three are free, two of them reserved"
    assert throttle.take(S, 1, cancels=False) == 0
    assert throttle.next_free_ns(S, cancels=False) == S + 1


@given(
    st.integers(1, 8), st.integers(0, 7),
    st.lists(st.tuples(st.integers(0, S // 2), st.integers(1, 6), st.booleans()), max_size=60),
)  # fmt: skip
def test_no_window_ever_holds_more(messages: int, reserve: int, calls: list[tuple[int, int, bool]]) -> None:
    settings = ThrottleSettings(messages=messages, reserve_for_cancels=min(reserve, messages - 1))
    throttle, now, sent = Throttle(settings), 0, []
    for pause, count, cancels in calls:
        now += pause
        free_at = throttle.next_free_ns(now, cancels=cancels)
        granted = throttle.take(now, count, cancels=cancels)
        assert (granted > 0) == (free_at == now)
        sent += [(now, cancels)] * granted
        inside = [entry for entry in sent if entry[0] > now - S]
        assert len(inside) <= messages
        if granted and not cancels:
            assert len(inside) <= messages - settings.reserve_for_cancels
        if granted < count:  # whoever is refused could not have been let through
            limit = messages - (0 if cancels else settings.reserve_for_cancels)
            assert len(inside) >= limit


@pytest.mark.parametrize(
    "values",
    [{"messages": 0}, {"messages": 1, "window_s": 0.0}, {"messages": 3, "reserve_for_cancels": 3},
     {"messages": 1, "max_queued": 0}, {"messages": 1, "max_queued_s": 0.0}],
)  # fmt: skip
def test_settings_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="must be"):
        ThrottleSettings(**values)


# ----------------------------------------------------------------------- in front of a session


def actions(*wanted: OrderAction) -> Any:
    rows = new_orders(len(wanted))
    rows["action"] = wanted
    rows["orig_cl_ord_id"] = 77
    return rows


NEW, CANCEL, STATUS = OrderAction.NEW, OrderAction.CANCEL, OrderAction.MASS_STATUS


class Bench:
    """A gate, a clock that the test moves, and what came out."""

    def __init__(self, **changes: Any) -> None:
        self.now = 0
        self.sent: list[Waiting] = []
        self.dropped: list[tuple[str, tuple[Any, ...]]] = []
        self.gate = Gate(
            ThrottleSettings(**({"messages": 4, "reserve_for_cancels": 2} | changes)), self.sent.append,
            lambda reason, ids: self.dropped.append((reason, ids)), lambda: self.now,
        )  # fmt: skip

    async def at(self, now: int) -> list[Any]:
        """Let the gate have its turn at ``now``; ClOrdIDs that left."""
        self.now = now
        self.sent.clear()
        self.gate._turn()
        return [item.cl_ord_id for item in self.sent]


def test_cancels_of_a_batch_go_first_and_all_of_them() -> None:
    bench = Bench()
    rows, refused = bench.gate.admit_rows(actions(NEW, NEW, NEW, CANCEL, STATUS, CANCEL), 0, 6)
    assert rows["cl_ord_id"].tolist() == [4, 5, 6], "two cancels leave no more than the reserve: no new order goes"
    assert refused == (0, 1, 2)


def test_row_numbers_of_the_refused_are_those_of_the_callers_table() -> None:
    rows, refused = Bench().gate.admit_rows(actions(NEW, NEW, NEW, NEW, NEW), 1, 4)
    assert (rows["cl_ord_id"].tolist(), refused) == ([2, 3], (3, 4))


def test_cancel_of_an_order_that_is_refused_with_it_is_refused_too() -> None:
    table = actions(NEW, NEW, NEW, CANCEL)
    table["orig_cl_ord_id"][3] = 3
    bench = Bench(messages=5)
    rows, refused = bench.gate.admit_rows(table, 0, 4)
    assert (rows["cl_ord_id"].tolist(), refused) == ([1, 2], (2, 3))


def quote_entries(*quote_ids: int) -> Any:
    entries = records.table(records.QUOTE_ENTRY, len(quote_ids))
    entries["quote_id"] = quote_ids
    return entries


def test_mass_quotes_count_by_message_and_go_whole_or_not_at_all() -> None:
    bench = Bench(messages=6)  # 4 for anything new
    entries = quote_entries(7, 7, 7, 8, 9, 9)
    bench.gate.admit_quotes(entries, 0, 6, per_message=2)  # 7 takes two messages, 8 and 9 one each
    with pytest.raises(ThrottledError, match="beyond the throttle of 6") as refused:
        bench.gate.admit_quotes(entries, 4, 2, per_message=2)
    assert refused.value.refused == (4, 5)
    bench.now = S
    with pytest.raises(ThrottledError):
        bench.gate.admit_quotes(quote_entries(1, 2, 3, 4, 5), 0, 5, per_message=2)
    bench.gate.admit_quotes(entries, 0, 6, per_message=2)  # nothing was used up by the refusal


def test_mass_quote_does_not_pass_orders_that_wait() -> None:
    bench = Bench(messages=4, reserve_for_cancels=0, policy=ThrottlePolicy.QUEUE)
    bench.gate._arm = lambda: None  # type: ignore[method-assign]  # no loop is needed: nothing has its turn here
    bench.gate.admit_rows(actions(NEW, NEW, NEW, NEW, NEW), 0, 5)
    bench.now = S
    with pytest.raises(ThrottledError):
        bench.gate.admit_quotes(quote_entries(1), 0, 1, per_message=2)


async def test_cancel_passes_the_queue_unless_its_own_order_waits() -> None:
    bench = Bench(policy=ThrottlePolicy.QUEUE)
    rows, refused = bench.gate.admit_rows(actions(NEW, NEW, NEW, NEW, NEW), 0, 5)
    assert (len(rows), refused, bench.gate.waiting) == (2, (), 3)
    late = new_orders(2, 10)
    late["action"], late["orig_cl_ord_id"] = CANCEL, (4, 1)  # of an order that waits, and of one that went
    rows, refused = bench.gate.admit_rows(late, 0, 2)
    assert (rows["cl_ord_id"].tolist(), refused) == ([11], ())
    bench.gate.clear("over")


async def test_queue_drains_when_the_window_slides() -> None:
    bench = Bench(policy=ThrottlePolicy.QUEUE, max_queued_s=10.0)
    bench.gate.admit_rows(actions(NEW, NEW, NEW, NEW, NEW), 0, 5)
    assert await bench.at(S - 1) == []
    assert await bench.at(S) == [3, 4]
    assert await bench.at(2 * S) == [5]
    assert not bench.dropped
    bench.gate.clear("over")


async def test_cancel_waits_behind_its_own_order_only() -> None:
    bench = Bench(policy=ThrottlePolicy.QUEUE, max_queued_s=10.0, messages=3, reserve_for_cancels=1)
    bench.gate.admit_rows(actions(NEW, NEW, NEW, NEW), 0, 4)  # 1, 2 went; 3, 4 wait
    late = new_orders(3, 10)
    late["action"], late["orig_cl_ord_id"] = CANCEL, (4, 1, 2)
    rows, _ = bench.gate.admit_rows(late, 0, 3)
    assert rows["cl_ord_id"].tolist() == [11], "one more fits into the window: the first whose order does not wait"
    assert await bench.at(S) == [12, 3], "the cancel of 2, then the first new order that leaves the reserve"
    assert await bench.at(2 * S) == [4, 10]
    bench.gate.clear("over")


async def test_stale_ones_are_dropped_and_named() -> None:
    bench = Bench(policy=ThrottlePolicy.QUEUE, max_queued_s=0.5)
    bench.gate.admit_rows(actions(NEW, NEW, NEW), 0, 3)
    assert await bench.at(S // 2) == []
    assert bench.dropped == [("waited too long for the throttle", (3,))]
    assert bench.gate.waiting == 0


async def test_queue_has_an_end() -> None:
    bench = Bench(policy=ThrottlePolicy.QUEUE, max_queued=1)
    rows, refused = bench.gate.admit_rows(actions(NEW, NEW, NEW, NEW, NEW), 0, 5)
    assert (len(rows), bench.gate.waiting, refused) == (2, 1, (3, 4))
    with pytest.raises(ThrottledError, match="1 message is beyond the throttle of 4 in 1 s"):
        bench.gate.admit("D", [(11, "x")], 0)
    bench.gate.clear("the line is down")
    assert bench.dropped == [("the line is down", (3,))]


async def test_session_sends_what_fits_and_names_what_does_not(world: World) -> None:
    world.client.limit_sending(ThrottleSettings(messages=5, reserve_for_cancels=2, window_s=3600.0))
    with pytest.raises(ThrottledError, match=r"7 messages are beyond .* 3 sent") as caught:
        world.client.send_orders(new_orders(10), 10)
    assert (caught.value.sent, caught.value.refused) == (3, tuple(range(3, 10)))
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 3)
    assert world.client.next_out == 5, "what is refused uses no number"
    cancels = actions(CANCEL, CANCEL)
    assert world.client.send_orders(cancels, 2) == 5
    world.client.send("AF", [(584, "00000000000000AB"), (585, "7")])  # not an order: not counted
    with pytest.raises(ThrottledError):
        world.client.send("F", [(11, "2"), (41, "1")])
    assert world.client.describe()["throttle"]["refused"] == 8


async def test_what_waits_when_the_line_drops_is_told(world: World) -> None:
    settings = ThrottleSettings(messages=1, window_s=3600.0, policy=ThrottlePolicy.QUEUE, max_queued_s=3600.0)
    world.client.limit_sending(settings)
    assert world.client.send_orders(new_orders(3), 3) == 2
    assert world.client.send("D", [(11, "AB")]) == 0
    world.client.abort("cut")
    dropped = [event for event in world.client_handler.events if isinstance(event, QueueDropped)]
    assert [event.cl_ord_ids for event in dropped] == [(2, 3, "AB")]
    assert "cut" in dropped[0].reason


async def test_queued_messages_leave_by_themselves(world: World) -> None:
    settings = ThrottleSettings(messages=2, window_s=0.02, policy=ThrottlePolicy.QUEUE, max_queued_s=3600.0)
    world.client.limit_sending(settings)
    world.client.send_orders(new_orders(7), 7)
    await world.venue_handler.until(lambda: len(world.venue_handler.frames) == 7)
    assert world.venue_handler.rows(records.ORDER)["cl_ord_id"].tolist() == [1, 2, 3, 4, 5, 6, 7]
