"""Settings of the order flow: frozen, typed, each default with its reason and each with its range.

Rates are per *wall* second, since they describe what a person sees and a session carries; prices,
recorded events and volatility live in simulated time. The two meet in ``speed``, which the venue
passes to :func:`simulator.flow.open_flow`.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from simulator.errors import FlowError

Fraction = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class TakerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who trades against the book; see ``takers.py`` for the process."""

    #: Trades over the whole market when only the flow's own makers quote: a market maker that
    #: joins the touch sees a fill every second or two, and several more when it improves it.
    trades_per_wall_s: Annotated[float, Meta(ge=0, le=1000)] = 10.0
    #: Share of events that others triggered (Hawkes branching ratio); real order flow is measured
    #: between 0.5 and 0.9, the low end keeps bursts from emptying thin books.
    branching: Annotated[float, Meta(ge=0, le=0.95)] = 0.5
    #: How fast an event's excitation fades, per wall second.
    decay_per_wall_s: Positive = 2.0
    #: How much of the excitation goes to the opposite direction.
    cross_excitation: Fraction = 0.25
    #: Takers pay a price d reference half-spreads from fair value with probability exp(-k d): the
    #: fill intensity that the closed-form quoting models assume.
    edge_decay: Annotated[float, Meta(gt=0, le=10)] = 1.0
    #: Share of trades in the underlying; stock trades far more often than one option does.
    underlying_share: Fraction = 0.2
    #: Share of option takers with a view on direction (buy calls and sell puts, or the reverse);
    #: the rest choose their side by coin.
    directional: Fraction = 0.6
    #: Contracts at most; sizes are exponential with a mean of about a third of it.
    max_contracts: Annotated[int, Meta(ge=1, le=10_000)] = 10
    #: Shares per unit of size in the underlying: round lots.
    lot_shares: Annotated[int, Meta(ge=1, le=10_000)] = 100


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a recorded day is played."""

    #: Simulated ms over which the options' updates of one bar are spread after the underlying's,
    #: the same offset for a series each time: at speed 1 a chain does not move in a single instant.
    stagger_ms: Annotated[int, Meta(ge=0, le=30_000)] = 250
    #: Simulated ms until a quote that was traded is back at its recorded size.
    replenish_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 1000
    #: Half of the spread of an underlying made from put-call parity, in 1/10000 of its price:
    #: about what index futures show.
    parity_half_spread_bp: Annotated[float, Meta(ge=0, le=1000)] = 0.5
    #: Shares on each side of such an underlying: liquid enough to hedge in.
    parity_qty: Annotated[int, Meta(ge=1, le=10_000_000)] = 1000
    #: Continuously compounded; discounts between a parity forward and its spot. The nearest expiry
    #: is used, so that it hardly matters.
    parity_rate: Annotated[float, Meta(ge=-0.2, le=0.5)] = 0.0
    #: Whether to keep the parsed file under the cache directory.
    cache: bool = True


class GeneratedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A market without data: Heston spot with jumps, SSVI surface, makers."""

    symbol: Annotated[str, Meta(pattern="^[A-Z]{1,6}$")] = "AXM"
    #: The simulated day begins there at 09:30 New York. Fixed, so that a seed always means the same
    #: market, expiries included.
    first_day: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] = "2026-01-05"
    spot: Annotated[float, Meta(ge=1, le=10_000)] = 100.0
    #: Continuously compounded; there are no dividends.
    rate: Annotated[float, Meta(ge=-0.2, le=0.5)] = 0.02
    #: Calendar days from ``first_day``, each moved to the Friday on or after it.
    expiry_days: tuple[Annotated[int, Meta(ge=1, le=3650)], ...] = (4, 11, 25, 53, 74, 158)
    #: Strikes per expiry, centred on the spot.
    strikes: Annotated[int, Meta(ge=1, le=501)] = 21
    #: Spot variance now and in the long run (0.0625 is a volatility of 25 %).
    variance: Annotated[float, Meta(gt=0, le=4)] = 0.0625
    long_variance: Annotated[float, Meta(gt=0, le=4)] = 0.0625
    #: Mean reversion per year, volatility of variance, correlation with the spot.
    reversion: Annotated[float, Meta(gt=0, le=50)] = 3.0
    vol_of_variance: Annotated[float, Meta(ge=0, le=5)] = 0.6
    correlation: Annotated[float, Meta(ge=-1, le=1)] = -0.7
    #: SSVI skew (Gatheral, Jacquier 2014). eta (1 + |rho|) <= 2 keeps every slice free of butterfly
    #: arbitrage, and its power-law slope keeps the calendar free of it.
    smile_rho: Annotated[float, Meta(gt=-1, lt=1)] = -0.6
    smile_eta: Annotated[float, Meta(gt=0, le=2)] = 0.7
    #: Per simulated hour; standard deviation of the jump in the log spot.
    jumps_per_hour: NotNegative = 0.5
    jump_deviation: Annotated[float, Meta(ge=0, le=0.5)] = 0.002
    #: Wall ms between moves of the spot: a viewer sees it move, makers are not driven by every step.
    grid_wall_ms: Annotated[int, Meta(ge=1, le=10_000)] = 50
    #: One maker each: multiple of the base half-spread, and contracts per side.
    maker_widths: tuple[Annotated[float, Meta(ge=0.1, le=100)], ...] = (1.0, 1.35, 1.8)
    maker_contracts: tuple[Annotated[int, Meta(ge=1, le=100_000)], ...] = (15, 30, 60)
    #: Base half-spread of an option: this much volatility (times vega) plus this much spot (times
    #: delta), in currency. Wide on purpose: a competitive market maker has room inside.
    edge_vol: NotNegative = 0.010
    edge_spot: NotNegative = 0.03
    #: Base half-spread of the underlying, in currency, and its makers' shares per contract of size.
    edge_underlying: Positive = 0.02
    underlying_shares: Annotated[int, Meta(ge=1, le=100_000)] = 50
    #: A maker moves a quote when its distance from fair value leaves this band, in half-spreads:
    #: the lower bound is the pick-off guard, both together set the message rate.
    band_low: Annotated[float, Meta(ge=0.05, le=1)] = 0.75
    band_high: Annotated[float, Meta(ge=1, le=10)] = 1.25
    #: Share of a maker's series whose view of fair value and size it changes per wall second, so that
    #: the market is alive at any speed.
    refresh_per_wall_s: Annotated[float, Meta(ge=0, le=10)] = 0.2
    #: Half-spreads by which a maker full of inventory shifts its quotes.
    inventory_shift: Fraction = 0.5
    #: Wall ms until a traded quote is refilled.
    replenish_wall_ms: Annotated[int, Meta(ge=0, le=600_000)] = 500


class FlowSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of the order flow."""

    takers: TakerSettings = TakerSettings()
    replay: ReplaySettings = ReplaySettings()
    generated: GeneratedSettings = GeneratedSettings()


def checked(settings: FlowSettings) -> FlowSettings:
    """Return ``settings`` if every field is in its range; FlowError names field and bound otherwise.

    Structs check ranges when they are decoded and not when they are built in code, hence the detour.
    """
    try:
        msgspec.convert(msgspec.to_builtins(settings), FlowSettings)
    except msgspec.ValidationError as e:
        raise FlowError(f"flow settings: {e}; mend that field") from e
    market = settings.generated
    if len(market.maker_widths) != len(market.maker_contracts) or not 1 <= len(market.maker_widths) <= 14:
        raise FlowError(
            f"flow settings: {len(market.maker_widths)} maker_widths and {len(market.maker_contracts)} "
            "maker_contracts; give 1 to 14 of both, one per maker"
        )
    if market.smile_eta * (1 + abs(market.smile_rho)) > 2:
        raise FlowError(
            f"flow settings: smile_eta {market.smile_eta} with smile_rho {market.smile_rho} has butterfly arbitrage; "
            "smile_eta * (1 + |smile_rho|) must be at most 2"
        )
    return settings
