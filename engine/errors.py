"""Errors of ``engine``.

EngineError
├── StateDirectoryError   another daemon owns the directory, or it cannot be used
├── JournalError          a journal is damaged before its end, or of another version
│   └── JournalFullError  the disk has no room for the next segment
├── SnapshotError         a snapshot does not fit this build or is damaged
├── SessionConfigError    a session's settings cannot be used: secret, file, or values that do not go together
├── ReplayMismatchError   a replay produced other output than the journal holds
└── ControlError          a control request is malformed or refused
"""


class EngineError(Exception):
    """Root of this package's errors."""


class StateDirectoryError(EngineError):
    """The state directory is owned by another process or cannot be used."""


class JournalError(EngineError):
    """A journal cannot be read or written."""


class JournalFullError(JournalError):
    """There is no room for the next journal segment."""


class SnapshotError(EngineError):
    """A snapshot cannot be restored."""


class SessionConfigError(EngineError):
    """A session's configuration cannot be used; names the session and the key."""


class ReplayMismatchError(EngineError):
    """A replay's output differs from what was journaled."""


class ControlError(EngineError):
    """A control request is refused; ``code`` is the CLI's exit code for it."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
