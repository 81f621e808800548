"""Messages built and read by simplefix: the codec's oracle, which shares no code with it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import simplefix

from fix.codec import HotLink, Role, SymbolTable
from market import records

NOW_NS = 1_767_361_512_123_456_789
NOW_TEXT = "20260102-13:45:12.123"
NOW_MS_NS = NOW_NS // 1_000_000 * 1_000_000
CALL, EQUITY, PENNY, WHOLE = 7, 0, 3, 4
SYMBOLS = {CALL: "GOOG151224C00750000", EQUITY: "GOOG", PENNY: "A", WHOLE: "BRK.B-WHOLE-UNITS-24-CHR"}
SCALES = {CALL: 2, EQUITY: 2, PENNY: 4, WHOLE: 0}

Fields = list[tuple[int, Any]]


def symbol_table() -> SymbolTable:
    """Four instruments: scales 2, 2, 4 and 0; symbols of 19, 4, 1 and 24 characters."""
    table = SymbolTable(16)
    for instrument, symbol in SYMBOLS.items():
        table.add(symbol, instrument, SCALES[instrument])
    return table


def client_link(**options: Any) -> HotLink:
    """AXIOM01 talking to OPTVENUE, which is nine characters: more than one word."""
    return HotLink("FIX.4.4", "AXIOM01", "OPTVENUE1", role=Role.CLIENT, session=3, **options)


def venue_link(**options: Any) -> HotLink:
    """The other end of :func:`client_link`."""
    return HotLink("FIX.4.4", "OPTVENUE1", "AXIOM01", role=Role.VENUE, session=5, owner=16, **options)


def message(msg_type: str, seq: Any, body: Fields, *, to_venue: bool = False, **header: Any) -> bytes:
    """One message; ``header`` replaces (``t52="..."``), removes (``t52=None``) or adds header fields."""
    sender, target = ("AXIOM01", "OPTVENUE1") if to_venue else ("OPTVENUE1", "AXIOM01")
    fields: dict[str, Any] = {"t35": msg_type, "t49": sender, "t56": target, "t34": seq, "t52": NOW_TEXT}
    fields.update(header)
    built = simplefix.FixMessage()
    built.append_pair(8, "FIX.4.4")
    for name, value in fields.items():
        if value is not None:
            built.append_pair(int(name[1:]), value)
    for tag, value in body:
        built.append_pair(tag, value)
    return bytes(built.encode())


def reframe(body: bytes, begin: bytes = b"FIX.4.4", length: int | None = None, check: int | None = None) -> bytes:
    """Put BeginString, BodyLength and CheckSum around ``body``, right unless given."""
    head = b"8=" + begin + b"\x019=" + str(len(body) if length is None else length).encode() + b"\x01"
    total = sum(head + body) % 256 if check is None else check
    return head + body + b"10=%03d\x01" % total


def body_of(data: bytes) -> bytes:
    """From MsgType up to CheckSum."""
    return data[data.index(b"35=") : data.rindex(b"10=")]


def parse(data: bytes) -> list[tuple[int, str]]:
    """Fields of one message by simplefix."""
    parser = simplefix.FixParser()
    parser.append_buffer(data)
    parsed = parser.get_message()
    assert parsed is not None, data
    return [(int(tag), value.decode()) for tag, value in parsed.pairs]


def split(data: bytes) -> list[bytes]:
    """Whole messages of a stream, by BodyLength."""
    messages = []
    while data:
        length = int(data.split(b"\x01")[1][2:])
        end = data.index(b"35=") + length + 7
        messages.append(data[:end])
        data = data[end:]
    return messages


def array(data: bytes, before: int = 0, after: int = 0, poison: int = 0xAA) -> npt.NDArray[np.uint8]:
    """``data`` as a writable array with poison around it."""
    return np.frombuffer(bytearray(bytes([poison]) * before + data + bytes([poison]) * after), np.uint8)


def frames(count: int) -> npt.NDArray[np.uint8]:
    """Frames full of rubbish: a decoder must write every field."""
    out = records.frames(count)
    out[:] = 0x5A
    return out


def row(layout: Any, out: npt.NDArray[np.uint8], i: int = 0) -> dict[str, Any]:
    """Row ``i`` as a dict of Python values."""
    record = out.reshape(-1).view(layout)[i]
    return {name: record[name].item() for name in layout.names}


def time_text(at_ns: int, decimals: int = 3) -> str:
    """UTCTimestamp of nanoseconds since the epoch."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_ns // 10**9)
    fraction = f"{at_ns % 10**9:09d}"[:decimals]
    return at.strftime("%Y%m%d-%H:%M:%S") + ("." + fraction if decimals else "")


def price_text(ticks: int, instrument: int) -> str:
    """Decimal text of a price, as people write it."""
    return str(Decimal(ticks).scaleb(-SCALES[instrument]))
