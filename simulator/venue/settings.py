"""What one venue is: names, files, clients, fees, delays; typed, checked, independent of the TOML."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec

from config.schema import AxiomConfig, VenueConfig
from market.enums import SelfTradePrevention
from simulator.errors import VenueSettingsError

FIRST_CLIENT = 16  #: participants 1..15 trade without FIX (order flow); FIX clients are 16 and up
LAST_CLIENT = 0xFFFF  #: ``session`` of a report is a u2

_NS_PER_US = 1_000
_FEE_SCALE = 4  # commission is in 1/10000 of the currency


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A counterparty that may log on; everything else is dropped."""

    comp_id: str
    cancel_on_disconnect: bool = True
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_INCOMING


class DropCopySettings(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is told every execution report of some clients; it sends nothing."""

    comp_id: str
    clients: tuple[str, ...] = ()  # empty: all of the venue's
    trades_only: bool = False


class FeeModel(msgspec.Struct, frozen=True, kw_only=True):
    """Commission of a fill: 1/10000 of the currency per contract or share; negative is a rebate.

    Both sides of a trade pay; the resting one ``maker_e4``, the one that came in ``taker_e4``.
    """

    maker_e4: int = 0
    taker_e4: int = 0


class LatencyModel(msgspec.Struct, frozen=True, kw_only=True):
    """Delays in nanoseconds; ``jitter_ns`` is the upper bound of a uniform, seeded addition to each.

    The order of messages is kept: a message is never due before the one that came ahead of it.
    """

    order_delay_ns: Annotated[int, msgspec.Meta(ge=0)] = 0
    report_delay_ns: Annotated[int, msgspec.Meta(ge=0)] = 0
    jitter_ns: Annotated[int, msgspec.Meta(ge=0)] = 0


class VenueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One venue. ``instruments`` are not part of it: they come with the market."""

    name: str
    comp_id: str
    lists_options: bool  # else it lists the underlying
    directory: Path  # trade log and message stores
    ring_path: Path
    clients: tuple[ClientSettings, ...]
    drop_copies: tuple[DropCopySettings, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    ring_slots: int = 1 << 14
    ring_silence_ns: int = 1_000_000_000  # what the ring promises its readers
    aeron: str = ""  # address of a stream to publish by as well
    fees: FeeModel = FeeModel()
    latency: LatencyModel = LatencyModel()
    seed: int = 0
    heartbeat_interval_s: int = 10  # only until a client's Logon says its own
    max_orders: int = 1 << 16  # resting at once, all participants; beyond it new orders are rejected
    max_ticks: int = 1 << 20  # prices are below this many price units: 10485.76 at two decimals


def venue_settings(config: AxiomConfig, venue: VenueConfig) -> VenueSettings:
    """Map a profile's ``[[simulator.venues]]`` entry onto :class:`VenueSettings`.

    Raises
    ------
    VenueSettingsError
        The fee is not a whole number of 1/10000 of the currency, which the log could not hold.
    """
    fee_e4 = Decimal(str(venue.fee_per_unit_usd)).scaleb(_FEE_SCALE)
    if fee_e4 != int(fee_e4):
        raise VenueSettingsError(
            f"venue {venue.name}: fee_per_unit_usd must be a multiple of 0.0001, was {venue.fee_per_unit_usd}"
        )
    return VenueSettings(
        name=venue.name,
        comp_id=venue.comp_id,
        lists_options=venue.kind == "options",
        directory=config.simulator_dir / venue.name,
        ring_path=config.ring_path(venue.name),
        clients=tuple(
            ClientSettings(
                comp_id=client.comp_id,
                cancel_on_disconnect=client.cancel_on_disconnect,
                self_trade_prevention=SelfTradePrevention[client.self_trade_prevention.upper()],
            )
            for client in venue.clients
        ),
        drop_copies=tuple(
            DropCopySettings(comp_id=copy.comp_id, clients=copy.clients, trades_only=copy.reports == "trades")
            for copy in venue.drop_copies
        ),
        host=venue.host,
        port=venue.port,
        ring_slots=venue.ring_slots,
        ring_silence_ns=venue.ring_silence_ms * 1_000_000,
        aeron=venue.aeron,
        fees=FeeModel(maker_e4=int(fee_e4), taker_e4=int(fee_e4)),
        latency=LatencyModel(
            order_delay_ns=venue.order_delay_us * _NS_PER_US,
            report_delay_ns=venue.report_delay_us * _NS_PER_US,
            jitter_ns=venue.delay_jitter_us * _NS_PER_US,
        ),
        seed=config.simulator.seed,
    )
