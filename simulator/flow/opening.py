"""From the name of a market to its order flow."""

import math

from config.schema import FlowConfig
from simulator.errors import FlowError
from simulator.flow.flow import Flow
from simulator.flow.generated import GeneratedFlow
from simulator.flow.recording import load_replay
from simulator.flow.replay import ReplayFlow
from simulator.flow.settings import FlowSettings, GeneratedSettings, TakerSettings, checked

GENERATED = "generated"
REPLAY_PREFIX = "replay:"
_MAX_SPEED = 100_000.0

# Expiries of the generated chain in the order in which a profile adds them, in days: weeklies,
# monthlies, then quarters.
_LISTED_DAYS = (4, 11, 25, 53, 74, 158, *range(249, 249 + 18 * 91, 91))


def open_flow(market: str, *, seed: int = 7, speed: float = 1.0, settings: FlowSettings | None = None) -> Flow:
    """Order flow of ``market``: ``generated``, or ``replay:PATH.zip`` of a recorded quote file.

    Parameters
    ----------
    seed : 0 and more; all randomness follows from it.
    speed : simulated seconds per wall second, which rates per wall second are scaled by.

    Raises
    ------
    FlowError
        An unknown market, or seed, speed or a setting out of range.
    ReplayDataError
        The file cannot be used; names the file, what was found and the mend.
    """
    wanted = checked(settings or FlowSettings())
    if not (math.isfinite(speed) and 0 < speed <= _MAX_SPEED):
        raise FlowError(f"speed must be above 0 and at most {_MAX_SPEED:g}, was {speed}")
    if seed < 0:
        raise FlowError(f"seed must be 0 or more, was {seed}")
    if market == GENERATED:
        return GeneratedFlow(seed, speed, wanted)
    if market.startswith(REPLAY_PREFIX):
        return ReplayFlow(load_replay(market.removeprefix(REPLAY_PREFIX), wanted.replay), seed, speed, wanted)
    raise FlowError(f"market {market!r} is unknown: give {GENERATED!r} or '{REPLAY_PREFIX}PATH.zip'")


def settings_from_config(config: FlowConfig) -> FlowSettings:
    """The settings that a profile's ``[simulator.flow]`` asks for; what it does not name keeps its default.

    Makers beyond the first are each a third wider and twice as deep, up to 16 times.
    """
    standard = GeneratedSettings()
    rate = config.taker_rate_per_s + config.equity_taker_rate_per_s
    generated = GeneratedSettings(
        symbol=config.underlying,
        spot=config.spot,
        expiry_days=_LISTED_DAYS[: config.expiries],
        strikes=config.strikes,
        variance=config.volatility**2,
        long_variance=config.volatility**2,
        maker_widths=tuple(1.0 + 0.35 * i for i in range(config.makers)),
        maker_contracts=tuple(standard.maker_contracts[0] << min(i, 4) for i in range(config.makers)),
    )
    takers = TakerSettings(
        trades_per_wall_s=rate,
        branching=config.taker_branching,
        max_contracts=config.taker_max_qty,
        underlying_share=config.equity_taker_rate_per_s / rate if rate > 0 else 0.0,
    )
    return FlowSettings(takers=takers, generated=generated)
