"""One TCP connection: a receive buffer that kernels can read, and writing without waiting for the loop.

Bytes are received into one block that all connections of a thread share, since what a message says
is taken in the same call. Only what is left over, half a message, moves to a block of the
connection's own: a thousand quiet sessions hold no buffers. A block is one piece of memory seen both as
``bytearray`` (cold framing) and as uint8 array (kernels), and ends in slack, because kernels load
eight bytes at a time.
"""

import asyncio
import os
import threading
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from fix.messages import MAX_MESSAGE_BYTES

_SHARED_BYTES = 1 << 18
_OWN_BYTES = 1 << 16
_MOST_BYTES = 2 * MAX_MESSAGE_BYTES + (1 << 16)
_MIN_FREE_BYTES = 1 << 15
_SLACK_BYTES = 64
_LINGER_S = 2.0
_KEEP_BLOCKS = 16


class _Block:
    """Memory to receive into."""

    __slots__ = ("array", "buffer", "size", "view")

    def __init__(self, size: int) -> None:
        self.size = size
        self.buffer = bytearray(size + _SLACK_BYTES)
        self.array: npt.NDArray[np.uint8] = np.frombuffer(self.buffer, np.uint8)
        self.view = memoryview(self.buffer)


class _Blocks(threading.local):
    """Blocks of one thread: the shared one, and own ones that are free again."""

    def __init__(self) -> None:
        self.shared = _Block(_SHARED_BYTES)
        self.free: list[_Block] = []

    def take(self, size: int) -> _Block:
        if size <= _OWN_BYTES and self.free:
            return self.free.pop()
        return _Block(max(size, _OWN_BYTES))

    def give(self, block: _Block) -> None:
        if block.size == _OWN_BYTES and len(self.free) < _KEEP_BLOCKS:
            self.free.append(block)


_blocks = _Blocks()


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
        self._use(_blocks.shared)

    def _use(self, block: _Block) -> None:
        self._block = block
        self.buffer = block.buffer
        self.array = block.array

    def _move(self, block: _Block) -> None:
        """Carry what is left over to ``block``."""
        size = self.end - self.start
        block.buffer[:size] = self.buffer[self.start : self.end]
        self._leave()
        self.start, self.end = 0, size
        self._use(block)

    def _leave(self) -> None:
        if self._block is not _blocks.shared:
            _blocks.give(self._block)

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
            if self._block is not _blocks.shared:
                self._leave()
                self._use(_blocks.shared)
            self.start = self.end = 0
        elif self._block.size - self.end < _MIN_FREE_BYTES:
            size = self.end - self.start
            if self._block.size - size >= _MIN_FREE_BYTES:
                self.buffer[:size] = self.buffer[self.start : self.end]
                self.start, self.end = 0, size
            else:
                self._move(_blocks.take(min(self._block.size * 2, _MOST_BYTES)))
        return self._block.view[self.end : self._block.size]

    def buffer_updated(self, nbytes: int) -> None:
        """Asyncio: ``nbytes`` were received."""
        self.end += nbytes
        self.received += nbytes
        if self.dead:
            self.start = self.end
        else:
            self.consumer.bytes_arrived(self)
        if self.start < self.end and self._block is _blocks.shared:
            self._move(_blocks.take(self.end - self.start + _MIN_FREE_BYTES))

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
        self.start = self.end = 0
        self._leave()
        self._use(_blocks.shared)

    # --------------------------------------------------------- our side

    @property
    def backlog_bytes(self) -> int:
        """Bytes written that the kernel has not taken."""
        return 0 if self.dead or self._transport is None else self._transport.get_write_buffer_size()

    @property
    def tls(self) -> str:
        """TLS version and cipher in use; empty without TLS."""
        found = self._transport.get_extra_info("cipher") if self._transport is not None else None
        return f"{found[1]} {found[0]}" if found else ""

    def write(self, data: bytes) -> int:
        """Send: at once where nothing is queued, else behind what is; bytes that are unsent now.

        uvloop writes at the end of the turn of the loop; a system call here saves that wait.
        """
        transport = self._transport
        if self.dead or transport is None or transport.is_closing():
            return 0
        sent = 0
        if self._fd >= 0 and transport.get_write_buffer_size() == 0:
            try:  # noqa: SIM105 - contextlib.suppress() costs as much again as the call
                sent = os.write(self._fd, data)
            except OSError:
                pass  # would block, or broken: the transport finds out and reports it
            if sent == len(data):
                return 0
        transport.write(data[sent:] if sent else data)
        return transport.get_write_buffer_size()

    def pause(self) -> None:
        """Receive nothing until :meth:`resume`: what is here must be taken first."""
        if not self.dead and self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Receive again."""
        if not self.dead and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def fd(self) -> int:
        """The socket, where plain bytes may be written to it; else -1."""
        return self._fd

    def lend(self) -> bytes:
        """Receive nothing more, and give away what is unread: somebody else uses the socket until :meth:`put_back`."""
        self.pause()
        unread = bytes(self.buffer[self.start : self.end])
        self.start = self.end = 0
        self._leave()
        self._use(_blocks.shared)
        return unread

    def put_back(self, unread: bytes, received: int) -> None:
        """Take what the other has received (``received`` bytes in all) and not used. Then :meth:`resume`."""
        self.received += received
        if unread:
            size = len(unread)
            self._use(_blocks.take(size + _MIN_FREE_BYTES))
            self.buffer[:size] = unread
            self.start, self.end = 0, size

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
