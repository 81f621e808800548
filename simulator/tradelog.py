"""The venue's trade log: every report to a client and every trade, on disk before it is sent.

One file per venue, a sequence of 128-byte frames (``market.records``), each with its CRC-32C:

* INSTRUMENT frames: what the book numbers mean, once, at the start of the file;
* RUN_START: once per start of the venue; ``run`` is the epoch, part of every OrderID and ExecID;
* EXECUTION and CANCEL_REJECT frames: all reports to FIX clients, and both sides of *every* trade,
  also of participants without FIX, so that the log can be checked by double entry, and of every bust (H)
  or correction (G) of one, which names the report that it takes back in ``orig_cl_ord_id``. ``session`` is
  the participant, ``instrument`` the venue's book number, ``jseq`` the match number of a trade (the
  two sides share it), ``ts_ns`` simulated and ``recv_ns`` wall-clock UTC.

The position of a frame in the file (counted in frames, the first is 1) is the venue's reference
for it: message stores remember it, so that a report that was logged but not stored before a crash
is found again. A write per batch into the page cache survives the death of the process; ``sync``
makes it survive the machine.

``positions_and_cash`` counts a participant's position, cash and open orders from this file alone,
with none of the matching or risk code: the independent count of end-to-end checks.
"""

import contextlib
import fcntl
import hashlib
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from market import records
from market.crc import count_sound, seal_frames
from market.enums import ExecType, FrameKind, OrdStatus, Side
from simulator.errors import TradeLogError, VenueStateError

_LIVE_STATUS = (
    int(OrdStatus.NEW),
    int(OrdStatus.PARTIALLY_FILLED),
    int(OrdStatus.PENDING_CANCEL),
    int(OrdStatus.PENDING_REPLACE),
    int(OrdStatus.PENDING_NEW),
    int(OrdStatus.SUSPENDED),
)
PARTICIPANTS_FILE = "participants.json"  #: beside the log: CompID to participant number
_ABOUT_TRADES = (int(ExecType.TRADE), int(ExecType.TRADE_CORRECT), int(ExecType.TRADE_CANCEL))
_CASH_SCALE = 4  # cash is counted in 1/10000 of the currency
_READABLE_KINDS = (FrameKind.INSTRUMENT, FrameKind.RUN_START, FrameKind.EXECUTION, FrameKind.CANCEL_REJECT)


class LogContents(msgspec.Struct, frozen=True):
    """All sound frames of one trade log.

    Attributes
    ----------
    frames
        uint8[n, 128], every frame in file order; row ``k`` has position ``k + 1``.
    instruments
        INSTRUMENT rows, indexed by the venue's book number.
    runs
        RUN_START rows.
    torn_bytes
        Bytes behind the last sound frame: an append that a crash cut short.
    """

    frames: npt.NDArray[np.uint8]
    instruments: Any
    runs: Any
    torn_bytes: int

    @property
    def executions(self) -> Any:
        """EXECUTION rows (both kinds), file order."""
        kinds = self.frames.reshape(-1).view(records.HEADER)["kind"]
        wanted = (kinds == FrameKind.EXECUTION) | (kinds == FrameKind.CANCEL_REJECT)
        return self.frames[wanted].reshape(-1).view(records.EXECUTION)

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Position in the file of each row of :attr:`executions`."""
        kinds = self.frames.reshape(-1).view(records.HEADER)["kind"]
        wanted = (kinds == FrameKind.EXECUTION) | (kinds == FrameKind.CANCEL_REJECT)
        return np.flatnonzero(wanted).astype(np.int64) + 1


class OpenOrder(msgspec.Struct, frozen=True):
    """An order that the log says is still in the book; quantities in contracts."""

    order_id: int
    cl_ord_id: int
    instrument: int
    symbol: str
    side: int
    price_ticks: int
    order_qty: int
    leaves_qty: int
    cum_qty: int


class AccountCount(msgspec.Struct, frozen=True):
    """One participant's account at one venue, counted from its trade log.

    ``cash_e4`` is in 1/10000 of the currency and includes commission; positions are contracts or
    shares by symbol, zero positions of traded symbols included.
    """

    owner: int
    positions: dict[str, int]
    cash_e4: int
    commission_e4: int
    fills: int
    traded_qty: int
    open_orders: dict[int, OpenOrder]

    @property
    def cash(self) -> Decimal:
        """Cash in units of the currency, exact."""
        return Decimal(self.cash_e4).scaleb(-_CASH_SCALE)


def market_digest(instruments: Any) -> int:
    """63-bit digest of what the book numbers mean (symbol, multiplier, price scale, in order)."""
    digest = hashlib.sha256()
    for row in instruments:
        digest.update(f"{bytes(row['symbol'])!r}|{int(row['multiplier'])}|{int(row['price_scale'])}\n".encode())
    return int.from_bytes(digest.digest()[:8], "little") >> 1


def read_log(path: Path) -> LogContents:
    """Read and check a trade log; a torn tail is left out and counted.

    Raises
    ------
    TradeLogError
        A damaged frame stands before sound ones, or a frame is of a kind that no log holds:
        that is not a torn append, and nothing may be derived from the file.
    """
    raw = np.fromfile(path, np.uint8)
    whole = raw.size // records.FRAME_BYTES
    frames = raw[: whole * records.FRAME_BYTES].reshape(whole, records.FRAME_BYTES)
    sound = int(count_sound(frames, whole))
    for later in range(sound + 1, whole):
        if int(count_sound(frames[later:], 1)) == 1 and frames[later].any():
            raise TradeLogError(
                f"{path}: frame {sound + 1} of {whole} is damaged but frame {later + 1} is sound, so this is not a "
                "torn append; restore the file from a copy or move it away (the venue's history is then lost)"
            )
    frames = frames[:sound]
    kinds = frames.reshape(-1).view(records.HEADER)["kind"]
    if not np.isin(kinds, np.array(_READABLE_KINDS, np.uint16)).all():
        strange = int(kinds[~np.isin(kinds, np.array(_READABLE_KINDS, np.uint16))][0])
        raise TradeLogError(f"{path}: holds a frame of kind {strange}, which no trade log of this version holds")
    return LogContents(
        frames,
        frames[kinds == FrameKind.INSTRUMENT].reshape(-1).view(records.INSTRUMENT),
        frames[kinds == FrameKind.RUN_START].reshape(-1).view(records.RUN_START),
        int(raw.size - sound * records.FRAME_BYTES),
    )


def read_trades(path: Path) -> Any:
    """EXECUTION rows of all trades that stand, both sides of each, in file order: corrected ones as corrected."""
    return standing_trades(read_log(path).executions)


def standing_trades(executions: Any) -> Any:
    """The trades among EXECUTION rows that stand: neither busted nor replaced by a correction of theirs."""
    trades = executions[_is_trade(executions) | _is_amendment(executions, ExecType.TRADE_CORRECT)]
    amended = executions[
        _is_amendment(executions, ExecType.TRADE_CORRECT) | _is_amendment(executions, ExecType.TRADE_CANCEL)
    ]
    return trades[~np.isin(trades["exec_id"], amended["orig_cl_ord_id"])]


def participant_numbers(log_path: Path) -> dict[str, int]:
    """Participant number of each CompID that the venue of this log has ever known; empty before its first start.

    Raises
    ------
    VenueStateError
        The file beside the log is not what the venue wrote.
    """
    path = log_path.with_name(PARTICIPANTS_FILE)
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        text = f"{path}: must be a JSON object of CompID: number ({error}); restore or remove it"
        raise VenueStateError(text) from error


def positions_and_cash(path: Path, owner: int) -> AccountCount:
    """Count position, cash (fees included) and open orders of participant ``owner`` from the log."""
    return count_account(read_log(path), owner)


def count_account(contents: LogContents, owner: int) -> AccountCount:
    """Like :func:`positions_and_cash`, of a log that was read already."""
    executions = contents.executions
    mine = executions[executions["session"] == owner]
    trades = standing_trades(mine)
    positions: dict[str, int] = {}
    cash_e4 = 0
    for book in np.unique(trades["instrument"]):
        row = contents.instruments[int(book)]
        fills = trades[trades["instrument"] == book]
        signed = np.where(fills["side"] == Side.BUY, 1, -1).astype(np.int64) * fills["last_qty"].astype(np.int64)
        unit_e4 = int(row["multiplier"]) * 10 ** (_CASH_SCALE - int(row["price_scale"]))
        positions[_symbol(row)] = int(signed.sum())
        cash_e4 -= int((signed * fills["last_ticks"]).sum()) * unit_e4
    commission_e4 = int(trades["commission_e4"].sum())
    return AccountCount(
        owner=owner,
        positions=positions,
        cash_e4=cash_e4 - commission_e4,
        commission_e4=commission_e4,
        fills=len(trades),
        traded_qty=int(trades["last_qty"].sum()),
        open_orders=open_orders(contents, owner),
    )


def open_orders(contents: LogContents, owner: int) -> dict[int, OpenOrder]:
    """Orders of ``owner`` whose last report leaves them live, by OrderID, oldest first."""
    rows = contents.executions
    rows = rows[(rows["session"] == owner) & (rows["kind"] == FrameKind.EXECUTION) & (rows["order_id"] != 0)]
    rows = rows[(rows["flags"] & records.EXEC_QUOTE) == 0]  # a quote is entered without a report: none opens it
    _, from_end = np.unique(rows["order_id"][::-1], return_index=True)
    last = rows[np.sort(len(rows) - 1 - from_end)]
    live = last[np.isin(last["ord_status"], np.array(_LIVE_STATUS, np.uint8))]
    return {
        int(row["order_id"]): OpenOrder(
            order_id=int(row["order_id"]),
            cl_ord_id=int(row["cl_ord_id"]),
            instrument=int(row["instrument"]),
            symbol=_symbol(contents.instruments[int(row["instrument"])]),
            side=int(row["side"]),
            price_ticks=int(row["price_ticks"]),
            order_qty=int(row["order_qty"]),
            leaves_qty=int(row["leaves_qty"]),
            cum_qty=int(row["cum_qty"]),
        )
        for row in live
    }


def audit_trades(contents: LogContents) -> list[str]:
    """Check the trades by double entry; returns one line per finding, none when all is right.

    Every match number must stand on exactly two reports with one instrument, one quantity, one
    price and opposite sides, of two different participants (a self-trade is a finding), and no
    ExecID may occur twice. Busts and corrections come in pairs too, name a report of their own order
    under the same match number, and no report is taken back twice.
    """
    executions = contents.executions
    trades = executions[_is_trade(executions)]
    findings: list[str] = []
    sides: dict[int, list[Any]] = {}
    for row in trades:
        sides.setdefault(int(row["jseq"]), []).append(row)
    for match, rows in sides.items():
        if len(rows) != 2:
            findings.append(f"match {match}: {len(rows)} reports instead of 2")
            continue
        one, other = rows
        for field in ("instrument", "last_qty", "last_ticks"):
            if one[field] != other[field]:
                findings.append(f"match {match}: {field} is {one[field]} on one side and {other[field]} on the other")
        if one["side"] == other["side"]:
            findings.append(f"match {match}: both reports are of side {chr(one['side'])}")
        if one["session"] == other["session"]:
            findings.append(f"match {match}: self-trade of participant {one['session']}")
    findings += _audit_amendments(executions)
    exec_ids, counts = np.unique(executions["exec_id"], return_counts=True)
    repeated = counts > 1
    findings.extend(
        f"exec_id {int(i):016X} occurs {int(n)} times"
        for i, n in zip(exec_ids[repeated], counts[repeated], strict=True)
    )
    return findings


def _audit_amendments(executions: Any) -> list[str]:
    """Busts and corrections by double entry."""
    amendments = executions[
        _is_amendment(executions, ExecType.TRADE_CORRECT) | _is_amendment(executions, ExecType.TRADE_CANCEL)
    ]
    if not len(amendments):
        return []
    reports = {int(row["exec_id"]): row for row in executions if row["exec_type"] in _ABOUT_TRADES}
    findings: list[str] = []
    taken_back: set[int] = set()
    pairs: dict[tuple[int, int, int, int], int] = {}
    for row in amendments:
        number, ref = int(row["exec_id"]), int(row["orig_cl_ord_id"])
        before = reports.get(ref)
        if before is None or before["order_id"] != row["order_id"] or before["jseq"] != row["jseq"]:
            findings.append(f"exec_id {number:016X}: names {ref:016X}, which is no trade of its order")
        if ref in taken_back:
            findings.append(f"exec_id {ref:016X}: taken back twice")
        taken_back.add(ref)
        key = (int(row["jseq"]), int(row["exec_type"]), int(row["last_qty"]), int(row["last_ticks"]))
        pairs[key] = pairs.get(key, 0) + 1
    odd = [key for key, count in pairs.items() if count % 2]
    findings.extend(f"match {key[0]}: a {chr(key[1])} of one side only" for key in odd)
    return findings


def _is_amendment(executions: Any, exec_type: ExecType) -> Any:
    return (executions["kind"] == FrameKind.EXECUTION) & (executions["exec_type"] == exec_type)


def _is_trade(executions: Any) -> Any:
    return (executions["kind"] == FrameKind.EXECUTION) & (executions["exec_type"] == ExecType.TRADE)


def _symbol(row: Any) -> str:
    return bytes(row["symbol"]).rstrip(b"\0").decode("ascii")


class TradeLog:
    """Appends sealed frames to one venue's log; one writer, the venue's event loop.

    Parameters
    ----------
    path
        The file; made if absent. What is in it is checked, a torn tail is cut.
    instruments
        INSTRUMENT rows indexed by the venue's book number.
    seed
        Recorded in RUN_START, so that a log says by which seed its flow was made.

    Raises
    ------
    VenueStateError
        The file is of another market.
    TradeLogError
        The file is damaged, or cannot be written.
    """

    def __init__(self, path: Path, instruments: Any, *, seed: int = 0, now_ns: int = 0) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._failed = False
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise TradeLogError(f"{path}: another venue process writes to it; stop that one first") from error
        self.recovered = read_log(path)
        self.count = len(self.recovered.frames)
        self.run = 1 + max((int(row["run"]) for row in self.recovered.runs), default=0)
        if self.recovered.torn_bytes:
            os.ftruncate(self._fd, self.count * records.FRAME_BYTES)
        digest = market_digest(instruments)
        if self.count == 0:
            self.append(_instrument_frames(instruments), len(instruments))
        elif market_digest(self.recovered.instruments) != digest:
            raise VenueStateError(
                f"{path}: was written for {len(self.recovered.instruments)} instruments "
                f"(digest {market_digest(self.recovered.instruments):016X}), this venue lists {len(instruments)} "
                f"(digest {digest:016X}); use another state directory or remove this one"
            )
        start = records.frames(1)
        row = start.reshape(-1).view(records.RUN_START)
        row["kind"], row["run"], row["config_digest"], row["seed"] = FrameKind.RUN_START, self.run, digest, seed
        row["recv_ns"] = now_ns
        self.append(start, 1)

    def append(self, frames: npt.NDArray[np.uint8], count: int) -> int:
        """Seal and write the first ``count`` frames; returns the position of the first of them.

        Raises
        ------
        TradeLogError
            The disk is full or failing. What was written in part is cut off again; nothing may be
            sent of this batch, and no later append succeeds.
        """
        first = self.count + 1
        if count <= 0:
            return first
        if self._failed:
            raise TradeLogError(f"{self.path}: an earlier append failed; the venue must not go on")
        seal_frames(frames, 0, count)
        view = memoryview(frames[:count].reshape(-1).data)
        try:
            while view.nbytes:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self._failed = True
            with contextlib.suppress(OSError):  # a disk too ill for this: the next start cuts the torn tail
                os.ftruncate(self._fd, self.count * records.FRAME_BYTES)
            text = f"{self.path}: {error.strerror} while appending {count} frames; make room and restart"
            raise TradeLogError(text) from error
        self.count += count
        return first

    def sync(self) -> None:
        """Make everything appended so far survive a power cut; blocking, call it from a worker thread."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Sync and close; further appends fail."""
        if self._fd >= 0:
            os.fdatasync(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._failed = True


def _instrument_frames(instruments: Any) -> npt.NDArray[np.uint8]:
    frames = records.frames(max(1, len(instruments)))
    rows = frames.reshape(-1).view(records.INSTRUMENT)
    rows[: len(instruments)] = instruments
    rows["kind"] = FrameKind.INSTRUMENT
    rows["venue_index"] = np.arange(len(rows))
    return frames
