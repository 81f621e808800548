"""What the machine asks about each message of the peer: a :class:`Dictionary`, or the structure alone.

The checks themselves are in ``fix.dictionary``; this is the door that the machine uses.
"""

from typing import Protocol

from fix.dictionary.structure import check_structure as check_message
from fix.dictionary.verdict import BUSINESS_TEXT, REJECT_TEXT, BusinessReason, Refusal, RejectReason
from fix.messages import Message


class Dictionary(Protocol):
    """Knows the messages of one session's versions; :class:`fix.dictionary.Validator` is one."""

    def check(self, message: Message, appl_ver_id: str = "") -> Refusal | None:
        """First fault of ``message``, or None. ``appl_ver_id``: the peer's DefaultApplVerID(1137)."""
        ...


__all__ = [
    "BUSINESS_TEXT",
    "REJECT_TEXT",
    "BusinessReason",
    "Dictionary",
    "Refusal",
    "RejectReason",
    "check_message",
]
