"""Two machines joined in memory, with everything that can break between them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fix.messages import parse
from fix.session import AppMessage, GapDetected, GapFilled, SequencesReset, State
from fix.testing import START_NS, MachinePair, Side


@pytest.fixture
def pair(tmp_path: Path) -> MachinePair:
    made = MachinePair(tmp_path)
    made.connect()
    return made


def ids(side: Side, tag: int) -> list[str]:
    """Values of ``tag`` of every application message that ``side`` has taken, in order."""
    return [parse(event.raw).text(tag) for event in side.of(AppMessage)]


def test_both_log_on_and_talk(pair: MachinePair) -> None:
    pair.client.machine.send("D", [(11, "1")], pair.now_ns)
    pair.venue.machine.send("8", [(17, "1")], pair.now_ns)
    pair.pump()
    assert (ids(pair.venue, 11), ids(pair.client, 17)) == (["1"], ["1"])
    assert pair.client.machine.steady and pair.venue.machine.steady


def test_an_idle_hour_is_survived(pair: MachinePair) -> None:
    pair.wait(3600)
    assert pair.client.machine.steady and pair.venue.machine.steady
    assert not pair.client.of(GapDetected)


def test_gaps_on_both_sides_at_once_are_filled(pair: MachinePair) -> None:
    """Both lose messages before a cut; both logons are too high; both ask; both are answered."""
    for k in range(3):
        pair.client.machine.send("D", [(11, f"lost {k}")], pair.now_ns)
        pair.venue.machine.send("8", [(17, f"{k}")], pair.now_ns)
    pair.cut()
    pair.connect()
    assert len(pair.client.of(GapFilled)) == len(pair.venue.of(GapFilled)) == 1
    assert ids(pair.venue, 11) == [], "stale orders are not sent again"
    assert ids(pair.client, 17) == ["0", "1", "2"]
    assert pair.client.machine.steady and pair.venue.machine.steady
    assert pair.client.machine.next_in == pair.venue.machine.next_out
    assert pair.venue.machine.next_in == pair.client.machine.next_out


def test_lost_resend_requests_are_repeated(pair: MachinePair) -> None:
    pair.venue.machine.send("8", [(17, "1")], pair.now_ns)
    pair.venue.output()
    pair.venue.machine.send("8", [(17, "2")], pair.now_ns)
    pair.pump(drop=frozenset("2"))
    assert ids(pair.client, 17) == []
    pair.wait(60)
    assert ids(pair.client, 17) == ["1", "2"]


@pytest.mark.parametrize("who", ["client", "venue"])
def test_either_side_may_crash_and_resume(pair: MachinePair, who: str) -> None:
    pair.client.machine.send("D", [(11, "1")], pair.now_ns)
    pair.pump()
    pair.venue.machine.send("8", [(17, "1")], pair.now_ns)
    pair.cut()
    getattr(pair, who).crash()
    pair.connect()
    assert ids(pair.client, 17) == ["1"]
    assert not pair.client.of(SequencesReset) and not pair.venue.of(SequencesReset)
    assert pair.client.machine.steady and pair.venue.machine.steady


#: What an onboarding sheet may ask for; the invariants hold under each.
SHEETS: tuple[dict[str, Any], ...] = (
    {},
    {"begin_string": "FIX.4.0"},
    {"begin_string": "FIX.4.2", "last_msg_seq_num_processed": True, "sender_sub_id": "DESK"},
    {"begin_string": "FIXT.1.1", "next_expected_msg_seq_num": True},
    {"next_expected_msg_seq_num": True, "resend_chunk_size": 2},
    {"resend_chunk_size": 3, "refresh_on_logon": True},
    {"closed_resend_interval": True, "send_redundant_resend_requests": True},
)
OPERATIONS = st.lists(
    st.sampled_from(
        ["order", "report", "report", "pump", "pump", "cut", "crash client", "crash venue", "lose client", "lose venue",
         "wait", "untaken"]
    ),
    max_size=60,
)  # fmt: skip


class Story:
    """Runs operations and remembers what each side meant to say."""

    def __init__(self, directory: Path, sheet: dict[str, Any]) -> None:
        self.pair = MachinePair(directory, resend_chunk=3, max_held_messages=4, **sheet)
        self.orders: list[str] = []
        self.reports: list[str] = []
        self.pair.connect()

    def run(self, operation: str) -> None:
        pair = self.pair
        if operation == "order" and pair.client.machine.logged_on:
            self.orders.append(f"o{len(self.orders)}")
            pair.client.machine.send("D", [(11, self.orders[-1])], pair.now_ns)
        elif operation == "report":
            self.reports.append(f"r{len(self.reports)}")
            pair.venue.machine.send("8", [(17, self.reports[-1])], pair.now_ns)
        elif operation == "pump":
            pair.pump()
        elif operation == "wait":
            pair.wait(3)
        elif operation == "cut":
            self.cut_and_connect()
        elif operation.startswith("crash"):
            pair.cut()
            getattr(pair, operation.split()[1]).crash()
            pair.connect()
        elif operation.startswith("lose"):
            getattr(pair, operation.split()[1]).machine.take_output()
        elif operation == "untaken":
            self.die_before_commit()

    def cut_and_connect(self) -> None:
        self.pair.cut()
        self.pair.connect()

    def die_before_commit(self) -> None:
        """The client is handed messages and dies before it says that it has taken them."""
        pair = self.pair
        for message in pair.venue.output():
            pair.client.machine.receive(message.raw, pair.now_ns)
        pair.venue.machine.take_output()
        pair.venue.note(pair.venue.machine.disconnected(pair.now_ns))
        pair.client.crash()
        pair.connect()

    def settle(self) -> None:
        if self.pair.client.machine.state is not State.LOGGED_ON:
            self.cut_and_connect()
        self.pair.wait(100)


@settings(max_examples=300)
@given(OPERATIONS, st.sampled_from(SHEETS))
def test_whatever_breaks_no_report_is_lost_and_no_order_comes_twice(
    tmp_path_factory: pytest.TempPathFactory, operations: list[str], sheet: dict[str, Any]
) -> None:
    story = Story(tmp_path_factory.mktemp("story"), sheet)
    for operation in operations:
        story.run(operation)
    story.settle()
    pair = story.pair
    assert pair.client.machine.steady and pair.venue.machine.steady
    assert pair.client.machine.next_in == pair.venue.machine.next_out
    assert pair.venue.machine.next_in == pair.client.machine.next_out
    got_orders = ids(pair.venue, 11)
    assert len(set(got_orders)) == len(got_orders)
    assert [order for order in story.orders if order in set(got_orders)] == got_orders, "in order"
    first_seen = list(dict.fromkeys(ids(pair.client, 17)))
    assert first_seen == story.reports, "every report, in order; a second time only after a crash"
    assert not pair.client.of(SequencesReset)
    pair.client.store.release()
    pair.venue.store.release()
    assert pair.now_ns > START_NS
