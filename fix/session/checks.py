"""What makes a message refusable at session level without a dictionary.

Structure (tag numbers, empty values, header before body), the header's required fields and
formats, and the required fields of the seven session messages. A dictionary that knows the
application messages plugs in behind :class:`Dictionary` and is asked last.
"""

from enum import IntEnum
from typing import Protocol

import msgspec

from fix.messages import HEADER_TAGS, TRAILER_TAGS, Field, Message, parse_int, parse_utc_timestamp


class RejectReason(IntEnum):
    """SessionRejectReason(373)."""

    INVALID_TAG = 0
    REQUIRED_TAG_MISSING = 1
    TAG_NOT_DEFINED_FOR_TYPE = 2
    UNDEFINED_TAG = 3
    TAG_WITHOUT_VALUE = 4
    VALUE_INCORRECT = 5
    FORMAT_INCORRECT = 6
    COMP_ID_PROBLEM = 9
    SENDING_TIME_PROBLEM = 10
    INVALID_MSG_TYPE = 11
    TAG_REPEATED = 13
    TAG_OUT_OF_ORDER = 14
    GROUP_OUT_OF_ORDER = 15
    GROUP_COUNT_INCORRECT = 16


#: Text(58) that goes with each reason.
REJECT_TEXT: dict[RejectReason, str] = {
    RejectReason.INVALID_TAG: "Invalid tag number",
    RejectReason.REQUIRED_TAG_MISSING: "Required tag missing",
    RejectReason.TAG_NOT_DEFINED_FOR_TYPE: "Tag not defined for this message type",
    RejectReason.UNDEFINED_TAG: "Undefined tag",
    RejectReason.TAG_WITHOUT_VALUE: "Tag specified without a value",
    RejectReason.VALUE_INCORRECT: "Value is incorrect (out of range) for this tag",
    RejectReason.FORMAT_INCORRECT: "Incorrect data format for value",
    RejectReason.COMP_ID_PROBLEM: "CompID problem",
    RejectReason.SENDING_TIME_PROBLEM: "SendingTime accuracy problem",
    RejectReason.INVALID_MSG_TYPE: "Invalid MsgType",
    RejectReason.TAG_REPEATED: "Tag appears more than once",
    RejectReason.TAG_OUT_OF_ORDER: "Tag specified out of required order",
    RejectReason.GROUP_OUT_OF_ORDER: "Repeating group fields out of order",
    RejectReason.GROUP_COUNT_INCORRECT: "Incorrect NumInGroup count for repeating group",
}


class Refusal(msgspec.Struct, frozen=True):
    """Why a message is refused, and which tag is to blame (None: no single one)."""

    reason: RejectReason
    ref_tag: int | None = None

    @property
    def text(self) -> str:
        """Text(58) of the Reject."""
        return REJECT_TEXT[self.reason]


class Dictionary(Protocol):
    """Knows the messages of one FIX version."""

    def check(self, message: Message) -> Refusal | None:
        """First fault of ``message`` against the dictionary, or None."""
        ...


_REQUIRED_HEADER = (49, 56, 34, 52)
_REQUIRED_BODY: dict[str, tuple[int, ...]] = {
    "A": (98, 108), "1": (112,), "2": (7, 16), "3": (45,), "4": (36,),
}  # fmt: skip
_INTEGER_TAGS = (34, 7, 16, 36, 45, 98, 108)
_TIME_TAGS = (52, 122)
_FLAG_TAGS = (43, 97, 123, 141)
#: MsgTypes of FIX.4.4; user-defined ones open with U.
_KNOWN_TYPES = frozenset(
    [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "A",
        "B",
        "C",
        "D",
        "E",
        "F",
        "G",
        "H",
        "J",
        "K",
        "L",
        "M",
        "N",
        "P",
        "Q",
        "R",
        "S",
        "T",
        "V",
        "W",
        "X",
        "Y",
        "Z",
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "i",
        "j",
        "k",
        "l",
        "m",
        "n",
        "o",
        "p",
        "q",
        "r",
        "s",
        "t",
        "u",
        "v",
        "w",
        "x",
        "y",
        "z",
        "AA",
        "AB",
        "AC",
        "AD",
        "AE",
        "AF",
        "AG",
        "AH",
        "AI",
        "AJ",
        "AK",
        "AL",
        "AM",
        "AN",
        "AO",
        "AP",
        "AQ",
        "AR",
        "AS",
        "AT",
        "AU",
        "AV",
        "AW",
        "AX",
        "AY",
        "AZ",
        "BA",
        "BB",
        "BC",
        "BD",
        "BE",
        "BF",
        "BG",
        "BH",
    ]
)


def check_message(message: Message) -> Refusal | None:
    """First fault of ``message``, in the order in which engines report them; None when sound."""
    return _check_fields(message) or _check_required(message) or _check_formats(message)


def _check_fields(message: Message) -> Refusal | None:
    in_body = in_trailer = False
    seen: set[int] = set()
    for tag, value in message.fields:
        if tag <= 0:
            return Refusal(RejectReason.INVALID_TAG, tag)
        if not value:
            return Refusal(RejectReason.TAG_WITHOUT_VALUE, tag)
        if tag in HEADER_TAGS:
            if in_body or in_trailer:
                return Refusal(RejectReason.TAG_OUT_OF_ORDER, tag)
            if tag in seen:
                return Refusal(RejectReason.TAG_REPEATED, tag)
            seen.add(tag)
        elif tag in TRAILER_TAGS:
            in_trailer = True
        elif in_trailer:
            return Refusal(RejectReason.TAG_OUT_OF_ORDER, tag)
        else:
            in_body = True
    return None


def _check_required(message: Message) -> Refusal | None:
    msg_type = message.msg_type
    if msg_type not in _KNOWN_TYPES and not msg_type.startswith("U"):
        return Refusal(RejectReason.INVALID_MSG_TYPE)
    for tag in (*_REQUIRED_HEADER, *_REQUIRED_BODY.get(msg_type, ())):
        if tag not in message:
            return Refusal(RejectReason.REQUIRED_TAG_MISSING, tag)
    return None


def _check_formats(message: Message) -> Refusal | None:
    for tag in _INTEGER_TAGS:
        value = message.get(tag)
        if value is not None and parse_int(value) is None:
            return Refusal(RejectReason.FORMAT_INCORRECT, tag)
    for tag in _TIME_TAGS:
        value = message.get(tag)
        if value is not None and parse_utc_timestamp(value) is None:
            return Refusal(RejectReason.FORMAT_INCORRECT, tag)
    for tag in _FLAG_TAGS:
        if message.get(
            tag,
        ) not in (None, b"Y", b"N"):
            return Refusal(RejectReason.VALUE_INCORRECT, tag)
    return None


_REVERSED_ROUTE = {115: 128, 116: 129, 144: 145, 128: 115, 129: 116, 145: 144}


def reversed_route(message: Message) -> list[Field]:
    """Routing header of an answer to ``message``: OnBehalfOf and DeliverTo change places."""
    route: list[Field] = []
    for tag, back in _REVERSED_ROUTE.items():
        value = message.get(tag)
        if value:
            route.append((back, value))
    return route


def reject_body(message: Message, refusal: Refusal) -> list[Field]:
    """Body of the Reject(35=3) that answers ``message``."""
    body: list[Field] = [(45, message.seq or 0), (58, refusal.text)]
    if refusal.ref_tag is not None:
        body.append((371, refusal.ref_tag))
    body += [(372, message.msg_type), (373, int(refusal.reason))]
    return body
