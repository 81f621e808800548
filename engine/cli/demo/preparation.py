"""Before the demo starts: options to a configuration, free ports, and a clean state directory."""

import os
import socket
import time
from pathlib import Path
from typing import Any

import msgspec

from config import AxiomConfig
from config.dump import to_toml
from engine.cli.client import NotRunning, request
from engine.cli.exits import CliError, ExitCode
from engine.cli.profile import load_profile

EFFECTIVE_PROFILE = "demo.toml"  # its presence also says: this state was made by a demo


def demo_config(
    path: Path | None, state_dir: Path | None, *, market: str | None, seed: int | None, speed: float | None
) -> AxiomConfig:
    """The profile with the command line's wishes and ports that are free."""
    if market is not None and market.startswith("replay:"):
        market = f"replay:{_quote_file(market.removeprefix('replay:'))}"
    wishes: dict[str, Any] = {"simulator.market": market, "simulator.seed": seed, "simulator.speed": speed}
    if state_dir is not None:
        wishes["engine.state_dir"] = str(state_dir / "run")
        wishes["simulator.state_dir"] = str(state_dir / "sim")
    given = {key: value for key, value in wishes.items() if value is not None}
    # Names of limits are checked by the daemon, which ends with the same words: their tables need numba,
    # and loading it here would only delay the start of both children.
    config = load_profile(path, overrides=given)
    if not config.simulator.venues:
        raise CliError(ExitCode.CONFIG, "the profile has no [[simulator.venues]]: a demo needs a simulated market")
    if not config.sessions:
        raise CliError(ExitCode.CONFIG, "the profile has no [[sessions]]: the daemon would have nobody to trade with")
    return config


def _quote_file(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise CliError(ExitCode.NOT_FOUND, f"there is no quote file at {path} (--market replay:PATH.zip)")
    return path


def refuse_if_running(config: AxiomConfig) -> None:
    """A demo on a directory that a daemon holds would take its state away."""
    try:
        status = request(config.control_socket, "status", {"rows": 0}, timeout_s=2.0)
    except NotRunning:
        return
    pid = status.get("pid", "?")
    text = f"a daemon (pid {pid}) is running on {config.state_dir}; stop it (`axiom stop`) or give another --state-dir"
    raise CliError(ExitCode.ERROR, text)


def clear_state(config: AxiomConfig) -> list[Path]:
    """Set earlier state aside, so that the demo begins flat; returns where it now is.

    State that a demo made is kept once, as ``NAME.previous``; anything else gets a name of its own,
    because it may be the only record of something real.
    """
    moved = []
    for directory in (config.state_dir, config.simulator_dir):
        if not directory.exists():
            continue
        made_by_demo = (config.state_dir / EFFECTIVE_PROFILE).exists() or not config.state_dir.exists()
        aside = directory.with_name(f"{directory.name}.{'previous' if made_by_demo else f'kept-{time.time_ns()}'}")
        _rename_over(directory, aside)
        moved.append(aside)
    return moved


def _rename_over(source: Path, target: Path) -> None:
    if target.exists():
        # Renamed first: a crash in the middle of removing leaves no half-removed state under a real name.
        doomed = target.with_name(f"{target.name}.{os.getpid()}")
        target.rename(doomed)
        _remove_tree(doomed)
    source.rename(target)


def _remove_tree(directory: Path) -> None:
    for root, folders, files in os.walk(directory, topdown=False):
        for name in files:
            os.unlink(os.path.join(root, name))
        for name in folders:
            place = os.path.join(root, name)
            os.unlink(place) if os.path.islink(place) else os.rmdir(place)
    directory.rmdir()


def with_free_ports(config: AxiomConfig) -> AxiomConfig:
    """Replace the ports that are taken, at both ends: venue and session."""
    moved: dict[int, int] = {}
    venues = []
    for venue in config.simulator.venues:
        if not _is_free(venue.host, venue.port):
            moved[venue.port] = _free_port(venue.host)
            venue = msgspec.structs.replace(venue, port=moved[venue.port])
        venues.append(venue)
    names = {venue.name for venue in venues}
    sessions = tuple(
        msgspec.structs.replace(session, port=moved.get(session.port, session.port))
        if session.venue in names
        else session
        for session in config.sessions
    )
    simulator = msgspec.structs.replace(config.simulator, venues=tuple(venues))
    return msgspec.structs.replace(config, sessions=sessions, simulator=simulator)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def write_effective(config: AxiomConfig) -> Path:
    """Write the configuration that the children run from; it is also how to run them by hand."""
    config.state_dir.mkdir(parents=True, exist_ok=True)
    path = config.state_dir / EFFECTIVE_PROFILE
    path.write_text("# Written by `axiom demo`: what its children ran from.\n\n" + to_toml(config), encoding="utf-8")
    return path
