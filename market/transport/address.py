"""Addresses of frame streams as they stand in a configuration.

``ring:PATH``
    A shared-memory ring.
``aeron:ipc``, ``aeron:udp?endpoint=HOST:PORT`` and any other Aeron channel
    Followed by ``;stream=N`` (1001 unless said) and ``;dir=PATH`` of a media driver's directory. Without
    ``dir`` the process runs a driver of its own, which is right for UDP and useless for IPC.
"""

from dataclasses import dataclass
from pathlib import Path

from market.errors import TransportError

DEFAULT_STREAM = 1001
_MAX_STREAM = 2**31 - 1


@dataclass(frozen=True)
class Address:
    """Where a stream is."""

    scheme: str  # "ring" or "aeron"
    path: Path | None = None  # of a ring
    channel: str = ""  # Aeron's own address
    stream: int = DEFAULT_STREAM
    directory: str = ""  # of the media driver, empty: one of our own


def parse_address(text: str, base: Path | None = None) -> Address:
    """Read an address; a ring's path is relative to ``base``.

    Raises
    ------
    TransportError
        It is neither, or an option is unknown or out of range.
    """
    scheme, colon, rest = text.partition(":")
    if scheme == "ring" and colon and rest:
        return Address("ring", path=(base / rest) if base is not None else Path(rest))
    if scheme != "aeron" or not rest:
        raise TransportError(f"{text!r} is no frame stream: say ring:PATH or aeron:CHANNEL[;stream=N][;dir=PATH]")
    channel, *options = text.split(";")
    stream, directory = DEFAULT_STREAM, ""
    for option in options:
        name, _, value = option.partition("=")
        if name == "stream" and value.isdecimal() and 0 < int(value) <= _MAX_STREAM:
            stream = int(value)
        elif name == "dir" and value:
            directory = value
        else:
            raise TransportError(f"{text!r}: option {option!r} must be stream=1..{_MAX_STREAM} or dir=PATH")
    if channel.startswith("aeron:ipc") and not directory:
        raise TransportError(f"{text!r}: IPC needs the directory of a media driver that both ends use: add ;dir=PATH")
    return Address("aeron", channel=channel, stream=stream, directory=directory)
