"""How commands find their configuration, and the options they share."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

import config
from config import AxiomConfig, ConfigError
from engine.cli.exits import CliError, ExitCode

DEMO_PROFILE = Path(config.__file__).parent / "profiles" / "demo.toml"

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Profile (TOML). Default: $AXIOM_CONFIG, else the demo profile."),
]
StateDirOption = Annotated[
    Path | None, typer.Option("--state-dir", help="State directory of the daemon meant; overrides the profile's.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output: one JSON document.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; goes into the audit trail.")]


def profile_path(path: Path | None) -> Path:
    """The profile meant: the option, the environment, or the demo."""
    return path or Path(os.environ.get("AXIOM_CONFIG") or DEMO_PROFILE)


def load_profile(
    path: Path | None, *, overrides: dict[str, Any] | None = None, with_tables: bool = False
) -> AxiomConfig:
    """Load the profile; ``with_tables`` also checks limits and parameters against their tables."""
    tables = named_tables() if with_tables else None
    try:
        return config.load(profile_path(path), overrides=overrides, tables=tables)
    except ConfigError as error:
        raise CliError(ExitCode.CONFIG, str(error)) from error


def control_socket(path: Path | None, state_dir: Path | None) -> Path:
    """Control socket of the daemon meant by ``--config`` and ``--state-dir``."""
    overrides = {"engine.state_dir": str(state_dir)} if state_dir is not None else None
    return load_profile(path, overrides=overrides).control_socket


def named_tables() -> dict[str, dict[str, tuple[float, float]]]:
    """Lowest and highest value of every risk limit and strategy parameter, by its key in a profile."""
    from risk.limits import LIMITS
    from strategies.hedging import HEDGING
    from strategies.quoting import QUOTING

    return {
        "risk.limits": {limit.name.lower(): (0.0, spec.high) for limit, spec in LIMITS.items()},
        "quoting.params": {param.name.lower(): (spec.low, spec.high) for param, spec in QUOTING.items()},
        "hedging.params": {param.name.lower(): (spec.low, spec.high) for param, spec in HEDGING.items()},
    }
