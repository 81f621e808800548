"""The FIX messages of a venue that are not hot: market data requests, security list, mass status.

What they ask of the market goes to the venue as frames, in one order with everything else; what
they ask about it is answered here. Whatever is not understood is refused by name, never ignored.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Protocol

from fix.codec import NO_INSTRUMENT
from fix.codec.link import MAX_MD_REQ_ID_BYTES
from fix.messages import Message, parse, utc_timestamp
from market.enums import OrderAction
from simulator.matching import REASON_TEXT, CxlRejReason, OrdRejReason
from simulator.venue.clients import Client
from simulator.venue.securities import SecurityList

Field = tuple[int, str | bytes | int]

NOT_AVAILABLE = "[N/A]"  #: Symbol(55) of a message about no instrument that we know
_UNKNOWN_SYMBOL_REQUEST = 0  # MDReqRejReason(281)
_UNSUPPORTED_SUBSCRIPTION = 4
_UNSUPPORTED_UPDATE = 6


class SubscriptionRequest(IntEnum):
    """SubscriptionRequestType(263)."""

    SNAPSHOT = 0
    SUBSCRIBE = 1
    UNSUBSCRIBE = 2


class BusinessReject(IntEnum):
    """BusinessRejectReason(380)."""

    OTHER = 0
    UNKNOWN_SECURITY = 2
    UNSUPPORTED_TYPE = 3
    FIELD_MISSING = 5


class VenueDesk(Protocol):
    """What the application layer asks of its venue."""

    securities: SecurityList

    def book_of(self, symbol: str) -> int:
        """Book of a symbol, -1 if it is not listed here."""

    def command(self, client: Client, action: OrderAction, *, request_id: int, instrument: int) -> None:
        """Queue a command that came by a cold message behind all that came before."""

    def serve_subscribers(self) -> None:
        """Send what subscribers have not heard yet."""

    def later(self, work: Iterator[None]) -> None:
        """Run ``work`` one piece per turn of the event loop."""

    def now_ns(self) -> int:
        """Market time."""

    def next_exec_id(self) -> int:
        """An ExecID for a report that the books did not make."""


def hex_id(value: bytes | None) -> int | None:
    """A ClOrdID or MassStatusReqID of 16 hex digits, else None."""
    if value is None or len(value) != 16:
        return None
    try:
        return int(value, 16)
    except ValueError:
        return None


class Application:
    """Answers one venue's cold messages; see the module's text."""

    def __init__(self, desk: VenueDesk) -> None:
        self._desk = desk
        self._responses = 0
        self._answers = {
            "AF": self._mass_status,
            "V": self._market_data,
            "x": self._security_list,
            "D": self._refused_order,
            "F": self._refused_change,
            "G": self._refused_change,
            "q": self._refused_mass_cancel,
        }

    def answer(self, client: Client, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Act on one application message. A repeated one was for a moment that is gone: refused."""
        message = parse(raw)
        if poss_dup and msg_type in ("V", "x", "AF"):
            self._reject(client, message, BusinessReject.OTHER, "stale request (PossDupFlag=Y); send it anew")
            return
        handler = self._answers.get(msg_type)
        if handler is None:
            self._reject(client, message, BusinessReject.UNSUPPORTED_TYPE, "Unsupported Message Type")
        else:
            handler(client, message)

    # ---------------------------------------------------------------- requests

    def _mass_status(self, client: Client, message: Message) -> None:
        request_id = hex_id(message.get(584))
        if request_id is None:
            self._reject(client, message, BusinessReject.FIELD_MISSING, "MassStatusReqID(584) must be 16 hex digits")
            return
        kind, book = message.text(585), NO_INSTRUMENT
        if kind == "1":
            book = self._desk.book_of(message.text(55))
            if book < 0:
                self._reject(client, message, BusinessReject.UNKNOWN_SECURITY, f"{message.text(55)} is not listed here")
                return
        elif kind != "7":
            self._reject(client, message, BusinessReject.OTHER, f"MassStatusReqType(585) must be 1 or 7, was {kind}")
            return
        self._desk.command(client, OrderAction.MASS_STATUS, request_id=request_id, instrument=book)

    def _market_data(self, client: Client, message: Message) -> None:
        request = message.text(262)
        kind, update = message.integer(263), message.text(265, "0")
        symbols = [entry[55].decode("latin-1") for entry in message.groups(146, 55)]
        if kind not in tuple(SubscriptionRequest):
            self._refuse_data(client, request, _UNSUPPORTED_SUBSCRIPTION, f"SubscriptionRequestType(263) was {kind}")
            return
        if not 1 <= len(request) <= MAX_MD_REQ_ID_BYTES or not request.isascii() or not request.isprintable():
            text = f"MDReqID(262) must be 1..{MAX_MD_REQ_ID_BYTES} printable ASCII characters"
            self._reject(client, message, BusinessReject.FIELD_MISSING, text)
            return
        if update not in ("0", "1"):
            self._refuse_data(client, request, _UNSUPPORTED_UPDATE, f"MDUpdateType(265) must be 0 or 1, was {update}")
            return
        books = [self._desk.book_of(symbol) for symbol in symbols]
        if not books or min(books) < 0:
            unknown = symbols[books.index(-1)] if books else "no symbol"
            self._refuse_data(client, request, _UNKNOWN_SYMBOL_REQUEST, f"{unknown} is not listed here")
            return
        subscription = client.subscription
        if kind == SubscriptionRequest.UNSUBSCRIBE:
            subscription.wanted[books] = 0
            return
        subscription.incremental[books] = update == "1" and kind == SubscriptionRequest.SUBSCRIBE
        if kind == SubscriptionRequest.SUBSCRIBE:
            subscription.wanted[books] = 1
        subscription.first[books] = 1
        subscription.request_of[books] = subscription.number_of(request)
        subscription.pending[books] = 1
        subscription.pending_count = int(subscription.pending.sum())
        self._desk.serve_subscribers()

    def _security_list(self, client: Client, message: Message) -> None:
        self._responses += 1
        pages = self._desk.securities.answer(
            message.text(320), f"{self._responses:016X}", message.integer(559), message.text(55)
        )

        def send_pages() -> Iterator[None]:
            for page in pages:
                if not client.session.logged_on:
                    return
                client.session.send("y", page)
                yield

        self._desk.later(send_pages())

    # ---------------------------------------------------------------- refusals

    def _refused_order(self, client: Client, message: Message) -> None:
        """A new order that the hot path did not take: nothing in it may be ignored, so it is refused."""
        exec_id = self._desk.next_exec_id()
        fields: list[Field] = [(37, "NONE"), (11, message.text(11, "NONE")), (17, f"{exec_id:016X}")]
        fields += [(150, "8"), (39, "8"), (55, message.text(55, NOT_AVAILABLE)), (54, message.text(54, "7"))]
        fields += [(38, message.text(38, "0")), (151, 0), (14, 0), (6, 0), (60, utc_timestamp(self._desk.now_ns()))]
        fields += [(103, int(OrdRejReason.UNSUPPORTED)), (58, _refusal(message))]
        client.session.send("8", fields)

    def _refused_change(self, client: Client, message: Message) -> None:
        fields: list[Field] = [(37, "NONE"), (11, message.text(11, "NONE")), (41, message.text(41, "NONE")), (39, "8")]
        fields += [(60, utc_timestamp(self._desk.now_ns())), (434, "2" if message.msg_type == "G" else "1")]
        fields += [(102, int(CxlRejReason.OTHER)), (58, _refusal(message))]
        client.session.send("9", fields)

    def _refused_mass_cancel(self, client: Client, message: Message) -> None:
        fields: list[Field] = [(37, "NONE"), (11, message.text(11, "NONE")), (530, message.text(530, "7"))]
        fields += [(531, "0"), (532, "99"), (533, 0), (58, _refusal(message))]
        client.session.send("r", fields)

    def _refuse_data(self, client: Client, request: str, reason: int, text: str) -> None:
        client.session.send("Y", [(262, request), (281, reason), (58, text)])

    def _reject(self, client: Client, message: Message, reason: BusinessReject, text: str) -> None:
        fields: list[Field] = [(45, message.seq or 0), (372, message.msg_type), (380, int(reason)), (58, text)]
        client.session.send("j", fields)


def _refusal(message: Message) -> str:
    """Why the hot path did not take an order message, as far as it can be told from the text."""
    if message.flag(43):
        return "stale order message (PossDupFlag=Y): never executed late"
    if hex_id(message.get(11)) is None:
        return "ClOrdID(11) must be 16 hex digits"
    if message.get(41) is not None and hex_id(message.get(41)) is None:
        return "OrigClOrdID(41) must be 16 hex digits"
    return "a field or value of this message is not supported here"


def unknown_symbol_report(row: object, market_ns: int) -> list[Field]:
    """Body of the ExecutionReport that refuses an order for a symbol not listed here."""
    cl_ord_id, exec_id, side, qty = (int(row[name]) for name in ("cl_ord_id", "exec_id", "side", "order_qty"))  # type: ignore[index]
    return [
        (37, "NONE"), (11, f"{cl_ord_id:016X}"), (17, f"{exec_id:016X}"), (150, "8"), (39, "8"), (55, NOT_AVAILABLE),
        (54, chr(side) if side else "7"), (38, qty), (151, 0), (14, 0), (6, 0), (60, utc_timestamp(market_ns)),
        (103, int(OrdRejReason.UNKNOWN_SYMBOL)), (58, REASON_TEXT[int(OrdRejReason.UNKNOWN_SYMBOL)]),
    ]  # fmt: skip


def mass_cancel_report(cl_ord_id: int, exec_id: int, whole_account: bool, refused: bool, affected: int) -> list[Field]:
    """Body of the OrderMassCancelReport (35=r) that closes a mass cancel."""
    scope = "7" if whole_account else "1"
    fields: list[Field] = [(37, f"{exec_id:016X}"), (11, f"{cl_ord_id:016X}"), (530, scope)]
    fields.append((531, "0" if refused else scope))
    if refused:
        fields.append((532, "1"))  # invalid or unknown security
    return [*fields, (533, affected)]
