"""FIX messages to frames and back, as kernels: the hot path of a session.

Here live framing, checking, the typed parse of the few application messages that trading needs,
and their encoding. Not here: session rules (``fix/session``), the store, sockets, any other
message type. Open ``decode.py`` first, then ``frame.py``; ``encode.py`` is the way out. Two cold
neighbours read what has nested groups or any depth: ``quotes.py`` and ``depth.py``.
"""

from fix.codec.decode import decode, decode_one
from fix.codec.encode import encode_orders
from fix.codec.encode_mass_quote import MAX_ENTRIES, QUOTE_ROOM, encode_mass_quotes
from fix.codec.encode_venue import encode_executions, encode_quotes
from fix.codec.fields import EncodeStop, HandOver, Role, StopReason
from fix.codec.link import HotLink, LinkState
from fix.codec.symbols import SymbolState, SymbolTable
from fix.codec.writing import MESSAGE_ROOM
from market.records import NO_INSTRUMENT

__all__ = [
    "MAX_ENTRIES",
    "MESSAGE_ROOM",
    "NO_INSTRUMENT",
    "QUOTE_ROOM",
    "EncodeStop",
    "HandOver",
    "HotLink",
    "LinkState",
    "Role",
    "StopReason",
    "SymbolState",
    "SymbolTable",
    "decode",
    "decode_one",
    "encode_executions",
    "encode_mass_quotes",
    "encode_orders",
    "encode_quotes",
]
