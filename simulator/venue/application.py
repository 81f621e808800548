"""The FIX messages of a venue that are not hot: which desk answers which, refusals, mass requests.

What they ask of the market goes to the venue as frames, in one order with everything else; what
they ask about it is answered by a desk: quoting.py (i, Z), orderstatus.py (H), subscribers.py (V),
reference.py (c, e, g, BE). Whatever is not understood is refused by name, never ignored.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Protocol

import structlog

from fix.codec import NO_INSTRUMENT
from fix.messages import Field, Message, parse, utc_timestamp
from market.enums import OrderAction
from simulator.matching import REASON_TEXT, CxlRejReason, OrdRejReason
from simulator.venue.clients import Client
from simulator.venue.orderstatus import OrderStatusDesk, StatusDesk
from simulator.venue.quoting import QuoteDesk
from simulator.venue.reference import ReferenceDesk, ReferenceHost
from simulator.venue.requests import wire_id
from simulator.venue.subscribers import DataHost, SubscriberDesk

log = structlog.get_logger()

NOT_AVAILABLE = "[N/A]"  #: Symbol(55) of a message about no instrument that we know
_REQUESTS = frozenset(("V", "x", "AF", "H", "c", "e", "g", "BE"))  # about a moment: late, they mean nothing


class BusinessReject(IntEnum):
    """BusinessRejectReason(380)."""

    OTHER = 0
    UNKNOWN_SECURITY = 2
    UNSUPPORTED_TYPE = 3
    FIELD_MISSING = 5


class VenueDesk(StatusDesk, ReferenceHost, DataHost, Protocol):
    """What the application layer asks of its venue."""

    def command(self, client: Client, action: OrderAction, *, request_id: int, instrument: int) -> None:
        """Queue a command that came by a cold message behind all that came before."""


class Application:
    """Answers one venue's cold messages; see the module's text."""

    def __init__(self, desk: VenueDesk) -> None:
        self._desk = desk
        self._responses = 0
        self.subscribers = SubscriberDesk(desk, self._reject)
        self.reference = ReferenceDesk(desk, self._reject)
        quotes, status = QuoteDesk(desk, self._reject), OrderStatusDesk(desk, self._reject)
        self._answers = {
            "AF": self._mass_status,
            "H": status.order_status,
            "i": quotes.mass_quote,
            "Z": quotes.quote_cancel,
            "V": self.subscribers.request,
            "x": self._security_list,
            "c": self.reference.definition,
            "e": self.reference.status,
            "g": self.reference.session_status,
            "BE": self.reference.user,
            "j": self._rejected,
            "D": self._refused_order,
            "F": self._refused_change,
            "G": self._refused_change,
            "q": self._refused_mass_cancel,
        }

    def answer(self, client: Client, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Act on one application message. A repeated one was for a moment that is gone: refused."""
        message = parse(raw)
        if poss_dup and msg_type in _REQUESTS:
            self._reject(client, message, BusinessReject.OTHER, "stale request (PossDupFlag=Y); send it anew")
            return
        handler = self._answers.get(msg_type)
        if handler is None:
            self._reject(client, message, BusinessReject.UNSUPPORTED_TYPE, "Unsupported Message Type")
        else:
            handler(client, message)

    # ---------------------------------------------------------------- requests

    def _mass_status(self, client: Client, message: Message) -> None:
        request_id = wire_id(message.get(584))
        if request_id is None:
            text = "MassStatusReqID(584) must be 16 hex digits (0-9, A-F), not all zero"
            self._reject(client, message, BusinessReject.FIELD_MISSING, text)
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

    def _security_list(self, client: Client, message: Message) -> None:
        if not message.text(320):
            self._reject(client, message, BusinessReject.FIELD_MISSING, "SecurityReqID(320) is needed")
            return
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

    def _rejected(self, client: Client, message: Message) -> None:
        """35=j: the client could not use something of ours. Said aloud, and never answered by another."""
        log.warning(
            "message refused by the client", client=client.settings.comp_id, ref_msg_type=message.text(372),
            ref_seq=message.text(45), reason=message.text(380), text=message.text(58),
        )  # fmt: skip

    def _reject(self, client: Client, message: Message, reason: int, text: str) -> None:
        fields: list[Field] = [(45, message.seq or 0), (372, message.msg_type), (380, int(reason)), (58, text)]
        client.session.send("j", fields)


def _refusal(message: Message) -> str:
    """Why the hot path did not take an order message, as far as it can be told from the text."""
    if message.flag(43):
        return "stale order message (PossDupFlag=Y): never executed late"
    if wire_id(message.get(11)) is None:
        return "ClOrdID(11) must be 16 hex digits (0-9, A-F), not all zero"
    if message.get(41) is not None and wire_id(message.get(41)) is None:
        return "OrigClOrdID(41) must be 16 hex digits (0-9, A-F), not all zero"
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
