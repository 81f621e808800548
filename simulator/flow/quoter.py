"""Two-sided quotes kept in the books: what a participant wants against what it has.

The replay participant and the generated market's makers differ only in what they want. Here lies
the rest: one slot per (maker, instrument, side) holds the wanted price and size beside the live
order, and one pass over the slots turns the differences into order commands.

* A slot with a command under way is *busy* and stays untouched until its report: nothing is sent
  twice, however late reports come.
* Retreating sides go first and a side that would still meet its own other side waits, so that a
  participant never trades with itself, nor makers with each other's stale quotes.
* A fill refills after a delay, a price change at once.

Every identifier carries its slot in the low 24 bits, so a report finds its slot without a search.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from market.enums import ExecType, FrameKind, OrderAction, OrdStatus, OrdType, Side, TimeInForce
from market.jit import kernel
from market.records import packed, table

SLOT_BITS = 24
_SLOT_MASK = (1 << SLOT_BITS) - 1

IDLE = 0
LIVE = 1
BUSY_NEW = 2
BUSY_REPLACE = 3
BUSY_CANCEL = 4

_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_LIMIT, _DAY = int(OrdType.LIMIT), int(TimeInForce.DAY)
_NEW, _CANCEL, _REPLACE = int(OrderAction.NEW), int(OrderAction.CANCEL), int(OrderAction.REPLACE)
_ORDER, _EXECUTION, _CANCEL_REJECT = int(FrameKind.ORDER), int(FrameKind.EXECUTION), int(FrameKind.CANCEL_REJECT)
_X_NEW, _X_REPLACED, _X_TRADE = int(ExecType.NEW), int(ExecType.REPLACED), int(ExecType.TRADE)
_X_CANCELED, _X_EXPIRED, _X_REJECTED = int(ExecType.CANCELED), int(ExecType.EXPIRED), int(ExecType.REJECTED)
_S_NEW, _S_PARTIAL = int(OrdStatus.NEW), int(OrdStatus.PARTIALLY_FILLED)

#: One side of one maker's quote in one instrument.
SLOT = packed(
    [
        ("want_ticks", "<i8"),
        ("want_qty", "<i8"),  # 0: no quote wanted
        ("live_ticks", "<i8"),  # kept after a fill: tells whether the price has moved since
        ("leaves_qty", "<i8"),
        ("cum_qty", "<i8"),
        ("cl_ord_id", "<u8"),
        ("order_id", "<u8"),
        ("pending_id", "<u8"),  # of the command under way
        ("pending_ticks", "<i8"),
        ("not_before_ns", "<i8"),  # no refill earlier than this, unless the price moves
        ("state", "<i8"),
    ]
)

# Words of ``meta``.
_SEQUENCE, _REPORTS_IGNORED, _FILLS, _META_WORDS = 0, 1, 2, 4


@kernel(inline=True)
def write_order(
    out: Any, k: int, now_ns: int, owner: int, instrument: int, side: int, tif: int, action: int,
    cl_ord_id: Any, orig_id: Any, order_id: Any, price_ticks: int, qty: int,
) -> None:  # fmt: skip
    """Fill ORDER row ``k`` completely: the table is used again each step."""
    out[k].kind = _ORDER
    out[k].source = owner
    out[k].crc = 0
    out[k].jseq = 0
    out[k].ts_ns = now_ns
    out[k].recv_ns = now_ns
    out[k].instrument = instrument
    out[k].session = owner
    out[k].side = side
    out[k].ord_type = _LIMIT
    out[k].tif = tif
    out[k].action = action
    out[k].post_only = 0
    out[k].purpose = 0
    out[k].owner = owner
    out[k].cl_ord_id = cl_ord_id
    out[k].orig_cl_ord_id = orig_id
    out[k].price_ticks = price_ticks
    out[k].qty = qty
    out[k].order_id = order_id
    out[k].tick_ns = now_ns
    out[k].msg_seq = 0
    out[k].slot = 0
    out[k].reason = 0


@kernel(inline=True)
def _exposed_ticks(slots: Any, s: int) -> int:
    """Price at which slot ``s`` rests once everything sent so far has been applied; -1 for none."""
    state = slots[s].state
    if state in (IDLE, BUSY_CANCEL):
        return -1
    return slots[s].live_ticks if state == LIVE else slots[s].pending_ticks  # type: ignore[no-any-return]


@kernel
def _emit_side(
    slots: Any, s: int, want: int, owner: int, instrument: int, now_ns: int, out: Any, k: int, meta: Any
) -> int:
    """Write the command that brings slot ``s`` to ``want`` contracts, if one is due; return the row count."""
    state = slots[s].state
    side = _SELL if s & 1 else _BUY
    ticks = slots[s].want_ticks
    moved = ticks != slots[s].live_ticks
    due = moved or now_ns >= slots[s].not_before_ns
    if state == IDLE:
        action = _NEW
        if not due:
            return k
    elif want == 0:
        action = _CANCEL
    else:
        action = _REPLACE
        leaves = slots[s].leaves_qty
        if not moved and (leaves == want or (leaves < want and not due)):
            return k
    if action != _CANCEL:
        other = _exposed_ticks(slots, s ^ 1)
        if other >= 0 and ((side == _BUY and ticks >= other) or (side == _SELL and ticks <= other)):
            return k  # would meet our own order: the other side has to move first
    meta[_SEQUENCE] += 1
    identifier = np.uint64((meta[_SEQUENCE] << SLOT_BITS) | s)
    if action == _NEW:
        write_order(
            out, k, now_ns, owner, instrument, side, _DAY, action, identifier, np.uint64(0), np.uint64(0), ticks, want
        )
        slots[s].state = BUSY_NEW
    else:
        qty = slots[s].cum_qty + want if action == _REPLACE else slots[s].cum_qty + slots[s].leaves_qty
        price = ticks if action == _REPLACE else slots[s].live_ticks
        write_order(
            out, k, now_ns, owner, instrument, side, _DAY, action, identifier,
            slots[s].cl_ord_id, slots[s].order_id, price, qty,
        )  # fmt: skip
        slots[s].state = BUSY_REPLACE if action == _REPLACE else BUSY_CANCEL
    slots[s].pending_id = identifier
    slots[s].pending_ticks = ticks
    return k + 1


@kernel(inline=True)
def _difference(slots: Any, s: int, want: int) -> int:
    """0 nothing to do for slot ``s``, 1 its order retreats or leaves, 2 anything else."""
    state = slots[s].state
    if state > LIVE:
        return 0
    if state == IDLE:
        return 2 if want > 0 else 0
    if want == 0:
        return 1
    away = slots[s].want_ticks - slots[s].live_ticks
    if away == 0:
        return 2 if want != slots[s].leaves_qty else 0
    if s & 1:
        away = -away
    return 1 if away < 0 else 2


@kernel
def emit_quotes(slots: Any, listed: Any, expiry_ns: Any, first_owner: int, now_ns: int, out: Any, meta: Any) -> int:
    """Write all commands that are due to ORDER[m] ``out``; return how many.

    ``slots`` SLOT[makers * n * 2] ordered by maker, instrument, side (bid, ask); ``listed`` uint8[n];
    ``expiry_ns`` int64[n], an instrument expired at ``now_ns`` is withdrawn. First come the sides of
    all makers that retreat, then those that advance: when the fair value jumps, no maker runs into
    another one's old quote. When ``out`` is full the rest waits for the next call.
    ~5 ns per quiet slot. Called by the thread that owns the flow.
    """
    n = listed.shape[0]
    k = 0
    for phase in range(1, 3):
        for maker in range(slots.shape[0] // (2 * n)):
            for instrument in range(n):
                if listed[instrument] == 0:
                    continue
                alive = now_ns < expiry_ns[instrument]
                first = 2 * (maker * n + instrument)
                for s in range(first, first + 2):
                    want = slots[s].want_qty if alive else 0
                    if _difference(slots, s, want) == phase:
                        if k == out.shape[0]:
                            return k
                        k = _emit_side(slots, s, want, first_owner + maker, instrument, now_ns, out, k, meta)
    return k


@kernel(inline=True)
def _retire(slots: Any, s: int, not_before_ns: int) -> None:
    """The order of slot ``s`` is gone."""
    slots[s].state = IDLE
    slots[s].leaves_qty = 0
    slots[s].cum_qty = 0
    slots[s].cl_ord_id = np.uint64(0)
    slots[s].order_id = np.uint64(0)
    slots[s].pending_id = np.uint64(0)
    slots[s].not_before_ns = not_before_ns


@kernel(inline=True)
def _absorb(slots: Any, s: int, report: Any, now_ns: int, refill_ns: int) -> None:
    """Take one report of slot ``s``, of its order or of its command under way."""
    what = report.exec_type
    pending = report.cl_ord_id == slots[s].pending_id
    if report.kind == _CANCEL_REJECT:
        alive = slots[s].leaves_qty > 0 and report.ord_status in (_S_NEW, _S_PARTIAL)
        slots[s].pending_id = np.uint64(0)
        slots[s].not_before_ns = now_ns + refill_ns
        if alive:
            slots[s].state = LIVE
        else:
            _retire(slots, s, now_ns + refill_ns)
    elif what in (_X_NEW, _X_REPLACED):
        slots[s].cl_ord_id = report.cl_ord_id
        slots[s].order_id = report.order_id
        slots[s].live_ticks = report.price_ticks
        slots[s].leaves_qty = report.leaves_qty
        slots[s].cum_qty = report.cum_qty
        if pending:  # otherwise unasked, e.g. decremented by self-trade prevention
            slots[s].pending_id = np.uint64(0)
            slots[s].state = LIVE
    elif what == _X_TRADE:
        slots[s].leaves_qty = report.leaves_qty
        slots[s].cum_qty = report.cum_qty
        slots[s].not_before_ns = now_ns + refill_ns
        # With a replace or cancel under way its reject is still to come and retires the slot.
        if slots[s].leaves_qty <= 0 and slots[s].state == LIVE:
            _retire(slots, s, now_ns + refill_ns)
    elif what in (_X_CANCELED, _X_EXPIRED):
        _retire(slots, s, now_ns if pending else now_ns + refill_ns)
    elif what == _X_REJECTED and pending:
        slots[s].live_ticks = slots[s].pending_ticks  # the same price is refused again until refill_ns have passed
        _retire(slots, s, now_ns + refill_ns)


@kernel
def absorb_reports(
    slots: Any, position: Any, executions: Any, count: int, first_owner: int, makers: int, now_ns: int, refill_ns: int,
    meta: Any,
) -> None:  # fmt: skip
    """Take ``count`` EXECUTION rows into the slots; ``position`` int64[makers * n] counts contracts.

    Reports of other owners and of orders that a slot no longer holds are passed over (the latter
    counted). A traded or refused quote is not refilled at the same price before ``now_ns + refill_ns``.
    ~10 ns per report.
    """
    for i in range(count):
        owner = int(executions[i].session)
        if owner < first_owner or owner >= first_owner + makers:
            continue
        identifier = executions[i].cl_ord_id
        s = np.int64(identifier) & _SLOT_MASK
        known = identifier != 0 and s < slots.shape[0]
        if not known or (identifier != slots[s].cl_ord_id and identifier != slots[s].pending_id):
            meta[_REPORTS_IGNORED] += 1
            continue
        if executions[i].kind == _EXECUTION and executions[i].exec_type == _X_TRADE:
            filled = np.int64(executions[i].last_qty)
            position[s // 2] += -filled if s & 1 else filled
            meta[_FILLS] += 1
        _absorb(slots, int(s), executions[i], now_ns, refill_ns)


class Quoter:
    """The slots of ``makers`` participants over ``n`` instruments; owners ``first_owner``.. upward."""

    def __init__(self, n: int, makers: int, first_owner: int, expiry_ns: npt.NDArray[np.int64], refill_ns: int) -> None:
        if n * makers * 2 > _SLOT_MASK:
            raise ValueError(f"{n} instruments of {makers} makers need more than {_SLOT_MASK} slots")
        self.n = n
        self.makers = makers
        self.first_owner = first_owner
        self.refill_ns = refill_ns
        self.expiry_ns = expiry_ns
        self.slots: Any = table(SLOT, n * makers * 2)
        self.position = np.zeros(n * makers, np.int64)
        self.listed = np.ones(n, np.uint8)
        self._meta = np.zeros(_META_WORDS, np.int64)

    @property
    def owners(self) -> Sequence[int]:
        """Participant ids in use."""
        return range(self.first_owner, self.first_owner + self.makers)

    @property
    def reports_ignored(self) -> int:
        """Reports of orders that no slot held (any more); stays 0 while venue and flow agree."""
        return int(self._meta[_REPORTS_IGNORED])

    @property
    def fills(self) -> int:
        """Reports of trades taken so far."""
        return int(self._meta[_FILLS])

    def clear(self) -> None:
        """Forget all orders, wants and positions; identifiers go on counting."""
        self.slots[:] = np.zeros(1, SLOT)[0]
        self.position[:] = 0

    def emit(self, now_ns: int, out: Any) -> int:
        """See :func:`emit_quotes`."""
        return int(emit_quotes(self.slots, self.listed, self.expiry_ns, self.first_owner, now_ns, out, self._meta))

    def absorb(self, executions: Any, count: int, now_ns: int) -> None:
        """See :func:`absorb_reports`."""
        absorb_reports(
            self.slots,
            self.position,
            executions,
            count,
            self.first_owner,
            self.makers,
            now_ns,
            self.refill_ns,
            self._meta,
        )
