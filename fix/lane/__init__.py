"""Hot lanes: a FIX session that the step thread drives itself, without the event loop.

While a session is steady, all that it is fits into flat memory: a socket, two numbers, unread and
unsent bytes, the end of its store, the throttle's window. A *lane* is that memory. Asyncio offers it,
the step thread takes it at a message boundary, and receives and sends by kernels until something
comes up that is not plain application traffic; then it hands the lane back, with the message that was
the reason still unread, and the session goes on in asyncio as if nothing had been. No message
is lost, doubled or reordered on the way, because at each moment exactly one side owns all of it.

Read ``layout.py`` first: the words of a lane, the four owners, the reasons to return. Then
``receiving.py`` (the way in, the clock, changing hands), ``sending.py`` (the way out) with
``storing.py`` and ``throttling.py``, and ``table.py``, asyncio's side of it. How a session uses
it is in :mod:`fix.endpoints.laned`.
"""

from fix.lane.driver import LaneDriver
from fix.lane.layout import LANE_FRAMES, LANE_WORDS, MAX_LANES, LaneOwner, LaneReason
from fix.lane.receiving import (
    lane_accept,
    lane_frame,
    lane_heed,
    lane_owner,
    lane_receive,
    lane_take_back,
    lane_taken,
    lane_tick,
    lane_wait,
    lane_withdraw,
)
from fix.lane.sending import lane_send
from fix.lane.storing import lane_moves
from fix.lane.table import Handing, Lanes, Returned

__all__ = [
    "LANE_FRAMES",
    "LANE_WORDS",
    "MAX_LANES",
    "Handing",
    "LaneDriver",
    "LaneOwner",
    "LaneReason",
    "Lanes",
    "Returned",
    "lane_accept",
    "lane_frame",
    "lane_heed",
    "lane_moves",
    "lane_owner",
    "lane_receive",
    "lane_send",
    "lane_take_back",
    "lane_taken",
    "lane_tick",
    "lane_wait",
    "lane_withdraw",
]
