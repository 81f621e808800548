"""One TCP connection: a receive buffer that kernels can read, and writing without waiting for the loop.

The buffer is one block of memory seen both as ``bytearray`` (cold framing) and as uint8 array
(kernels). It ends in slack, because kernels load eight bytes at a time.
"""

import asyncio
import os
from contextlib import suppress
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from fix.messages import MAX_MESSAGE_BYTES

_FIRST_BYTES = 1 << 18
_MOST_BYTES = 2 * MAX_MESSAGE_BYTES + (1 << 16)
_MIN_FREE_BYTES = 1 << 15
_SLACK_BYTES = 64
_LINGER_S = 2.0


class Consumer(Protocol):
    """Who a connection belongs to."""

    def connection_made(self, connection: "Connection") -> None:
        """It is open."""

    def bytes_arrived(self, connection: "Connection") -> None:
        """``buffer[start:end]`` has grown; advance ``start`` past what was taken."""

    def connection_lost(self, connection: "Connection", reason: str) -> None:
        """It is closed, and not by us."""


class Connection(asyncio.BufferedProtocol):
    """An open socket and the bytes that were received on it and not yet taken."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.start = 0
        self.end = 0
        #: Bytes received in all.
        self.received = 0
        self.peer = ""
        #: Set once either side has closed it: nothing more is read or written.
        self.dead = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self.buffer = bytearray()
        self._allocate(_FIRST_BYTES)

    def _allocate(self, size: int) -> None:
        buffer = bytearray(size + _SLACK_BYTES)
        if self.end > self.start:
            buffer[: self.end - self.start] = self.buffer[self.start : self.end]
        self.end -= self.start
        self.start = 0
        self.buffer = buffer
        self.array: npt.NDArray[np.uint8] = np.frombuffer(buffer, np.uint8)
        self._view = memoryview(buffer)
        self._limit = size

    # ------------------------------------------------------- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the socket is open."""
        self._transport = cast("asyncio.Transport", transport)
        socket = transport.get_extra_info("socket")
        self.peer = str(transport.get_extra_info("peername"))
        if socket is not None and transport.get_extra_info("sslcontext") is None:
            self._fd = socket.fileno()
        self.consumer.connection_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Asyncio: where to receive."""
        del sizehint
        if self.start == self.end:
            self.start = self.end = 0
        if self._limit - self.end < _MIN_FREE_BYTES:
            if self.start:
                size = self.end - self.start
                self.buffer[:size] = self.buffer[self.start : self.end]
                self.start, self.end = 0, size
            if self._limit - self.end < _MIN_FREE_BYTES:
                self._allocate(min(self._limit * 2, _MOST_BYTES))
        return self._view[self.end : self._limit]

    def buffer_updated(self, nbytes: int) -> None:
        """Asyncio: ``nbytes`` were received."""
        self.end += nbytes
        self.received += nbytes
        if self.dead:
            self.start = self.end
        else:
            self.consumer.bytes_arrived(self)

    def eof_received(self) -> bool:
        """Asyncio: the peer has closed its side; FIX has no use for a half-open connection."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the socket is closed."""
        was_dead, self.dead = self.dead, True
        if not self.closed.done():
            self.closed.set_result(None)
        if not was_dead:
            self.consumer.connection_lost(self, f"connection lost: {exc}" if exc else "connection closed by the peer")

    # --------------------------------------------------------- our side

    @property
    def backlog_bytes(self) -> int:
        """Bytes written that the kernel has not taken."""
        return 0 if self.dead or self._transport is None else self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send: at once where nothing is queued, else behind what is.

        uvloop writes at the end of the turn of the loop; a system call here saves that wait.
        """
        transport = self._transport
        if self.dead or transport is None or transport.is_closing():
            return
        sent = 0
        if self._fd >= 0 and transport.get_write_buffer_size() == 0:
            with suppress(OSError):  # would block, or broken: the transport finds out and reports it
                sent = os.write(self._fd, data)
        if sent < len(data):
            transport.write(data[sent:] if sent else data)

    def pause(self) -> None:
        """Receive nothing until :meth:`resume`: what is here must be taken first."""
        if not self.dead and self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Receive again."""
        if not self.dead and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close once what was written is sent, or after two seconds. The consumer is not told."""
        self.dead = True
        transport = self._transport
        if transport is not None:
            transport.close()
            if transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)

    def abort(self) -> None:
        """Close now. The consumer is not told."""
        self.dead = True
        if self._transport is not None:
            self._transport.abort()
