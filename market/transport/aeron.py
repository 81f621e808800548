"""Aeron as a carrier of frames: to other machines, by multicast, to peers in other languages.

Through ``pyaeron`` (the extra ``aeron``: Python 3.12 or later, media driver embedded), or through
``aeronpy`` where somebody has built the aeron-python package; that one brings no driver, so an
address must name the directory of one that runs. Frames travel in the batches of
:mod:`market.transport.wire`. A publisher never waits: what finds no room is dropped and shows at the
receiver as a gap.
"""

import contextlib
import importlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from market.errors import TransportError
from market.rings import DEFAULT_SILENCE_NS
from market.transport.address import Address
from market.transport.wire import (
    BATCH_FRAMES,
    L_BAD,
    L_BOOKS,
    L_ENDED,
    L_FRAMES,
    L_GAPS,
    L_MARKET_NS,
    L_MISSED,
    L_RESTARTS,
    L_SILENCE_NS,
    L_WALL_NS,
    LINK_WORDS,
    Batches,
    take_batch,
)

Words = npt.NDArray[np.int64]

_OFFERS = 200  # of one batch that finds no room, before it is given up
_SENT, _AGAIN, _UNHEARD = 1, 0, -1
_NOT_CONNECTED, _CLOSED = -1, -4  # of aeronpy's offer
_CLIENTS: dict[str, "_Client"] = {}
_LOCK = threading.Lock()


def backend() -> str:
    """Which binding is installed: ``pyaeron``, ``aeronpy``, or empty."""
    for name in ("pyaeron", "aeronpy"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            return name
    return ""


def _own_directory() -> str:
    """A fresh directory for a driver of our own, in memory; those of processes that were killed are removed."""
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    for left in memory.glob("axiom-aeron-*-*"):
        pid = left.name.split("-")[2]
        if pid.isdecimal() and not Path("/proc", pid).exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"axiom-aeron-{os.getpid()}-", dir=memory)


class _Client:
    """A connection to one media driver, shared by all streams of this process that use it."""

    def __init__(self, directory: str) -> None:
        self.users = 0
        self.directory = directory
        self.name = backend()
        self._driver: Any = None
        if self.name == "pyaeron":
            self._open_pyaeron()
        elif self.name == "aeronpy":
            self._open_aeronpy()
        else:
            raise TransportError(
                "no Aeron binding is installed: pip install 'axiom[aeron]' (Python 3.12 or later), "
                "or build aeron-python; without one use ring:PATH"
            )

    def _open_pyaeron(self) -> None:
        self._module = importlib.import_module("pyaeron")
        where = self.directory
        if not where:
            where = _own_directory()
        try:
            if not self.directory or not self._module.is_driver_active(where, 1000):
                self._driver = self._module.MediaDriver(dir=where, threading="shared")
            self.aeron = self._module.Aeron(dir=where)
        except self._module.AeronError as error:
            raise TransportError(f"no Aeron media driver at {where}: {error}") from error

    def _open_aeronpy(self) -> None:
        module = importlib.import_module("aeronpy")
        if not self.directory:
            raise TransportError("aeronpy has no media driver of its own: start aeronmd and add ;dir=PATH")
        self.aeron = module.Context(aeron_dir=self.directory)

    def _add(self, add: Callable[[str, int], Any], address: Address) -> Any:
        try:
            return add(address.channel, address.stream)
        except Exception as error:  # each binding has errors of its own
            first = (str(error) or repr(error)).splitlines()[0]
            raise TransportError(f"{address.channel}, stream {address.stream}: {first}") from error

    def offer_of(self, address: Address) -> tuple[Any, Callable[[memoryview], int]]:
        """A publication, and how to offer to it: _SENT, _AGAIN or _UNHEARD."""
        publication = self._add(self.aeron.add_exclusive_publication, address)
        if self.name == "pyaeron":
            module = self._module

            def offer(data: memoryview) -> int:
                try:
                    result = publication.offer(data)
                except module.AeronError as error:
                    raise TransportError(f"{address.channel}: {error}") from error
                return _SENT if result else _UNHEARD if result is module.NOT_CONNECTED else _AGAIN

            return publication, offer

        def offer_number(data: memoryview) -> int:
            result = int(publication.offer(data))
            if result <= _CLOSED:
                raise TransportError(f"{address.channel}: the publication was closed ({result})")
            return _SENT if result > 0 else _UNHEARD if result == _NOT_CONNECTED else _AGAIN

        return publication, offer_number

    def subscribe(self, address: Address) -> tuple[Any, Callable[[Any, int], int]]:
        """A subscription, and how to poll it with a handler of one buffer."""
        subscription = self._add(self.aeron.add_subscription, address)
        if self.name == "pyaeron":

            def poll(handler: Any, limit: int) -> int:
                return int(subscription.poll(handler, limit, assemble=False))

            return subscription, poll
        return subscription, lambda handler, limit: int(subscription.poll(handler, limit))

    def close(self) -> None:
        """After the last stream: leave the driver, and end it if it is ours."""
        with contextlib.suppress(AttributeError):
            self.aeron.close()
        if self._driver is not None:
            self._driver.close()


def _join(directory: str) -> _Client:
    with _LOCK:
        client = _CLIENTS.get(directory)
        if client is None:
            client = _CLIENTS[directory] = _Client(directory)
        client.users += 1
        return client


def _leave(client: _Client) -> None:
    with _LOCK:
        client.users -= 1
        if client.users == 0:
            del _CLIENTS[client.directory]
            client.close()


class AeronPublisher:
    """The sending end of one Aeron stream."""

    def __init__(self, address: Address, *, books: int = 0, silence_ns: int = DEFAULT_SILENCE_NS) -> None:
        self.dropped = 0  # batches that found no room
        self.unheard = 0  # batches that nobody listened for
        self._batch = Batches(time.time_ns(), silence_ns, books)
        self._client = _join(address.directory)
        try:
            self._publication, self._offer_once = self._client.offer_of(address)
        except Exception:
            _leave(self._client)
            raise

    def _offer(self, data: memoryview) -> bool:
        for _ in range(_OFFERS):
            code = self._offer_once(data)
            if code == _SENT:
                return True
            if code == _UNHEARD:
                self.unheard += 1
                return False
        self.dropped += 1
        return False

    def publish(self, cells: Words, count: int) -> int:
        """See :class:`~market.transport.interface.Publisher`."""
        sent = 0
        for first in range(0, count, BATCH_FRAMES):
            part = min(BATCH_FRAMES, count - first)
            sent += part * self._offer(self._batch.fill(cells, first, part))
        return sent

    def beat(self, wall_ns: int, market_ns: int) -> None:
        """See :class:`~market.transport.interface.Publisher`."""
        self._offer(self._batch.beat(wall_ns, market_ns))

    def close(self) -> None:
        """Say so, leave."""
        if self._client.users:
            with contextlib.suppress(TransportError):
                self._offer(self._batch.end())
            self._publication.close()
            _leave(self._client)


class AeronSubscriber:
    """The receiving end of one Aeron stream."""

    def __init__(self, address: Address) -> None:
        self._link = np.zeros(LINK_WORDS, np.int64)
        self._out: Words = np.zeros((0, 16), np.int64)
        self._at = 0
        # Compiled or loaded now: the first batch would wait for it.
        take_batch(self._link, np.frombuffer(bytes(8), np.int64), self._out, 0)
        self._link[:] = 0
        self._client = _join(address.directory)
        try:
            self._subscription, self._poll = self._client.subscribe(address)
        except Exception:
            _leave(self._client)
            raise

    @property
    def counters(self) -> dict[str, int]:
        """What was counted: frames, gaps, missed frames, restarts of publishers, batches that were none."""
        names = {"frames": L_FRAMES, "gaps": L_GAPS, "missed": L_MISSED, "restarts": L_RESTARTS, "bad": L_BAD}
        return {name: int(self._link[word]) for name, word in names.items()}

    @property
    def heartbeat_ns(self) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        return int(self._link[L_WALL_NS])

    @property
    def market_ns(self) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        return int(self._link[L_MARKET_NS])

    @property
    def silence_ns(self) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        return int(self._link[L_SILENCE_NS])

    @property
    def books(self) -> int:
        """See :class:`~market.transport.interface.Subscriber`."""
        return int(self._link[L_BOOKS])

    @property
    def ended(self) -> bool:
        """See :class:`~market.transport.interface.Subscriber`."""
        return bool(self._link[L_ENDED])

    def _take(self, data: Any, _header: Any = None) -> None:
        """One fragment, valid only during this call."""
        if len(data) & 7:
            self._link[L_BAD] += 1
            return
        self._at = int(take_batch(self._link, np.frombuffer(data, np.int64), self._out, self._at))

    def poll(self, out: Words) -> int:
        """See :class:`~market.transport.interface.Subscriber`; ``out`` has at least BATCH_FRAMES + 1 rows."""
        self._out, self._at = out, 0
        self._poll(self._take, len(out) // (BATCH_FRAMES + 1))
        return self._at

    def close(self) -> None:
        """Leave."""
        self._subscription.close()
        _leave(self._client)
