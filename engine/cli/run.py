"""``axiom run``: the daemon, in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.exits import CliError, ExitCode, Finished
from engine.cli.profile import ConfigOption, load_profile


def run(
    config: ConfigOption = None,
    state_dir: Annotated[Path | None, typer.Option("--state-dir", help="Overrides engine.state_dir.")] = None,
    loop_mode: Annotated[str | None, typer.Option("--loop-mode", help="auto, spin, poll or park.")] = None,
) -> None:
    """Run the daemon until it is told to stop; SIGTERM and Ctrl-C drain, a second one hurries."""
    overrides = {}
    if state_dir is not None:
        overrides["engine.state_dir"] = str(state_dir)
    if loop_mode is not None:
        overrides["engine.loop_mode"] = loop_mode
    settings = load_profile(config, overrides=overrides, with_tables=True)
    if not settings.sessions:
        raise CliError(ExitCode.CONFIG, "the profile has no [[sessions]]; see config/profiles/demo.toml")
    from engine.daemon import run_daemon
    from engine.errors import EngineError

    try:
        code = run_daemon(settings)
    except EngineError as error:
        raise CliError(ExitCode.ERROR, str(error)) from error
    if code:
        raise Finished(code)
