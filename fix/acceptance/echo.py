"""The application of the acceptance acceptor: orders and security definitions go back to their sender.

An echo carries the body in ascending tag order, groups behind their NumInGroup field with members
in the dictionary's order, and the header fields that are not the session's own. Everything that is
not echoed is an unsupported message type.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from fix.dictionary import DataDictionary, decode, load
from fix.dictionary.groups import Entry
from fix.dictionary.layout import Member
from fix.endpoints import FixSession
from fix.messages import Field, Message, parse
from fix.session import State

ECHOED_TYPES = frozenset(["D", "E", "d"])
#: Header fields that the session itself writes, or that speak of this one transmission.
_OWN_HEADER = frozenset([8, 9, 34, 35, 43, 49, 52, 56, 122])
_UNSUPPORTED = 3
_UNSUPPORTED_TEXT = "Unsupported Message Type"


def _ascending(entry: Entry, members: Mapping[int, Member]) -> Iterator[Field]:
    """Fields of a message part by tag, each group behind its NumInGroup."""
    for tag, value in sorted(entry.fields, key=lambda field: field[0]):
        yield tag, value
        yield from _entries(entry, tag, members)


def _entries(entry: Entry, count_tag: int, members: Mapping[int, Member]) -> Iterator[Field]:
    """Entries of one group, the members of each in the dictionary's order."""
    member = members.get(count_tag)
    if member is None or member.group is None:
        return
    inner = member.group.members
    order = {tag: place for place, tag in enumerate(inner)}
    for one in entry.group(count_tag):
        for tag, value in sorted(one.fields, key=lambda field: order[field[0]]):
            yield tag, value
            yield from _entries(one, tag, inner)


def echo(message: Message, application: DataDictionary, transport: DataDictionary) -> tuple[list[Field], list[Field]]:
    """Header and body fields that send ``message`` back."""
    parts = decode(message, application, transport)
    definition = application.message(message.msg_type)
    header = [field for field in _ascending(parts.header, transport.header) if field[0] not in _OWN_HEADER]
    return header, list(_ascending(parts.body, definition.members if definition else {}))


class EchoApplication:
    """Handler of one session.

    Parameters
    ----------
    begin_string, default_appl_ver_id:
        The session's version: which dictionaries know its groups.
    """

    def __init__(self, begin_string: str, default_appl_ver_id: str = "") -> None:
        self._transport = load(begin_string)
        self._default_appl_ver_id = default_appl_ver_id
        self._cl_ord_ids: set[str] = set()

    def on_message(self, session: FixSession, msg_type: str, raw: bytes, poss_dup: bool) -> None:
        """Send it back, unless it is an order that was possibly resent and is known."""
        del poss_dup
        if msg_type not in ECHOED_TYPES:
            session.refuse(raw, _UNSUPPORTED, _UNSUPPORTED_TEXT)
            return
        message = parse(raw)
        if msg_type == "D":
            cl_ord_id = message.text(11)
            if message.flag(97) and cl_ord_id in self._cl_ord_ids:
                return
            self._cl_ord_ids.add(cl_ord_id)
        header, body = echo(message, self._application(message), self._transport)
        session.send(msg_type, body, header=header)

    def on_frames(self, session: FixSession, frames: npt.NDArray[np.uint8], count: int) -> None:
        """Never called: an echo needs the message as it was sent, so there is no hot path here."""

    def on_state(self, session: FixSession, state: State, reason: str) -> None:
        """What was seen is forgotten with the connection: no script may see another's orders."""
        del session, reason
        if state is State.DISCONNECTED:
            self._cl_ord_ids.clear()

    def _application(self, message: Message) -> DataDictionary:
        if not self._default_appl_ver_id:
            return self._transport
        return load(message.text(1128) or self._default_appl_ver_id)
