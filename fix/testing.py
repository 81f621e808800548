"""Test helpers, shipped: two machines joined in memory, and a peer that says exactly what it is told.

Nothing here sleeps or opens a socket. Time is an integer that the test moves.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fix.messages import Field, Message, build, frame, parse, utc_timestamp
from fix.session import Authenticate, Dictionary, Role, SessionEvent, SessionMachine, SessionSettings, State
from fix.store import MessageStore

START_NS = 1_450_967_400_000_000_000  #: 2015-12-24 14:30:00 UTC
SECOND_NS = 1_000_000_000


def split_messages(data: bytes) -> list[Message]:
    """All whole messages in ``data``; what is left over is an error of the test."""
    messages: list[Message] = []
    start = 0
    while start < len(data):
        begin, stop = frame(data, start, len(data))
        if begin == stop:
            raise AssertionError(f"left over: {data[start:]!r}")
        messages.append(parse(data[begin:stop]))
        start = stop
    return messages


def initiator_settings(**changes: Any) -> SessionSettings:
    """Settings of a client called AXIOM at a venue called OPT."""
    return _settings("AXIOM", "OPT", Role.INITIATOR, changes)


def acceptor_settings(**changes: Any) -> SessionSettings:
    """The venue's side of :func:`initiator_settings`."""
    return _settings("OPT", "AXIOM", Role.ACCEPTOR, changes)


def _settings(sender: str, target: str, role: Role, changes: dict[str, Any]) -> SessionSettings:
    values: dict[str, Any] = {"sender_comp_id": sender, "target_comp_id": target, "role": role}
    if changes.get("begin_string") == "FIXT.1.1":
        values["default_appl_ver_id"] = "9"
    return SessionSettings(**(values | {"heartbeat_interval_s": 30} | changes))


class Side:
    """One machine of a pair, its store, and what came out of it."""

    def __init__(
        self, directory: Path, settings: SessionSettings, dictionary: Dictionary | None = None,
        authenticate: Authenticate | None = None,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.settings = settings
        self.dictionary = dictionary
        self.authenticate = authenticate
        self.events: list[SessionEvent] = []
        self.sent: list[Message] = []
        self.open()

    def open(self) -> None:
        """Build machine and store on what stands on disk."""
        self.store = MessageStore(self.directory)
        self.machine = SessionMachine(self.settings, self.store, self.dictionary, authenticate=self.authenticate)

    def crash(self) -> None:
        """Come back as after kill -9: nothing in memory survives, nothing is flushed."""
        self.store.release()
        self.open()

    def note(self, events: Iterable[SessionEvent]) -> None:
        """Take events as a driver does."""
        self.events.extend(events)
        self.machine.commit()

    def of(self, kind: type[Any]) -> list[Any]:
        """Events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    def output(self) -> list[Message]:
        """Messages that the machine has put out since the last call."""
        messages = split_messages(self.machine.take_output())
        self.sent.extend(messages)
        return messages


class MachinePair:
    """A client and a venue joined in memory; messages can be lost on the way by ``drop``.

    ``changes`` are settings of both, ``client`` and ``venue`` those of one side.
    """

    def __init__(
        self,
        directory: Path,
        client: dict[str, Any] | None = None,
        venue: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        self.now_ns = START_NS
        self.client = Side(directory / "client", initiator_settings(**(changes | (client or {}))))
        self.venue = Side(directory / "venue", acceptor_settings(**(changes | (venue or {}))))

    def connect(self) -> None:
        """Join the two and let them log on."""
        self.venue.note(self.venue.machine.connected(self.now_ns))
        self.client.note(self.client.machine.connected(self.now_ns))
        self.pump()

    def cut(self) -> None:
        """Cut the connection: what is under way is lost."""
        for side in (self.client, self.venue):
            side.machine.take_output()
            side.note(side.machine.disconnected(self.now_ns))

    def pump(self, drop: frozenset[str] = frozenset()) -> None:
        """Carry messages both ways until nothing moves; those of a MsgType in ``drop`` are lost."""
        moved = True
        while moved:
            moved = False
            for source, target in ((self.client, self.venue), (self.venue, self.client)):
                if source.machine.resending or source.machine.draining:
                    source.note(source.machine.tick(self.now_ns))
                for message in source.output():
                    moved = True
                    if message.msg_type not in drop:
                        target.note(target.machine.receive(message.raw, self.now_ns))

    def wait(self, seconds: float) -> None:
        """Let time pass on both sides, in steps of a second."""
        for _ in range(int(seconds)):
            self.now_ns += SECOND_NS
            for side in (self.client, self.venue):
                if side.machine.state is not State.DISCONNECTED:
                    side.note(side.machine.tick(self.now_ns))
            self.pump()


class ScriptedPeer:
    """The far side of ``machine``, played by hand: every number and field is the test's choice."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.now_ns = START_NS

    def say(
        self, msg_type: str, seq: int, body: Sequence[Field] = (), header: Sequence[Field] = (), **changes: Any
    ) -> list[Message]:
        """Deliver one message; what the machine answers."""
        settings = self.side.settings
        raw = build(
            changes.get("begin_string", settings.begin_string), msg_type, seq,
            changes.get("sender", settings.target_comp_id), changes.get("target", settings.sender_comp_id),
            self.stamp(changes.get("sending_ns", self.now_ns)), body, header,
        )  # fmt: skip
        return self.deliver(raw)

    def stamp(self, now_ns: int) -> bytes:
        """A timestamp as the session's version writes it."""
        return utc_timestamp(now_ns, int(self.side.settings.precision))

    def deliver(self, raw: bytes) -> list[Message]:
        """Deliver bytes as they are."""
        self.side.note(self.side.machine.receive(raw, self.now_ns))
        return self.side.output()

    def logon(self, seq: int = 1, **changes: Any) -> list[Message]:
        """Connect and say Logon."""
        self.side.note(self.side.machine.connected(self.now_ns))
        body: list[Field] = [(98, 0), (108, changes.pop("heartbeat", 30))]
        if changes.pop("reset", False):
            body.append((141, "Y"))
        if self.side.settings.is_fixt:
            body.append((1137, changes.pop("appl_ver_id", "9")))
        body += changes.pop("fields", ())
        return self.say("A", seq, body, **changes)

    def poss_dup(self, msg_type: str, seq: int, body: Sequence[Field] = ()) -> list[Message]:
        """Deliver a message with PossDupFlag=Y."""
        return self.say(msg_type, seq, body, [(43, "Y"), (122, self.stamp(self.now_ns - SECOND_NS))])

    def wait(self, seconds: float) -> list[Message]:
        """Let time pass in one step; what the machine says.

        Two looks at the end of it: woken so late, the machine gives nobody up at the first.
        """
        self.now_ns += int(seconds * SECOND_NS)
        for _ in range(2):
            self.side.note(self.side.machine.tick(self.now_ns))
        return self.side.output()
