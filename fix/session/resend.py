"""Answers to a resend request: what is sent again, and what is filled.

Reports are sent again with PossDupFlag=Y and OrigSendingTime. Session messages, numbers that are
not stored, and everything that would be acted upon late (settings.stale_types: orders, cancels,
requests) become a SequenceReset-GapFill; neighbours share one.
"""

from fix.messages import ADMIN_TYPES, HEADER_TAGS, SOH, build, checksum, utc_timestamp
from fix.session.settings import SessionSettings
from fix.store import MessageStore


def stored_msg_type(raw: bytes) -> str:
    """MsgType of a message of ours: always its third field."""
    start = raw.find(b"\x0135=") + 4
    return raw[start : raw.find(SOH, start)].decode("latin-1")


def as_poss_dup(raw: bytes, now_ns: int) -> bytes:
    """``raw`` as it is sent again: PossDupFlag=Y, OrigSendingTime, a new SendingTime; body untouched.

    Only the header is taken apart: a resend of thousands must not hold the loop.
    """
    position = raw.index(SOH) + 1
    begin_string = raw[:position]
    position = raw.index(SOH, position) + 1
    header: list[tuple[int, bytes]] = [(43, b"Y")]
    msg_type = b""
    while True:
        equals = raw.index(b"=", position)
        tag = int(raw[position:equals])
        if tag not in HEADER_TAGS:
            break
        end = raw.index(SOH, equals)
        value = raw[equals + 1 : end]
        if tag == 35:
            msg_type = value
        elif tag == 52:
            # After a clock was set back: an OrigSendingTime above SendingTime would log us out.
            header += [(52, max(utc_timestamp(now_ns), value)), (122, value)]
        elif tag not in (43, 122):
            header.append((tag, value))
        position = end + 1
    header.sort()
    fields = b"".join([b"%d=%b\x01" % field for field in header])
    body = b"35=%b\x01%b%b" % (msg_type, fields, raw[position:-7])
    head = b"%b9=%d\x01" % (begin_string, len(body))
    return b"%b%b10=%03d\x01" % (head, body, (checksum(head) + checksum(body)) & 0xFF)


def gap_fill(settings: SessionSettings, seq: int, new_seq: int, now_ns: int) -> bytes:
    """SequenceReset-GapFill from ``seq`` to ``new_seq``. Takes no number and is not stored."""
    stamp = utc_timestamp(now_ns)
    return build(
        settings.begin_string, "4", seq, settings.sender_comp_id, settings.target_comp_id, stamp,
        [(36, new_seq), (123, "Y")], [(43, "Y"), (122, stamp)],
    )  # fmt: skip


class ResendJob:
    """One answer, made in chunks so that a long one does not hold the event loop.

    Numbers ``begin``..``end`` (inclusive) are answered, ascending and without a hole.
    """

    def __init__(self, settings: SessionSettings, store: MessageStore, begin: int, end: int) -> None:
        self.begin = begin
        self.end = end
        self.messages = 0
        self.done = False
        self._settings = settings
        self._stored = store.read(begin, end)
        self._unanswered = begin  # first number that the peer has not been told about

    @property
    def gap_filled(self) -> int:
        """Numbers that were answered by a gap fill so far."""
        return self._unanswered - self.begin - self.messages

    def step(self, limit: int, now_ns: int) -> bytes:
        """Bytes that answer for up to ``limit`` further stored messages."""
        out = bytearray()
        for _ in range(limit):
            found = next(self._stored, None)
            if found is None:
                self._fill_to(self.end + 1, out, now_ns)
                self.done = True
                break
            seq, raw = found
            msg_type = stored_msg_type(raw)
            if msg_type in ADMIN_TYPES or msg_type in self._settings.stale_types:
                continue
            self._fill_to(seq, out, now_ns)
            out += as_poss_dup(raw, now_ns)
            self.messages += 1
            self._unanswered = seq + 1
        return bytes(out)

    def _fill_to(self, seq: int, out: bytearray, now_ns: int) -> None:
        if self._unanswered < seq:
            out += gap_fill(self._settings, self._unanswered, seq, now_ns)
            self._unanswered = seq
