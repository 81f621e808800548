"""Drop copy: what a venue says we traded, told a second time on another session, against our own records.

:class:`Reconciler` pairs executions (trades, busts, corrections) by ExecID: those our trading sessions
handed to the step, and those the drop copy names. One that only one side knows for longer than the
time allowed, or that the two tell differently, is a mismatch; so is a bust or correction of an execution
that we do not have, or not as it says. :class:`Ledger` keeps both sides on the
disk, because after a crash only the message that was not yet taken comes again. The gateway that
feeds them is in ``copygateway.py``; nothing here knows a socket or the step.

The time allowed runs only while both sides can speak: while the drop copy or one of the sessions it
covers is down or has a gap, nothing can be late.
"""

import os
from collections import deque
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.errors import JournalError
from engine.latency import BUCKETS, record, upper_bound_ns
from market.crc import count_sound, seal_frames
from market.enums import ExecType, FrameKind, Side
from market.ids import to_wire
from market.jit import kernel
from market.records import EXECUTION, FRAME_BYTES, NO_INSTRUMENT, as_layout, frames

OWN, COPY, ACCEPTED = 0, 1, 2  #: ``header.source`` of a ledger frame
_KEPT_PAIRS = 50_000  # matched executions that stay known over a restart, so that a repetition is recognised
_ROOM = 4096
_EXECUTION = int(FrameKind.EXECUTION)
_TRADE, _CORRECT, _BUST = int(ExecType.TRADE), int(ExecType.TRADE_CORRECT), int(ExecType.TRADE_CANCEL)
_FRAME_WORDS = FRAME_BYTES // 8
#: What both sides must tell alike.
_COMPARED = (
    "exec_type", "side", "last_qty", "last_ticks", "cum_qty", "leaves_qty", "cl_ord_id", "order_id", "orig_cl_ord_id",
    "commission_e4",
)  # fmt: skip


@kernel
def pick_executions(rows: Any, words: Any, count: int, out: Any) -> int:
    """Copy trades, busts and corrections among EXECUTION ``rows[:count]`` to ``out`` int64[m, 16]; how many.

    ``words`` int64[n, 16] is the same memory as ``rows``; m >= count.
    """
    n = 0
    for i in range(count):
        kind = np.int64(rows[i].exec_type)
        if rows[i].kind == _EXECUTION and (kind == _TRADE or kind == _CORRECT or kind == _BUST):
            for w in range(_FRAME_WORDS):
                out[n, w] = words[i, w]
            n += 1
    return n


_NOTHING = as_layout(frames(0), EXECUTION)


def _words_of(cells: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Frames as int64[n, 16], same memory."""
    return cells.reshape(-1).view(np.int64).reshape(len(cells), _FRAME_WORDS)


class Fault(Enum):
    """How two records disagree."""

    NOT_COPIED = "our execution is not on the drop copy"
    NOT_OURS = "the drop copy has an execution that we do not know"
    DIFFERENT = "the drop copy tells an execution differently"
    UNPLACED = "an execution is amended that we do not have so"


class Mismatch(NamedTuple):
    """One execution on which the two sides disagree."""

    fault: Fault
    exec_id: int
    session: int  # the trading session it is of; -1 where only the venue knows
    instrument: int
    text: str


class _Trade:
    """A trade of ours as it now stands, after what was busted or corrected."""

    __slots__ = ("busted", "first", "newest", "quantity", "side")

    def __init__(self, exec_id: int, side: int, quantity: int) -> None:
        self.first = self.newest = exec_id
        self.side, self.quantity, self.busted = side, quantity, False

    def signed(self, quantity: int) -> int:
        """A quantity as the position has it."""
        return quantity if self.side == Side.BUY else -quantity


def _misplaced(trade: _Trade | None, ref: int, row: Any, bust: bool) -> str:
    """Why an amendment does not fit the trade that it names; empty where it does."""
    if trade is None:
        return "it names an execution that we do not have"
    if trade.busted:
        return "it names a trade that was busted before"
    if ref not in (trade.first, trade.newest):
        return "it names a report that was corrected since"
    if int(row["side"]) != trade.side:
        return "it is of the other side"
    if bust and int(row["last_qty"]) not in (0, trade.quantity):
        return f"the trade was of {trade.quantity}"
    return ""


class _Entry:
    """One execution: what each side said of it, and when."""

    __slots__ = ("accepted", "change", "copy", "copy_ns", "fault", "own", "own_ns", "session", "trade")

    def __init__(self) -> None:
        self.own: Any = None
        self.copy: Any = None
        self.own_ns = self.copy_ns = 0
        self.session = -1
        self.change = 0  # of position, by what our session said
        self.trade: _Trade | None = None  # that it made or amended
        self.fault: Fault | None = None
        self.accepted = False


class Ledger:
    """Append-only file of executions, both sides: 128-byte frames with a CRC. One writer.

    A write per batch into the page cache outlives the process; :meth:`sync` makes it outlive the machine.
    A torn tail is cut; a damaged frame in the middle is an error, since what follows could be missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        raw = np.fromfile(path, np.uint8)
        whole = raw.size // FRAME_BYTES
        #: What was in the file: EXECUTION rows, ``source`` OWN, COPY or ACCEPTED.
        cells = raw[: whole * FRAME_BYTES].reshape(whole, FRAME_BYTES)
        sound = int(count_sound(cells, whole))
        if any(int(count_sound(cells[later:], 1)) == 1 and cells[later].any() for later in range(sound + 1, whole)):
            os.close(self._fd)
            raise JournalError(
                f"{path}: frame {sound + 1} of {whole} is damaged but later ones are sound: restore the file, or move "
                f"it away and compare positions with the venue"
            )
        self.torn_bytes = int(raw.size) - sound * FRAME_BYTES
        if self.torn_bytes:
            os.ftruncate(self._fd, sound * FRAME_BYTES)
        self.rows = as_layout(cells[:sound].copy(), EXECUTION)

    def append(self, cells: npt.NDArray[np.uint8]) -> None:
        """Write frames (uint8[n, 128], sealed here)."""
        seal_frames(cells, 0, len(cells))
        data = cells.tobytes()
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise JournalError(f"{self.path}: {error}: free disk space and start again") from error
        if written != len(data):
            raise JournalError(f"{self.path}: {written} of {len(data)} bytes fitted: free disk space and start again")

    def rewrite(self, cells: npt.NDArray[np.uint8]) -> None:
        """Replace the whole file: what need not be remembered any more is left out."""
        temporary = self.path.with_suffix(".tmp")
        seal_frames(cells, 0, len(cells))
        temporary.write_bytes(cells.tobytes())
        os.chmod(temporary, 0o600)
        temporary.rename(self.path)
        os.close(self._fd)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def sync(self) -> None:
        """Force to the disk; blocking, any thread."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Reconciler:
    """Pairs executions by ExecID; times are nanoseconds of one clock, the caller's.

    Parameters
    ----------
    timeout_ns
        How long one side may be alone with an execution.
    ledger
        Where both sides are kept; what is in it already is taken up again, its clock starting ``now_ns``.
    """

    def __init__(self, timeout_ns: int, ledger: Ledger, now_ns: int) -> None:
        self.timeout_ns = timeout_ns
        self.matched = 0
        self.trades = 0  # of them, those that stand: busts take theirs back
        self.restored = 0  # standing trades that an earlier run had matched, as far as they are still known
        self.mismatched = 0
        self.resolved = 0  # mismatches that were explained by what came later
        self.lag = np.zeros(BUCKETS, np.int64)  # between the two sides, of matched executions
        self.open: dict[int, Mismatch] = {}
        self.latest: deque[str] = deque(maxlen=20)
        self.accepted = 0  # mismatches that a person has explained
        self.news: list[str] = []  # resolutions, for whoever speaks to people
        self._ledger = ledger
        self._known: dict[int, _Entry] = {}
        self._waiting: dict[int, int] = {}  # ExecID -> since when one side is alone with it
        self._settled: deque[int] = deque()
        self._found: list[Mismatch] = []
        self._listening_ns = -1
        self._picked = frames(_ROOM)
        self._picked_words = _words_of(self._picked)
        self._source: Any = None
        self._source_rows: Any = None
        self._source_words: Any = None
        self._restore(now_ns)

    @property
    def pending(self) -> int:
        """Executions that one side has not told yet."""
        return len(self._waiting)

    def lag_us(self) -> dict[str, float]:
        """Percentiles of the time between the two sides, in microseconds, over powers of two / 16."""
        total = int(self.lag.sum())
        cumulative = np.cumsum(self.lag)
        found: dict[str, float] = {"count": total}
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            place = int(np.searchsorted(cumulative, max(1.0, share * total)))
            found[name] = round(upper_bound_ns(min(place, BUCKETS - 1)) / 1000.0, 1) if total else 0.0
        return found

    # -- the two sides ---------------------------------------------------------------------------

    def own(self, session: int, cells: npt.NDArray[np.uint8], count: int, now_ns: int) -> Any:
        """Take ``count`` decoded frames of trading session ``session``; EXECUTION rows that were new."""
        return self._take(OWN, session, cells, count, now_ns)

    def copied(self, cells: npt.NDArray[np.uint8], count: int, now_ns: int) -> Any:
        """Take ``count`` decoded frames of the drop copy; EXECUTION rows that were new."""
        return self._take(COPY, -1, cells, count, now_ns)

    def _take(self, side: int, session: int, cells: npt.NDArray[np.uint8], count: int, now_ns: int) -> Any:
        if len(self._picked) < count:
            self._picked = frames(2 * count)
            self._picked_words = _words_of(self._picked)
        if cells is not self._source:  # a session decodes into one array all its life: its views are kept
            self._source, self._source_rows = cells, as_layout(cells, EXECUTION)
            self._source_words = _words_of(cells)
        found = pick_executions(self._source_rows, self._source_words, count, self._picked_words)
        if not found:
            return _NOTHING
        picked = self._picked[:found]
        rows = picked.reshape(-1).view(EXECUTION)
        rows["source"], rows["recv_ns"] = side, now_ns
        rows["session"] = session if session >= 0 else 0xFFFF
        fresh = [k for k in range(found) if self._note(side, session, rows[k].copy(), now_ns)]
        kept = picked[fresh] if len(fresh) != found else picked
        if len(kept):
            self._ledger.append(kept)
        return as_layout(kept.copy(), EXECUTION)

    def _note(self, side: int, session: int, row: Any, now_ns: int) -> bool:
        """Remember one side's word; False where it was known."""
        exec_id = int(row["exec_id"])
        entry = self._known.get(exec_id)
        if entry is None:
            entry = self._known[exec_id] = _Entry()
        before = entry.own if side == OWN else entry.copy
        if before is not None:
            words = difference(before, row)
            if words and entry.fault is None:
                who = "our session" if side == OWN else "the drop copy"
                self._mismatch(exec_id, entry, Fault.DIFFERENT, f"{who} told it twice, differently: {words}", row)
            return False
        if side == OWN:
            entry.own, entry.own_ns, entry.session = row, now_ns, session
            entry.change = self._change(exec_id, entry, row)
        else:
            entry.copy, entry.copy_ns = row, now_ns
        if entry.own is None or entry.copy is None:
            if not entry.accepted:
                self._waiting[exec_id] = now_ns
            return True
        self._pair(exec_id, entry)
        return True

    def change_of(self, exec_id: int) -> int:
        """How an execution of ours moves the position; 0 of one that is not known, or names what is not."""
        entry = self._known.get(exec_id)
        return entry.change if entry is not None else 0

    def _change(self, exec_id: int, entry: _Entry, row: Any) -> int:
        """Signed change of position by an execution of ours; an amendment's follows from the trade it amends.

        ExecRefID names a trade by its first or by its newest report: venues do either.
        """
        quantity = int(row["last_qty"])
        if int(row["exec_type"]) == _TRADE:
            entry.trade = _Trade(exec_id, int(row["side"]), quantity)
            return entry.trade.signed(quantity)
        ref = int(row["orig_cl_ord_id"])
        before = self._known.get(ref)
        trade = before.trade if before is not None else None
        bust = int(row["exec_type"]) == _BUST
        fault = _misplaced(trade, ref, row, bust)
        if fault:
            self._mismatch(exec_id, entry, Fault.UNPLACED, f"{fault} (ExecRefID {to_wire(ref)})", row)
        if trade is None:  # the step can only take the report's word for it: a bust's quantity, of a correction nothing
            return _Trade(ref, int(row["side"]), quantity).signed(-quantity) if bust else 0
        if trade.busted or ref not in (trade.first, trade.newest):
            return 0
        after = 0 if bust else quantity
        change, trade.quantity = trade.signed(after - trade.quantity), after
        trade.newest, trade.busted, entry.trade = exec_id, bust, trade
        return change

    def _pair(self, exec_id: int, entry: _Entry) -> None:
        self._waiting.pop(exec_id, None)
        late_ns = abs(entry.copy_ns - entry.own_ns)
        record(self.lag, late_ns)
        if words := difference(entry.own, entry.copy):
            self._mismatch(exec_id, entry, Fault.DIFFERENT, words, entry.own)
            return
        self.matched += 1
        kind = int(entry.own["exec_type"])
        self.trades += (kind == _TRADE) - (kind == _BUST)
        if entry.fault is not Fault.UNPLACED and self.open.pop(exec_id, None) is not None:
            entry.fault = None
            self.resolved += 1
            self.news.append(f"execution {to_wire(exec_id)} is now known to both sides, {late_ns / 1e9:.3f} s apart")
        # The two agree: the rows have said what they had to.
        entry.own = entry.copy = _digest(entry.own)
        self._settled.append(exec_id)
        if len(self._settled) > 2 * _KEPT_PAIRS:
            self._known.pop(self._settled.popleft(), None)

    # -- time ------------------------------------------------------------------------------------

    def check(self, now_ns: int, listening: bool) -> list[Mismatch]:
        """What has been found since the last call. ``listening``: both sides are up and nothing is missing."""
        if not listening:
            self._listening_ns = -1
        elif self._listening_ns < 0:
            self._listening_ns = now_ns
        if self._listening_ns >= 0:
            for exec_id, since_ns in list(self._waiting.items()):
                if now_ns - max(since_ns, self._listening_ns) >= self.timeout_ns:
                    self._overdue(exec_id)
        found, self._found = self._found, []
        return found

    def _overdue(self, exec_id: int) -> None:
        del self._waiting[exec_id]
        entry = self._known[exec_id]
        fault = Fault.NOT_COPIED if entry.copy is None else Fault.NOT_OURS
        row = entry.own if entry.own is not None else entry.copy
        self._mismatch(exec_id, entry, fault, f"not within {self.timeout_ns / 1e9:g} s", row)

    def _mismatch(self, exec_id: int, entry: _Entry, fault: Fault, words: str, row: Any) -> None:
        entry.fault = fault
        text = f"{fault.value}: {said(row)}: {words}"
        mismatch = Mismatch(fault, exec_id, entry.session, int(row["instrument"]), text)
        self.mismatched += 1
        self.open[exec_id] = mismatch
        self.latest.append(text)
        self._found.append(mismatch)

    def accept(self) -> int:
        """A person has explained what is open: it is not brought up again, here or after a restart. How many."""
        cells = frames(len(self.open))
        rows = as_layout(cells, EXECUTION)
        for k, exec_id in enumerate(self.open):
            self._known[exec_id].accepted = True
            rows[k]["kind"], rows[k]["source"], rows[k]["exec_id"] = _EXECUTION, ACCEPTED, exec_id
        if len(cells):
            self._ledger.append(cells)
        self.open.clear()
        self.accepted += len(cells)
        return len(cells)

    # -- over restarts ---------------------------------------------------------------------------

    def _restore(self, now_ns: int) -> None:
        """Take up what the ledger holds; rewrite it when most of it is settled history."""
        rows = self._ledger.rows
        for row in rows:
            if row["source"] == ACCEPTED:
                self._known.setdefault(int(row["exec_id"]), _Entry()).accepted = True
                self._waiting.pop(int(row["exec_id"]), None)
            else:
                session = int(row["session"]) if row["source"] == OWN else -1
                self._note(int(row["source"]), session, row.copy(), now_ns)
        self.restored = self.trades
        self.matched = self.trades = self.resolved = 0
        self.news.clear()
        self.lag[:] = 0
        for mismatch in self._found:  # of an earlier run, and said there; but not settled
            if self._known[mismatch.exec_id].accepted:
                self.open.pop(mismatch.exec_id, None)
        self._found = [mismatch for mismatch in self._found if mismatch.exec_id in self.open]
        self.mismatched = len(self.open)
        if len(rows) > 4 * _KEPT_PAIRS:
            self._compact(rows)

    def _compact(self, rows: Any) -> None:
        unsettled = np.array([*self._waiting, *self.open], np.uint64)
        keep = np.isin(rows["exec_id"], unsettled)
        keep[-2 * _KEPT_PAIRS :] = True
        kept = np.ascontiguousarray(rows[keep])
        for exec_id in set(rows["exec_id"][~keep].tolist()) - set(kept["exec_id"].tolist()):
            self._known.pop(exec_id, None)
        self._ledger.rewrite(kept.view(np.uint8).reshape(len(kept), FRAME_BYTES))


def difference(one: Any, other: Any) -> str:
    """What two rows about one ExecID tell differently; empty where nothing."""
    if isinstance(one, tuple) or isinstance(other, tuple):
        same = _digest(one) == _digest(other)
        return "" if same else "another content than the one that was matched"
    parts = [
        f"{name} {int(one[name])} and {int(other[name])}" for name in _COMPARED if int(one[name]) != int(other[name])
    ]
    here, there = int(one["instrument"]), int(other["instrument"])
    if here != there and NO_INSTRUMENT not in (here, there):
        parts.append(f"instrument {here} and {there}")
    return ", ".join(parts)


def _digest(row: Any) -> tuple[int, ...]:
    """All that is kept of a settled execution."""
    return row if isinstance(row, tuple) else tuple(int(row[name]) for name in _COMPARED)


def said(row: Any) -> str:
    """An execution for people."""
    if isinstance(row, tuple):
        return "an execution that was matched before"
    side = "sell" if int(row["side"]) == Side.SELL else "buy"
    kind = {_TRADE: "", _BUST: "bust of ", _CORRECT: "correction of "}.get(int(row["exec_type"]), "")
    ids = f"ExecID {to_wire(int(row['exec_id']))}, ClOrdID {to_wire(int(row['cl_ord_id']))}"
    return f"{kind}{side} {int(row['last_qty'])} ({ids})"
