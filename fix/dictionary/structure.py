"""What makes a message refusable at session level when the session has no dictionary.

Tag numbers, empty values, header before body before trailer, the header's required fields and
formats, and the required fields of the seven session messages. Needs no knowledge of the version.
"""

from fix.dictionary.formats import is_seq_num
from fix.dictionary.groups import HEADER_TAGS, TRAILER_TAGS
from fix.dictionary.verdict import Refusal, RejectReason
from fix.messages import Message, parse_int, parse_utc_timestamp

_HEADER = HEADER_TAGS | {628, 629, 630}
_REQUIRED_HEADER = (49, 56, 34, 52)
_REQUIRED_BODY: dict[str, tuple[int, ...]] = {
    "A": (98, 108), "1": (112,), "2": (7, 16), "3": (45,), "4": (36,),
}  # fmt: skip
_SEQ_TAGS = (34, 7, 16, 36, 45)
_INTEGER_TAGS = (98, 108)
_TIME_TAGS = (52, 122)
_FLAG_TAGS = (43, 97, 123, 141)


def check_structure(message: Message) -> Refusal | None:
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
        if tag in _HEADER:
            if in_body or in_trailer:
                return Refusal(RejectReason.TAG_OUT_OF_ORDER, tag)
            if tag in seen and tag in HEADER_TAGS:  # hops repeat
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
    if not (msg_type.isascii() and msg_type.isalnum()):
        return Refusal(RejectReason.INVALID_MSG_TYPE)
    for tag in (*_REQUIRED_HEADER, *_REQUIRED_BODY.get(msg_type, ())):
        if tag not in message:
            return Refusal(RejectReason.REQUIRED_TAG_MISSING, tag)
    return None


def _check_formats(message: Message) -> Refusal | None:
    for tag in _SEQ_TAGS:
        value = message.get(tag)
        if value is not None and not is_seq_num(value):
            return Refusal(RejectReason.FORMAT_INCORRECT, tag)
    for tag in _INTEGER_TAGS:
        value = message.get(tag)
        if value is not None and parse_int(value) is None:
            return Refusal(RejectReason.FORMAT_INCORRECT, tag)
    for tag in _TIME_TAGS:
        value = message.get(tag)
        if value is not None and parse_utc_timestamp(value) is None:
            return Refusal(RejectReason.FORMAT_INCORRECT, tag)
    for tag in _FLAG_TAGS:
        if message.get(tag) not in (None, b"Y", b"N"):
            return Refusal(RejectReason.VALUE_INCORRECT, tag)
    return None
