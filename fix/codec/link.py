"""What the kernels know about one FIX session: CompIDs, prepared message openings, scratch.

Two flat arrays, because a kernel call from Python pays for each array it is given. The layout
below is compiled into the kernels (market.jit hashes this file with theirs).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fix.codec.fields import SLOTS, HandOver, Role
from fix.codec.words import word_of
from fix.errors import SettingsError

MAX_COMP_ID_BYTES = 32
MAX_FIELDS = 512  #: of a message on the hot path
MAX_BODY_BYTES = 16_384  #: BodyLength that the hot path takes
MAX_OPENINGS = 16

# words: int64[]
ROLE = 0
SESSION = 1
CHECK_LATENCY_NS = 2  # 0: SendingTime is not compared with now
PREFIX_BYTES = 3  # of "8=...|9="
IN_SENDER_BYTES = 4
IN_TARGET_BYTES = 5
IN_SENDER = np.int64(6)  # four words: the peer's CompID
IN_TARGET = np.int64(10)  # four words: ours
IN_DATE_WORD = 14  # YYYYMMDD last read, and the UTC nanoseconds of its midnight
IN_DATE_NS = 15
OUT_DAY = 16  # days since the epoch last written, and its YYYYMMDD
OUT_DATE_WORD = 17
HAND_OVER_CODE = 18
HAND_OVER_TAG = 19
IN_CLOCK_WORD = 20  # HH:MM:SS last read, and its nanoseconds since midnight
IN_CLOCK_NS = 21
OWNER = 28  # participant that incoming orders belong to
OUT_TIME = 29  # two words: "-HH:MM:S" and "S.mmm" of the batch in hand
SOH_AT = 32  # int64[MAX_FIELDS]: ends of the fields of the message in hand
VALUE_AT = SOH_AT + MAX_FIELDS  # int64[SLOTS]
VALUE_SIZE = VALUE_AT + SLOTS
OPENING_BYTES = VALUE_SIZE + SLOTS  # per MessageOpening: length of its opening, MAX_OPENINGS words
WORDS = OPENING_BYTES + MAX_OPENINGS

# text: uint8[]
PREFIX_TEXT = 0  # "8=FIX.4.4|9=", padded
PREFIX_ROOM = 64
OPENING_TEXT = PREFIX_ROOM  # MAX_OPENINGS openings: "8=FIX.4.4|9=000|35=D|49=..|56=..|34="
OPENING_ROOM = 128
REASON_TEXT = OPENING_TEXT + MAX_OPENINGS * OPENING_ROOM  # 128 texts, each its length and then at most 63 bytes
REASON_ROOM = 64
REASONS = 128
MAX_REASON_BYTES = 60
MD_REQ_ID_TEXT = REASON_TEXT + REASONS * REASON_ROOM  # its length and then at most 32 bytes
MAX_MD_REQ_ID_BYTES = 32
TEXT_BYTES = MD_REQ_ID_TEXT + 64 + 64  # the last 64: block copies may read past an entry

#: MsgType of each opening, in order.
OPENINGS = ("D", "F", "G", "q", "AF", "8", "9", "W", "i", "0")
OPEN_NEW, OPEN_CANCEL, OPEN_REPLACE, OPEN_MASS_CANCEL = np.arange(4)
OPEN_MASS_STATUS, OPEN_REPORT, OPEN_REJECT, OPEN_SNAPSHOT, OPEN_MASS_QUOTE, OPEN_HEARTBEAT = np.arange(4, 10)
#: Digits that an opening keeps for BodyLength(9): what the common message of that type needs. Where a
#: message needs more or fewer, ``close_message`` moves its body.
LENGTH_DIGITS = (3, 3, 3, 3, 3, 3, 3, 3, 4, 3)


class LinkState(NamedTuple):
    """What kernels take. One thread at a time: it holds the scratch of the message in hand."""

    words: Any  #: int64[WORDS]
    text: Any  #: uint8[TEXT_BYTES]


class HotLink:
    """One session as the codec kernels see it.

    Parameters
    ----------
    begin_string
        e.g. ``FIX.4.4``; the hot path speaks that version's fields.
    sender, target
        SenderCompID and TargetCompID of what *we* send; incoming messages must have them swapped.
    role
        Which messages ``decode`` takes.
    session
        Index written to ``header.source`` and ``session`` of every frame.
    owner
        Participant number written to ``owner`` of incoming orders (venue side).
    check_latency_ns
        A SendingTime further than this from ``now_ns`` goes to the session machine; 0 switches it off.
    """

    def __init__(
        self,
        begin_string: str,
        sender: str,
        target: str,
        *,
        role: Role = Role.CLIENT,
        session: int = 0,
        owner: int = 0,
        check_latency_ns: int = 120_000_000_000,
    ) -> None:
        for name, value, limit in (("sender", sender, 32), ("target", target, 32), ("begin_string", begin_string, 12)):
            if not 1 <= len(value) <= limit or not all(32 < ord(c) < 127 and c != "=" for c in value):
                raise SettingsError(f"{name} must be 1..{limit} printable ASCII characters without '=', was {value!r}")
        if not 0 <= session <= 0xFFFF:
            raise SettingsError(f"session must be 0..65535, was {session}")
        if not 0 <= owner <= 0xFFFFFFFF:
            raise SettingsError(f"owner must be 0..{0xFFFFFFFF}, was {owner}")
        if check_latency_ns < 0:
            raise SettingsError(f"check_latency_ns must be >= 0 (0: off), was {check_latency_ns}")
        self.begin_string, self.sender, self.target = begin_string, sender, target
        self.role, self.session = Role(role), session
        words, text = np.zeros(WORDS, np.int64), np.zeros(TEXT_BYTES, np.uint8)
        self.state = LinkState(words, text)
        words[[ROLE, SESSION, OWNER, CHECK_LATENCY_NS, OUT_DAY]] = (int(role), session, owner, check_latency_ns, -1)
        prefix = f"8={begin_string}\x019=".encode()
        words[PREFIX_BYTES] = len(prefix)
        words[[IN_DATE_NS, IN_CLOCK_NS]] = -1  # zero bytes, as the words beside them have, are no date and no time
        self._put(PREFIX_TEXT, prefix)
        for at, size_at, comp_id in ((IN_SENDER, IN_SENDER_BYTES, target), (IN_TARGET, IN_TARGET_BYTES, sender)):
            words[size_at] = len(comp_id)
            padded = comp_id.encode().ljust(MAX_COMP_ID_BYTES, b"\0")
            words[at : at + 4] = [int(word_of(padded[k : k + 8])) for k in range(0, MAX_COMP_ID_BYTES, 8)]
        for k, msg_type in enumerate(OPENINGS):
            digits = "0" * LENGTH_DIGITS[k]
            opening = prefix + f"{digits}\x0135={msg_type}\x0149={sender}\x0156={target}\x0134=".encode()
            words[OPENING_BYTES + k] = len(opening)
            self._put(OPENING_TEXT + k * OPENING_ROOM, opening)

    def _put(self, at: int, data: bytes) -> None:
        self.state.text[at : at + len(data)] = np.frombuffer(data, np.uint8)

    def set_reason_texts(self, texts: Mapping[int, str]) -> None:
        """Text(58) that goes with ``reason`` on rejects (35=9 and rejected 35=8); codes 0..127."""
        for code, reason in texts.items():
            data = reason.encode("ascii", "replace")[:MAX_REASON_BYTES]
            if not 0 <= code < REASONS or not data or any(byte < 32 for byte in data):
                raise SettingsError(
                    f"reason text must be printable with a code in 0..{REASONS - 1}, was {code}: {reason!r}"
                )
            at = REASON_TEXT + int(code) * REASON_ROOM
            self.state.text[at] = len(data)
            self._put(at + 1, data)

    def set_md_req_id(self, md_req_id: str) -> None:
        """MDReqID(262) of the snapshots that answer this session's subscription; empty: none."""
        data = md_req_id.encode("ascii", "replace")
        if len(data) > MAX_MD_REQ_ID_BYTES or any(byte < 32 for byte in data):
            raise SettingsError(
                f"md_req_id must be at most {MAX_MD_REQ_ID_BYTES} printable characters, was {md_req_id!r}"
            )
        self.state.text[MD_REQ_ID_TEXT] = len(data)
        self._put(MD_REQ_ID_TEXT + 1, data)

    @property
    def hand_over(self) -> tuple[HandOver, int]:
        """Why the last message was handed over, and at which tag (0: none in particular)."""
        words = self.state.words
        return HandOver(int(words[HAND_OVER_CODE])), int(words[HAND_OVER_TAG])
