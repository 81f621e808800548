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
#: Fields that some verdict depends on, beside those that every message has.
_INSPECTED = frozenset((*_SEQ_TAGS[1:], *_INTEGER_TAGS, *_TIME_TAGS[1:], *_FLAG_TAGS, 89, 93))
_NEEDED = frozenset((35, *_REQUIRED_HEADER))
_WITH_REQUIRED_BODY = frozenset(name.encode() for name in _REQUIRED_BODY)
#: Tags of plain messages, last field first as ``Message.first`` has them. A peer uses a few dozen.
_PLAIN_TAGS: set[tuple[int, ...]] = set()
_MOST_LAYOUTS = 512


def check_structure(message: Message) -> Refusal | None:
    """First fault of ``message``, in the order in which engines report them; None when sound."""
    return None if _is_plain(message) else check_thoroughly(message)


def _is_plain(message: Message) -> bool:
    """Whether ``message`` is plainly sound: most are, and this costs a third of the three walks.

    No tag twice, none that some rule is about, nothing empty, all header fields in front, the CheckSum last.
    Anything else is no verdict: the walks decide.
    """
    fields, first = message.fields, message.first
    if len(fields) != len(first) or b"" in first.values():
        return False
    tags = tuple(first)
    if tags not in _PLAIN_TAGS and not _learn_plain(tags, [tag for tag, _ in fields]):
        return False
    msg_type = first[35]
    return (
        msg_type.isalnum()
        and msg_type not in _WITH_REQUIRED_BODY
        and is_seq_num(first[34])
        and parse_utc_timestamp(first[52]) is not None
    )


def _learn_plain(key: tuple[int, ...], tags: list[int]) -> bool:
    """Whether a message with ``tags``, none of them twice, is plain as far as its tags go."""
    found = set(tags)
    header = len(_HEADER & found)
    plain = (
        _NEEDED <= found
        and _INSPECTED.isdisjoint(found)
        and _HEADER.issuperset(tags[:header])
        and tags[-1] == 10
        and min(tags) > 0
        and list(key) == tags[::-1]
    )
    if plain:
        if len(_PLAIN_TAGS) >= _MOST_LAYOUTS:
            _PLAIN_TAGS.clear()
        _PLAIN_TAGS.add(key)
    return plain


def check_thoroughly(message: Message) -> Refusal | None:
    """As :func:`check_structure`, rule by rule."""
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
