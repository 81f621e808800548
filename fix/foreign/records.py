"""What goes over the socketpair between a session's process and its worker.

A SOCK_SEQPACKET pair keeps records whole: any thread of the worker may send one without a lock,
and one that is cut off by a death is not there at all. Messages of the peer do not travel here:
they lie in the spool, and a record only says how far it reaches. Every record that concerns a
session says that too (``spooled``), so that the parent sees messages and events in one order.
"""

import msgspec

#: Largest record: what Linux lets through a pair whose buffers are as large as an ordinary process may have them.
MAX_RECORD_BYTES = 400_000


class SessionSpec(msgspec.Struct, frozen=True, array_like=True):
    """One session as the worker has to run it. Secrets travel here, never in a command line or file."""

    begin_string: str
    sender: str
    target: str
    spool: str  # path
    files: str  # where quickfix keeps its store
    dictionaries: tuple[str, ...]  # paths, transport first
    special_tags: tuple[int, ...]  # messages with any of them need the dictionaries to be built
    stale_types: tuple[str, ...]
    logon_fields: tuple[tuple[int, bytes], ...]
    header_fields: tuple[tuple[int, str], ...]
    secret_tags: tuple[int, ...]
    recover_by_reset: bool
    authenticate: bool  # ask the parent about each Logon of the peer
    next_in: int = 0  # set before the start; 0: as stored
    next_out: int = 0
    enabled: bool = True


# ------------------------------------------------------------------ to the worker


class Command(msgspec.Struct, frozen=True, array_like=True, tag_field="do"):
    """Base of what a worker is told."""


class Setup(Command, frozen=True, array_like=True, tag="setup"):
    """Everything it needs; the first record."""

    config: str  # quickfix's configuration file
    acceptor: bool
    sessions: tuple[SessionSpec, ...]
    beat_s: float


class Send(Command, frozen=True, array_like=True, tag="send"):
    """Send application messages under fresh numbers; tickets count them."""

    session: int
    ticket: int
    messages: tuple[bytes, ...]
    #: These may have been stored by a worker that died: look before sending. First number to look at.
    look_from: int = 0


class Logout(Command, frozen=True, array_like=True, tag="logout"):
    """Log out; ``back``: an initiator connects again afterwards."""

    session: int
    text: str
    back: bool


class Logon(Command, frozen=True, array_like=True, tag="logon"):
    """Let the session connect again."""

    session: int


class Cut(Command, frozen=True, array_like=True, tag="cut"):
    """Close the connection without a Logout."""

    session: int


class Numbers(Command, frozen=True, array_like=True, tag="numbers"):
    """Set sequence numbers; 0 leaves one alone."""

    session: int
    next_in: int
    next_out: int


class Reset(Command, frozen=True, array_like=True, tag="reset"):
    """Both numbers to 1, by a Logout where the session is logged on; ``ask``: by ResetSeqNumFlag=Y of an initiator."""

    session: int
    ask: bool


class Verdict(Command, frozen=True, array_like=True, tag="verdict"):
    """Answer to :class:`Ask`: empty accepts the Logon."""

    question: int
    text: str


class Compact(Command, frozen=True, array_like=True, tag="compact"):
    """Everything in the spool has been taken up to here."""

    session: int
    taken: int


class Stop(Command, frozen=True, array_like=True, tag="stop"):
    """Log out everywhere and end."""

    text: str


# ---------------------------------------------------------------- from the worker


class Report(msgspec.Struct, frozen=True, array_like=True, tag_field="is"):
    """Base of what a worker says."""


class Ready(Report, frozen=True, array_like=True, tag="ready"):
    """The sessions are made; nothing is connected yet."""

    pid: int
    numbers: tuple[tuple[int, int], ...]  # (next_in, next_out) of each session


class Started(Report, frozen=True, array_like=True, tag="started"):
    """It connects, or listens."""


class Spooled(Report, frozen=True, array_like=True, tag="spooled"):
    """The spool has grown."""

    session: int
    spooled: int
    next_in: int


class Said(Report, frozen=True, array_like=True, tag="said"):
    """Something happened; ``kind`` is one of the names in :mod:`fix.foreign.tracker`."""

    session: int
    spooled: int
    kind: str
    next_in: int
    next_out: int
    numbers: tuple[int, ...] = ()
    text: str = ""
    raw: bytes = b""


class Sent(Report, frozen=True, array_like=True, tag="sent"):
    """Messages up to ``ticket`` are in quickfix's store."""

    session: int
    ticket: int
    next_out: int


class Refusal(Report, frozen=True, array_like=True, tag="unsent"):
    """Message ``ticket`` was not sent and used no number."""

    session: int
    ticket: int
    raw: bytes
    reason: str


class Ask(Report, frozen=True, array_like=True, tag="ask"):
    """May the peer of this Logon log on?"""

    session: int
    question: int
    raw: bytes


class Beat(Report, frozen=True, array_like=True, tag="beat"):
    """The process lives; ``silence_s``: since quickfix's own thread last called us, while connected."""

    silence_s: tuple[float, ...]  # of each session, 0 where nothing is connected
    spooled: tuple[int, ...]
    next_out: tuple[int, ...]


class Failed(Report, frozen=True, array_like=True, tag="failed"):
    """Last words: our code in a callback has raised. The process ends."""

    reason: str


class Stopped(Report, frozen=True, array_like=True, tag="stopped"):
    """Every session is logged out; the process ends."""


COMMANDS = msgspec.msgpack.Decoder(Setup | Send | Logout | Logon | Cut | Numbers | Reset | Verdict | Compact | Stop)
REPORTS = msgspec.msgpack.Decoder(Ready | Started | Spooled | Said | Sent | Refusal | Ask | Beat | Failed | Stopped)
encode = msgspec.msgpack.encode
