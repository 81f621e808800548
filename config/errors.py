"""What can be wrong with a configuration.

ConfigError
    One or more problems; each names where, what must hold and what was found.
"""

from typing import NamedTuple


class Problem(NamedTuple):
    """One fault: ``where`` is ``file:line``, an environment variable or an option."""

    where: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key} {self.text}" if self.key else f"{self.where}: {self.text}"


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` holds every fault found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))
