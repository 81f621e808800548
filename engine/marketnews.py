"""What a venue says about its market by message: trading status (f), trading session (h), news (B), user (BF).

Trading status becomes a frame for the step, which pulls the series and the gate refuses it; all of it
becomes a line for people.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.loop import new_frame
from fix.codec import SymbolTable
from fix.messages import Field, Message
from market.enums import FrameKind, TradingStatus
from market.records import SECURITY_STATUS

MARKET_NEWS = frozenset(("f", "h", "B", "BF"))  #: MsgTypes that are read here
STATUS_REQUEST = "e"
_EVERYTHING = "*"  # Symbol(55) by which our venues are asked about all instruments

# SecurityTradingStatus(326). What is not here (delays, rotations, imbalances) is not open: HALTED.
_STATUSES = {
    3: TradingStatus.OPEN,  # resume
    17: TradingStatus.OPEN,
    23: TradingStatus.OPEN,  # fast market
    18: TradingStatus.CLOSED,
    19: TradingStatus.CLOSED,
}
_UNKNOWN = 20
_SESSION_OPEN = 2  # TradSesStatus(340)
_LOGGED_IN = 1  # UserStatus(926)
_FLASH = b"1"  # Urgency(61)


def status_request(request_id: str) -> list[Field]:
    """Body of the SecurityStatusRequest (e) for everything that a venue lists, from now on."""
    return [(324, request_id), (55, _EVERYTHING), (263, 1)]


def trading_status(message: Message) -> TradingStatus | None:
    """What a SecurityStatus (f) says; None where it says nothing that is known."""
    said = message.integer(326)
    if said is None or said == _UNKNOWN:
        return None
    return _STATUSES.get(said, TradingStatus.HALTED)


def security_status(message: Message, symbols: SymbolTable, session: int) -> npt.NDArray[Any] | None:
    """The step's frame of a SecurityStatus (f); None where it is about no instrument that we know."""
    instrument, status = symbols.index_of(message.text(55)), trading_status(message)
    if instrument < 0 or status is None:
        return None
    frame = new_frame(SECURITY_STATUS)
    frame["kind"], frame["source"] = FrameKind.SECURITY_STATUS, session
    frame["instrument"], frame["status"], frame["session"] = instrument, status, session
    frame["msg_seq"] = np.uint32((message.seq or 0) & 0xFFFF_FFFF)
    return frame


def said(message: Message) -> tuple[str, str] | None:
    """Severity and text of what a venue tells people; None where there is nothing to tell."""
    kind = message.msg_type
    if kind == "B":
        lines = [entry[58].decode("latin-1") for entry in message.groups(33, 58)]
        text = " ".join([message.text(148), *(line for line in lines if line != message.text(148))])
        return "warning" if message.get(61) == _FLASH else "info", f"news: {text}"
    if kind == "h":
        status = message.integer(340)
        if status != _SESSION_OPEN or message.flag(325):
            return "warning", f"trading session {message.text(336)} has status {status} (2 is open)"
    if kind == "BF" and message.integer(926) != _LOGGED_IN:
        return "warning", f"user {message.text(553)}: status {message.text(926)} {message.text(927)}".rstrip()
    if kind == "f" and trading_status(message) is None:
        return "warning", f"trading status {message.text(326)} of {message.text(55)} is not understood"
    return None
