"""The words of one lane, and what its states and reasons are called.

A lane is ``LANE_WORDS`` int64 of the table. Words 0..15 are shared between the two threads, each
group on a cache line of its own; all others belong to whoever owns the lane.
"""

from enum import IntEnum

MAX_LANES = 16
LANE_FRAMES = 64  #: frames that one lane holds at most between ``lane_receive`` and ``lane_taken``
LANE_BATCH = 64  #: messages of one ``send``
RECEIVE_BYTES = 1 << 16
SLACK_BYTES = 64  # kernels load eight bytes at a time
TAIL_BYTES = 1 << 18  #: room for bytes that the socket has not taken


class LaneOwner(IntEnum):
    """Who may touch a lane's session. The word is only changed as said here."""

    COLD = 0  # asyncio; it alone makes it OFFERED
    OFFERED = 1  # the step thread may make it HOT, asyncio may make it COLD again: both by compare-and-exchange
    HOT = 2  # the step thread; it alone makes it RETURNED
    RETURNED = 3  # asyncio, which makes it COLD


class LaneReason(IntEnum):
    """Why a lane was returned."""

    NONE = 0
    WISH = 1  # asyncio has asked for it
    MESSAGE = 2  # what comes next is for the session machine
    EOF = 3
    SOCKET_ERROR = 4  # recv() failed
    SEND_ERROR = 5  # send() failed; what it did not take is in the lane
    BACKLOG = 6  # the peer reads too slowly
    THROTTLE = 7  # no budget for the next order
    STORE = 8  # the window is full, the day is over, or the disk has failed
    ENCODE = 9  # an order that cannot be put on the wire
    TIMEOUT = 10  # the peer is silent


# Shared: written by whoever LaneOwner says.
OWNER = 0
# Shared: written by asyncio, read by the step thread.
WISH = 8
SHIFT_NS = 9  # the session's clock minus the driver's
# Shared: the window after the present one. Asyncio writes the others while NEXT_LENT is 0, then makes it 1; the step
# thread makes it 0 again when it has gone on in there. So each of them is written by one at a time.
NEXT_LENT = 10
NEXT_BASE = 11  # as STORE_BASE and the like
NEXT_END = 12
A_NEXT_DATA = 13
A_NEXT_INDEX = 14
N_NEXT_INDEX = 15

FD = 16
NEXT_IN = 17
NEXT_OUT = 18
REASON = 19
LEAVING = 20  # reason to return once the frames in hand are taken; 0: none
START = 21  # of the bytes not yet taken, in the receive buffer
END = 22
NEED_MORE = 23  # they hold no whole message
PENDING_FRAMES = 24  # decoded, not yet taken: frames, messages, bytes
PENDING_MESSAGES = 25
PENDING_BYTES = 26
TAIL_START = 27  # of the unsent bytes, in the tail
TAIL_END = 28
TAIL_LIMIT = 29  # more than this, and the lane is returned
TICKED_NS = 30  # when time was last looked at; 0: not yet
SENT_NS = 31  # as of TICKED_NS; before the first tick: how long ago
RECEIVED_NS = 32
SENT_NEW = 33  # something was sent since TICKED_NS
RECEIVED_NEW = 34
HEARTBEAT_NS = 35  # 0: no heartbeats, and silence says nothing
SILENCE_NS = 36

MESSAGES_IN = 38  # counted from the promotion on
MESSAGES_OUT = 39
BYTES_IN = 40
BYTES_OUT = 41
HEARTBEATS_IN = 42
HEARTBEATS_OUT = 43
PARTIAL_SENDS = 44

STORE_AT = 48  # position in the data file of the next entry
STORE_BASE = 49  # position of the mapping's first byte
STORE_END = 50
STORE_DAY_END_NS = 51
STORE_PLACE = 52  # day of the file, as an index word has it
STORE_TAG = 53
STORE_MOVES = 54  # times that it went on in the next window, since the promotion

THROTTLE_LIMIT = 56  # 0: no throttle
THROTTLE_RESERVE = 57
THROTTLE_WINDOW_NS = 58
THROTTLE_ROOM = 59  # entries that the ring below has room for
THROTTLE_FIRST = 60
THROTTLE_COUNT = 61
THROTTLE_USED = 62

# Addresses; counts where they differ between lanes.
A_LINK_WORDS = 72
A_LINK_TEXT = 73
A_SLOTS = 74
N_SLOTS = 75
A_ROWS = 76
N_ROWS = 77
A_SHIFT = 78
A_RECEIVE = 79
A_FRAMES = 80
A_OUT = 81
A_ENDS = 82
A_TAIL = 83
A_STORE_DATA = 84
A_STORE_INDEX = 85
N_STORE_INDEX = 86
A_STORE_WORDS = 87
A_STORE_FAILED = 88
A_THROTTLE = 89  # int64[2 * room]: when, how many

LANE_WORDS = 96
