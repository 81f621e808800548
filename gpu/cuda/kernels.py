"""What runs on the device: one refresh of a chain, and the kernel that stays and serves requests.

Host and device share four small arrays. ``control`` (host writes) and ``answer`` (device writes) lie
in pinned host memory that both can address; ``board`` and ``board_spot`` in the device's own memory, where
block 0 tells the other blocks what it read, so that one thread alone polls across the bus.

=============  ==========  ===============================================================================
array          word        meaning
=============  ==========  ===============================================================================
``control``    REQUEST     number of the newest request; ``STOP`` ends the kernel that stays. Written last
               FIRST,      rows [FIRST, LAST) of ``staged`` are new and are taken over before valuing
               LAST
               HEARTBEAT   changes while the host lives (a cache line of its own: another thread writes it)
``spots``      0           the spot of the newest request
``answer``     DONE        number of the newest request whose rows are all in ``out``. Written last
               STATE       of the kernel that stays: see ``State``
=============  ==========  ===============================================================================

A chain's ``columns`` stay on the device, so a spot move sends 8 bytes of payload and a request number.
``out`` is host memory: the threads' stores are the transfer.
The kernel that stays ends by itself: on ``STOP``, when the heartbeat stands still, after a number of
requests. It needs one block only to be complete; more blocks need all of them resident at once.
"""

from enum import IntEnum
from typing import Any

from gpu.cuda.primitives import (
    barrier,
    block_count,
    block_index,
    fence_everywhere,
    load_board_word,
    load_host_word,
    rest,
    store_board_word,
    store_host_word,
    take_ticket,
    thread_count,
    thread_index,
)
from gpu.european.greeks import spot_greeks
from market.jit import kernel

#: Rows of ``columns`` and ``staged``: strike, years, rate, dividend yield, volatility, right.
COLUMN_COUNT = 6

#: Rows of ``out``: price and thirteen Greeks, or price, delta, gamma, vega and theta.
FULL_ROWS, REDUCED_ROWS = 14, 5

REQUEST, FIRST, LAST, HEARTBEAT = 0, 1, 2, 8  #: words of ``control``
DONE, STATE = 0, 8  #: words of ``answer``
ASKED, ASKED_FIRST, ASKED_LAST, TICKETS = 0, 1, 2, 8  #: words of ``board``
WORDS = 16  #: length of each

STOP = -1  #: as REQUEST: end

#: Polls between two looks at the heartbeat, and nanoseconds of rest between two polls.
_BEAT_EVERY = 64
_REST_NS = 50


class State(IntEnum):
    """Of the kernel that stays, in ``answer[STATE]``."""

    NOT_STARTED = 0
    RUNNING = 1
    STOPPED = 2  # as asked
    HEARTBEAT_LOST = 3  # the host stood still: nobody may ever stop it, so it stops itself
    EPOCH_OVER = 4  # its number of requests is served: to be launched again


RUNNING = int(State.RUNNING)
STOPPED = int(State.STOPPED)
HEARTBEAT_LOST = int(State.HEARTBEAT_LOST)
EPOCH_OVER = int(State.EPOCH_OVER)


@kernel(inline=True)
def write_row(i: int, n: int, rows: int, spot: float, columns: Any, out: Any) -> None:
    """Values of series ``i`` into column i of ``out[rows, n]``, flat: all fourteen, or the first five."""
    row = spot_greeks(
        spot, columns[i], columns[n + i], columns[2 * n + i], columns[3 * n + i], columns[4 * n + i],
        int(columns[5 * n + i]),
    )  # fmt: skip
    out[i], out[n + i], out[2 * n + i], out[3 * n + i], out[4 * n + i] = row[0], row[1], row[2], row[3], row[4]
    if rows > REDUCED_ROWS:
        out[5 * n + i], out[6 * n + i], out[7 * n + i], out[8 * n + i] = row[5], row[6], row[7], row[8]
        out[9 * n + i], out[10 * n + i], out[11 * n + i], out[12 * n + i] = row[9], row[10], row[11], row[12]
        out[13 * n + i] = row[13]


@kernel(inline=True)
def value_rows(spot: float, first: int, last: int, n: int, rows: int, staged: Any, columns: Any, out: Any) -> None:
    """The rows of this thread: take over what is new, then value. A row has one thread, so nobody waits."""
    i, step = block_index() * thread_count() + thread_index(), block_count() * thread_count()
    while i < n:
        if first <= i < last:
            for c in range(COLUMN_COUNT):
                columns[c * n + i] = staged[c * n + i]
        write_row(i, n, rows, spot, columns, out)
        i += step


@kernel(inline=True)
def answer_request(sequence: int, board: Any, answer: Any) -> None:
    """The last block to come here tells the host; before that every row of every block is in host memory."""
    fence_everywhere()
    barrier()
    if thread_index() == 0 and take_ticket(board, TICKETS) == block_count() - 1:
        store_board_word(board, TICKETS, 0)
        fence_everywhere()
        store_host_word(answer, DONE, sequence)


@kernel
def refresh_kernel(
    control: Any, spots: Any, staged: Any, columns: Any, board: Any, board_spot: Any, answer: Any, out: Any, n: int,
    rows: int,
) -> None:  # fmt: skip
    """One request, launched or replayed: its words were written before the launch."""
    value_rows(spots[0], control[FIRST], control[LAST], n, rows, staged, columns, out)
    answer_request(control[REQUEST], board, answer)


@kernel
def await_request(control: Any, last: int, idle_limit: int) -> int:
    """Block 0: poll until there is a request after ``last``; its number, or minus the ``State`` to end in."""
    beat, idle = load_host_word(control, HEARTBEAT), 0
    while True:
        sequence = load_host_word(control, REQUEST)
        if sequence == STOP:
            return -STOPPED
        if sequence != last:
            return sequence
        idle += 1
        if idle % _BEAT_EVERY == 0:
            now = load_host_word(control, HEARTBEAT)
            if now != beat:
                beat, idle = now, 0
            elif idle >= idle_limit:
                return -HEARTBEAT_LOST
        rest(_REST_NS)


@kernel
def serve_kernel(
    control: Any, spots: Any, staged: Any, columns: Any, board: Any, board_spot: Any, answer: Any, out: Any, n: int,
    rows: int, last: int, idle_limit: int, request_limit: int,
) -> None:  # fmt: skip
    """Serve requests after ``last`` until one of the ends above.

    ``idle_limit``: polls without a heartbeat before it gives up; a poll is one read across the bus,
    about a microsecond. ``request_limit``: how many it serves at most.
    """
    leader = thread_index() == 0
    if leader and block_index() == 0:
        store_host_word(answer, STATE, RUNNING)
    served = 0
    while True:
        if leader and block_index() == 0:
            sequence = -EPOCH_OVER if served >= request_limit else await_request(control, last, idle_limit)
            board[ASKED_FIRST], board[ASKED_LAST], board_spot[0] = control[FIRST], control[LAST], spots[0]
            store_board_word(board, ASKED, sequence)
        elif leader:
            while load_board_word(board, ASKED) == last:
                rest(_REST_NS)
        barrier()
        sequence = load_board_word(board, ASKED)
        if sequence < 0:
            break
        value_rows(board_spot[0], board[ASKED_FIRST], board[ASKED_LAST], n, rows, staged, columns, out)
        answer_request(sequence, board, answer)
        last = sequence
        served += 1
    if leader and block_index() == 0:
        store_host_word(answer, STATE, -sequence)
