"""Two machines and everything that can happen between them, as hypothesis plays it.

A history is any order of: sending on either side (logged on or not), bytes arriving in any pieces,
bytes lost or changed on the way, the line cut, either process killed (before or after it has said
what it took), time passing. In every history, at every moment: what an application has taken is
what the other has sent, in that order, without a hole; nothing comes twice without PossDupFlag=Y.
And when the disturbance ends, everything that was sent arrives.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fix.messages import frame, parse
from fix.session import AppMessage, Disconnect, SessionEvent, SessionMachine, SessionSettings, State
from fix.store import MessageStore
from fix.testing import SECOND_NS, START_NS, acceptor_settings, initiator_settings

_ID = 17
SIDES = st.sampled_from(["client", "venue"])
FRACTIONS = st.floats(0.0, 1.0, allow_nan=False)


class End:
    """A process: machine and store, which a kill takes with it, and an application whose journal it does not."""

    def __init__(self, directory: Path, options: SessionSettings) -> None:
        self.directory = directory
        self.options = options
        self.prefix = options.sender_comp_id
        self.sent: list[str] = []
        self.taken: list[str] = []
        self.reasons: list[str] = []
        self.received = b""
        self.uncommitted = False
        self.open()

    def open(self) -> None:
        self.store = MessageStore(self.directory)
        self.machine = SessionMachine(self.options, self.store)

    def kill(self) -> None:
        self.store.release()
        self.received = b""
        self.open()

    def send(self, now_ns: int) -> None:
        name = f"{self.prefix}{len(self.sent)}"
        self.machine.send("8", [(_ID, name)], now_ns)
        self.sent.append(name)

    def take(self, events: list[SessionEvent], *, commit: bool = True) -> bool:
        """Journal what came; whether the machine wants the line closed."""
        closing = False
        for event in events:
            if isinstance(event, AppMessage):
                name = parse(event.raw).text(_ID)
                if name in self.taken:
                    assert event.poss_dup, f"{name} came twice and does not say so"
                else:
                    self.taken.append(name)
            elif isinstance(event, Disconnect):
                self.reasons.append(event.reason)
                closing = True
        if commit:
            self.machine.commit()
        return closing


class Session(RuleBasedStateMachine):
    """The rules of a history."""

    @initialize(
        version=st.sampled_from(["FIX.4.0", "FIX.4.2", "FIX.4.4", "FIXT.1.1"]),
        chunk=st.sampled_from([0, 1, 3]),
        closed=st.booleans(),
        expected=st.booleans(),
        processed=st.booleans(),
    )
    def begin(self, version: str, chunk: int, closed: bool, expected: bool, processed: bool) -> None:
        policies = {
            "begin_string": version,
            "default_appl_ver_id": "9" if version == "FIXT.1.1" else "",
            "stale_types": (),
            "resend_chunk": 2,
            "resend_chunk_size": chunk,
            "closed_resend_interval": closed,
            "next_expected_msg_seq_num": expected and version in ("FIX.4.4", "FIXT.1.1"),
            "last_msg_seq_num_processed": processed and version != "FIX.4.0",
        }
        self.directory = Path(tempfile.mkdtemp(prefix="axiom-model-"))
        self.now_ns = START_NS
        self.client = End(self.directory / "client", initiator_settings(**policies))
        self.venue = End(self.directory / "venue", acceptor_settings(**policies))
        self.flight = {"client": b"", "venue": b""}  # bytes on their way from that side
        self.joined = False

    def teardown(self) -> None:
        if not hasattr(self, "directory"):
            return
        try:
            self.settle()
        finally:
            for end in (self.client, self.venue):
                end.store.release()
            shutil.rmtree(self.directory)

    # ------------------------------------------------------------ what happens

    @rule(side=SIDES, count=st.integers(1, 5), calm=st.booleans())
    def send(self, side: str, count: int, calm: bool) -> None:
        end = self.end(side)
        for _ in range(count):
            if side == "venue" or end.machine.logged_on:
                end.send(self.now_ns)
        self.collect()
        if calm and self.joined:
            self.pump()

    @rule(calm=st.booleans())
    def connect(self, calm: bool = False) -> None:
        """A new connection, in place of the one that is; ``calm``: both logons get through."""
        if self.joined:
            self.cut()
        self.joined = True
        self.flight = {"client": b"", "venue": b""}
        for end in (self.venue, self.client):
            end.received = b""
            end.take(end.machine.connected(self.now_ns))
        self.collect()
        if calm:
            self.pump()

    @precondition(lambda self: self.joined)
    @rule()
    def flow(self) -> None:
        """Everything under way arrives, and the answers to it."""
        self.pump()

    @precondition(lambda self: self.joined)
    @rule(side=SIDES, fraction=FRACTIONS, dies=st.sampled_from([None, None, "before it takes", "before it commits"]))
    def arrive(self, side: str, fraction: float, dies: str | None) -> None:
        """Part of what ``side`` has sent arrives; the receiver may be killed with it in its hands."""
        data = self.flight[side]
        size = len(data) if fraction > 0.5 else int(len(data) * fraction * 2)
        self.flight[side] = data[size:]
        other = "venue" if side == "client" else "client"
        self.receive(other, data[:size], take=dies != "before it takes", commit=dies is None)
        if dies:
            self.kill(other)

    @precondition(lambda self: self.joined)
    @rule(side=SIDES, at=FRACTIONS, size=st.integers(1, 400))
    def lose(self, side: str, at: float, size: int) -> None:
        data = self.flight[side]
        start = int(len(data) * at)
        self.flight[side] = data[:start] + data[start + size :]

    @precondition(lambda self: self.joined)
    @rule(side=SIDES, at=FRACTIONS, flip=st.integers(1, 255))
    def corrupt(self, side: str, at: float, flip: int) -> None:
        data = self.flight[side]
        if data:
            place = min(int(len(data) * at), len(data) - 1)
            self.flight[side] = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]

    @precondition(lambda self: self.joined)
    @rule()
    def cut(self) -> None:
        self.joined = False
        self.flight = {"client": b"", "venue": b""}
        for end in (self.client, self.venue):
            end.take(end.machine.disconnected(self.now_ns))
            end.machine.take_output()
            end.received = b""

    @precondition(lambda self: self.joined)
    @rule(side=SIDES)
    def kill(self, side: str) -> None:
        """Nothing in memory survives; the other side sees the line go."""
        self.end(side).kill()
        self.cut()

    @rule(seconds=st.sampled_from([1, 11, 31, 40, 80]))
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ns += SECOND_NS
            self.tick()

    # -------------------------------------------------------------- invariants

    @invariant()
    def nothing_is_lost_doubled_or_out_of_order(self) -> None:
        if hasattr(self, "client"):
            assert self.venue.taken == self.client.sent[: len(self.venue.taken)]
            assert self.client.taken == self.venue.sent[: len(self.client.taken)]

    def settle(self) -> None:
        """The disturbance ends: within ten quiet minutes everything has arrived."""
        for _ in range(600):
            if not self.joined:
                self.connect()
            self.pump()
            if self.done():
                break
            self.now_ns += SECOND_NS
            self.tick()
        state = (self.client.machine.state, self.venue.machine.state, self.client.reasons[-3:], self.venue.reasons[-3:])
        assert self.venue.taken == self.client.sent, state
        assert self.client.taken == self.venue.sent, state
        assert self.client.machine.next_in == self.venue.machine.next_out, state
        assert self.venue.machine.next_in == self.client.machine.next_out, state

    def done(self) -> bool:
        client, venue = self.client.machine, self.venue.machine
        agreed = client.next_in == venue.next_out and venue.next_in == client.next_out
        return agreed and client.steady and venue.steady and client.state is State.LOGGED_ON

    # ------------------------------------------------------------------ pieces

    def end(self, side: str) -> End:
        return self.client if side == "client" else self.venue

    def collect(self) -> None:
        for side in ("client", "venue"):
            self.flight[side] += self.end(side).machine.take_output()

    def receive(self, side: str, data: bytes, *, take: bool = True, commit: bool = True) -> None:
        end = self.end(side)
        end.received += data
        closing = False
        while not closing:
            begin, stop = frame(end.received, 0, len(end.received))
            raw, end.received = end.received[begin:stop], end.received[stop:]
            if begin == stop:
                break
            events = end.machine.receive(raw, self.now_ns)
            closing = take and end.take(events, commit=commit)
        self.after(side, closing)

    def tick(self) -> None:
        for side in ("client", "venue"):
            end = self.end(side)
            if self.joined and end.machine.state is not State.DISCONNECTED:
                self.after(side, end.take(end.machine.tick(self.now_ns)))

    def after(self, side: str, closing: bool) -> None:
        """What a driver does after every turn: send, or send and close."""
        self.collect()
        if closing:
            other = "venue" if side == "client" else "client"
            last, self.flight[side] = self.flight[side], b""
            end = self.end(side)
            end.take(end.machine.disconnected(self.now_ns))
            self.receive_last(other, last)
            self.cut()

    def receive_last(self, side: str, data: bytes) -> None:
        """What was sent before a close still arrives."""
        end = self.end(side)
        end.received += data
        while True:
            begin, stop = frame(end.received, 0, len(end.received))
            raw, end.received = end.received[begin:stop], end.received[stop:]
            if begin == stop or end.take(end.machine.receive(raw, self.now_ns)):
                return

    def pump(self) -> None:
        for _ in range(10_000):
            for side in ("client", "venue"):
                data, self.flight[side] = self.flight[side], b""
                if data:
                    self.receive("venue" if side == "client" else "client", data)
                if self.joined and self.end(side).machine.resending:
                    self.after(side, self.end(side).take(self.end(side).machine.tick(self.now_ns)))
            if not any(self.flight.values()) and not (self.client.machine.resending or self.venue.machine.resending):
                return
        raise AssertionError("the two never fall silent")


Session.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSession = Session.TestCase
