"""Why the matching engine refused a command, or ended an order that nobody asked it to end.

``EXECUTION.reason`` holds an :class:`OrdRejReason` on a REJECTED report, a :class:`CxlRejReason` on
a CANCEL_REJECT, a :class:`CancelCause` on a CANCELED or an unasked REPLACED report, and 0
elsewhere. Codes below 100 are those of FIX.4.4; from 100 on they are this venue's own and mean the
same in both enums. A counterparty whose dictionary knows no private codes is sent
:func:`fix44_reason` of them and the text of :data:`REASON_TEXT`.
"""

from enum import IntEnum

from market.jit import kernel


class OrdRejReason(IntEnum):
    """FIX OrdRejReason(103): why a new order was rejected."""

    UNKNOWN_SYMBOL = 1  # instrument is not one of the arena's books
    EXCHANGE_CLOSED = 2  # the book is not open for trading (halted, closed)
    DUPLICATE_ORDER = 6  # a live order of this owner has this ClOrdID
    UNSUPPORTED = 11  # side, type, time in force or a combination that the venue does not take
    INCORRECT_QUANTITY = 13  # not in 1..MAX_ORDER_QTY
    OTHER = 99
    PRICE_OUT_OF_RANGE = 100  # not in 1..max_ticks-1
    PRICE_OFF_TICK = 101  # not a multiple of the book's increment there
    WOULD_CROSS = 102  # post-only and marketable
    NO_CAPACITY = 103  # the order pool is full
    BAD_OWNER = 104  # participant number above 65535


class CxlRejReason(IntEnum):
    """FIX CxlRejReason(102): why a cancel or a replace was rejected."""

    TOO_LATE = 0  # the order was alive once, or has already traded the quantity asked for
    UNKNOWN_ORDER = 1  # never seen, of another owner, or of another instrument
    DUPLICATE_CL_ORD_ID = 6  # a live order of this owner has the new ClOrdID
    OTHER = 99
    PRICE_OUT_OF_RANGE = 100
    PRICE_OFF_TICK = 101
    WOULD_CROSS = 102
    NOT_OPEN = 105  # replace while the book is not open for trading
    BAD_QUANTITY = 106  # not in 1..MAX_ORDER_QTY
    UNSUPPORTED = 107  # a replace may not change side, and only to a DAY limit order


class QuoteRefusal(IntEnum):
    """FIX QuoteEntryRejectReason(368): why an entry of a mass quote was refused; 0 is ours."""

    TAKEN = 0
    UNKNOWN_SYMBOL = 1
    CLOSED = 2
    EXCEEDS_LIMIT = 3  # the order pool is nearly full
    INVALID_SPREAD = 7  # bid at or above ask
    INVALID_PRICE = 8  # not in 1..max_ticks-1, or off the increment
    OTHER = 99  # a quantity not in 0..MAX_ORDER_QTY


class CancelCause(IntEnum):
    """Why an order was canceled or reduced; 0 when its owner asked."""

    REQUESTED = 0
    NOT_FILLED = 1  # what IOC, FOK and market orders could not trade
    SELF_TRADE = 2  # self-trade prevention


REASON_TEXT: dict[int, str] = {
    0: "too late",
    1: "unknown",
    2: "instrument not open for trading",
    6: "duplicate ClOrdID of a live order",
    11: "order type, side or time in force not supported",
    13: "quantity out of range",
    99: "other",
    100: "price out of range",
    101: "price is not a multiple of the increment",
    102: "post-only order would trade",
    103: "order pool is full",
    104: "participant number out of range",
    105: "instrument not open for trading",
    106: "quantity out of range",
    107: "replace may not change side, and only to a DAY limit order",
}

PRIVATE_CODES_FROM = 100


@kernel(inline=True)
def fix44_reason(reason: int) -> int:
    """``reason`` as FIX.4.4 enumerates it: private codes become 99 (other)."""
    return 99 if reason >= 100 else reason
