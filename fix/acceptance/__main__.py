"""``python -m fix.acceptance --port P``: serve the echo sessions until SIGTERM."""

import argparse
import asyncio
import signal
import sys

from fix.acceptance.serve import AcceptanceServer


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m fix.acceptance", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=int, action="append", required=True,
        help="port; 0 takes a free one. Repeated: one independent set of sessions on each",
    )  # fmt: skip
    return parser.parse_args()


async def serve(host: str, ports: list[int]) -> None:
    """Listen on every port, say so, and serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = [AcceptanceServer(host, port) for port in ports]
    try:
        for server in servers:
            await server.start()
            sys.stdout.write(f"listening on {host}:{server.port}\n")
            sys.stdout.flush()
        await stop.wait()
    finally:
        for server in servers:
            await server.close()


def main() -> int:
    """Exit status: 0 after SIGTERM, 1 when a port is taken."""
    options = arguments()
    try:
        asyncio.run(serve(options.host, options.port))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.host}: {error}; choose another --port\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
