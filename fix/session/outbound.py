"""What a session says: header, number, store, output. The only place that writes a header.

A message is stored before it is put out, so that a number which the peer may have seen is always
known. The header stands in ascending order of tag after MsgType, as reference engines write it.
"""

from collections.abc import Sequence

from fix.messages import (
    DATA_LENGTH_TAGS,
    HEADER_TAGS,
    SECRET_TAGS,
    SOH,
    Field,
    encode_fields,
    encode_value,
    seal,
    utc_timestamp,
)  # fmt: skip
from fix.session.settings import SessionSettings
from fix.store import Store

#: Header fields that only the session writes.
_OURS = frozenset((8, 9, 34, 35, 49, 52, 56))


def _place(field: Field) -> int:
    """Where a header field stands: by tag, the entries of the hops group behind their count as they came."""
    return 627 if field[0] in (628, 629, 630) else field[0]


class Outbound:
    """Builds, numbers, stores and collects the messages of one session."""

    def __init__(self, settings: SessionSettings, store: Store) -> None:
        self.store = store
        self._out = bytearray()
        self._decimals = int(settings.precision)
        self._opening = b"8=%b\x019=" % settings.begin_string.encode("latin-1")
        constants: list[Field] = [(49, settings.sender_comp_id), (56, settings.target_comp_id), *settings.header]
        constants.sort()
        self._constants = constants
        # The header in three pieces around MsgSeqNum and SendingTime: 49 and 50 stand between them.
        self._before_time = encode_fields([field for field in constants if field[0] < 52]) + b"52="
        self._after_time = SOH + encode_fields([field for field in constants if field[0] > 52])

    def take(self) -> bytes:
        """Bytes to send, and forget them."""
        out = self._out
        if not out:
            return b""
        self._out = bytearray()
        return bytes(out)

    def clear(self) -> None:
        """Forget what was not taken: the connection is gone."""
        self._out.clear()

    def stamp(self, now_ns: int) -> bytes:
        """SendingTime as this session writes it."""
        return utc_timestamp(now_ns, self._decimals)

    def send(
        self, msg_type: str, body: Sequence[Field], now_ns: int, header: Sequence[Field] = (), *,
        app_ref: int = 0, put_out: bool = True,
    ) -> int:  # fmt: skip
        """Build, store, put out one message; its MsgSeqNum."""
        seq = self.store.next_out
        raw = self.build(msg_type, seq, body, now_ns, header)
        self.store.append(seq, raw, app_ref)
        if put_out:
            self._out += raw
        return seq

    def send_secret(self, msg_type: str, body: Sequence[Field], now_ns: int, header: Sequence[Field] = ()) -> int:
        """As :meth:`send`, but the store gets ``***`` for secrets: a Logon is never resent, so none is needed."""
        seq = self.store.next_out
        masked: list[Field] = [(tag, b"***" if tag in SECRET_TAGS else value) for tag, value in body]
        masked = [(tag, 3 if DATA_LENGTH_TAGS.get(tag) in SECRET_TAGS else value) for tag, value in masked]
        self.store.append(seq, self.build(msg_type, seq, masked, now_ns, header))
        self._out += self.build(msg_type, seq, body, now_ns, header)
        return seq

    def put(self, raw: bytes) -> None:
        """Put out bytes that take no number: parts of a resend."""
        self._out += raw

    def build(self, msg_type: str, seq: int, body: Sequence[Field], now_ns: int, header: Sequence[Field] = ()) -> bytes:
        """A whole message. ``header``: further fields, or others in place of the constants."""
        stamp = utc_timestamp(now_ns, self._decimals)
        if header:
            opening = self._header(msg_type, seq, stamp, header)
        else:
            opening = b"35=%b\x0134=%d\x01%b%b%b" % (
                encode_value(msg_type), seq, self._before_time, stamp, self._after_time,
            )  # fmt: skip
        return seal(self._opening, opening + encode_fields(body) if body else opening)

    def _header(self, msg_type: str, seq: int, stamp: bytes, header: Sequence[Field]) -> bytes:
        given = {field[0] for field in header}
        wrong = (given - HEADER_TAGS) | (given & _OURS)
        if wrong:
            raise ValueError(f"header: tag {min(wrong)} is not a header field of the application's")
        fields: list[Field] = [field for field in self._constants if field[0] not in given]
        fields += [(34, seq), (52, stamp), *header]
        fields.sort(key=_place)
        return b"35=%b\x01%b" % (encode_value(msg_type), encode_fields(fields))

    def gap_fill(self, seq: int, new_seq: int, now_ns: int, header: Sequence[Field] = ()) -> bytes:
        """SequenceReset-GapFill from ``seq`` to ``new_seq``. Takes no number and is not stored."""
        flags: list[Field] = [(43, "Y"), (122, self.stamp(now_ns)), *header]
        return self.build("4", seq, [(36, new_seq), (123, "Y")], now_ns, flags)

    def poss_dup(self, raw: bytes, now_ns: int) -> bytes:
        """A stored message as it is sent again: PossDupFlag=Y, OrigSendingTime, a new SendingTime; body untouched.

        Only the header is taken apart: a resend of thousands must not hold the loop.
        """
        position = raw.index(SOH) + 1
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
                # After our clock was set back: an OrigSendingTime above SendingTime would log us
                # out, and so would a SendingTime that is still ahead.
                stamp = self.stamp(now_ns)
                header += [(52, stamp), (122, min(stamp, value))]
            elif tag not in (43, 122):
                header.append((tag, value))
            position = end + 1
        header.sort(key=_place)
        fields = b"".join([b"%d=%b\x01" % field for field in header])
        return seal(self._opening, b"35=%b\x01%b%b" % (msg_type, fields, raw[position:-7]))
