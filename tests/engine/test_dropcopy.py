"""The drop copy's reconciliation: what agrees, what is late, what differs, and what a restart remembers."""

import numpy as np
import pytest

from engine.copygateway import LOOKS, PositionCheck
from engine.dropcopy import COPY, OWN, Fault, Ledger, Reconciler, difference
from engine.errors import JournalError
from market.enums import ExecType, FrameKind, Side
from market.records import EXEC_UNKNOWN_SYMBOL, EXECUTION, FRAME_BYTES, NO_INSTRUMENT, as_layout, frames

MS = 1_000_000
TIMEOUT_NS = 1000 * MS


def reports(*specs):
    """Frames as a session decodes them; each spec is an ExecID or a dict of EXECUTION fields."""
    cells = frames(max(1, len(specs)))
    rows = as_layout(cells, EXECUTION)
    for k, spec in enumerate(specs):
        fields = {"exec_id": spec} if isinstance(spec, int) else spec
        values = {
            "kind": FrameKind.EXECUTION, "exec_type": ExecType.TRADE, "side": Side.BUY, "last_qty": 5, "cum_qty": 5,
            "last_ticks": 100, "leaves_qty": 0, "cl_ord_id": 0xAB0001, "order_id": 9, "instrument": 3, **fields,
        }  # fmt: skip
        for name, value in values.items():
            rows[k][name] = value
    return cells, len(specs)


class Desk:
    """A reconciler over a ledger in ``directory``; times in milliseconds."""

    def __init__(self, directory):
        self.path = directory / "copy.ledger"
        self.open()

    def open(self, at_ms=0):
        self.ledger = Ledger(self.path)
        self.reconciler = Reconciler(TIMEOUT_NS, self.ledger, at_ms * MS)

    def restart(self, at_ms=0):
        self.ledger.close()
        self.open(at_ms)

    def own(self, *specs, at_ms=0, session=1):
        return self.reconciler.own(session, *reports(*specs), at_ms * MS)

    def copied(self, *specs, at_ms=0):
        return self.reconciler.copied(*reports(*specs), at_ms * MS)

    def check(self, at_ms, listening=True):
        return self.reconciler.check(at_ms * MS, listening)


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.ledger.close()


@pytest.mark.parametrize("first", ["own", "copied"])
def test_an_execution_told_by_both_is_matched_whoever_is_first(desk, first):
    second = "copied" if first == "own" else "own"
    desk.check(0)
    getattr(desk, first)(7, at_ms=10)
    assert desk.reconciler.pending == 1
    getattr(desk, second)(7, at_ms=13)
    assert (desk.reconciler.matched, desk.reconciler.pending) == (1, 0)
    assert desk.check(5000) == []
    assert 2900 <= desk.reconciler.lag_us()["max"] <= 3300


@pytest.mark.parametrize(("after_ms", "found"), [(999, 0), (1000, 1), (1001, 1)])
@pytest.mark.parametrize(("side", "fault"), [("own", Fault.NOT_COPIED), ("copied", Fault.NOT_OURS)])
def test_one_side_alone_is_a_mismatch_after_the_time_allowed_and_not_before(desk, side, fault, after_ms, found):
    desk.check(0)
    getattr(desk, side)(7, at_ms=100)
    mismatches = desk.check(100 + after_ms)
    assert [(m.fault, m.exec_id, m.instrument) for m in mismatches] == [(fault, 7, 3)][:found]
    assert [m.session for m in mismatches] == [1 if side == "own" else -1][:found]
    assert desk.check(100_000) == [] or not found  # said once


@pytest.mark.parametrize(
    ("field", "value"),
    [("last_qty", 6), ("last_ticks", 101), ("side", Side.SELL), ("cum_qty", 9), ("leaves_qty", 1), ("order_id", 8),
     ("cl_ord_id", 0xAB0002), ("exec_type", ExecType.TRADE_CANCEL), ("instrument", 4)],
)  # fmt: skip
def test_a_copy_that_says_something_else_is_a_mismatch_at_once(desk, field, value):
    desk.own(7)
    desk.copied({"exec_id": 7, field: value})
    [mismatch] = desk.check(1)
    assert (mismatch.fault, mismatch.session) == (Fault.DIFFERENT, 1)
    assert field in mismatch.text
    assert (desk.reconciler.matched, desk.reconciler.mismatched) == (0, 1)


def test_a_copy_in_a_symbol_unknown_here_is_compared_by_the_rest(desk):
    desk.own(7)
    desk.copied({"exec_id": 7, "instrument": NO_INSTRUMENT})
    assert desk.check(1) == []
    assert desk.reconciler.matched == 1


@pytest.mark.parametrize("kind", [ExecType.NEW, ExecType.CANCELED, ExecType.REPLACED, ExecType.ORDER_STATUS])
def test_what_is_no_execution_is_not_waited_for(desk, kind):
    desk.check(0)
    assert len(desk.own({"exec_id": 7, "exec_type": kind})) == 0
    desk.copied({"exec_id": 8, "exec_type": kind})
    assert desk.check(10_000) == []


@pytest.mark.parametrize("kind", [ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT])
def test_busts_and_corrections_are_executions(desk, kind):
    desk.check(0)
    desk.copied({"exec_id": 7, "exec_type": kind})
    assert [m.fault for m in desk.check(1000)] == [Fault.NOT_OURS]


def test_nothing_is_late_while_one_side_cannot_speak(desk):
    desk.check(0)
    desk.own(7, at_ms=0)
    assert desk.check(900, listening=False) == []
    assert desk.check(60_000, listening=False) == []
    assert desk.check(61_000) == []  # both are back: the time allowed begins here
    assert desk.check(61_999) == []
    assert [m.exec_id for m in desk.check(62_000)] == [7]


def test_a_late_counterpart_resolves_the_mismatch(desk):
    desk.check(0)
    desk.own(7)
    desk.check(1000)
    assert len(desk.reconciler.open) == 1
    desk.copied(7, at_ms=1500)
    assert (len(desk.reconciler.open), desk.reconciler.resolved, desk.reconciler.matched) == (0, 1, 1)
    assert "1.500 s apart" in desk.reconciler.news[0]


def test_a_repetition_counts_once_and_a_contradicting_one_is_a_mismatch(desk):
    desk.check(0)
    assert len(desk.own(7)) == 1
    assert len(desk.own(7)) == 0
    desk.copied(7)
    desk.copied(7)
    assert desk.reconciler.matched == 1
    assert desk.check(1) == []
    desk.copied({"exec_id": 7, "last_qty": 4})
    assert [m.fault for m in desk.check(2)] == [Fault.DIFFERENT]


def test_a_restart_remembers_both_sides(desk):
    desk.own(1)
    desk.copied(1, 2)
    desk.own(3)
    desk.restart(at_ms=50_000)
    assert (desk.reconciler.pending, desk.reconciler.restored, desk.reconciler.matched) == (2, 1, 0)
    assert len(desk.own(2, 3, at_ms=50_100)) == 1  # 3 was known: only the message not yet taken comes again
    desk.copied(1, 3, at_ms=50_100)
    assert desk.reconciler.pending == 0
    assert desk.check(99_000) == []


def test_what_was_open_at_the_end_is_found_again_after_a_restart_until_it_is_accepted(desk):
    desk.own(7)
    desk.copied({"exec_id": 8}), desk.own({"exec_id": 8, "last_qty": 1})
    desk.check(0)
    desk.check(1000)
    desk.restart(at_ms=2000)
    assert [m.exec_id for m in desk.check(2000)] == [8]
    assert [m.exec_id for m in desk.check(3000)] == [7]
    assert desk.reconciler.accept() == 2
    assert desk.reconciler.open == {}
    desk.restart(at_ms=4000)
    assert desk.check(4000) == desk.check(9000) == []


def test_a_torn_ledger_entry_is_cut_and_the_rest_counts(desk):
    desk.own(1, 2)
    with desk.path.open("ab") as file:
        file.write(b"\x07" * 50)
    desk.restart()
    assert desk.ledger.torn_bytes == 50
    assert sorted(desk.ledger.rows["exec_id"].tolist()) == [1, 2]
    assert desk.path.stat().st_size == 2 * FRAME_BYTES


def test_a_damaged_ledger_is_refused_by_name(desk):
    desk.own(1, 2, 3)
    data = bytearray(desk.path.read_bytes())
    data[FRAME_BYTES + 60] ^= 1
    desk.path.write_bytes(data)
    with pytest.raises(JournalError, match="frame 2 of 3 is damaged but later ones are sound"):
        Ledger(desk.path)


def test_the_ledger_holds_who_said_it(desk):
    desk.own(1, session=4)
    desk.copied(1)
    rows = Ledger(desk.path).rows
    assert [(int(r["source"]), int(r["session"])) for r in rows] == [(OWN, 4), (COPY, 0xFFFF)]


def test_difference_names_fields_and_values():
    rows = reports(1, {"exec_id": 1, "last_ticks": 101})[0].reshape(-1).view(EXECUTION)
    assert difference(rows[0], rows[0]) == ""
    assert difference(rows[0], rows[1]) == "last_ticks 100 and 101"


F, G, H = ExecType.TRADE, ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL


def amends(exec_id, kind, ref, qty, **fields):
    return {"exec_id": exec_id, "exec_type": kind, "orig_cl_ord_id": ref, "last_qty": qty, **fields}


@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, 1), (Side.SELL, -1)])
def test_how_executions_move_the_position(desk, side, sign):
    told = [
        {"exec_id": 1, "side": side},
        amends(2, G, 1, 3, side=side),
        amends(3, G, 2, 9, side=side),  # by the newest report
        amends(4, G, 1, 7, side=side),  # by the first: it is the same trade
        amends(5, H, 4, 7, side=side),
    ]
    desk.own(*told)
    assert [desk.reconciler.change_of(k) for k in range(1, 6)] == [sign * moved for moved in (5, -2, 6, -2, -7)]
    assert desk.check(0) == []
    desk.copied(*reversed(told))
    assert desk.check(0) == []
    assert (desk.reconciler.matched, desk.reconciler.trades, desk.reconciler.pending) == (5, 0, 0)


def test_a_restart_remembers_what_an_amendment_refers_to(desk):
    desk.own(1, amends(2, G, 1, 3))
    desk.copied(1, amends(2, G, 1, 3))
    desk.restart()
    desk.own(amends(3, H, 2, 3))
    desk.copied(amends(3, H, 2, 3))
    assert desk.reconciler.change_of(3) == -3
    assert desk.check(0) == []
    assert (desk.reconciler.restored, desk.reconciler.trades) == (1, -1)


@pytest.mark.parametrize(
    ("told", "change", "why"),
    [
        ([amends(9, G, 8, 3)], 0, "an execution that we do not have (ExecRefID 0000000000000008)"),
        ([amends(9, H, 8, 3)], -3, "an execution that we do not have"),
        ([1, amends(2, H, 1, 5), amends(9, H, 1, 5)], 0, "a trade that was busted before"),
        ([1, amends(2, H, 1, 5), amends(9, G, 2, 4)], 0, "a trade that was busted before"),
        ([1, amends(2, G, 1, 4), amends(3, G, 2, 3), amends(9, H, 2, 3)], 0, "a report that was corrected since"),
        ([1, amends(9, H, 1, 4)], -5, "the trade was of 5"),
        ([1, amends(9, G, 1, 4, side=Side.SELL)], -1, "of the other side"),
    ],
)
def test_an_amendment_that_does_not_fit_is_a_mismatch_even_if_it_is_copied(desk, told, change, why):
    desk.own(*told)
    desk.copied(*told)
    [mismatch] = desk.check(0)
    assert (mismatch.fault, mismatch.exec_id, mismatch.session) == (Fault.UNPLACED, 9, 1)
    assert why in mismatch.text
    assert desk.reconciler.change_of(9) == change
    assert 9 in desk.reconciler.open
    assert desk.reconciler.accept() == 1
    desk.restart()
    assert desk.check(0) == []


def test_a_bust_without_a_quantity_takes_back_what_stands(desk):
    desk.own(1, amends(2, G, 1, 8), amends(3, H, 2, 0))
    assert desk.reconciler.change_of(3) == -8
    assert desk.check(0) == []


def test_a_correction_that_our_session_never_got_is_found(desk):
    desk.check(0)
    desk.own(1)
    desk.copied(amends(2, G, 1, 3), 1)  # the copies come the other way round
    assert (desk.reconciler.matched, desk.reconciler.pending) == (1, 1)
    [mismatch] = desk.check(1000)
    assert (mismatch.fault, mismatch.exec_id) == (Fault.NOT_OURS, 2)
    assert "correction of buy 3" in mismatch.text
    desk.own(amends(2, G, 1, 3), at_ms=1100)
    assert (desk.reconciler.open, desk.reconciler.change_of(2)) == ({}, -2)


@pytest.mark.parametrize(("field", "value"), [("orig_cl_ord_id", 7), ("commission_e4", 1), ("last_qty", 2)])
def test_a_copied_correction_that_says_something_else_is_a_mismatch(desk, field, value):
    desk.own(1, amends(2, G, 1, 3))
    desk.copied(1, amends(2, G, 1, 3) | {field: value})
    [mismatch] = desk.check(0)
    assert mismatch.fault is Fault.DIFFERENT and field in mismatch.text


class Positions:
    """A position check of four instruments, all covered unless said otherwise."""

    def __init__(self, *start):
        self.held = np.array(start or (0, 0, 0, 0), np.int64)
        self.check = PositionCheck(self.held)

    def take(self, *specs):
        cells, count = reports(*specs)
        rows = cells[:count].reshape(-1).view(EXECUTION)
        signs = {int(row["exec_id"]): 1 if row["side"] == Side.BUY else -1 for row in rows}
        self.check.take(rows, lambda exec_id: 5 * signs[exec_id])

    def look(self, covered=(True, True, True, True)):
        return self.check.wrong(self.held, np.array(covered))

    def wrong(self, covered=(True, True, True, True)):
        """What is said of a state that stays as it is."""
        said = [self.look(covered) for _ in range(LOOKS)]
        assert not any(said[:-1]), "said before it has stayed"
        return said[-1]


def test_positions_follow_the_executions_from_where_the_run_began():
    desk = Positions(0, 0, 0, 40)
    desk.take({"exec_id": 1}, {"exec_id": 2, "side": Side.SELL}, {"exec_id": 3})
    desk.held[3] += 5
    assert desk.wrong() == []


def test_a_fill_that_the_step_did_not_book_is_said_once():
    desk = Positions()
    desk.take(1)
    assert desk.wrong(covered=(True, True, True, False)) == []
    assert desk.wrong() == [(3, 5, 0)]
    assert desk.wrong() == []
    desk.held[3] += 1
    assert desk.wrong() == [(3, 0, 1)]


def test_an_execution_between_the_step_and_us_is_no_difference():
    """Applied already and not yet handed on, or the other way round: whenever one looks."""
    desk = Positions()
    for number in range(1, 20):
        desk.held[3] += 5
        assert desk.look() == []
        desk.take(number)
        assert desk.look() == []
    desk.take({"exec_id": 20, "poss_dup": 1})  # booked before; and another one that is on its way
    desk.held[3] += 5
    assert desk.look() == []
    desk.take(21)
    assert desk.wrong() == []
    assert desk.wrong() == []


def test_a_repeated_report_may_have_been_booked_before_and_moves_only_the_base():
    desk = Positions()
    desk.take({"exec_id": 1, "poss_dup": 1})
    assert desk.wrong() == []
    desk.take(2)
    assert desk.wrong() == [(3, 5, 0)]


def test_a_report_that_the_step_cannot_book_is_left_out():
    desk = Positions()
    desk.take({"exec_id": 1, "flags": EXEC_UNKNOWN_SYMBOL, "instrument": NO_INSTRUMENT})
    assert desk.wrong() == []
