"""From an address to a carrier."""

from pathlib import Path

from market.rings import DEFAULT_SILENCE_NS, DEFAULT_SLOTS
from market.transport.address import Address, parse_address
from market.transport.interface import Publisher, Subscriber
from market.transport.ring import RingPublisher, RingSubscriber


def _resolve(where: str | Address, base: Path | None) -> Address:
    return where if isinstance(where, Address) else parse_address(where, base)


def open_publisher(
    where: str | Address,
    *,
    base: Path | None = None,
    slots: int = DEFAULT_SLOTS,
    books: int = 0,
    silence_ns: int = DEFAULT_SILENCE_NS,
) -> Publisher:
    """Open the sending end of the stream at ``where`` (see :mod:`market.transport.address`).

    Raises
    ------
    TransportError
        The address is wrong, or its carrier is not installed or not reachable.
    RingError
        The ring is published to already.
    """
    address = _resolve(where, base)
    if address.path is not None:
        return RingPublisher(address.path, slots=slots, books=books, silence_ns=silence_ns)
    from market.transport.aeron import AeronPublisher

    return AeronPublisher(address, books=books, silence_ns=silence_ns)


def open_subscriber(where: str | Address, *, base: Path | None = None) -> Subscriber:
    """Open the receiving end of the stream at ``where``; errors as in :func:`open_publisher`."""
    address = _resolve(where, base)
    if address.path is not None:
        return RingSubscriber(address.path)
    from market.transport.aeron import AeronSubscriber

    return AeronSubscriber(address)
