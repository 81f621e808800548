"""The ``quickfix`` package as a second session engine, in a process of its own.

For counterparties that are certified on it, and as a live peer. What lives here: a session with
the surface of ``fix.endpoints.FixSession`` (``session.py``), the endpoints that keep its worker
process alive (``endpoints.py``, ``process.py``), and the worker itself (``worker.py``,
``application.py``), the only place that imports quickfix. Open ``application.py`` for the hazards
of quickfix-python and how each is closed.

Names are loaded when first asked for: the worker must not pay for numba before it connects.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fix.foreign.endpoints import QuickfixAcceptor, QuickfixInitiator
    from fix.foreign.events import Unsent, WorkerFailed
    from fix.foreign.process import WorkerPolicy
    from fix.foreign.session import QuickfixSession
    from fix.foreign.store import QuickfixStore

__all__ = [
    "QuickfixAcceptor", "QuickfixInitiator", "QuickfixSession", "QuickfixStore", "Unsent", "WorkerFailed",
    "WorkerPolicy", "installed",
]  # fmt: skip

_HOMES = {
    "QuickfixAcceptor": "endpoints", "QuickfixInitiator": "endpoints", "WorkerPolicy": "process",
    "QuickfixSession": "session", "Unsent": "events", "WorkerFailed": "events", "QuickfixStore": "store",
}  # fmt: skip


def installed() -> bool:
    """Whether the quickfix package is there. It is not imported: that is the worker's business."""
    return find_spec("quickfix") is not None


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
