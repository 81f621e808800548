"""Trades taken back or corrected by the venue: ExecType H (bust) and G (correct) for both sides.

The trade log is the memory: the trade is found in it by the ExecID of either side, newest first, and
the amendment is appended to it before anybody hears of it, under the trade's match number. A side
refers to the last report about its own execution (ExecRefID), so corrections can be corrected again.

A live order changes in the book as well (``matching.amend_order``): what was busted does not
come back into it, so OrderQty goes down with CumQty. Of an order that has ended the log's last
report says how it stood.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from market import records
from market.enums import ExecType, FrameKind, OrdStatus
from simulator.errors import CorrectionError, UnknownTradeError
from simulator.matching import MAX_ORDER_QTY, Word, amend_order
from simulator.venue.core import FrameBuffer, VenueCore

_CHUNK = 1 << 16  # frames of the log looked at once
_SIDES = 2
ABOUT_TRADES = (int(ExecType.TRADE), int(ExecType.TRADE_CORRECT), int(ExecType.TRADE_CANCEL))


class LoggedTrade(msgspec.Struct, frozen=True):
    """A trade as the log last has it: EXECUTION rows of its two sides, the resting side's first."""

    match: int
    sides: tuple[Any, Any]
    busted: bool


def backwards(path: Path, count: int) -> Iterator[Any]:
    """EXECUTION rows of the log's first ``count`` frames, newest chunk first, each chunk in file order."""
    frames = np.memmap(path, np.uint8, "r", shape=(count, records.FRAME_BYTES))
    for end in range(count, 0, -_CHUNK):
        rows = np.array(frames[max(0, end - _CHUNK) : end]).reshape(-1).view(records.EXECUTION)
        yield rows[rows["kind"] == FrameKind.EXECUTION]


def find_trade(path: Path, count: int, exec_id: int) -> LoggedTrade | None:
    """The trade that ``exec_id`` is a report of (either side's, corrections included); None: there is none."""
    for rows in backwards(path, count):
        mine = rows[(rows["exec_id"] == exec_id) & np.isin(rows["exec_type"], ABOUT_TRADES)]
        if len(mine):
            return find_trade_by_match(path, count, int(mine[0]["jseq"]))
    return None


def find_trade_by_match(path: Path, count: int, match: int) -> LoggedTrade | None:
    """The trade of a match number."""
    reports: list[Any] = []  # newest first
    for rows in backwards(path, count):
        reports.extend(rows[rows["jseq"] == match][::-1])
        if sum(int(row["exec_type"]) == ExecType.TRADE for row in reports) == _SIDES:
            break
    amended = [row for row in reports if int(row["exec_type"]) in ABOUT_TRADES]
    latest: dict[int, Any] = {}
    for row in amended:
        latest.setdefault(int(row["order_id"]), row)
    first_two = [int(row["order_id"]) for row in reversed(amended) if int(row["exec_type"]) == ExecType.TRADE]
    if len(first_two) != _SIDES or len(latest) != _SIDES:
        return None
    busted = any(int(row["exec_type"]) == ExecType.TRADE_CANCEL for row in amended)
    return LoggedTrade(match, (latest[first_two[0]], latest[first_two[1]]), busted)


def last_report(path: Path, count: int, order_id: int) -> Any:
    """The newest report of an order in the log (EXECUTION row)."""
    for rows in backwards(path, count):
        mine = rows[rows["order_id"] == order_id]
        if len(mine):
            return mine[-1]
    raise CorrectionError(f"{path}: no report of order {order_id:016X}")


def amend_trade(
    core: VenueCore, path: Path, count: int, exec_id: int, *, qty: int, ticks: int, market_ns: int, wall_ns: int
) -> FrameBuffer:
    """Reports of both sides (two EXECUTION rows) after a trade is made ``qty`` at ``ticks``; ``qty`` 0 busts it.

    The live orders among the two are changed in the books.

    Raises
    ------
    CorrectionError
        There is no such trade, it is busted, or the correction changes nothing or is out of range.
    """
    trade = find_trade(path, count, exec_id)
    if trade is None:
        raise UnknownTradeError(f"no trade has the ExecID {exec_id:016X}; give one of a report with ExecType F or G")
    if trade.busted:
        raise CorrectionError(f"the trade of ExecID {exec_id:016X} (match {trade.match}) is busted already")
    if qty:
        _check_terms(core, trade, qty, ticks)
        _check_room(path, count, trade, qty - int(trade.sides[0]["last_qty"]))
    out = FrameBuffer(records.EXECUTION, _SIDES)
    exec_type = ExecType.TRADE_CORRECT if qty else ExecType.TRADE_CANCEL
    for place, side in enumerate(trade.sides):
        old_qty, old_ticks = int(side["last_qty"]), int(side["last_ticks"])
        more, notional = qty - old_qty, qty * ticks - old_qty * old_ticks
        made = amend_order(
            core.arena, np.uint64(side["order_id"]), int(exec_type), more, notional, market_ns, wall_ns, out.rows, place
        )
        row = out.rows[place]
        if made == place:
            base = last_report(path, count, int(side["order_id"]))
            _amend_ended(out.frames[place : place + 1], base, more, notional)
            row["exec_type"], row["exec_id"] = exec_type, core.next_exec_id()
            row["ts_ns"], row["recv_ns"] = market_ns, wall_ns
        row["orig_cl_ord_id"], row["jseq"] = side["exec_id"], trade.match
        row["last_qty"], row["last_ticks"] = (qty, ticks) if qty else (old_qty, old_ticks)
        row["commission_e4"] = int(side["commission_e4"]) // old_qty * (qty or old_qty)
    return out


def _check_terms(core: VenueCore, trade: LoggedTrade, qty: int, ticks: int) -> None:
    """A correction must be one, and what an order could have traded."""
    old_qty, old_ticks = int(trade.sides[0]["last_qty"]), int(trade.sides[0]["last_ticks"])
    most = int(core.arena.words[Word.MAX_TICKS]) - 1
    if not 1 <= qty <= MAX_ORDER_QTY or not 1 <= ticks <= most:
        raise CorrectionError(
            f"a correction needs a quantity in 1..{MAX_ORDER_QTY} and a price > 0 and up to {most} ticks, "
            f"was {qty} at {ticks}"
        )
    if (qty, ticks) == (old_qty, old_ticks):
        raise CorrectionError(f"the trade is {old_qty} at {old_ticks} ticks already")


def _check_room(path: Path, count: int, trade: LoggedTrade, more: int) -> None:
    """An order cannot have traded more than its reports can say."""
    for side in trade.sides:
        if int(last_report(path, count, int(side["order_id"]))["cum_qty"]) + more > MAX_ORDER_QTY:
            raise CorrectionError(f"the correction would make an order trade more than {MAX_ORDER_QTY}")


def _amend_ended(frame: npt.NDArray[np.uint8], base: Any, qty: int, notional: int) -> None:
    """Report of an order that has ended: as its last report, with what it has traded changed."""
    frame[0] = np.frombuffer(base.tobytes(), np.uint8)
    row = records.as_layout(frame, records.EXECUTION)[0]
    if base["exec_type"] == ExecType.CANCELED and base["orig_cl_ord_id"] and not base["flags"] & records.EXEC_QUOTE:
        row["cl_ord_id"] = base["orig_cl_ord_id"]  # the order's own: that report was named after the request
    cum, total = int(base["cum_qty"]) + qty, int(base["msg_seq"]) + notional
    row["cum_qty"], row["msg_seq"], row["leaves_qty"] = cum, total if cum else 0, 0
    row["order_qty"] = max(int(base["order_qty"]), cum)
    row["ord_status"] = OrdStatus.FILLED if cum and cum == int(row["order_qty"]) else OrdStatus.CANCELED
    row["reason"], row["last_report"], row["tot_reports"] = 0, 0, 0
