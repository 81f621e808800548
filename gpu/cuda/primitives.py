"""What a kernel of two targets may ask of the machine it runs on, with the CPU's answers.

On the CPU a "grid" is one thread, so that ``kernels.py`` also runs there: compiled, as the stand-in
for a device in tests, or as plain Python. ``device.py`` holds the CUDA twins.
"""

from typing import Any

from market.atomics import cpu_pause, fence_acquire, fence_release, load_acquire, store_release
from market.jit import kernel


@kernel(inline=True)
def block_index() -> int:
    """Which block of the grid this is."""
    return 0


@kernel(inline=True)
def block_count() -> int:
    """Blocks of the grid."""
    return 1


@kernel(inline=True)
def thread_index() -> int:
    """Which thread of its block this is; thread 0 speaks for it."""
    return 0


@kernel(inline=True)
def thread_count() -> int:
    """Threads of a block."""
    return 1


@kernel(inline=True)
def barrier() -> None:
    """Wait for all threads of the block; what they wrote before is visible to all after."""
    return


@kernel(inline=True)
def fence_everywhere() -> None:
    """What this thread wrote before is visible to the host before what it writes after."""
    fence_release()
    fence_acquire()


@kernel(inline=True)
def load_host_word(words: Any, index: int) -> int:
    """A word that the host may be writing: never cached, never hoisted, later loads stay behind it."""
    return int(load_acquire(words, index))


@kernel(inline=True)
def store_host_word(words: Any, index: int, value: int) -> None:
    """A word that the host polls: what was written before is visible first."""
    store_release(words, index, value)


@kernel(inline=True)
def load_board_word(words: Any, index: int) -> int:
    """A word that another block of the same device writes."""
    return int(load_acquire(words, index))


@kernel(inline=True)
def store_board_word(words: Any, index: int, value: int) -> None:
    """A word that the other blocks of the same device poll."""
    store_release(words, index, value)


@kernel(inline=True)
def take_ticket(words: Any, index: int) -> int:
    """Add one to a word as one act among the blocks; its value before."""
    before = int(words[index])
    words[index] = before + 1
    return before


@kernel(inline=True)
def rest(nanoseconds: int) -> None:
    """Leave the memory bus alone for about that long."""
    cpu_pause()
