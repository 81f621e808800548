"""The life of an order: one table of allowed transitions, used by step, simulator and store.

Terminal states have no way out except a trade correction, which is handled as a change of
quantities and not of state. UNKNOWN is reachable from every open state (a session broke, a report
contradicts us) and leaves to any state that the venue's own status report names.
"""

from typing import Final

import numpy as np

from market.enums import OrdStatus
from market.jit import kernel

_S = OrdStatus
_OPEN = (_S.NEW, _S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.PENDING_REPLACE, _S.SUSPENDED)
_TERMINAL = (_S.FILLED, _S.CANCELED, _S.REJECTED, _S.EXPIRED)

#: from -> the states that a report may lead to. A repeated report of the same state is allowed
#: where quantities can move within it.
TRANSITIONS: Final[dict[OrdStatus, tuple[OrdStatus, ...]]] = {
    _S.PENDING_NEW: (_S.PENDING_NEW, *_OPEN, *_TERMINAL, _S.UNKNOWN),
    _S.NEW: (*_OPEN, *_TERMINAL, _S.UNKNOWN),
    _S.PARTIALLY_FILLED: (*_OPEN[1:], *_TERMINAL, _S.UNKNOWN),
    _S.PENDING_CANCEL: (*_OPEN, *_TERMINAL, _S.UNKNOWN),
    _S.PENDING_REPLACE: (*_OPEN, *_TERMINAL, _S.UNKNOWN),
    _S.SUSPENDED: (*_OPEN, *_TERMINAL, _S.UNKNOWN),
    _S.UNKNOWN: (_S.UNKNOWN, _S.PENDING_NEW, *_OPEN, *_TERMINAL),
    _S.FILLED: (),
    _S.CANCELED: (),
    _S.REJECTED: (),
    _S.EXPIRED: (),
}


def _matrix() -> np.ndarray:
    table = np.zeros((128, 128), np.uint8)
    for source, targets in TRANSITIONS.items():
        for target in targets:
            table[source, target] = 1
    table.flags.writeable = False
    return table


_ALLOWED = _matrix()
_IS_OPEN = np.array([1 if s in (*_OPEN, _S.PENDING_NEW, _S.UNKNOWN) else 0 for s in range(128)], np.uint8)
_IS_TERMINAL = np.array([1 if s in _TERMINAL else 0 for s in range(128)], np.uint8)


@kernel(inline=True)
def allowed(current: int, following: int) -> bool:
    """Whether a report may move an order from ``current`` to ``following`` (OrdStatus values)."""
    return _ALLOWED[current & 127, following & 127] != 0


@kernel(inline=True)
def is_open(status: int) -> bool:
    """Whether the order may still trade, as far as we know: fail closed, UNKNOWN counts as open."""
    return _IS_OPEN[status & 127] != 0


@kernel(inline=True)
def is_terminal(status: int) -> bool:
    """Whether the order can never trade again."""
    return _IS_TERMINAL[status & 127] != 0
