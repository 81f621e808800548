"""Before anything trades: own the state directory, restore the last run, open the next one."""

import fcntl
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from config.schema import AxiomConfig
from engine import snapshot
from engine.errors import StateDirectoryError
from engine.journal import Journal
from engine.replay import START_SNAPSHOT, restore
from engine.state import (
    O_HEDGE_INTERVAL_NS,
    O_HEDGING,
    O_QUOTING,
    O_REASK_NS,
    O_REPLACE_INTERVAL_NS,
    O_REQUOTE_FRACTION,
    O_STUCK_NS,
    Engine,
    make_engine,
)
from market.ids import MAX_RUN
from risk.limits import LIMITS, Limit, checked_value, default_limits, limit_by_name
from strategies.hedging import HEDGING, HedgingParam, default_hedging
from strategies.params import param_by_name
from strategies.quoting import QUOTING, QuotingParam, default_quoting

_MS = 1_000_000
_STUCK_NS = 3_000_000_000
_REQUOTE_FRACTION = 2e-5  # of spot: a fifth of a basis point


class StateLock:
    """Exclusive ownership of a state directory, released by the kernel however we end."""

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as e:
            raise StateDirectoryError(f"state directory {directory} cannot be used: {e.strerror}") from e
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            owner = os.pread(self._fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise StateDirectoryError(
                f"state directory {directory} belongs to a running daemon, pid {owner}: "
                f"stop it (axiom stop) or choose another engine.state_dir"
            ) from e
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the directory back."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


class Run(NamedTuple):
    """A run that was opened."""

    number: int
    directory: Path
    engine: Engine
    journal: Journal
    restored_frames: int


def _apply(words: Any, specs: Any, names: Any, values: dict[str, float]) -> None:
    """Set parameters by name; ParamError names an unknown one, or value and range."""
    for name, value in values.items():
        param = param_by_name(names, name)
        words[param] = specs[param].check(name, value)


def _set_limits(engine: Engine, config: AxiomConfig) -> None:
    """Limits of the profile; but what an operator tightened in the run before stays tightened.

    A crash must not undo it. It is undone by ``axiom limits set``, or by a profile that now says
    something else about that limit.
    """
    wanted = default_limits()
    for name, value in config.risk.limits.items():
        limit = limit_by_name(name)
        wanted[limit] = checked_value(Limit(limit), value)
    before, last = engine.profile_limits, engine.risk.limits
    tightened = (before == wanted) & (last < wanted)
    engine.risk.limits[:] = np.where(tightened, last, wanted)
    engine.profile_limits[:] = wanted


def tightened_limits(engine: Engine) -> list[str]:
    """Limits that stand below the profile, as texts."""
    return [
        f"limit {limit.name.lower()} stays at {engine.risk.limits[limit]:g} as set in an earlier run "
        f"(the profile says {engine.profile_limits[limit]:g}): axiom limits set to change it"
        for limit in LIMITS
        if engine.risk.limits[limit] < engine.profile_limits[limit]
    ]


def configure(engine: Engine, config: AxiomConfig) -> None:
    """Put the configuration's numbers into the state's words (start of a run, never inside one)."""
    _set_limits(engine, config)
    engine.quoting[:] = default_quoting()
    _apply(engine.quoting, QUOTING, QuotingParam, config.quoting.params)
    engine.hedging[:] = default_hedging()
    _apply(engine.hedging, HEDGING, HedgingParam, config.hedging.params)
    options = engine.options
    options[O_QUOTING] = float(config.quoting.enabled)
    options[O_HEDGING] = float(config.hedging.enabled)
    options[O_REPLACE_INTERVAL_NS] = config.quoting.min_replace_interval_ms * _MS
    options[O_HEDGE_INTERVAL_NS] = config.hedging.min_interval_ms * _MS
    options[O_STUCK_NS] = _STUCK_NS
    options[O_REASK_NS] = config.engine.reconcile_timeout_s * 1e9
    options[O_REQUOTE_FRACTION] = _REQUOTE_FRACTION
    engine.links["adopt"] = 0
    for index, session in enumerate(config.sessions):
        engine.links[index]["adopt"] = int(session.on_restart == "adopt")


def open_run(config: AxiomConfig) -> Run:
    """Restore the newest run, if any, and open the next one after it.

    The new run's start snapshot is the restored state with the present configuration, so that each
    run's directory replays by itself. Raises EngineError kinds that name file and mend.
    """
    runs = config.state_dir / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    engine = make_engine(config.engine.max_instruments, config.engine.max_orders)
    known = sorted(p for p in runs.glob("[0-9]*") if p.is_dir())
    number = int(known[-1].name) + 1 if known else 1
    if number > MAX_RUN:
        raise StateDirectoryError(f"run number {number} exceeds {MAX_RUN}: start with a fresh engine.state_dir")
    next_seq, restored = 0, 0
    for directory in reversed(known):
        if not (directory / START_SNAPSHOT).exists():
            continue  # died before its first frame
        next_seq = restore(engine, directory)
        restored = next_seq
        break
    configure(engine, config)
    directory = runs / f"{number:06d}"
    directory.mkdir()
    journal = Journal(directory, config.engine.journal_segment_mib, config.engine.journal_min_free_mib, next_seq)
    snapshot.save(engine, directory / START_SNAPSHOT, number, next_seq)
    return Run(number, directory, engine, journal, restored)


def instrument_numbers(engine: Engine, count: int) -> dict[str, int]:
    """Symbol -> number of what the restored state knows."""
    symbols = np.asarray(engine.instruments)["symbol"][:count]
    return {bytes(s).decode("ascii"): i for i, s in enumerate(symbols)}
