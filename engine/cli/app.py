"""The ``axiom`` program: gathers the commands, and turns how they end into an exit code."""

import os
import sys
from collections.abc import Sequence

import typer

from engine.cli import (
    bench,
    control,
    demo,
    doctor,
    greeks,
    latency,
    limits,
    reference,
    replay,
    run,
    session,
    sim,
    simcontrol,
    status,
    surface,
    warmup,
)
from engine.cli import config as config_command
from engine.cli.exits import CliError, ExitCode, Finished
from engine.cli.output import emit_json, stderr

app = typer.Typer(
    name="axiom",
    help="Options market-making engine: daemon, exchange simulator and their operation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("sim")(sim.sim)
app.add_typer(simcontrol.app, name="sim-control")
app.command("status")(status.status)
app.add_typer(limits.app, name="limits")
app.add_typer(session.app, name="session")
app.command("halt")(control.halt)
app.command("resume")(control.resume)
app.command("kill")(control.kill)
app.command("rearm")(control.rearm)
app.command("arm")(control.arm)
app.command("stop")(control.stop)
app.command("replay")(replay.replay)
app.add_typer(config_command.app, name="config")
app.command("doctor")(doctor.doctor)
app.command("latency")(latency.latency)
app.add_typer(bench.app, name="bench")
app.command("greeks")(greeks.greeks)
app.command("surface")(surface.surface)
app.command("warmup")(warmup.warmup)
app.command("reference", hidden=True)(reference.reference)

_USAGE_STATUS = 2  # what the option parser exits with; our own 2 is NOT_FOUND


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; never returns."""
    args = list(sys.argv[1:] if argv is None else argv)
    sys.exit(status_of(args))


def status_of(args: list[str]) -> int:
    """Run one command and return its exit code; errors are printed here and nowhere else."""
    try:
        app(args=args, prog_name="axiom")
    except CliError as error:
        return _refused(error, args)
    except Finished as finished:
        return int(finished.code)
    except KeyboardInterrupt:
        return 128 + 2
    except BrokenPipeError:
        # The reader (head, a closed pager) has gone; what it wanted has been written.
        sys.stderr.close()
        return int(ExitCode.OK)
    except OSError as error:
        # A directory that may not be written, a full disk: the ground's fault, and the same words wherever it is met.
        if error.filename is None:
            raise
        text = f"{os.fsdecode(error.filename)} cannot be used ({error.strerror}); make it usable, or give another path"
        return _refused(CliError(ExitCode.ERROR, text), args)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return int(ExitCode.ERROR) if code == _USAGE_STATUS else code
    return int(ExitCode.OK)


def _refused(error: CliError, args: list[str]) -> int:
    """Print why a command ended early, and return its code."""
    if "--json" in args:
        emit_json({"ok": False, "code": int(error.code), "error": str(error)})
    else:
        stderr.print(f"axiom: {error}", markup=False, soft_wrap=True)
    return int(error.code)
