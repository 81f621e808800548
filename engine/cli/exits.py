"""Exit codes and the one exception by which a command ends early.

Exits
-----
CliError
    Ends the command with a message and an exit code; ``app.main`` prints it, as text or as JSON.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process's status says; stable, scripts depend on it."""

    OK = 0
    ERROR = 1
    NOT_FOUND = 2
    NOT_RUNNING = 3
    CONFIG = 4
    TIMEOUT = 5


class CliError(Exception):
    """A command cannot do what was asked; the text names the value, the bound and the mend."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


class Finished(Exception):  # noqa: N818 - not an error: a command that ran to its end with this status
    """A command ran to its end, and its status is not 0; everything has been printed."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)
