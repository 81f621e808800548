"""``axiom sim``: the exchange simulator, in the foreground."""

from typing import Annotated

import typer

from engine.cli.exits import CliError, ExitCode, Finished
from engine.cli.profile import ConfigOption, load_profile


def sim(
    config: ConfigOption = None,
    venue: Annotated[list[str] | None, typer.Option("--venue", help="Only this venue; may be repeated.")] = None,
    market: Annotated[str | None, typer.Option("--market", help="generated, or replay:PATH.zip.")] = None,
    speed: Annotated[float | None, typer.Option("--speed", help="Market seconds per second.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the order flow.")] = None,
) -> None:
    """Run the simulated venues of a profile until told to stop."""
    given = {"simulator.market": market, "simulator.speed": speed, "simulator.seed": seed}
    settings = load_profile(config, overrides={key: value for key, value in given.items() if value is not None})
    known = [entry.name for entry in settings.simulator.venues]
    if not known:
        raise CliError(ExitCode.CONFIG, "the profile has no [[simulator.venues]]; see config/profiles/demo.toml")
    for name in venue or []:
        if name not in known:
            raise CliError(ExitCode.NOT_FOUND, f"there is no venue {name!r} in the profile; known: {', '.join(known)}")
    from simulator.process import run_simulator

    code = run_simulator(settings, venue or None)
    if code:
        raise Finished(code)
