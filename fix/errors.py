"""The error tree of ``fix``. Every text names the value, the bound and the mend.

::

    FixError
    ├── GarbledMessageError      bytes that are no FIX message: ignored by a session, never counted
    ├── SettingsError            a session that cannot be built as asked
    ├── SessionNotLoggedOnError  an initiator was asked to send while its session is down
    ├── HotPathError             the hot encoder was asked for something that it cannot do
    ├── ThrottledError           more messages than the session's throttle lets through: which ones is said
    ├── BackpressureError        the peer reads too slowly and the policy is to refuse
    ├── TlsError                 a certificate, key or authority that cannot be used
    ├── DictionaryError          a dictionary or an overlay that cannot be read
    ├── WorkerFailedError        the quickfix worker process failed: its sessions stand down
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
    """The hot path is absent, or refused what it was given.

    Attributes
    ----------
    refused:
        Row numbers of the same call that the throttle had refused before: neither sent nor waiting.
    """

    refused: tuple[int, ...] = ()


class ThrottledError(FixError):
    """The throttle has refused messages; none of them was stored or sent, no number used.

    Attributes
    ----------
    sent:
        Messages of the call that were sent.
    refused:
        Row numbers of those that were not, ascending; empty for :meth:`FixSession.send`.
    retry_after_s:
        When the budget lets the next one through.
    """

    def __init__(self, text: str, sent: int = 0, refused: tuple[int, ...] = (), retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.sent = sent
        self.refused = refused
        self.retry_after_s = retry_after_s


class BackpressureError(FixError):
    """Too much is unsent because the peer reads too slowly; nothing was stored, no number used."""


class TlsError(FixError):
    """TLS cannot be set up as asked: a file that is absent, unreadable, or does not fit."""


class DictionaryError(FixError):
    """A data dictionary, its XML source or a venue's overlay is not what it should be."""


class WorkerFailedError(FixError):
    """The process that runs quickfix failed by our own fault, or too often."""


class StoreError(FixError):
    """Base of the message store's errors."""


class StoreLockedError(StoreError):
    """Another live process holds the store; two writers would reuse sequence numbers."""


class StoreFullError(StoreError):
    """The store could not be written, so the message was not sent and used no number."""


class StoreCorruptError(StoreError):
    """The files are not a message store of ours, or a stored message fails its checksum.

    Attributes
    ----------
    first_seq, last_seq:
        MsgSeqNums that cannot be read for it; both 0 when it is not about messages.
    """

    def __init__(self, text: str, first_seq: int = 0, last_seq: int = 0) -> None:
        super().__init__(text)
        self.first_seq = first_seq
        self.last_seq = last_seq
