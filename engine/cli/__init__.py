"""The operations command line, ``axiom``: one file per command.

Commands talk to the daemon over its control socket (``client.py``) or start processes; they hold
no trading logic. Exit codes are in ``exits.py``; every command takes ``--json``. Modules that need
numba are imported inside the commands that use them: ``axiom status`` must answer at once.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run one command; never returns. Ctrl-C ends it without a traceback from its first import on."""
    try:
        from engine.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(128 + 2)
