"""The error tree of ``fix``. Every text names the value, the bound and the mend.

::

    FixError
    ├── GarbledMessageError      bytes that are no FIX message: ignored by a session, never counted
    ├── SettingsError            a session that cannot be built as asked
    ├── SessionNotLoggedOnError  an initiator was asked to send while its session is down
    ├── HotPathError             the hot encoder was asked for something that it cannot do
    └── StoreError               the message store on disk
        ├── StoreLockedError     another live process has it open
        ├── StoreFullError       the disk refused a write: nothing was sent
        └── StoreCorruptError    what stands on disk is not ours, or a message fails its checksum
"""


class FixError(Exception):
    """Base of everything that this package raises."""


class GarbledMessageError(FixError):
    """Bytes that are not a FIX message (BodyLength, CheckSum, or the first three fields)."""


class SettingsError(FixError):
    """A session's settings contradict each other."""


class SessionNotLoggedOnError(FixError):
    """An initiator may not queue messages: what it says late would be a stale order."""


class HotPathError(FixError):
    """The hot path is absent, or refused what it was given."""


class StoreError(FixError):
    """Base of the message store's errors."""


class StoreLockedError(StoreError):
    """Another live process holds the store; two writers would reuse sequence numbers."""


class StoreFullError(StoreError):
    """The store could not be written, so the message was not sent and used no number."""


class StoreCorruptError(StoreError):
    """The files are not a message store of ours, or a stored message fails its checksum."""
