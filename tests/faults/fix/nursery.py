"""Forks peers from one process that has loaded everything: a start costs milliseconds, so two hundred fit into a test.

The nursery is a process of its own without threads, event loop or sockets of the test. It reads a
request from its socket, forks, and answers with the pid. Each child gets one end of a socket pair
as its channel; when the child dies, however it dies, the test reads the end of file there.
"""

import os
import signal
import socket
import sys
import traceback

import msgspec

from tests.faults.fix.peer import PeerConfig, run


def serve(link: socket.socket) -> None:
    """Fork whatever is asked for until the test goes away."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    while True:
        request, fds, _, _ = socket.recv_fds(link, 1 << 16, 1)
        if not request:
            return
        pid = os.fork()
        if pid:
            os.close(fds[0])
            link.sendall(b"%d\n" % pid)
            continue
        link.close()
        _live(request, fds[0])


def _live(request: bytes, fd: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    channel = socket.socket(fileno=fd)
    try:
        run(msgspec.json.decode(request, type=PeerConfig), channel)
    except BaseException:  # noqa: BLE001 - the outermost frame of the process: report and end
        channel.sendall(f"crash {traceback.format_exc()}".replace("\n", " | ").encode() + b"\n")
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
