"""The 128-byte frames: at once the memory, the shared-memory message and the journal's bytes.

Every frame opens with the same 32-byte header and carries 96 bytes of its own. Layouts are numpy
structured dtypes, little-endian, each field aligned to its size; ``test_records.py`` pins every
offset, because journals on disk depend on them. Units: prices int64 in the instrument's price
unit (``*_ticks``), quantities int64 contracts or shares, times int64 nanoseconds since the UTC
epoch, money float64 in the instrument's currency.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from market.jit import JIT_ENABLED

FRAME_BYTES = 128
HEADER_BYTES = 32
SYMBOL_BYTES = 24
NO_INSTRUMENT = 0xFFFFFFFF  #: instrument number of a frame about none, or an unknown one

_HEADER: list[tuple[str, str]] = [
    ("kind", "<u2"),  # FrameKind
    ("source", "<u2"),  # ring, session or thread that the frame came from
    ("crc", "<u4"),  # CRC-32C of bytes 8..127; written by the journal, 0 elsewhere
    ("jseq", "<u8"),  # position in the journal; 0 outside it
    ("ts_ns", "<i8"),  # when it happened, by the source's clock
    ("recv_ns", "<i8"),  # when the step thread took it: the step's only notion of now
]


def packed(fields: list[tuple[str, str]], itemsize: int = 0) -> np.dtype[Any]:
    """Structured dtype without padding fields (numba refuses void fields); ``itemsize`` bytes in all."""
    natural = np.dtype(fields)
    if itemsize and natural.itemsize > itemsize:
        raise ValueError(f"record of {natural.itemsize} bytes exceeds {itemsize}")
    offsets = [natural.fields[name][1] for name, _ in fields]  # type: ignore[index]
    return np.dtype(
        {
            "names": [name for name, _ in fields],
            "formats": [form for _, form in fields],
            "offsets": offsets,
            "itemsize": itemsize or natural.itemsize,
        }
    )


def _frame(*body: tuple[str, str]) -> np.dtype[Any]:
    """Header + body in 128 bytes."""
    return packed([*_HEADER, *body], FRAME_BYTES)


#: Any frame, header only.
HEADER = _frame()

#: Two levels of the book of one instrument. A quantity of 0 means that the level is empty.
#: Two levels, so that the reader can take its own order out of the top of the book.
QUOTE = _frame(
    ("instrument", "<u4"),
    ("status", "<u4"),  # TradingStatus
    ("bid_ticks", "<i8"),
    ("bid_qty", "<i8"),
    ("ask_ticks", "<i8"),
    ("ask_qty", "<i8"),
    ("bid2_ticks", "<i8"),
    ("bid2_qty", "<i8"),
    ("ask2_ticks", "<i8"),
    ("ask2_qty", "<i8"),
    ("src_seq", "<u8"),  # the source's own sequence, for gaps
    ("last_ticks", "<i8"),
)

#: A trade printed by a venue.
TRADE = _frame(
    ("instrument", "<u4"),
    ("aggressor", "u1"),  # Side, 0 unknown
    ("pad0", "u1"),
    ("pad1", "<u2"),
    ("price_ticks", "<i8"),
    ("qty", "<i8"),
    ("trade_id", "<u8"),
    ("src_seq", "<u8"),
)

#: An order command: leaves the step (client) or arrives at the matching engine (venue).
ORDER = _frame(
    ("instrument", "<u4"),
    ("session", "<u2"),
    ("side", "u1"),
    ("ord_type", "u1"),
    ("tif", "u1"),
    ("action", "u1"),  # OrderAction
    ("post_only", "u1"),
    ("purpose", "u1"),  # strategies: quote, hedge, ... (engine.step)
    ("owner", "<u4"),  # venue side: the participant; client side: 0
    ("cl_ord_id", "<u8"),
    ("orig_cl_ord_id", "<u8"),  # of a CANCEL or REPLACE
    ("price_ticks", "<i8"),
    ("qty", "<i8"),  # OrderQty: total, as FIX has it, also on a REPLACE
    ("order_id", "<u8"),  # the venue's, where known
    ("tick_ns", "<i8"),  # recv_ns of the frame that caused it
    ("msg_seq", "<u8"),  # MsgSeqNum it arrived with (venue side)
    ("slot", "<i4"),  # client side: slot in the order arena
    ("reason", "<u4"),
)

#: One entry of a mass quote (35=i): both sides of one series. An ORDER frame with action QUOTE, whose
#: shared fields stand at the same offsets, so that it travels wherever commands do. A quantity of 0
#: takes that side out of the market.
QUOTE_ENTRY = _frame(
    ("instrument", "<u4"),
    ("session", "<u2"),
    ("pad0", "<u2"),
    ("pad1", "u1"),
    ("action", "u1"),  # OrderAction.QUOTE
    ("last_entry", "u1"),  # 1 on the last of its message
    ("pad2", "u1"),
    ("owner", "<u4"),  # venue side: the participant
    ("quote_id", "<u8"),  # QuoteID(117)
    ("entry_id", "<u8"),  # QuoteEntryID(299)
    ("bid_ticks", "<i8"),
    ("bid_qty", "<i8"),
    ("ask_ticks", "<i8"),
    ("ask_qty", "<i8"),
    ("msg_seq", "<u8"),
    ("set_id", "<u4"),  # QuoteSetID(302)
    ("reason", "<u4"),  # venue side: QuoteEntryRejectReason(368) it was refused with, 0 taken
    ("underlying", "<u4"),  # instrument number of UnderlyingSymbol(311); NO_INSTRUMENT: not said
    ("ticket", "<u4"),  # venue side: number of the answer that it belongs to
)

#: What a venue says of an order: 35=8, and 35=9 as kind CANCEL_REJECT (then ``reason`` is CxlRejReason).
#: What a field carries may depend on who holds the row and on its type:
#: ``orig_cl_ord_id`` is MassStatusReqID(584) of an ORDER_STATUS, ExecRefID(19) of a TRADE_CANCEL or
#: TRADE_CORRECT (the report that it takes back or corrects), QuoteEntryID with EXEC_QUOTE;
#: ``msg_seq`` is, on the venue's side, the order's notional in ticks x contracts, for AvgPx(6).
EXECUTION = _frame(
    ("instrument", "<u4"),
    ("session", "<u2"),
    ("side", "u1"),
    ("exec_type", "u1"),  # ExecType
    ("ord_status", "u1"),  # OrdStatus
    ("poss_dup", "u1"),
    ("last_report", "u1"),  # LastRptRequested(912) = Y on ORDER_STATUS reports
    ("flags", "u1"),  # EXEC_* bits below
    ("reason", "<u2"),  # OrdRejReason / CxlRejReason
    ("tot_reports", "<u2"),  # TotNumReports(911), capped
    ("cl_ord_id", "<u8"),
    ("orig_cl_ord_id", "<u8"),
    ("order_id", "<u8"),
    ("exec_id", "<u8"),
    ("msg_seq", "<u8"),
    ("price_ticks", "<i8"),
    ("last_ticks", "<i8"),
    ("last_qty", "<i4"),
    ("order_qty", "<i4"),
    ("leaves_qty", "<i4"),
    ("cum_qty", "<i4"),
    ("commission_e4", "<i8"),  # Commission(12) of this fill, in 1/10000 of the currency; paid > 0
)

EXEC_UNKNOWN_SYMBOL = 1  #: Symbol(55) is not in our instrument master
EXEC_BAD_VALUE = 2  #: a negative or unreadable quantity or price: the numeric fields are zero
EXEC_FOREIGN_ID = 4  #: ClOrdID is not one of ours (not 16 hex digits)
EXEC_QUOTE = 8  #: about a side of a mass quote: ``cl_ord_id`` is its QuoteID

#: An operator's or a thread's request; see ControlVerb.
CONTROL = _frame(
    ("verb", "<u2"),
    ("scope", "<u2"),  # ScopeKind
    ("target", "<u4"),  # instrument, underlying or session index
    ("limit", "<u4"),  # risk.limits.Limit
    ("actor_uid", "<u4"),
    ("value", "<f8"),
    ("request_id", "<u8"),
    ("digest", "<u8"),  # of the reason's text, which stands in the audit log
)

#: A tick of the driver's clock; ``period_ns`` is what was asked for.
TIMER = _frame(("timer", "<u4"), ("pad0", "<u4"), ("period_ns", "<i8"), ("wall_ns", "<i8"))

#: One series' theoretical value, from the Greeks thread. Greeks in ARCHITECTURE's units.
THEO = _frame(
    ("instrument", "<u4"),
    ("status", "<u4"),  # gpu.chain.theo.TheoStatus; 0 is OK
    ("theo", "<f8"),
    ("delta", "<f8"),
    ("gamma", "<f8"),
    ("vega", "<f8"),
    ("theta", "<f8"),
    ("vol", "<f8"),
    ("spot_ref", "<f8"),  # underlying at which it was computed
    ("refresh", "<u8"),  # which refresh it belongs to
    ("years", "<f8"),
)

#: Closes a refresh.
THEO_COMMIT = _frame(("refresh", "<u8"), ("rows", "<u4"), ("underlying", "<u4"), ("spot_ref", "<f8"))

#: Defines instrument number ``instrument``; see instruments.py.
INSTRUMENT = _frame(
    ("instrument", "<u4"),
    ("underlying", "<u4"),  # its own number for an EQUITY
    ("security", "u1"),  # SecurityKind
    ("right", "i1"),  # Right
    ("style", "u1"),  # ExerciseStyle
    ("price_scale", "u1"),  # the price unit is 10**-price_scale
    ("session", "<u2"),  # which FIX session trades it
    ("tick_rule", "<u2"),  # instruments.TickRule
    ("multiplier", "<i4"),
    ("venue_index", "<u4"),  # its number in the venue's own market data
    ("strike", "<f8"),
    ("expiry_ns", "<i8"),
    ("symbol", f"S{SYMBOL_BYTES}"),
)

#: A session went up, down or was reconciled.
SESSION = _frame(
    ("session", "<u2"),
    ("state", "<u2"),  # SessionState
    ("reason", "<u4"),
    ("next_in", "<u8"),
    ("next_out", "<u8"),
)

#: A venue said by message that an instrument is halted, open or closed.
SECURITY_STATUS = _frame(
    ("instrument", "<u4"),
    ("status", "<u4"),  # TradingStatus
    ("session", "<u2"),
    ("pad0", "<u2"),
    ("msg_seq", "<u4"),
)

#: First frame of a run.
RUN_START = _frame(("run", "<u8"), ("config_digest", "<u8"), ("seed", "<u8"))

#: What the step has to say to people: denials, alerts, state changes.
EVENT = _frame(
    ("code", "<u4"),  # risk.denials.Denial or engine.events.EventCode
    ("scope", "<u4"),
    ("target", "<u4"),
    ("origin", "<u4"),
    ("cl_ord_id", "<u8"),
    ("value", "<f8"),
    ("bound", "<f8"),
    ("ref", "<u8"),
)

#: The times of the tick that made an order, in step time; 0 where a stage was not passed or not seen.
#: Follows the order in the journal. Telemetry: a replay neither reads nor reproduces it.
STAMPS = _frame(
    ("cl_ord_id", "<u8"),
    ("slot", "<i4"),
    ("session", "<u2"),
    ("hot", "<u2"),  # 1: the step's own thread has sent it
    ("venue_ns", "<i8"),  # the frame's own time, by the market's clock
    ("ring_ns", "<i8"),  # its publisher put it into the ring
    ("read_ns", "<i8"),  # the step took it
    ("decided_ns", "<i8"),  # what to ask for was known
    ("gated_ns", "<i8"),  # risk had let it pass
    ("sent_ns", "<i8"),  # send() had returned; 0 where asyncio sends
)

LAYOUTS: dict[str, np.dtype[Any]] = {
    "HEADER": HEADER, "QUOTE": QUOTE, "TRADE": TRADE, "ORDER": ORDER, "EXECUTION": EXECUTION,
    "CONTROL": CONTROL, "TIMER": TIMER, "THEO": THEO, "THEO_COMMIT": THEO_COMMIT,
    "INSTRUMENT": INSTRUMENT, "SESSION": SESSION, "RUN_START": RUN_START, "EVENT": EVENT,
    "QUOTE_ENTRY": QUOTE_ENTRY, "SECURITY_STATUS": SECURITY_STATUS, "STAMPS": STAMPS,
}  # fmt: skip


def frames(count: int) -> npt.NDArray[np.uint8]:
    """Return ``count`` zeroed frames as uint8[count, 128]; view rows through :func:`as_layout`."""
    return np.zeros((count, FRAME_BYTES), np.uint8)


def as_layout(buffer: npt.NDArray[Any], layout: np.dtype[Any]) -> Any:
    """View contiguous frame bytes (uint8[n, 128] or uint8[n*128]) as ``layout``[n], no copy.

    With the JIT off the view is a recarray, so that ``rows[i].field`` works in plain Python as it
    does in a kernel.
    """
    view = buffer.reshape(-1).view(layout)
    return view if JIT_ENABLED else view.view(np.recarray)


def table(layout: np.dtype[Any], count: int) -> Any:
    """Zeroed ``layout``[count] for kernels; a recarray when the JIT is off."""
    rows = np.zeros(count, layout)
    return rows if JIT_ENABLED else rows.view(np.recarray)
