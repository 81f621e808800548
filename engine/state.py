"""All words the step reads and writes: flat tables in one NamedTuple, created once, never resized.

Everything here is a function of the journal: no pointers, no Python objects, no telemetry. A
snapshot is these arrays; a replay starts from one and must arrive at the same bytes.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from market import records
from market.ids import MAX_SLOTS
from market.records import INSTRUMENT, as_layout, frames, packed, table
from risk.limits import LIMIT_WORDS
from risk.state import RiskState, make_risk_state
from strategies.hedging import default_hedging
from strategies.quoting import default_quoting

MAX_SESSIONS = 16
MAX_UNDERLYINGS = 16
MAX_SOURCES = 32  # 16 rings and 16 FIX sessions that bring quotes, see market.rings.FIX_SOURCE
INPUT_FRAMES = 64
OUTPUT_FRAMES = 1 << 15
NO_SLOT = -1
MAX_FILLS = 1 << 13  # newest fills that a bust or correction can refer to
MASS_SLOT = MAX_SLOTS - 1  # ClOrdIDs of mass requests carry this slot: no order ever has it
STAMP_DECIDED, STAMP_GATED, STAMP_SENT, STAMP_WORDS = range(4)  # of one output row; the last is their number
SOURCE_VOID = -1  # TIMER.period_ns of a source whose books no longer hold: it was lapped or replaced

# words[...]: int64 scalars of the engine.
(
    W_RUN,
    W_SEQUENCE,  # last ClOrdID sequence used
    W_NOW,  # recv_ns of the frame in hand
    W_MARKET_NS,  # latest market time
    W_ARMED,
    W_DRAINING,
    W_OUT,  # frames in the output buffer
    W_FREE_HEAD,  # oldest free slot in the FIFO
    W_FREE_COUNT,
    W_INSTRUMENTS,
    W_UNDERLYINGS,
    W_DENIAL,  # code of the last submission: 0 sent
    W_STEPS,
    W_SENT,
    W_REPLACED,
    W_CANCELS,
    W_REJECTED,
    W_DENIED,
    W_FILLS,
    W_CONTRACTS,
    W_SHARES,
    W_OPEN,
    W_DUPLICATES,  # executions seen before
    W_REFRESH,
    W_ORPHANS,  # frames about instruments we do not know
    W_PRESENCE_ALLOWED,
    W_PRESENCE_TWO_SIDED,
    W_LAST_SAMPLE,
    W_UNKNOWN_EXEC,  # next place in the memory of unknown executions
    W_LOST_OUTPUT,  # output frames that found no room: always 0, asserted by the daemon
    W_NEXT_FILL,  # next place in the memory of fills
    W_AMENDED,  # fills busted or corrected
) = range(32)
ENGINE_WORDS = 64

BOOK = packed(
    [
        ("bid_ticks", "<i8"),
        ("bid_qty", "<i8"),
        ("ask_ticks", "<i8"),
        ("ask_qty", "<i8"),
        ("bid2_ticks", "<i8"),
        ("bid2_qty", "<i8"),
        ("ask2_ticks", "<i8"),
        ("ask2_qty", "<i8"),
        ("market_bid", "<i8"),  # best bid without our own order, ticks; 0 none
        ("market_ask", "<i8"),
        ("recv_ns", "<i8"),
        ("ts_ns", "<i8"),
        ("src_seq", "<u8"),
        ("status", "<i4"),  # TradingStatus
        ("source", "<i4"),
        ("said_status", "<i4"),  # TradingStatus by message (35=f) since the session's logon, 0 none
        ("pad", "<i4"),
    ]
)

SERIES = packed(
    [
        ("theo", "<f8"),
        ("delta", "<f8"),
        ("gamma", "<f8"),
        ("vega", "<f8"),
        ("theta", "<f8"),
        ("vol", "<f8"),
        ("spot_ref", "<f8"),
        ("years", "<f8"),
        ("theo_ns", "<i8"),
        ("half_spread", "<f8"),
        ("skew_per_lot", "<f8"),
        ("status", "<i4"),  # gpu.chain.theo.TheoStatus; -1 never priced
        ("bid_slot", "<i4"),
        ("ask_slot", "<i4"),
        ("dirty", "<i4"),  # requote at the next timer
        ("bid_denial", "<u4"),
        ("ask_denial", "<u4"),
        ("priceable", "<i4"),  # both sides can be shown: a bid below one tick cannot
        ("pad", "<i4"),
        ("bid_wait_ns", "<i8"),  # no new bid before: the venue rejected the last one
        ("ask_wait_ns", "<i8"),
        ("allowed_samples", "<i8"),
        ("present_samples", "<i8"),
    ]
)

ORDER_SLOT = packed(
    [
        ("cl_ord_id", "<u8"),  # acknowledged identity
        ("pending_id", "<u8"),  # of the cancel or replace in flight, 0 none
        ("first_id", "<u8"),  # ClOrdID it was sent with; every id of the order lies in first_id .. last_id
        ("last_id", "<u8"),  # of its newest request
        ("order_id", "<u8"),
        ("price_ticks", "<i8"),
        ("qty", "<i8"),  # OrderQty
        ("cum_qty", "<i8"),
        ("pending_ticks", "<i8"),
        ("pending_qty", "<i8"),
        ("counted", "<i8"),  # what risk counts as working for it
        ("sent_ns", "<i8"),
        ("cancel_refused_ns", "<i8"),  # when the venue last refused to cancel it, 0 never
        ("replace_refused_ns", "<i8"),
        ("adopted_ns", "<i8"),  # when it was taken over from the run before, 0 sent by this one
        ("recon", "<i8"),  # last status request that saw it
        ("instrument", "<i4"),
        ("session", "<i4"),
        ("side", "u1"),
        ("status", "u1"),  # OrdStatus
        ("tif", "u1"),
        ("purpose", "u1"),
        ("in_use", "<i4"),
        ("amended", "<i4"),  # busts and corrections: CumQty alone no longer tells a repeated fill
        ("pad", "<i4"),
    ]
)

#: One fill as it was counted, so that it can be taken back exactly.
FILL = packed(
    [
        ("exec_id", "<u8"),  # of the report that told it
        ("last_id", "<u8"),  # of the newest correction of it, or of its bust; ``exec_id`` before
        ("commission_e4", "<i8"),
        ("ticks", "<i8"),
        ("qty", "<i8"),
        ("edge", "<f8"),
        ("instrument", "<i4"),
        ("session", "<i4"),
        ("side", "u1"),
        ("state", "u1"),  # FILL_* below
        ("pad0", "<u2"),
        ("pad1", "<i4"),
    ]
)
FILL_NONE, FILL_STANDS, FILL_BUSTED = range(3)

UNDERLYING = packed(
    [
        ("instrument", "<i4"),
        ("risk_slot", "<i4"),
        ("hedge_slot", "<i4"),
        ("hedge_denial", "<u4"),  # of the last hedge, so that it is said once
        ("spot", "<f8"),
        ("spot_quoted", "<f8"),  # spot at the last requote of the whole chain
        ("spot_totals", "<f8"),  # spot at which the portfolio was last totalled
        ("spot_shift", "<f8"),
        ("vol_shift", "<f8"),
        ("hedge_ns", "<i8"),
    ]
)

LINK = packed(
    [
        ("state", "<i4"),  # SessionState
        ("adopt", "<i4"),  # 1: keep open orders found on start
        ("recon", "<i8"),  # number of the status request in flight, 0 none
        ("recon_id", "<u8"),  # its MassStatusReqID: reports of an older request are not its answer
        ("recon_ns", "<i8"),
        ("recon_corrected", "<i8"),
        ("recon_count", "<i8"),
        ("defined", "<i4"),
        ("pad", "<i4"),
    ]
)

LEDGER = packed(
    [
        ("cash_e4", "<i8"),  # -sum(signed qty * price * multiplier), in 1/10000 of the currency
        ("fees_e4", "<i8"),
        ("bought", "<i8"),
        ("sold", "<i8"),
        ("fills", "<i8"),
        ("edge", "<f8"),  # sum of (theo - price) * signed qty * multiplier at the time of the fill
    ]
)


class Inputs(NamedTuple):
    """Typed views over one scratch buffer of frames."""

    cells: npt.NDArray[np.int64]
    header: Any
    quote: Any
    execution: Any
    control: Any
    timer: Any
    theo: Any
    commit: Any
    instrument: Any
    session: Any
    run_start: Any
    security_status: Any


class Outputs(NamedTuple):
    """Typed views over the step's output buffer; ``words[W_OUT]`` frames stand in it."""

    cells: npt.NDArray[np.int64]
    header: Any
    order: Any
    event: Any
    stamps: npt.NDArray[np.int64]  # [STAMP_WORDS * OUTPUT_FRAMES] monotonic clock: STAMP_* of each row


class Engine(NamedTuple):
    """The whole state of the step. Written by the step thread alone."""

    words: npt.NDArray[np.int64]
    instruments: Any  # INSTRUMENT[capacity]
    books: Any  # BOOK[capacity]
    series: Any  # SERIES[capacity]
    ledger: Any  # LEDGER[capacity]
    orders: Any  # ORDER_SLOT[max_orders]
    free: npt.NDArray[np.int32]  # FIFO of free slots
    underlyings: Any  # UNDERLYING[16]
    underlying_of: npt.NDArray[np.int32]  # instrument -> row of underlyings, -1 unknown
    links: Any  # LINK[16]
    source_ns: npt.NDArray[np.int64]  # recv_ns at which each source was last known alive
    unknown_execs: npt.NDArray[np.uint64]  # ExecIDs of unknown fills already counted
    fills: Any  # FILL[MAX_FILLS], a ring
    quoting: npt.NDArray[np.float64]  # strategies.quoting.QuotingParam
    hedging: npt.NDArray[np.float64]  # strategies.hedging.HedgingParam
    options: npt.NDArray[np.float64]  # O_* below
    profile_limits: npt.NDArray[np.float64]  # limits as the profile of this run gives them
    risk: RiskState
    inputs: Inputs
    outputs: Outputs


# options[...]: what the configuration decides once a run.
(
    O_QUOTING,
    O_HEDGING,
    O_REPLACE_INTERVAL_NS,
    O_HEDGE_INTERVAL_NS,
    O_STUCK_NS,
    O_REQUOTE_FRACTION,
    O_REASK_NS,
) = range(7)
OPTION_WORDS = 16

_TRANSIENT = ("inputs", "outputs")


def make_engine(max_instruments: int, max_orders: int) -> Engine:
    """Allocate a fresh, disarmed state for ``max_instruments`` (<= 65536) and ``max_orders`` (< 65535)."""
    raw_in, raw_out = frames(INPUT_FRAMES), frames(OUTPUT_FRAMES)
    engine = Engine(
        words=np.zeros(ENGINE_WORDS, np.int64),
        instruments=table(INSTRUMENT, max_instruments),
        books=table(BOOK, max_instruments),
        series=table(SERIES, max_instruments),
        ledger=table(LEDGER, max_instruments),
        orders=table(ORDER_SLOT, max_orders),
        free=np.arange(max_orders, dtype=np.int32),
        underlyings=table(UNDERLYING, MAX_UNDERLYINGS),
        underlying_of=np.full(max_instruments, -1, np.int32),
        links=table(LINK, MAX_SESSIONS),
        source_ns=np.zeros(MAX_SOURCES, np.int64),
        unknown_execs=np.zeros(1024, np.uint64),
        fills=table(FILL, MAX_FILLS),
        quoting=default_quoting(),
        hedging=default_hedging(),
        options=np.zeros(OPTION_WORDS, np.float64),
        profile_limits=np.zeros(LIMIT_WORDS, np.float64),
        risk=make_risk_state(max_instruments, MAX_UNDERLYINGS, MAX_SESSIONS),
        inputs=Inputs(raw_in.view(np.int64), *(as_layout(raw_in, layout) for layout in _INPUT_LAYOUTS)),
        outputs=Outputs(
            raw_out.view(np.int64),
            header=as_layout(raw_out, records.HEADER),
            order=as_layout(raw_out, records.ORDER),
            event=as_layout(raw_out, records.EVENT),
            stamps=np.zeros(STAMP_WORDS * OUTPUT_FRAMES, np.int64),
        ),
    )
    engine.words[W_FREE_COUNT] = max_orders
    engine.series["status"] = -1
    engine.series["bid_slot"] = NO_SLOT
    engine.series["ask_slot"] = NO_SLOT
    engine.underlyings["hedge_slot"] = NO_SLOT
    return engine


_INPUT_LAYOUTS = (
    records.HEADER,
    records.QUOTE,
    records.EXECUTION,
    records.CONTROL,
    records.TIMER,
    records.THEO,
    records.THEO_COMMIT,
    records.INSTRUMENT,
    records.SESSION,
    records.RUN_START,
    records.SECURITY_STATUS,
)


def durable_arrays(engine: Engine) -> dict[str, npt.NDArray[Any]]:
    """Every array of the state by name, nested tuples flattened; what a snapshot holds."""
    found: dict[str, npt.NDArray[Any]] = {}
    for name, value in engine._asdict().items():
        if name in _TRANSIENT:
            continue
        if isinstance(value, tuple):
            for inner, array in value._asdict().items():  # type: ignore[attr-defined]
                found[f"{name}.{inner}"] = array
        else:
            found[name] = value
    return found
